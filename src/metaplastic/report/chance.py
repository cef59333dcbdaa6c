"""The accuracy of guessing."""

from metaplastic.data.catalogue import CATALOGUE
from metaplastic.experiments.config import Config
from metaplastic.experiments.scenario_config import Sequence, Split
from metaplastic.scenarios import Increment


def chance(config: Config) -> float | None:
    """Compute the accuracy of guessing among the outputs that may answer.

    Args:
        config: What is run.

    Returns:
        In (0, 1]; None for data of your own, whose number of classes no configuration tells.

    Example:
        >>> chance(Config()), chance(Config(scenario=Split("mnist", tasks=5, increment=Increment.DOMAIN)))
        (0.1, 0.5)
    """
    scenario = config.scenario
    names = scenario.data if isinstance(scenario, Sequence) else (scenario.data,)
    if not set(names) <= set(CATALOGUE):
        return None
    classes = [len(CATALOGUE[name].class_names) for name in names]
    if isinstance(scenario, Sequence):
        return 1 / (max(classes) if scenario.shared_head else sum(classes))
    if isinstance(scenario, Split) and scenario.increment is not Increment.CLASS:
        return scenario.tasks / classes[0]
    return 1 / classes[0]
