"""Run an ONNX file and compare it with the packed network, layer by layer."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from metaplastic.packed.export.golden import expected_outputs, given_inputs, numbered_tasks, require_same
from metaplastic.packed.export.graph import read_model
from metaplastic.packed.export.operations import CLASS, INPUT, LOGITS, TASK, bits_name, sums_name
from metaplastic.packed.export.optional import require
from metaplastic.packed.network import PackedNetwork

Runner = Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]]
"""Maps inputs of a model by name to its outputs by name."""


def verify_onnx(network: PackedNetwork, path: Path) -> None:
    """Run an ONNX file on golden vectors: every layer of it, and then the file as it is.

    The outputs of layers are asked for in a copy in memory; the file has only those of the network.

    Args:
        network: What it must compute.
        path: The file.

    Raises:
        ImportError: When onnx or onnxruntime is not installed.
        ValueError: When the file cannot be read or has other parts than an export of this network.
        MismatchError: When a layer gives something else than the network's; the first is named.
    """
    model = read_model(path)
    tasks = {TASK} & {given.name for given in model.graph.input}
    written = model.SerializeToString()
    runners = [onnxruntime_runner(data, path) for data in (with_layers(model, network, path), written)]
    inputs, places = given_inputs(network), _places(network)
    for index, task in numbered_tasks(network):
        expected = expected_outputs(network, inputs, task)
        for run in runners:
            found = run({INPUT: inputs} | {name: np.array(index) for name in tasks})
            got = {place: found[name] for place, name in places.items() if name in found}
            require_same(path, expected, got, task)


def _places(network: PackedNetwork) -> dict[str, str]:
    """Map each place to its name in the graph, in the order in which it is computed."""
    places: dict[str, str] = {}
    for index in range(len(network.layers)):
        places[f"the sums of layer {index}"] = sums_name(index)
        places[f"the bits of layer {index}"] = bits_name(index)
    places.popitem()  # the last layer gives logits instead
    return places | {"the readout": LOGITS, "the class": CLASS}


def with_layers(model: Any, network: PackedNetwork, path: Path) -> bytes:
    """Add the outputs of the layers to a model.

    Args:
        model: The model; it is changed.
        network: What it was made of.
        path: Where it comes from, for the message.

    Returns:
        The model, serialised.

    Raises:
        ValueError: When it has no such parts.
    """
    onnx, computed = require("onnx"), {name for node in model.graph.node for name in node.output}
    declared = {output.name for output in model.graph.output}
    for name in _places(network).values():
        if name not in computed:
            raise ValueError(
                f"expected {path} to compute {name!r}, got a model that does not: it is no export of this network; "
                "name the network that it was made of"
            )
        if name not in declared:
            model.graph.output.append(onnx.ValueInfoProto(name=name))
    return model.SerializeToString()


def onnxruntime_runner(data: bytes, path: Path) -> Runner:
    """Open a model with onnxruntime.

    Args:
        data: The model.
        path: Where it comes from, for the message.

    Returns:
        What runs it.

    Raises:
        ImportError: When onnxruntime is not installed.
        ValueError: When onnxruntime does not take the model.
    """
    onnxruntime = require("onnxruntime")
    try:
        session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's exceptions have no base of their own
        raise ValueError(f"expected a model that onnxruntime takes in {path}, got: {error}") from error
    names = [output.name for output in session.get_outputs()]

    def run(given: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        try:
            return dict(zip(names, session.run(None, given), strict=True))
        except Exception as error:
            raise ValueError(
                f"expected {path} to take inputs of the network, got: {error}; name the network that it was made of"
            ) from error

    return run
