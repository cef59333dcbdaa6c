"""Choices by name: which one is meant, and what to say of a name that does not exist."""

import difflib
import enum
import typing
from collections.abc import Iterable
from typing import Any, TypeVar

Choice = TypeVar("Choice", bound=enum.StrEnum)


def unknown(kind: str, got: str, known: Iterable[str]) -> str:
    """Say that a name does not exist, and which one was probably meant.

    Args:
        kind: What the name is a name of, e.g. "preset".
        got: The name that was given.
        known: The names that exist.

    Returns:
        One line for an exception.

    Example:
        >>> unknown("preset", "permuted-mnits", ["permuted-mnist", "demo"])
        "unknown preset 'permuted-mnits'; did you mean 'permuted-mnist'? Known: demo, permuted-mnist"
    """
    names = sorted(known)
    nearest = difflib.get_close_matches(got, names, n=1, cutoff=0.5)
    hint = f"; did you mean {nearest[0]!r}?" if nearest else "."
    return f"unknown {kind} {got!r}{hint} Known: {', '.join(names)}"


def choose(kind: type[Choice], value: Choice | str, what: str | None = None) -> Choice:
    """Find the member of an enum.

    Args:
        kind: The enum.
        value: A member, or the value of one.
        what: What is chosen, for the message; by default the name of the enum.

    Returns:
        The member.

    Raises:
        ValueError: When there is no such member, with the nearest one.

    Example:
        >>> class Colour(enum.StrEnum):
        ...     RED = "red"
        >>> choose(Colour, "red")
        <Colour.RED: 'red'>
    """
    values = [member.value for member in kind]
    if value not in values:
        raise ValueError(unknown(what or kind.__name__.lower(), str(value), values))
    return kind(value)


def settle_choices(config: Any) -> None:
    """Put members in the place of strings in the enum fields of a frozen dataclass that is being made.

    Without it a string would pass for a member in `==` but not in `is`.

    Args:
        config: The dataclass instance, within its `__post_init__`.

    Raises:
        ValueError: When a string names no member.
    """
    for name, hint in typing.get_type_hints(type(config)).items():
        kinds = [kind for kind in (hint, *typing.get_args(hint)) if isinstance(kind, type)]
        value = getattr(config, name)
        for kind in kinds:
            if issubclass(kind, enum.StrEnum) and value is not None:
                object.__setattr__(config, name, choose(kind, value, name))
