"""What is to be run: the product of all values, for every seed."""

import functools
import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from metaplastic.experiments import Config, to_json
from metaplastic.sweeps.axis import Axis, field_path, with_fields
from metaplastic.sweeps.identity import run_id

Setting = tuple[tuple[str, Any], ...]
"""Fields and their values, in the order of the axes."""


@dataclass(frozen=True)
class PlannedRun:
    """One run.

    Args:
        config: What is run, seed included.
        setting: What was varied to come to it.
    """

    config: Config
    setting: Setting = ()

    @functools.cached_property
    def id(self) -> str:
        """Name of its folder."""
        return run_id(self.config)

    @property
    def label(self) -> str:
        """What to call it in a line."""
        return f"{setting_label(self.setting)}, seed {self.config.seed}"


def setting_label(setting: Setting) -> str:
    """Say what was varied.

    Args:
        setting: Fields and values.

    Returns:
        One line.

    Example:
        >>> setting_label((("metaplasticity", 1.35), ("hidden", [64, 64])))
        'metaplasticity = 1.35, hidden = [64, 64]'
    """
    parts = [f"{name} = {value if isinstance(value, str) else json.dumps(value)}" for name, value in setting]
    return ", ".join(parts) or "as given"


@dataclass(frozen=True)
class Sweep:
    """A configuration, what is varied of it, and the seeds.

    Args:
        base: What is varied; its seed is replaced. Where it leaves the number of threads open, every run takes one, so
            that results do not depend on how many runs go on at once.
        axes: The fields and their values; all combinations are run.
        seeds: The seeds, all different, at least one.

    Raises:
        ValueError: When there is no seed, a seed or an axis comes twice, or a combination cannot be run.

    Example:
        >>> sweep = Sweep(Config(), (Axis("metaplasticity", (0, 1.35)), Axis("epochs", (1, 2))), (0, 1, 2))
        >>> len(sweep.runs)
        12
        >>> sweep.runs[0].label
        'metaplasticity = 0, epochs = 1, seed 0'
    """

    base: Config
    axes: tuple[Axis, ...] = ()
    seeds: tuple[int, ...] = (0,)

    def __post_init__(self) -> None:
        fields = tuple(".".join(field_path(self.base, axis.field)) for axis in self.axes)
        for what, named in (("seeds", self.seeds), ("fields", fields)):
            if len(set(named)) < len(named) or (what == "seeds" and not named):
                raise ValueError(f"expected different {what}, got {list(named)}; give each of them once")
        object.__setattr__(self, "base", with_threads(self.base))
        if len({run.id for run in self.runs}) < len(self.runs):
            raise ValueError("expected settings that differ, got two that come to the same; leave one of them out")

    @functools.cached_property
    def settings(self) -> tuple[Setting, ...]:
        """All combinations of values, the last axis fastest."""
        pairs = [[(axis.field, value) for value in axis.values] for axis in self.axes]
        return tuple(itertools.product(*pairs))

    @functools.cached_property
    def runs(self) -> tuple[PlannedRun, ...]:
        """All runs: every setting for the first seed, then for the next."""
        changed = [(with_fields(self.base, dict(setting)), setting) for setting in self.settings]
        return tuple(
            PlannedRun(replace(config, seed=seed), setting) for seed in self.seeds for config, setting in changed
        )

    def as_json(self) -> dict[str, Any]:
        """Give the sweep as JSON values, for its folder."""
        over = {axis.field: list(axis.values) for axis in self.axes}
        return {"over": over, "seeds": list(self.seeds), "base": json.loads(to_json(self.base))}


def with_threads(config: Config) -> Config:
    """Let a run compute with one thread where its configuration leaves the number open.

    Args:
        config: The configuration.

    Returns:
        The same with a number of threads.
    """
    return config if config.running.threads else replace(config, running=replace(config.running, threads=1))


def by_setting(runs: Sequence[PlannedRun]) -> dict[str, list[PlannedRun]]:
    """Put runs together that differ in the seed only.

    Args:
        runs: The runs.

    Returns:
        Label of the setting to its runs, in their order.
    """
    found: dict[str, list[PlannedRun]] = {}
    for run in runs:
        found.setdefault(setting_label(run.setting), []).append(run)
    return found
