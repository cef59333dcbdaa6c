"""QONNX, which FINN and hls4ml read: signs as `BipolarQuant`, thresholds as subtractions. One task a file."""

import functools
from pathlib import Path
from typing import Any

import numpy as np

from metaplastic.packed.decisions import Readout, Thresholds
from metaplastic.packed.export.golden import expected_outputs, given_inputs, require_same, write_verified
from metaplastic.packed.export.graph import Graph, read_model
from metaplastic.packed.export.operations import (
    INPUT,
    LOGITS,
    along,
    number_kind,
    shaped,
    sums,
    sums_name,
    weight_shape,
)
from metaplastic.packed.export.optional import require
from metaplastic.packed.layers import DenseLayer, Input, Layer
from metaplastic.packed.network import PackedNetwork

DOMAIN = "qonnx.custom_op.general"
"""Where the operator is from."""

_OPSET, _DOMAIN_VERSION = 13, 1

_VECTORS = 8
"""Golden vectors that a file is run on: its executor takes one sample at a time, and each node by itself."""


def write_qonnx(network: PackedNetwork, path: Path, *, task: int | str | None = None, verify: bool = True) -> Path:
    """Write a network as a QONNX file, and verify it on golden vectors.

    Args:
        network: The network.
        path: The file.
        task: The task, where each has tables of its own: a file has those of one.
        verify: Whether the file is run by qonnx and compared with the network, layer by layer.

    Returns:
        The path.

    Raises:
        ImportError: When onnx or qonnx is not installed.
        ValueError: For real features and for layer norm, see `qonnx_model`.
        MismatchError: When the file does not compute what the network does; what was there before is put back.
    """
    data = qonnx_model(network, task=task).SerializeToString()
    return write_verified(path, data, functools.partial(verify_qonnx, network, task=task) if verify else None)


def qonnx_model(network: PackedNetwork, *, task: int | str | None = None) -> Any:
    r"""Build the QONNX model of a network.

    .. math:: x_l = \mathrm{BipolarQuant}(x_{l-1} \, \mathrm{BipolarQuant}(W)^T - t, 1)

    It takes one sample of bytes, as float32 that is annotated as UINT8 (1 and 0 where signs are wanted), and gives
    logits. Weights are signs in float32, so the file is as large as one of an ordinary network. Scales are 1, for which
    alone the type of a tensor is inferred as bipolar.

    Args:
        network: The network.
        task: The task, where each has tables of its own.

    Returns:
        An `onnx.ModelProto` with the shapes of all tensors.

    Raises:
        ImportError: When onnx or qonnx is not installed.
        ValueError: For real features, layer norm, and sums that are not exact in float32.
    """
    table = network.table(task)
    _require_exportable(network)
    graph = Graph("packed_binary_network")
    x = graph.input(INPUT, np.float32, (1, *network.input_shape))
    if network.input is Input.SIGNS:
        x = _bipolar(graph, graph.add("Sub", x, graph.constant("half", 0.5, np.float32)))
    for index, layer in enumerate(network.layers):
        weight = _bipolar(graph, graph.constant(f"layers.{index}.weight", _weight(layer), np.float32))
        found = _sums(graph, index, layer, shaped(graph, layer, x), weight)
        x = _after(graph, index, layer, found, table if layer.after.tables > 1 else 0)
    graph.output(LOGITS, np.float32, (1, network.classes))
    model = graph.model({"": _OPSET, DOMAIN: _DOMAIN_VERSION}, {"task": network.tasks[table] if network.tasks else ""})
    return _annotated(model)


def _annotated(model: Any) -> Any:
    """Infer shapes, without which nothing executes the model, and say that the input is bytes."""
    wrapper = require("qonnx.core.modelwrapper").ModelWrapper(model)
    wrapper = wrapper.transform(require("qonnx.transformation.infer_shapes").InferShapes())
    wrapper.set_tensor_datatype(INPUT, require("qonnx.core.datatype").DataType["UINT8"])
    return wrapper.model


def _bipolar(graph: Graph, x: str, result: str | None = None) -> str:
    return graph.add("BipolarQuant", x, graph.constant("scale", 1, np.float32), result=result, domain=DOMAIN)


