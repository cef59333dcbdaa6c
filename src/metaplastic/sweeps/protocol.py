"""How settings are chosen, so that the choice is not made on what is reported; and what to say where it is."""

import enum
from collections.abc import Iterable
from dataclasses import replace

from metaplastic.experiments import Config
from metaplastic.experiments.config import Tuning
from metaplastic.experiments.scenario_config import Permuted, ScenarioConfig
from metaplastic.sweeps.axis import field_path

HELD_OUT = 0.2
"""Share of the training samples that settings are compared on."""

TUNING_SEED = 1000
"""What is added to the seed of the reported runs for those that settings are chosen by."""


class Protocol(enum.StrEnum):
    """What settings are chosen on."""

    FIRST_TASK = "first-task"
    """The first task alone, on held-out training samples and on other seeds. Cheap, and blind to forgetting."""
    TWO_PHASE = "two-phase"
    """All tasks, on held-out training samples and on other seeds and permutations than are reported."""
    END_OF_TRAINING = "end-of-training"
    """All tasks on the very seeds, permutations and test samples that are reported. What is reported then is too good:
    it was chosen for being so."""

    @property
    def tuned_on_test(self) -> bool:
        """Whether settings are chosen on the test samples that are reported."""
        return self is Protocol.END_OF_TRAINING


def tuning_config(config: Config, protocol: Protocol) -> Config:
    """Make the configuration that settings are chosen by.

    Args:
        config: What is reported.
        protocol: How the choice is made.

    Returns:
        What is run for every setting; its seed is the first of those that are used.

    Example:
        >>> chosen_by = tuning_config(Config(), Protocol.TWO_PHASE)
        >>> chosen_by.seed, chosen_by.tuning.held_out
        (1000, 0.2)
        >>> tuning_config(Config(), Protocol.END_OF_TRAINING) == Config()
        True
    """
    if protocol.tuned_on_test:
        return config
    first = 1 if protocol is Protocol.FIRST_TASK else config.tuning.first_tasks
    return replace(
        config,
        seed=config.seed + TUNING_SEED,
        scenario=_other_permutations(config.scenario),
        tuning=Tuning(held_out=HELD_OUT, first_tasks=first),
    )


def _other_permutations(scenario: ScenarioConfig) -> ScenarioConfig:
    """Permutations that were fixed would stay the same with another seed."""
    if isinstance(scenario, Permuted) and scenario.permutation_seed is not None:
        return replace(scenario, permutation_seed=scenario.permutation_seed + TUNING_SEED)
    return scenario


def cautions(config: Config, protocol: Protocol, searched: Iterable[str]) -> list[str]:
    """Say what a reader of the choice must know.

    Args:
        config: What is reported.
        protocol: How the choice was made.
        searched: Names of the fields that were searched.

    Returns:
        Sentences without their full stop.

    Example:
        >>> cautions(Config(), Protocol.FIRST_TASK, ["metaplasticity"])[0][:44]
        'one task shows no forgetting: metaplasticity'
    """
    said = []
    if protocol.tuned_on_test:
        said.append("settings were chosen on the test samples that are reported: the figures are too good")
    if protocol is Protocol.FIRST_TASK:
        against = [name for name in searched if field_path(config, name)[-1] in _AGAINST_FORGETTING]
        if against:
            said.append(f"one task shows no forgetting: {', '.join(against)} should be chosen by two-phase")
    if protocol is Protocol.TWO_PHASE and not isinstance(config.scenario, Permuted):
        said.append("the tasks are the same in both phases: they differ in seeds and samples only")
    return said


_AGAINST_FORGETTING = ("metaplasticity", "strength", "consolidation", "method", "online_decay")
