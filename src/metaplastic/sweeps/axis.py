"""What is varied: a field of the configuration, found by its own name, and its values."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from metaplastic.choices import unknown
from metaplastic.experiments import Config, from_json, to_json


@dataclass(frozen=True)
class Axis:
    """A field and the values that it takes.

    Args:
        field: Name of the field, alone or with the fields that it lies in: `lr` or `optimizer.lr`.
        values: JSON values, at least one.

    Raises:
        ValueError: When there is no value, or one comes twice.
    """

    field: str
    values: tuple[Any, ...]

    def __post_init__(self) -> None:
        if not self.values or any(value in self.values[:place] for place, value in enumerate(self.values)):
            raise ValueError(f"expected different values of {self.field!r}, at least one, got {list(self.values)}")


def parse_axis(text: str) -> Axis:
    """Read an axis as the command line has it.

    Args:
        text: FIELD=VALUE,VALUE,... with values in JSON or words.

    Returns:
        The axis.

    Raises:
        ValueError: When there is no field or no value.

    Example:
        >>> parse_axis("metaplasticity=0,1.35")
        Axis(field='metaplasticity', values=(0, 1.35))
        >>> parse_axis("method=finetune,ewc").values
        ('finetune', 'ewc')
        >>> parse_axis("hidden=[64,64],[128]").values
        ([64, 64], [128])
    """
    field, equals, values = text.partition("=")
    if not (field and equals and values):
        raise ValueError(f"expected FIELD=VALUE,VALUE,..., got {text!r}; e.g. --over metaplasticity=0,0.5,1")
    return Axis(field, tuple(parse_values(values)))


def parse_values(text: str) -> list[Any]:
    """Read values that are separated by commas.

    Args:
        text: JSON values, or words.

    Returns:
        JSON values.
    """
    try:
        return list(json.loads(f"[{text}]"))
    except json.JSONDecodeError:
        return [_parse_value(word.strip()) for word in text.split(",")]


def _parse_value(word: str) -> Any:
    try:
        return json.loads(word)
    except json.JSONDecodeError:
        return word


def with_fields(config: Config, fields: Mapping[str, Any]) -> Config:
    """Change fields of a configuration by name.

    Args:
        config: The configuration.
        fields: Name of a field, as of an `Axis`, to its JSON value.

    Returns:
        The changed configuration, validated.

    Raises:
        ValueError: When a field does not exist, or the configuration cannot be run.

    Example:
        >>> with_fields(Config(), {"metaplasticity": 3, "epochs": 2}).optimizer.metaplasticity
        (3.0,)
    """
    plain = json.loads(to_json(config))
    for name, value in fields.items():
        *above, last = field_path(config, name)
        inside = plain
        for step in above:
            inside = inside[step]
        inside[last] = value
    return from_json(json.dumps(plain))


def field_path(config: Config, name: str) -> tuple[str, ...]:
    """Find a field.

    Args:
        config: The configuration.
        name: Its own name, or with those of the fields that it lies in.

    Returns:
        The names that lead to it.

    Raises:
        ValueError: When there is none of that name, or it is the seed.

    Example:
        >>> field_path(Config(), "lr")
        ('optimizer', 'lr')
    """
    spelled = name.replace("-", "_")
    known = {".".join(path): path for path in _paths(json.loads(to_json(config)))}
    if spelled == "seed":
        raise ValueError("expected a field other than the seed, got 'seed'; runs of several seeds are made by --seeds")
    found = [path for dotted, path in known.items() if spelled in (dotted, path[-1])]
    if len(found) != 1:
        raise ValueError(unknown("field", name, known if found else [path[-1] for path in known.values()]))
    return found[0]


def _paths(plain: dict[str, Any]) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []
    for name, value in plain.items():
        found += [(name, *rest) for rest in _paths(value)] if isinstance(value, dict) else [(name,)]
    return [path for path in found if path != ("scenario", "kind")]
