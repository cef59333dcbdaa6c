"""Configurations as JSON: written for people, read back to the same value or refused with the reason."""

import dataclasses
import enum
import json
import types
import typing
from typing import Any

from metaplastic.choices import choose, unknown
from metaplastic.experiments.config import Config
from metaplastic.experiments.scenario_config import ScenarioConfig


def to_json(config: Config) -> str:
    """Write a configuration as JSON that a person can read and edit.

    Args:
        config: The configuration.

    Returns:
        Indented JSON; the scenario carries its kind.

    Example:
        >>> config = Config(epochs=3)
        >>> from_json(to_json(config)) == config
        True
    """
    plain = dataclasses.asdict(config)
    plain["scenario"] = {"kind": _kind(type(config.scenario)), **plain["scenario"]}
    return json.dumps(plain, indent=2) + "\n"


def from_json(text: str) -> Config:
    """Read a configuration from JSON; fields that are left out take their defaults.

    Args:
        text: What `to_json` wrote, or a person.

    Returns:
        The configuration, validated.

    Raises:
        ValueError: When the text is not JSON, or names a field or a value that does not exist.
    """
    try:
        plain = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(
            f"expected a configuration in JSON, got text that breaks at {error}; see config.json of a run"
        ) from error
    return _build(Config, plain, "config")


def _kind(scenario: type) -> str:
    return scenario.__name__.lower()


def _build(kind: Any, plain: Any, where: str) -> Any:
    """Make a value of an annotated type from plain JSON."""
    if kind == ScenarioConfig:
        return _build_scenario(plain, where)
    if dataclasses.is_dataclass(kind):
        return _build_dataclass(typing.cast(type, kind), plain, where)
    if isinstance(kind, type) and issubclass(kind, enum.StrEnum):
        return choose(kind, plain, f"value of {where}")
    if typing.get_origin(kind) is tuple:
        inner = typing.get_args(kind)[0]
        items = plain if isinstance(plain, list) else [plain]
        return tuple(_build(inner, item, where) for item in items)
    if isinstance(kind, types.UnionType):
        return None if plain is None else _build(typing.get_args(kind)[0], plain, where)
    if kind is float and isinstance(plain, int) and not isinstance(plain, bool):
        return float(plain)
    if type(plain) is not kind:
        raise ValueError(f"expected {where} to be of type {kind.__name__}, got {plain!r}; mend it in the JSON")
    return plain


def _build_scenario(plain: Any, where: str) -> Any:
    kinds = {_kind(kind): kind for kind in typing.get_args(ScenarioConfig)}
    got = plain.get("kind") if isinstance(plain, dict) else plain
    if not isinstance(plain, dict) or not isinstance(got, str) or got not in kinds:
        raise ValueError(unknown(f"kind of {where}", str(got), kinds))
    rest = {name: value for name, value in plain.items() if name != "kind"}
    return _build_dataclass(kinds[got], rest, where)


def _build_dataclass(kind: type, plain: Any, where: str) -> Any:
    if not isinstance(plain, dict):
        raise ValueError(f"expected {where} to be a JSON object, got {plain!r}; mend it in the JSON")
    hints = typing.get_type_hints(kind)
    for name in plain:
        if name not in hints:
            raise ValueError(unknown(f"field of {where}", name, hints))
    return kind(**{name: _build(hints[name], value, f"{where}.{name}") for name, value in plain.items()})
