"""What the values of a packed network have in common: arrays that cannot be changed, compared entry by entry."""

import dataclasses
from typing import Any

import numpy as np


class Value:
    """A frozen dataclass with arrays among its fields: equal where every field is."""

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and all(
            _same(getattr(self, name), getattr(other, name)) for name in _names(self)
        )

    def settle(self, **kinds: type | tuple[type, ...]) -> None:
        """Put unchangeable arrays, in the order of C, in the place of those given; within `__post_init__`.

        Args:
            kinds: For each field the type of its entries, or those that it may have; None is left as it is.
        """
        for name, kind in kinds.items():
            array = getattr(self, name)
            if array is not None:
                object.__setattr__(self, name, _unchangeable(name, array, kind if isinstance(kind, tuple) else (kind,)))


def _names(value: Any) -> list[str]:
    return [field.name for field in dataclasses.fields(value) if field.compare]


def _same(left: Any, right: Any) -> bool:
    if isinstance(left, np.ndarray) and isinstance(right, np.ndarray):
        return left.dtype == right.dtype and np.array_equal(left, right)
    return type(left) is type(right) and bool(left == right)


def _unchangeable(name: str, array: Any, kinds: tuple[type, ...]) -> np.ndarray:
    if not isinstance(array, np.ndarray) or array.dtype not in kinds:
        expected = " or ".join(np.dtype(kind).name for kind in kinds)
        got = array.dtype.name if isinstance(array, np.ndarray) else type(array).__name__
        raise ValueError(f"expected {name} as an array of {expected}, got {got}; convert it with numpy's astype")
    if array.flags.writeable or not array.flags.c_contiguous:
        array = array.copy(order="C")
        array.flags.writeable = False
    return array
