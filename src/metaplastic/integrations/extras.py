"""Packages that only an integration needs, and what to do where they cannot be imported."""

import importlib
from types import ModuleType

import torch


def require_avalanche() -> ModuleType:
    """Import Avalanche.

    Returns:
        The package.

    Raises:
        ImportError: When it is not installed, or the torchvision that it imports was built for another torch.
    """
    try:
        importlib.import_module("avalanche.training")
    except ImportError as error:
        raise ImportError(
            f"expected the package 'avalanche-lib' for this integration, got {error}; install it with\n"
            "  pip install 'metaplastic[avalanche]'\n"
            "(the package that is called 'avalanche' is another one)"
        ) from error
    except RuntimeError as error:
        # What torchvision says when its compiled half could not be loaded.
        raise ImportError(
            f"expected a torchvision that fits torch {torch.__version__}, because Avalanche imports it, got {error}; "
            "install torch and torchvision from one index, in one command"
        ) from error
    return importlib.import_module("avalanche")
