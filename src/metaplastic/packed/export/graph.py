"""ONNX graphs under construction: nodes and constants by name, written by hand so that no converter changes them."""

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from metaplastic.packed.export.optional import require


class Graph:
    """Nodes, constants and the names of what they compute.

    Args:
        name: Name of the graph.

    Raises:
        ImportError: When onnx is not installed.
    """

    def __init__(self, name: str) -> None:
        self.onnx: ModuleType = require("onnx")
        self.name = name
        self.inputs: list[Any] = []
        self.outputs: list[Any] = []
        self._nodes: list[Any] = []
        self._constants: dict[str, Any] = {}

    def input(self, name: str, kind: type, shape: tuple[int | str, ...]) -> str:
        """Declare an input.

        Args:
            name: Its name.
            kind: NumPy's type of an entry.
            shape: Its shape; a name stands for a size that is free.

        Returns:
            The name.
        """
        self.inputs.append(self._declared(name, kind, shape))
        return name

    def output(self, name: str, kind: type, shape: tuple[int | str, ...]) -> None:
        """Declare an output.

        Args:
            name: Name of what a node computes.
            kind: NumPy's type of an entry.
            shape: Its shape.
        """
        self.outputs.append(self._declared(name, kind, shape))

    def constant(self, name: str, value: Any, kind: type | str | None = None) -> str:
        """Store a constant; one of the same name is taken for the same.

        Args:
            name: Its name.
            value: Its entries.
            kind: NumPy's type of an entry; None takes that of `value`.

        Returns:
            The name.
        """
        if name not in self._constants:
            array = np.ascontiguousarray(np.asarray(value, kind))
            # ascontiguousarray turns a number into a row of one.
            self._constants[name] = self.onnx.numpy_helper.from_array(array.reshape(np.shape(value)), name)
        return name

    def add(self, operator: str, *operands: str, result: str | None = None, domain: str = "", **attributes: Any) -> str:
        """Add a node of one output.

        Args:
            operator: Name of the operator.
            *operands: Names of its inputs.
            result: Name of its output; by default the operator's with a number.
            domain: Domain of the operator; empty for ONNX itself.
            **attributes: Its attributes.

        Returns:
            The name of its output.
        """
        result = result or f"{operator.lower()}.{len(self._nodes)}"
        node = self.onnx.helper.make_node(operator, list(operands), [result], name=result, domain=domain, **attributes)
        self._nodes.append(node)
        return result

    def cast(self, name: str, kind: type | str, result: str | None = None) -> str:
        """Convert to another type.

        Args:
            name: What is converted.
            kind: NumPy's type of an entry.
            result: Name of the result.

        Returns:
            The name of the result.
        """
        return self.add("Cast", name, to=self._code(kind), result=result)

    def model(self, opsets: dict[str, int], properties: dict[str, str]) -> Any:
        """Finish.

        Args:
            opsets: Version of the operators of each domain.
            properties: What is to be known about the model.

        Returns:
            The model. Its IR version is the oldest that has these operators, which every runtime that knows them reads:
            what onnx writes by itself may be newer than the runtime beside it.
        """
        helper = self.onnx.helper
        graph = helper.make_graph(self._nodes, self.name, self.inputs, self.outputs, list(self._constants.values()))
        sets = [helper.make_opsetid(domain, version) for domain, version in opsets.items()]
        version = helper.find_min_ir_version_for(sets, ignore_unknown=True)
        model = helper.make_model(graph, opset_imports=sets, producer_name="metaplastic", ir_version=version)
        helper.set_model_props(model, properties)
        return model

    def _declared(self, name: str, kind: type, shape: tuple[int | str, ...]) -> Any:
        return self.onnx.helper.make_tensor_value_info(name, self._code(kind), shape)

    def _code(self, kind: type | str) -> int:
        return self.onnx.helper.np_dtype_to_tensor_dtype(np.dtype(kind))


def read_model(path: Path) -> Any:
    """Read a model.

    Args:
        path: A file.

    Returns:
        The model.

    Raises:
        ValueError: When the file holds none.
    """
    onnx = require("onnx")
    try:
        model = onnx.load_model_from_string(path.read_bytes())
        onnx.checker.check_model(model)
    except FileNotFoundError as error:
        raise ValueError(f"expected an ONNX file at {path}, got none; check the path, or export it first") from error
    except Exception as error:  # protobuf and the checker raise what they like
        raise ValueError(f"expected an ONNX model in {path}, got a damaged or foreign file ({error})") from error
    return model


def as_json(names: tuple[str, ...]) -> str:
    """Write names so that they can be read back.

    Args:
        names: The names.

    Returns:
        JSON.
    """
    return json.dumps(list(names), ensure_ascii=False)
