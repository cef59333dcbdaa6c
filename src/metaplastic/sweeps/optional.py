"""Packages that only some sweeps need: imported when they are used, with the command that installs them."""

import importlib
from types import ModuleType


def require(name: str, extra: str) -> ModuleType:
    """Import a package of an extra.

    Args:
        name: Its name.
        extra: The extra that brings it.

    Returns:
        The module.

    Raises:
        ImportError: When it is not installed.

    Example:
        >>> require("no_such_package", "ray")
        Traceback (most recent call last):
        ImportError: expected the package 'no_such_package', got No module named 'no_such_package'; install it with
          pip install 'metaplastic[ray]'
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(
            f"expected the package {name!r}, got {error}; install it with\n  pip install 'metaplastic[{extra}]'"
        ) from error
