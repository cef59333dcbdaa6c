"""What every error message of the package shares: the nearest name to one that does not exist."""

import difflib
from collections.abc import Iterable


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
    nearest = difflib.get_close_matches(got, names, n=1, cutoff=0.4)
    hint = f"; did you mean {nearest[0]!r}?" if nearest else "."
    return f"unknown {kind} {got!r}{hint} Known: {', '.join(names)}"
