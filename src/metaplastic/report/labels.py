"""What to call a configuration beside others: by what differs, and by nothing else."""

import dataclasses
import enum
from collections.abc import Sequence
from typing import Any

from metaplastic.experiments.config import Config
from metaplastic.experiments.method_config import Method, penalty_fields

METHOD, STRENGTH = "method", "optimizer.metaplasticity"

_UNSAID = {METHOD: Method.FINETUNE, "network.frozen": False}
"""What goes without saying where something else tells the groups apart."""

_UNUSED = ("network.", "norm.", "optimizer.")
"""What methods in closed form do not use, whatever it is set to."""

_NOT_COMPARED = {"name", "seed"} | {
    f"running.{name}" for name in ("evaluate_epochs", "checkpoint_every", "checkpoint_unit", "threads", "device")
}


def compared(config: Config) -> dict[str, Any]:
    """Give what a configuration is compared by: all that may change what is learned, apart from the seed.

    Args:
        config: The configuration.

    Returns:
        Dotted name of a field to its value.

    Example:
        >>> fields = compared(Config(epochs=3))
        >>> fields["epochs"], fields["optimizer.lr"], fields["scenario.kind"], "seed" in fields
        (3, 0.005, 'permuted', False)
    """
    kind = {"scenario.kind": type(config.scenario).__name__.lower()}
    fields = kind | _flat(dataclasses.asdict(config), "")
    return {name: value for name, value in fields.items() if name not in _NOT_COMPARED}


def labels(configs: Sequence[Config]) -> list[str]:
    """Name configurations by what differs between them.

    Args:
        configs: Configurations no two of which are equal in `compared`.

    Returns:
        One label each, in the same order; one configuration alone is named by method and metaplasticity.

    Example:
        >>> from dataclasses import replace
        >>> from metaplastic.experiments.config import Network
        >>> from metaplastic.nn import NormPolicy
        >>> plain = replace(Config().optimizer, metaplasticity=(0.0,))
        >>> labels([Config(optimizer=plain), Config(), Config(optimizer=plain, method=Method.JOINT)])
        ['m = 0', 'm = 1.35', 'joint, m = 0']
        >>> labels([Config(optimizer=plain, epochs=1), Config(method=Method.STREAMING_LDA, epochs=1)])
        ['m = 0', 'streaming-lda']
        >>> labels([Config(epochs=2), Config(epochs=3)])
        ['epochs = 2', 'epochs = 3']
        >>> labels([Config(), Config(network=Network(frozen=True)), Config(norm=NormPolicy(affine=False))])
        ['affine', 'frozen, affine', 'no affine']
    """
    rows = [compared(config) for config in configs]
    return _labels(rows, _differing(rows))


def short_labels(configs: Sequence[Config]) -> list[str]:
    """Name configurations by little of what differs: the method, then m, then the fields that tell most of them apart.

    Args:
        configs: Configurations no two of which are equal in `compared`.

    Returns:
        One label each, in the same order; what else differs between them is said by `labels`.

    Example:
        >>> from dataclasses import replace
        >>> strong = replace(Config().optimizer, metaplasticity=(3.0,))
        >>> labels([Config(), Config(optimizer=strong, epochs=9)])
        ['m = 1.35, epochs = 5', 'm = 3, epochs = 9']
        >>> short_labels([Config(), Config(optimizer=strong, epochs=9)])
        ['m = 1.35', 'm = 3']
    """
    rows = [compared(config) for config in configs]
    left = _differing(rows)
    shown: list[str] = []
    while left and _distinct(rows, shown) < len(rows):
        # Method and m come first in any case; of fields that tell as many apart, the earlier.
        best = left[0] if left[0] in (METHOD, STRENGTH) else max(left, key=lambda name: _distinct(rows, [*shown, name]))
        left.remove(best)
        shown.append(best)
    return _labels(rows, shown)


def _distinct(rows: Sequence[dict[str, Any]], shown: Sequence[str]) -> int:
    return len(set(_labels(rows, shown))) if shown else 0


def _differing(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Fields that differ, method and m first."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    differing = [name for name in names if any(row.get(name) != rows[0].get(name) for row in rows)]
    return sorted(differing or (METHOD, STRENGTH), key=lambda name: (name != METHOD, name != STRENGTH))


def _labels(rows: Sequence[dict[str, Any]], shown: Sequence[str]) -> list[str]:
    return [_label({name: row[name] for name in shown if _is_of(name, row)} or {METHOD: row[METHOD]}) for row in rows]


def _is_of(name: str, row: dict[str, Any]) -> bool:
    """Whether a field says something of a configuration."""
    if name.startswith("penalty.") and name.removeprefix("penalty.") not in penalty_fields(row[METHOD]):
        return False
    return name in row and not (row[METHOD].closed_form and name.startswith(_UNUSED))


def _flat(plain: dict[str, Any], above: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in plain.items():
        found |= _flat(value, f"{above}{name}.") if isinstance(value, dict) else {above + name: value}
    return found


def _label(fields: dict[str, Any]) -> str:
    said = {name: value for name, value in fields.items() if _UNSAID.get(name) != value} or fields
    return ", ".join(_part(name, value) for name, value in said.items())


def _part(name: str, value: Any) -> str:
    if name in (METHOD, "scenario.kind"):
        return str(value)
    if name == STRENGTH:
        return f"m = {_text(value)}"
    if name == "norm.statistics":
        return f"{_text(value)} statistics"
    own = name.rpartition(".")[2].replace("_", " ")
    if isinstance(value, bool):
        return own if value else f"no {own}"
    return f"{own} = {_text(value)}"


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return " ".join(map(_text, value))
    if isinstance(value, float):
        return f"{value:g}"
    return str(value.value if isinstance(value, enum.Enum) else value).replace("_", " ")
