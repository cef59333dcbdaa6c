"""Plain ONNX: comparison and selection in the place of sign and normalisation; weights as numbers or as packed bits."""

import functools
from pathlib import Path
from typing import Any

import numpy as np

from metaplastic.packed.export.bounds import bound
from metaplastic.packed.export.golden import write_verified
from metaplastic.packed.export.graph import Graph, as_json
from metaplastic.packed.export.onnx_check import verify_onnx
from metaplastic.packed.export.onnx_decisions import Step, activations, as_signs, logits
from metaplastic.packed.export.operations import (
    CLASS,
    INPUT,
    LOGITS,
    TASK,
    number_kind,
    shaped,
    sums,
    sums_name,
    weight_shape,
)
from metaplastic.packed.layers import Input
from metaplastic.packed.network import PackedNetwork

OPSET, PACKED_OPSET = 13, 18
"""Versions of the operators: an old one, which many runtimes have, and the first with an `and` of bits."""


def write_onnx(network: PackedNetwork, path: Path, *, packed: bool = False, verify: bool = True) -> Path:
    """Write a network as an ONNX file, and verify it on golden vectors.

    Args:
        network: The network.
        path: The file.
        packed: Whether weights are stored as bits, which the graph unpacks: a runtime does so once, when it loads the
            file, and computes as with the others.
        verify: Whether the file is run by onnxruntime and compared with the network, layer by layer.

    Returns:
        The path.

    Raises:
        ImportError: When onnx, or onnxruntime for verification, is not installed.
        MismatchError: When the file does not compute what the network does; what was there before is put back.
    """
    data = onnx_model(network, packed=packed).SerializeToString()
    return write_verified(path, data, functools.partial(verify_onnx, network) if verify else None)


def onnx_model(network: PackedNetwork, *, packed: bool = False) -> Any:
    r"""Build the ONNX model of a network.

    .. math:: x_l = \mathrm{Where}(\mathrm{GreaterOrEqual}(x_{l-1} S^T, t), +1, -1)

    `input` has a free number of samples and takes bytes: pixels, or 1 for +1 and 0 for -1 where a network computes
    with the signs of its input; real features in float32. `task`, an integer without dimension, selects the tables of
    thresholds where there are several, counted from the end where it is negative. Outputs are `logits` and `class`.

    Args:
        network: The network.
        packed: Whether weights are stored as bits.

    Returns:
        An `onnx.ModelProto`.

    Raises:
        ImportError: When onnx is not installed.
        ValueError: For a convolution of real features.
    """
    graph = Graph("packed_binary_network")
    x = _encoded(graph, network)
    if any(layer.after.tables > 1 for layer in network.layers):
        graph.input(TASK, np.int64, ())
    for index, layer in enumerate(network.layers):
        step = Step(graph, index, layer, number_kind(network, index), bound(network, index))
        weight = (_unpacked if packed else _signs)(step)
        found = sums(graph, layer, shaped(graph, layer, x), weight, sums_name(index))
        if index + 1 < len(network.layers):
            x = activations(step, found)
        else:
            logits(step, found)
    graph.add("ArgMax", LOGITS, axis=1, keepdims=0, result=CLASS)
    graph.output(LOGITS, np.float32, ("batch", network.classes))
    graph.output(CLASS, np.int64, ("batch",))
    properties = {"tasks": as_json(network.tasks), "input": network.input.value}
    return graph.model({"": PACKED_OPSET if packed else OPSET}, properties)


def _encoded(graph: Graph, network: PackedNetwork) -> str:
    """Declare the input, and turn it into what the first layer multiplies its signs by."""
    shape: tuple[int | str, ...] = ("batch", *network.input_shape)
    kind = number_kind(network, 0)
    if network.input is Input.REAL:
        features = graph.cast(graph.input(INPUT, np.float32, shape), np.float64)
        steps = graph.add("Mul", features, graph.constant("steps_in_one", 2.0**24, np.float64))
        return graph.add("Mul", graph.add("Round", steps), graph.constant("step", 2.0**-24, np.float64))
    numbers = graph.cast(graph.input(INPUT, np.uint8, shape), kind)
    if network.input is Input.BYTES:
        return numbers
    return as_signs(graph, graph.add("GreaterOrEqual", numbers, graph.constant("bright", 1, kind)), kind)


def _signs(step: Step) -> str:
    weight = step.layer.signs.reshape(weight_shape(step.layer))
    return step.graph.constant(f"layers.{step.index}.weight", weight, step.kind)


def _unpacked(step: Step) -> str:
    """Shift every byte by 0 to 7, keep one bit of each, and make signs of them."""
    graph, layer, name = step.graph, step.layer, f"layers.{step.index}"
    packed = graph.constant(f"{name}.weight", layer.weight[..., None])
    shifted = graph.add("BitShift", packed, graph.constant("shifts", range(8), np.uint8), direction="RIGHT")
    bits = graph.add("BitwiseAnd", shifted, graph.constant("lowest", 1, np.uint8))
    rows = graph.add("Reshape", bits, graph.constant(f"{name}.rows", [len(layer.weight), -1], np.int64))
    if layer.fan_in % 8:
        # From column 0 to the fan-in, along axis 1.
        bounds = (graph.constant(f"number.{value}", [value], np.int64) for value in (0, layer.fan_in, 1))
        rows = graph.add("Slice", rows, *bounds)
    shape = graph.constant(f"{name}.shape", weight_shape(layer), np.int64)
    return as_signs(graph, graph.cast(graph.add("Reshape", rows, shape), np.bool_), step.kind)
