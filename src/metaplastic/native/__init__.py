"""What is compiled when the package is installed, where a C compiler was found: the hot paths of training.

`_training.c` has the products, `_update.c` the optimizer's pass; `signs.h` holds the products of signs that packed
networks multiply by too. Without a compiler, or on another processor, torch does the same.
"""

from types import ModuleType

products: ModuleType | None
update: ModuleType | None

try:
    from metaplastic.native import _training, _update
except ImportError:
    products = update = None
else:
    products = _training if _training.available() else None
    """The products of training; None where they were not compiled or the processor lacks what they need."""
    update = _update if _update.available() else None
    """The optimizer's pass; None likewise."""

__all__ = ["products", "update"]
