"""The int8 network that packed networks are measured against: the quickest that onnxruntime computes exactly."""

from typing import Any

import numpy as np

from metaplastic.packed import PackedNetwork, Readout, Thresholds
from metaplastic.packed.export.graph import Graph
from metaplastic.packed.export.operations import CLASS, INPUT, LOGITS

OPSET = 13


def int8_model(network: PackedNetwork) -> Any:
    r"""Write a packed network with weights and activations of 8 bits.

    .. math:: h = (a - z) \, S, \qquad a' = \mathrm{Where}([h \ge t] \oplus f, 2, 0), \quad z' = 1

    by MatMulInteger: bytes at first, then activations of 2 and 0 around a zero of 1, because unsigned activations are
    what processors multiply quickest. Nothing is quantised on the way, as `onnxruntime.quantization` would, so it is
    quicker than that and gives the logits of the packed network exactly.

    Args:
        network: A network of dense layers that takes bytes, with one table of thresholds.

    Returns:
        An `onnx.ModelProto`.

    Raises:
        ValueError: For other networks.
    """
    graph = Graph("int8_network")
    x = graph.input(INPUT, np.uint8, ("batch", network.in_features))
    low, middle, high = (graph.constant(f"number.{value}", value, np.uint8) for value in (0, 1, 2))
    zero = low
    for index, layer in enumerate(network.layers):
        signs = graph.constant(f"layers.{index}.weight", np.ascontiguousarray(layer.signs.T), np.int8)
        sums, after = graph.add("MatMulInteger", x, signs, zero), layer.after
        if isinstance(after, Thresholds) and after.tables == 1:
            x, zero = graph.add("Where", _reached(graph, index, after, sums), high, low), middle
        elif isinstance(after, Readout) and after.tables == 1:
            scaled = graph.add("Mul", graph.cast(sums, np.float32), graph.constant("scale", after.scale[0]))
            graph.add("Add", scaled, graph.constant("offset", after.offset[0]), result=LOGITS)
        else:
            raise ValueError(
                f"expected one table of thresholds behind layer {index}, got {after.tables} of {type(after).__name__}; "
                "pack one task"
            )
    graph.add("ArgMax", LOGITS, axis=1, keepdims=0, result=CLASS)
    graph.output(CLASS, np.int64, ("batch",))
    return graph.model({"": OPSET}, {})


def _reached(graph: Graph, index: int, after: Thresholds, sums: str) -> str:
    reached = graph.add("GreaterOrEqual", sums, graph.constant(f"layers.{index}.threshold", after.threshold[0]))
    if not after.flipped.any():
        return reached
    return graph.add("Xor", reached, graph.constant(f"layers.{index}.flipped", after.flipped[0]))