def _weight(layer: Layer) -> np.ndarray:
    """Give the signs as what MatMul takes on its right, or Conv."""
    return layer.signs.T if isinstance(layer, DenseLayer) else layer.signs.reshape(weight_shape(layer))


def _sums(graph: Graph, index: int, layer: Layer, x: str, weight: str) -> str:
    # FINN streamlines MatMul, not Gemm.
    if isinstance(layer, DenseLayer):
        return graph.add("MatMul", x, weight, result=sums_name(index))
    return sums(graph, layer, x, weight, sums_name(index))


def _after(graph: Graph, index: int, layer: Layer, found: str, table: int) -> str:
    after, name = layer.after, f"layers.{index}"
    if isinstance(after, Readout):
        scaled = graph.add("Mul", found, graph.constant(f"{name}.scale", after.scale[table]))
        return graph.add("Add", scaled, graph.constant(f"{name}.offset", after.offset[table]), result=LOGITS)
    assert isinstance(after, Thresholds)
    threshold, flipped = after.threshold[table], after.flipped[table]
    if flipped.any():
        # h < t is -h + (t - 1) >= 0, in integers.
        turned = graph.constant(f"{name}.turned", along(layer, np.where(flipped, -1, 1)), np.float32)
        found = graph.add("Mul", found, turned)
        threshold = np.where(flipped, 1 - threshold, threshold)
    offset = graph.constant(f"{name}.threshold", along(layer, threshold), np.float32)
    return _bipolar(graph, graph.add("Sub", found, offset), result=signs_name(index))


def signs_name(index: int) -> str:
    """Name the activations of a hidden layer.

    Args:
        index: Which layer, from 0.

    Returns:
        The name within the graph.
    """
    return f"layers.{index}.signs"


def _require_exportable(network: PackedNetwork) -> None:
    if network.input is Input.REAL:
        raise ValueError(
            "expected a network of bytes or signs for QONNX, got one of real features, whose sums are not exact in "
            "float32; export it to ONNX"
        )
    for index, layer in enumerate(network.layers):
        if not isinstance(layer.after, Thresholds | Readout):
            raise ValueError(
                f"expected thresholds behind layer {index} for QONNX, got layer norm, which compares the sums of each "
                "sample with one another; train with statistics running or recalibrated, or export it to ONNX"
            )
        if number_kind(network, index) is not np.float32:
            raise ValueError(f"expected sums exact in float32 for QONNX, got larger ones in layer {index}; use C")


def verify_qonnx(network: PackedNetwork, path: Path, *, task: int | str | None = None) -> None:
    """Run a QONNX file by qonnx on golden vectors.

    Args:
        network: What it must compute.
        path: The file.
        task: The task that it was made for.

    Raises:
        ImportError: When onnx or qonnx is not installed.
        ValueError: When the file cannot be read or has other parts than an export of this network.
        MismatchError: When a layer gives something else than the network's; the first is named.
    """
    wrapper = require("qonnx.core.modelwrapper").ModelWrapper(read_model(path))
    inputs = given_inputs(network, _VECTORS)
    runs = [_run(wrapper, sample, path) for sample in inputs[:, None].astype(np.float32)]
    name = network.tasks[network.table(task)] if network.tasks else None
    got = {}
    for place, array in _places(network).items():
        if array not in runs[0]:
            raise ValueError(f"expected {path} to compute {array!r}, got a model that does not: name its own network")
        got[place] = np.concatenate([run[array] for run in runs])
        got[place] = got[place] > 0 if "bits" in place else got[place]
    require_same(path, expected_outputs(network, inputs, name), got, name)


def _run(wrapper: Any, sample: np.ndarray, path: Path) -> dict[str, np.ndarray]:
    execute = require("qonnx.core.onnx_exec").execute_onnx
    try:
        return execute(wrapper, {INPUT: sample}, return_full_exec_context=True)
    except Exception as error:  # whatever its nodes raise
        raise ValueError(f"expected a model that qonnx executes in {path}, got: {error}") from error


def _places(network: PackedNetwork) -> dict[str, str]:
    """Map each place to its name in the graph."""
    places = {}
    for index in range(len(network.layers)):
        places[f"the sums of layer {index}"] = sums_name(index)
        places[f"the bits of layer {index}"] = signs_name(index)
    places.popitem()  # the last layer gives logits instead
    return places | {"the readout": LOGITS}
