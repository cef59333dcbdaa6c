"""The command that makes a run again, from its configuration."""

import dataclasses
import enum
import shlex
from collections.abc import Sequence
from typing import Any

from metaplastic.experiments import PRESETS, preset
from metaplastic.report.groups import Group

_COUNTED = ("seed", "name")


def group_commands(group: Group) -> list[str]:
    """Write the commands that make the runs of a group again.

    Args:
        group: Runs that differ only in the seed.

    Returns:
        One for every row of seeds that follow one another: a preset and the fields that differ from it where there is
        such a preset, else the file of the configuration.
    """
    config = group.first.config
    seeds = [run.config.seed for run in group.runs]
    base = preset(config.name) if config.name in PRESETS else None
    if base is None or type(base.scenario) is not type(config.scenario):
        begin, first = f"metaplastic run --from {shlex.quote(str(group.first.folder / 'config.json'))}", config.seed
    else:
        theirs = dict(_fields(base))
        changed = [(name, value) for name, value in _fields(config) if value != theirs[name] and name not in _COUNTED]
        begin = " ".join(["metaplastic run", config.name, *(_option(name, value) for name, value in changed)])
        first = base.seed
    return [f"{begin}{_seeds(row, first)}" for row in in_a_row(seeds)]


def in_a_row(seeds: Sequence[int]) -> list[list[int]]:
    """Cut ascending seeds where one does not follow the other.

    Args:
        seeds: Seeds, ascending.

    Returns:
        Rows of seeds that do.

    Example:
        >>> in_a_row([0, 1, 2, 5])
        [[0, 1, 2], [5]]
    """
    rows: list[list[int]] = []
    for seed in seeds:
        if rows and seed == rows[-1][-1] + 1:
            rows[-1].append(seed)
        else:
            rows.append([seed])
    return rows


def _seeds(row: Sequence[int], first: int) -> str:
    return (f" --seeds {len(row)}" if len(row) > 1 else "") + (f" --seed {row[0]}" if row[0] != first else "")


def _fields(config: Any) -> list[tuple[str, Any]]:
    """Fields by their own names, as the command line calls them; nested ones too."""
    found = []
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        found += _fields(value) if dataclasses.is_dataclass(value) else [(field.name, value)]
    return found


def _option(name: str, value: Any) -> str:
    option = name.replace("_", "-")
    if isinstance(value, bool):
        return f"--{option}" if value else f"--no-{option}"
    values = value if isinstance(value, tuple) else (value,)
    return " ".join([f"--{option}", *(shlex.quote(_word(one)) for one in values)])


def _word(value: Any) -> str:
    if isinstance(value, enum.Enum):
        return str(value.value)
    return f"{value:g}" if isinstance(value, float) and float(f"{value:g}") == value else str(value)
