"""What other packages offer to this one, found by their entry points and loaded when it is asked for."""

from collections.abc import Collection
from importlib.metadata import EntryPoint, entry_points
from typing import Any


class PluginError(ValueError):
    """What another package offers cannot be used; the message names the package."""


def offered_plugins(group: str) -> dict[str, list[EntryPoint]]:
    """List what installed packages offer, without loading any of it.

    Args:
        group: Name of the group of entry points, e.g. "metaplastic.learners".

    Returns:
        By name, every entry point of it: more than one where packages clash.
    """
    found: dict[str, list[EntryPoint]] = {}
    for entry in entry_points(group=group):
        found.setdefault(entry.name, []).append(entry)
    return found


def load_plugin(group: str, name: str, what: str, built_in: Collection[str]) -> Any | None:
    """Load what a package offers under a name.

    Args:
        group: Name of the group of entry points.
        name: Name of what is wanted.
        what: What it is, for messages, e.g. "learner".
        built_in: Names of the group that are this package's own.

    Returns:
        What the entry point leads to; None where no package offers the name.

    Raises:
        PluginError: When the name is also one of this package's own or another package's, and when loading fails.
    """
    entries = offered_plugins(group).get(name, [])
    if entries and name in built_in:
        raise PluginError(
            f"expected {what} {name!r} to be metaplastic's own, got another one of the same name from "
            f"{_packages(entries)}; rename that one in its entry points, or uninstall it"
        )
    if len(entries) > 1:
        raise PluginError(
            f"expected one {what} named {name!r}, got {len(entries)}, from {_packages(entries)}; uninstall all but one"
        )
    return _loaded(entries[0], what) if entries else None


def _loaded(entry: EntryPoint, what: str) -> Any:
    try:
        return entry.load()
    except Exception as error:  # importing is running anybody's code
        raise broken_plugin(entry, what, f"an error when {entry.value!r} was imported ({in_words(error)})") from error


def broken_plugin(entry: EntryPoint, what: str, got: str) -> PluginError:
    """Make the error for something that a package offers and that does not work.

    Args:
        entry: What it was offered by.
        what: What it was to be, e.g. "learner".
        got: What it is instead.

    Returns:
        The error, to be raised.
    """
    return PluginError(
        f"expected a {what} under the name {entry.name!r} of {_packages([entry])}, got {got}; update or uninstall "
        "that package, or report it to its authors"
    )


def entry_of(group: str, name: str) -> EntryPoint:
    """Find the entry point of something that was loaded, to name its package.

    Args:
        group: Name of the group of entry points.
        name: Name of what was loaded.

    Returns:
        Its entry point.
    """
    return offered_plugins(group)[name][0]


def in_words(error: Exception) -> str:
    """Put an exception into words, for the message of another.

    Args:
        error: The exception.

    Returns:
        Its type and its text.

    Example:
        >>> in_words(KeyError("x"))
        "KeyError: 'x'"
    """
    return f"{type(error).__name__}: {error}"


def _packages(entries: list[EntryPoint]) -> str:
    return ", ".join(
        f"package {entry.dist.name!r} {entry.dist.version}" if entry.dist else f"{entry.value!r}" for entry in entries
    )
