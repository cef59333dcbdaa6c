"""How a packed network computes: layer by layer, its sums by one of the backends."""

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from metaplastic.packed.bits import pack_bits
from metaplastic.packed.layers import ConvLayer, Input, Layer, Pooling
from metaplastic.packed.products import Backend, Product, RealProduct, product, require_kernel, resolved

if TYPE_CHECKING:
    from metaplastic.packed.network import PackedNetwork

_CHUNK = 2**24
"""Entries of the largest matrix that is multiplied at once, about."""


def default_threads() -> int:
    """Count the threads to use where the caller does not say.

    Returns:
        `OMP_NUM_THREADS` where it is set to a number, else the number of processors.
    """
    setting = os.environ.get("OMP_NUM_THREADS", "")
    return int(setting) if setting.isdecimal() and int(setting) > 0 else os.cpu_count() or 1


class Engine:
    """A network prepared for one backend.

    Args:
        network: The network.
        backend: What computes products.
        threads: Threads of the kernel and of NumPy, >= 1.

    Raises:
        ValueError: When there is no such backend, or no compiled kernel, or threads are below 1.
    """

    def __init__(self, network: "PackedNetwork", backend: Backend | str, threads: int) -> None:
        if threads < 1:
            raise ValueError(f"expected threads >= 1, got {threads}; None takes OMP_NUM_THREADS or all processors")
        self.layers = network.layers
        self.products: list[Product | RealProduct] = [
            product(layer.weight, layer.fan_in, backend, threads) for layer in network.layers
        ]
        if network.input is Input.REAL:
            self.products[0] = RealProduct(network.layers[0].weight, network.layers[0].fan_in)
        self.threads = threads
        self.chain: Any = None
        if resolved(backend) is Backend.KERNEL and require_kernel().serves(network.layers, network.input):
            self.chain = require_kernel().Chain.of(network.layers, network.input)
        self.chunk_size = max(_CHUNK // max(_entries(layer) for layer in network.layers), 1)

    def trace(self, x: np.ndarray, table: int) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        """Compute layer by layer, for all samples at once.

        Args:
            x: `[batch, in_features]` as the first layer multiplies it.
            table: The task's table, in layers that have more than one.

        Yields:
            Of each layer its sums `[batch, units, ...]`, pooled, and its bits of the same shape; None of the last.
        """
        for layer, multiply in zip(self.layers, self.products, strict=True):
            sums = layer_sums(layer, multiply, x)
            if layer is self.layers[-1]:
                yield sums, None
            else:
                bits = layer.after(sums, table if layer.after.tables > 1 else 0)
                yield sums, bits
                x = bits.reshape(len(bits), layer.out_features)

    def last_sums(self, x: np.ndarray, table: int) -> np.ndarray:
        """Compute the sums of the last layer, some samples after the other.

        Args:
            x: `[batch, in_features]` as the first layer multiplies it.
            table: The task's table.

        Returns:
            `[batch, classes]`, int32 or float64.
        """
        if self.chain is not None:
            rows = pack_bits(x) if x.dtype == np.bool_ else np.ascontiguousarray(x)
            return self.chain(rows, table, threads=self.threads)
        starts = range(0, max(len(x), 1), self.chunk_size)
        return np.concatenate([self._last(x[start : start + self.chunk_size], table) for start in starts])

    def _last(self, x: np.ndarray, table: int) -> np.ndarray:
        *_, (sums, _) = self.trace(x, table)
        return sums


def layer_sums(layer: Layer, multiply: Product | RealProduct, x: np.ndarray) -> np.ndarray:
    """Compute the sums of a layer.

    Args:
        layer: The layer.
        multiply: Products with its weights.
        x: `[batch, in_features]`: bool, uint8 or float64.

    Returns:
        `[batch, units]`, or `[batch, channels, height, width]` behind the pooling; int32 or float64.
    """
    if not isinstance(layer, ConvLayer):
        return _multiply(multiply, x)
    channels, height, width = layer.sum_shape
    sums = _multiply(multiply, windows(layer, x)).reshape(len(x), height, width, channels).transpose(0, 3, 1, 2)
    if x.dtype == np.bool_ and layer.padding:
        sums = sums + layer.border
    return pooled(sums, layer.pool)


def windows(layer: ConvLayer, x: np.ndarray) -> np.ndarray:
    """Lay out what a kernel sees at each place of an image.

    Args:
        layer: The convolution.
        x: `[batch, in_features]`.

    Returns:
        `[batch * height' * width', in_channels * kernel_size^2]`; padding is 0, which of signs means -1.
    """
    images = x.reshape(len(x), layer.in_channels, layer.height, layer.width)
    margin = (layer.padding, layer.padding)
    images = np.pad(images, ((0, 0), (0, 0), margin, margin))
    sides = (layer.kernel_size, layer.kernel_size)
    seen = np.lib.stride_tricks.sliding_window_view(images, sides, axis=(2, 3))
    return seen.transpose(0, 2, 3, 1, 4, 5).reshape(-1, layer.fan_in)


def pooled(sums: np.ndarray, pool: Pooling) -> np.ndarray:
    """Pool sums 2 x 2.

    Args:
        sums: `[batch, channels, height, width]`.
        pool: How; the sum of four stands for their average.

    Returns:
        `[batch, channels, height // 2, width // 2]`; `sums` without pooling.

    Example:
        >>> pooled(np.arange(6).reshape(1, 1, 2, 3), Pooling.AVERAGE).tolist()
        [[[[8]]]]
    """
    if pool is Pooling.NONE:
        return sums
    height, width = (side // 2 * 2 for side in sums.shape[2:])
    join = np.add if pool is Pooling.AVERAGE else np.maximum
    upper, lower = sums[:, :, 0:height:2, :width], sums[:, :, 1:height:2, :width]
    rows = join(upper, lower)
    return join(rows[..., 0::2], rows[..., 1::2])


def _multiply(multiply: Product | RealProduct, rows: np.ndarray) -> np.ndarray:
    if isinstance(multiply, RealProduct):
        return multiply(rows)
    return multiply.signs(rows) if rows.dtype == np.bool_ else multiply.bytes(rows)


def _entries(layer: Layer) -> int:
    """Entries of the larger of the two matrices that a sample has at a layer."""
    if isinstance(layer, ConvLayer):
        channels, height, width = layer.sum_shape
        return height * width * max(layer.fan_in, channels)
    return max(layer.in_features, layer.out_features)
