r"""Products with bits of weights, by several backends, all of the same integers.

.. math:: h = x S^T, \qquad S = 2 B - 1

with :math:`B` the bits of a weight and :math:`x` bits of signs, bytes or real features.
"""

import enum
import functools
import importlib
import logging
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from metaplastic.choices import choose
from metaplastic.packed.bits import unpack_bits
from metaplastic.packed.popcount import WordProduct

_log = logging.getLogger(__name__)

_FEW_ROWS = 4
"""Up to how many rows counting bits in NumPy is quicker than multiplying matrices."""


class Backend(enum.StrEnum):
    """What computes products."""

    BEST = "best"
    """The compiled kernel where there is one; else NumPy for a few rows and matrices for more."""
    KERNEL = "kernel"
    """The compiled kernel."""
    NUMPY = "numpy"
    """Bits counted in words of 64 by NumPy."""
    MATRIX = "matrix"
    """Products of int8 matrices by torch, in as many threads as torch is set to."""


class Product(Protocol):
    """Multiplies rows by the signs of one weight."""

    def signs(self, rows: np.ndarray) -> np.ndarray:
        """Multiply signs.

        Args:
            rows: `[rows, features]`, bool: True is +1, False -1.

        Returns:
            `[rows, out]`, int32.
        """

    def bytes(self, rows: np.ndarray) -> np.ndarray:
        """Multiply bytes.

        Args:
            rows: `[rows, features]`, uint8.

        Returns:
            `[rows, out]`, int32.
        """


class MatrixProduct:
    """Products of int8 matrices: the weights are unpacked, eight times as large as their bits.

    Args:
        weight: `[out, ceil(features / 8)]`, uint8.
        features: Number of inputs.
    """

    def __init__(self, weight: np.ndarray, features: int) -> None:
        import torch

        self.matrix = torch.from_numpy(_as_signs(unpack_bits(weight, features)))

    def signs(self, rows: np.ndarray) -> np.ndarray:
        """Multiply signs, see `Product`."""
        import torch

        from metaplastic.nn.integer_product import integer_mm

        return integer_mm(torch.from_numpy(_as_signs(rows)), self.matrix).numpy()

    def bytes(self, rows: np.ndarray) -> np.ndarray:
        """Multiply bytes, see `Product`."""
        import torch

        from metaplastic.nn.integer_product import integer_mm_bytes

        # A copy, because torch warns of memory that it may not write to.
        return integer_mm_bytes(torch.from_numpy(np.array(rows)), self.matrix).numpy()


class ChosenProduct:
    """Counts bits for a few rows and multiplies matrices for more; each is prepared when it is first needed.

    Args:
        weight: `[out, ceil(features / 8)]`, uint8.
        features: Number of inputs.
        threads: Threads that count bits.
    """

    def __init__(self, weight: np.ndarray, features: int, threads: int) -> None:
        self._few = functools.cache(lambda: WordProduct(weight, features, threads))
        self._many = functools.cache(lambda: MatrixProduct(weight, features))

    def _for(self, rows: np.ndarray) -> Product:
        return self._few() if len(rows) <= _FEW_ROWS else self._many()

    def signs(self, rows: np.ndarray) -> np.ndarray:
        """Multiply signs, see `Product`."""
        return self._for(rows).signs(rows)

    def bytes(self, rows: np.ndarray) -> np.ndarray:
        """Multiply bytes, see `Product`."""
        return self._for(rows).bytes(rows)


class RealProduct:
    """Sums of real features in float64, exact because the features are multiples of 2^-24 and not too large.

    Args:
        weight: `[out, ceil(features / 8)]`, uint8.
        features: Number of inputs.
    """

    def __init__(self, weight: np.ndarray, features: int) -> None:
        self.matrix = _as_signs(unpack_bits(weight, features)).T.astype(np.float64)

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        """Multiply.

        Args:
            rows: `[rows, features]`, float64.

        Returns:
            `[rows, out]`, float64.
        """
        return rows @ self.matrix


def product(weight: np.ndarray, features: int, backend: Backend | str = Backend.BEST, threads: int = 1) -> Product:
    """Prepare products with the signs of a weight.

    Args:
        weight: `[out, ceil(features / 8)]`, uint8.
        features: Number of inputs, >= 1.
        backend: What computes them.
        threads: Threads of the kernel and of NumPy, >= 1.

    Returns:
        What multiplies rows.

    Raises:
        ValueError: When there is no such backend, or no compiled kernel.

    Example:
        >>> weight = np.array([[0b101], [0b011]], np.uint8)
        >>> product(weight, 3, "numpy").signs(np.array([[True, True, True]])).tolist()
        [[1, 1]]
    """
    makers: dict[Backend, Callable[[], Product]] = {
        Backend.BEST: lambda: ChosenProduct(weight, features, threads),
        Backend.NUMPY: lambda: WordProduct(weight, features, threads),
        Backend.MATRIX: lambda: MatrixProduct(weight, features),
        Backend.KERNEL: lambda: require_kernel().KernelProduct(weight, features, threads),
    }
    return makers[resolved(backend)]()


def resolved(backend: Backend | str) -> Backend:
    """Put the kernel in the place of the best backend, where there is one.

    Args:
        backend: A backend or its name.

    Returns:
        The backend.
    """
    backend = choose(Backend, backend, "backend")
    return Backend.KERNEL if backend is Backend.BEST and kernel() else backend


@functools.cache
def kernel() -> Any:
    """Find the compiled kernel.

    The module has `KernelProduct(weight, features, threads)`, a `Product`, and `prepare(network, threads)`, which
    gives a function of an encoded batch and a table to the sums of the last layer, `[batch, classes]` int32, or None
    for a network that it does not compute as a whole.

    Returns:
        The module `metaplastic.packed.kernel`; None, and a line in the log, where it was not compiled.
    """
    try:
        return importlib.import_module("metaplastic.packed.kernel")
    except ImportError as error:
        _log.info("packed networks use NumPy and torch, since there is no compiled kernel here: %s", error)
        return None


def require_kernel() -> Any:
    """Find the compiled kernel, or fail.

    Returns:
        The module `metaplastic.packed.kernel`.

    Raises:
        ValueError: Where it was not compiled.
    """
    found = kernel()
    if found is None:
        raise ValueError(
            "expected a compiled kernel for backend 'kernel', got none here; install the package again where there is "
            "a C compiler, or use backend 'best'"
        )
    return found


def backend_of(rows: int) -> Backend:
    """Tell what `Backend.BEST` computes a product of so many rows with.

    Args:
        rows: Rows of the left matrix: samples, times places for a convolution.

    Returns:
        The backend.
    """
    if kernel():
        return Backend.KERNEL
    return Backend.NUMPY if rows <= _FEW_ROWS else Backend.MATRIX


def _as_signs(bits: np.ndarray) -> np.ndarray:
    return bits.view(np.int8) * np.int8(2) - np.int8(1)
