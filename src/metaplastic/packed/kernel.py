"""The compiled kernel: products of bits and bytes with signs, and all dense layers of a network in one call.

It is optional: where no compiler was at hand when the package was installed, this module cannot be imported.
"""

from collections.abc import Sequence

import numpy as np

from metaplastic.packed import _kernel
from metaplastic.packed.layers import DenseLayer, Input, Layer, Thresholds

_UINT8, _INT32, _BOOL = (np.dtype(kind) for kind in (np.uint8, np.int32, np.bool_))

_LIMIT = (2**31 - 1) // 255
"""Most inputs whose sum is sure to fit into 32 bits when they are bytes."""


def paths() -> tuple[str, ...]:
    """List the ways in which this processor can compute, the fastest first; all give the same integers.

    Returns:
        Among "avx512" (with VPOPCNTDQ and VNNI), "avx2", "neon" and "plain".

    Example:
        >>> paths()[-1]
        'plain'
    """
    return tuple(_kernel.paths())


class Chain:
    r"""Dense layers, prepared for the kernel once and then run by one call.

    .. math:: b_0 = x, \quad b_{l+1} = [b_l S_l^T \ge t_l] \oplus f_l, \quad h = b_L S_L^T

    with :math:`S_l` the signs of layer l, :math:`t_l` and :math:`f_l` its thresholds and flips. What stands behind the
    last layer is not computed: the result is its sums. Weights are copied into the kernel's own order, of about the
    same size.

    Args:
        weights: For each layer `[out, ceil(in / 8)]`, uint8, contiguous, as in a `DenseLayer`.
        decisions: Integer thresholds behind every layer but the last.
        features: Inputs of the first layer.
        source: `Input.BYTES` or `Input.SIGNS`.
        path: One of `paths()`; None for the fastest.

    Raises:
        ValueError: When shapes or types do not fit each other, or there is no such path.

    Example:
        >>> chain = Chain([np.array([[0b101], [0b011]], np.uint8)], [], 3, Input.BYTES)
        >>> chain(np.array([[1, 10, 100]], np.uint8)).tolist()
        [[91, -89]]
    """

    def __init__(
        self,
        weights: Sequence[np.ndarray],
        decisions: Sequence[Thresholds],
        features: int,
        source: Input,
        path: str | None = None,
    ) -> None:
        if source not in (Input.BYTES, Input.SIGNS):
            raise ValueError(f"expected an input of bytes or signs, got {source!r}; use another backend for it")
        if len(decisions) != len(weights) - 1:
            raise ValueError(
                f"expected thresholds between the {len(weights)} layers, got {len(decisions)}; give one fewer"
            )
        self.path = _choose(path)
        self.units = len(weights[-1])
        self.tables = max((decision.tables for decision in decisions), default=1)
        self.row_bytes = features if source is Input.BYTES else -(-features // 8)
        widths = [features, *map(len, weights)]
        entries = tuple(map(_entry, weights, widths, [*decisions, None]))
        self._chain = _kernel.Chain(self.path, source is Input.BYTES, features, entries)

    @classmethod
    def of(cls, layers: Sequence[Layer], source: Input, path: str | None = None) -> "Chain":
        """Prepare the layers of a packed network for which `serves` holds.

        Args:
            layers: Dense layers, with thresholds behind all but the last.
            source: What the first one multiplies.
            path: One of `paths()`; None for the fastest.

        Returns:
            The chain.

        Raises:
            ValueError: When the kernel does not serve them.
        """
        if not serves(layers, source):
            raise ValueError("expected dense layers with thresholds between them; use another backend for others")
        decisions = [layer.after for layer in layers if isinstance(layer.after, Thresholds)]
        return cls([layer.weight for layer in layers], decisions, layers[0].fan_in, source, path)

    def __call__(self, x: np.ndarray, table: int = 0, threads: int = 1, *, out: np.ndarray | None = None) -> np.ndarray:
        """Compute the sums of the last layer.

        Args:
            x: `[batch, features]` bytes, or `[batch, ceil(features / 8)]` of bits; uint8, contiguous. Bits behind the
                last feature are not looked at.
            table: Which table of thresholds, from 0; a layer with a single one uses that in any case.
            threads: How many to compute with, >= 1. Small tasks use fewer, and a forked process, or a kernel that was
                compiled without threads, uses one.
            out: `[batch, units]`, int32, contiguous, to write to.

        Returns:
            `[batch, units]`, int32: `out` where that was given.

        Raises:
            ValueError: When shapes, types or numbers are others.
        """
        _require(x, "x", _UINT8, (None, self.row_bytes))
        if out is None:
            out = np.empty((len(x), self.units), np.int32)
        else:
            _require(out, "out", _INT32, (len(x), self.units))
            if not out.flags.writeable:
                raise ValueError("expected out to be writeable, got an array that is not; give a copy")
        self._chain.forward(x, out, table, threads)
        return out


def serves(layers: Sequence[Layer], source: Input) -> bool:
    """Tell whether the kernel can run all layers in one call.

    Args:
        layers: Those of a packed network.
        source: What the first one multiplies.

    Returns:
        False for convolutions, real features, and layer norm between layers.
    """
    dense = all(isinstance(layer, DenseLayer) for layer in layers)
    return source is not Input.REAL and dense and all(isinstance(layer.after, Thresholds) for layer in layers[:-1])


def _choose(path: str | None) -> str:
    if path is None:
        return paths()[0]
    if path not in paths():
        raise ValueError(f"expected a path of this machine, one of {', '.join(paths())}, got {path!r}")
    return path


def _entry(
    weight: np.ndarray, features: int, decision: Thresholds | None
) -> tuple[int, np.ndarray, int, np.ndarray, np.ndarray]:
    """Check a layer, and order it as the kernel takes it."""
    if not 1 <= features <= _LIMIT:
        raise ValueError(f"expected from 1 to {_LIMIT} inputs, whose sums fit into 32 bits, got {features}")
    _require(weight, "weight", _UINT8, (None, -(-features // 8)))
    if decision is None:
        return len(weight), weight, 0, np.empty(0, np.int32), np.empty(0, np.bool_)
    shape = (decision.tables, len(weight))
    _require(decision.threshold, "thresholds", _INT32, shape)
    _require(decision.flipped, "flips", _BOOL, shape)
    return len(weight), weight, decision.tables, decision.threshold, decision.flipped


def _require(array: np.ndarray, name: str, dtype: np.dtype, shape: tuple[int | None, int]) -> None:
    if not isinstance(array, np.ndarray) or array.dtype != dtype:
        got = array.dtype.name if isinstance(array, np.ndarray) else type(array).__name__
        raise ValueError(f"expected {name} as an array of {dtype.name}, got {got}; convert it with astype")
    if array.ndim != 2 or array.shape[1] != shape[1] or shape[0] not in (None, array.shape[0]):
        expected = ", ".join("any" if want is None else str(want) for want in shape)
        raise ValueError(f"expected {name} of shape [{expected}], got {list(array.shape)}; pack 8 bits a byte")
    if not array.flags.c_contiguous:
        raise ValueError(f"expected {name} to be contiguous, got strides {array.strides}; use numpy.ascontiguousarray")
