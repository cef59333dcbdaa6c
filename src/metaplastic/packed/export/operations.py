"""What plain ONNX and QONNX have in common: sums of layers, exact in floating point."""

import numpy as np

from metaplastic.packed.export.bounds import bound
from metaplastic.packed.export.graph import Graph
from metaplastic.packed.layers import ConvLayer, DenseLayer, Layer, Pooling
from metaplastic.packed.network import PackedNetwork

EXACT_IN_FLOAT32 = 2**24
"""Sums of integers that stay below it are exact in float32, whatever their order."""

INPUT, TASK, LOGITS, CLASS = "input", "task", "logits", "class"
"""Names of what goes into a model and comes out of it."""


def sums_name(index: int) -> str:
    """Name the sums of a layer.

    Args:
        index: Which layer, from 0.

    Returns:
        The name within the graph.
    """
    return f"layers.{index}.sums"


def bits_name(index: int) -> str:
    """Name the bits of a hidden layer.

    Args:
        index: Which layer, from 0.

    Returns:
        The name within the graph.
    """
    return f"layers.{index}.bits"


def number_kind(network: PackedNetwork, index: int) -> type:
    """Choose the type in which the sums of a layer are exact.

    Args:
        network: The network.
        index: Which layer, from 0.

    Returns:
        float32, or float64 where sums are too large for it or real.

    Raises:
        ValueError: For a convolution that would need float64, which runtimes do not have.
    """
    largest = bound(network, index)
    if largest is not None and largest < EXACT_IN_FLOAT32:
        return np.float32
    if isinstance(network.layers[index], ConvLayer):
        raise ValueError(
            f"expected convolutions with integer sums below {EXACT_IN_FLOAT32} for ONNX, got "
            f"{'real ones' if largest is None else f'sums up to {largest}'} in layer {index}: runtimes convolve in "
            "float32 only; let the network see bytes or signs, or fewer channels"
        )
    return np.float64


def shaped(graph: Graph, layer: Layer, x: str) -> str:
    """Give inputs the shape that a layer takes.

    Args:
        graph: What is added to.
        layer: The layer.
        x: Name of its inputs, of any shape per sample.

    Returns:
        Name of the same as `[batch, features]` or `[batch, channel, height, width]`.
    """
    if isinstance(layer, DenseLayer):
        return graph.add("Flatten", x, axis=1)
    shape = [-1, layer.in_channels, layer.height, layer.width]
    return graph.add("Reshape", x, graph.constant(f"shape.{'x'.join(map(str, shape[1:]))}", shape, np.int64))


def sums(graph: Graph, layer: Layer, x: str, weight: str, result: str) -> str:
    """Multiply by the signs of a layer, and pool.

    Args:
        graph: What is added to.
        layer: The layer.
        x: Name of its inputs, in the shape that it takes.
        weight: Name of its signs, `[out, in]` or `[out, in_channels, kernel, kernel]`.
        result: Name of the sums.

    Returns:
        The name of the sums.
    """
    if isinstance(layer, DenseLayer):
        return graph.add("Gemm", x, weight, transB=1, result=result)
    if layer.pool is Pooling.NONE:
        return _convolution(graph, layer, x, weight, result)
    convolved, two = _convolution(graph, layer, x, weight, None), [2, 2]
    if layer.pool is Pooling.MAX:
        return graph.add("MaxPool", convolved, kernel_shape=two, strides=two, result=result)
    # A quarter of an integer is exact, so four times it is the sum.
    mean = graph.add("AveragePool", convolved, kernel_shape=two, strides=two)
    return graph.add("Mul", mean, graph.constant("four", 4, np.float32), result=result)


def _convolution(graph: Graph, layer: ConvLayer, x: str, weight: str, result: str | None) -> str:
    side = [layer.kernel_size, layer.kernel_size]
    return graph.add("Conv", x, weight, kernel_shape=side, pads=[layer.padding] * 4, result=result)


def weight_shape(layer: Layer) -> tuple[int, ...]:
    """Give the shape of a layer's signs.

    Args:
        layer: The layer.

    Returns:
        `[out, in]` or `[out, in_channels, kernel, kernel]`.
    """
    if isinstance(layer, DenseLayer):
        return len(layer.weight), layer.in_features
    return len(layer.weight), layer.in_channels, layer.kernel_size, layer.kernel_size


def along(layer: Layer, numbers: np.ndarray) -> np.ndarray:
    """View numbers per unit, or tables of them, so that they go with the sums of a layer.

    Args:
        layer: The layer.
        numbers: `[..., units]`.

    Returns:
        `[..., units]`, or `[..., units, 1, 1]` for a convolution.
    """
    return numbers[..., None, None] if isinstance(layer, ConvLayer) else numbers
