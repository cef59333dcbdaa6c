"""Split MNIST: five tasks of two digits."""

from metaplastic.experiments.config import Config, Network, Optimizer
from metaplastic.experiments.scenario_config import Split
from metaplastic.nn import NormPolicy, Statistics
from metaplastic.scenarios import Increment


def split_mnist() -> Config:
    """Five pairs of digits, domain-incremental by default, with layer norm and nothing announced.

    Claim: none yet; its m is not tuned. Methods without stored data are known to be weak in this scenario, and to fail
    where it is class-incremental (`--increment class`).

    Command: `metaplastic run split-mnist`, with `--increment task|domain|class`.
    """
    return Config(
        name="split-mnist",
        scenario=Split("mnist", tasks=5, increment=Increment.DOMAIN),
        network=Network(hidden=(512, 512)),
        norm=NormPolicy(statistics=Statistics.LAYER),
        optimizer=Optimizer(metaplasticity=(4.0,)),
        epochs=2,
    )
