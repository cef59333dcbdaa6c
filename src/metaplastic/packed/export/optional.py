"""Packages that only exports need: imported when they are used, with the command that installs them."""

import importlib
from types import ModuleType


def require(name: str) -> ModuleType:
    """Import a package of the extra `export`.

    Args:
        name: Its name.

    Returns:
        The module.

    Raises:
        ImportError: When it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(
            f"expected the package {name.partition('.')[0]!r} for this export, got {error}; install it with\n"
            "  pip install 'metaplastic[export]'"
        ) from error
