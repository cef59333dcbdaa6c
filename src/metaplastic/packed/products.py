r"""Products with bits of weights, by several backends, all of the same integers.

.. math:: h = x S^T, \qquad S = 2 B - 1

with :math:`B` the bits of a weight and :math:`x` bits of signs, bytes or real features.
"""

import enum
import functools
import importlib
import logging
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from metaplastic.choices import choose
from metaplastic.packed.bits import as_signs, pack_bits, signs_of
from metaplastic.packed.layers import Input
from metaplastic.packed.popcount import WordProduct

if TYPE_CHECKING:
    import torch

_log = logging.getLogger(__name__)

_FEW_ROWS = 2
"""Up to how many rows NumPy is quicker than matrices of int8, in large layers; in small ones it hardly matters, and it
needs neither torch nor eight times the memory."""


class Backend(enum.StrEnum):
    """What computes products."""

    BEST = "best"
    """The compiled kernel where there is one; else NumPy for a few rows and matrices for more."""
    KERNEL = "kernel"
    """The compiled kernel."""
    NUMPY = "numpy"
    """NumPy: bits counted in words of 64, bytes multiplied as floats."""
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

        self.matrix = torch.from_numpy(signs_of(weight, features))

    def signs(self, rows: np.ndarray) -> np.ndarray:
        """Multiply signs, see `Product`."""
        import torch

        from metaplastic.nn.arithmetic import integer_mm

        return integer_mm(torch.from_numpy(as_signs(rows)), self.matrix).numpy()

    def bytes(self, rows: np.ndarray) -> np.ndarray:
        """Multiply bytes, see `Product`."""
        import torch

        from metaplastic.nn.arithmetic import BYTE_OFFSET, integer_mm

        centred = torch.from_numpy(rows ^ np.uint8(BYTE_OFFSET)).view(torch.int8)
        return integer_mm(centred, self.matrix).add_(self._of_offset).numpy()

    @functools.cached_property
    def _of_offset(self) -> "torch.Tensor":
        """What the offset gives that bytes are less of when they fit into int8: `[out]`, int32."""
        import torch

        from metaplastic.nn.arithmetic import BYTE_OFFSET

        return BYTE_OFFSET * self.matrix.sum(1, dtype=torch.int32)


class KernelProduct:
    """Products by the compiled kernel.

    Args:
        weight: `[out, ceil(features / 8)]`, uint8.
        features: Number of inputs.
        threads: Threads of the kernel.
    """

    def __init__(self, weight: np.ndarray, features: int, threads: int) -> None:
        chain = require_kernel().Chain
        self._of = functools.cache(lambda source: chain([weight], [], features, source))
        self._threads = threads

    def signs(self, rows: np.ndarray) -> np.ndarray:
        """Multiply signs, see `Product`."""
        return self._of(Input.SIGNS)(pack_bits(rows), threads=self._threads)

    def bytes(self, rows: np.ndarray) -> np.ndarray:
        """Multiply bytes, see `Product`."""
        return self._of(Input.BYTES)(np.ascontiguousarray(rows), threads=self._threads)


class ChosenProduct:
    """Computes a few rows by NumPy and more by matrices; each is prepared when it is first needed.

    Args:
        weight: `[out, ceil(features / 8)]`, uint8.
        features: Number of inputs.
        threads: Threads that count bits.
    """

    def __init__(self, weight: np.ndarray, features: int, threads: int) -> None:
        self._few = functools.cache(lambda: WordProduct(weight, features, threads))
        self._many = functools.cache(lambda: MatrixProduct(weight, features))

    def signs(self, rows: np.ndarray) -> np.ndarray:
        """Multiply signs, see `Product`."""
        return (self._few() if len(rows) <= _FEW_ROWS else self._many()).signs(rows)

    def bytes(self, rows: np.ndarray) -> np.ndarray:
        """Multiply bytes, see `Product`."""
        # A few are quicker with matrices too, but not by as much as it takes to import torch for them.
        few = len(rows) <= _FEW_ROWS and "torch" not in sys.modules
        return (self._few() if few else self._many()).bytes(rows)


class RealProduct:
    """Sums of real features in float64, exact because the features are multiples of 2^-24 and not too large.

    Args:
        weight: `[out, ceil(features / 8)]`, uint8.
        features: Number of inputs.
    """

    def __init__(self, weight: np.ndarray, features: int) -> None:
        self.matrix = signs_of(weight, features).T.astype(np.float64)

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
        Backend.KERNEL: lambda: KernelProduct(weight, features, threads),
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

    Returns:
        The module `metaplastic.packed.kernel`; None, and a line in the log, where it was not compiled.
    """
    try:
        found = importlib.import_module("metaplastic.packed.kernel")
    except ImportError:
        found = None
    if found and found.paths():
        _log.info("packed networks use the compiled kernel, by its path %s", found.paths()[0])
        return found
    _log.info("packed networks use NumPy and torch, since no kernel was compiled when the package was installed")
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
