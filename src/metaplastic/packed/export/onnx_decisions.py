"""From sums to activations and logits in ONNX, operation by operation as the packed network computes them."""

from dataclasses import dataclass

import numpy as np

from metaplastic.packed.decisions import Readout, SampleMean, SampleReadout, Thresholds
from metaplastic.packed.export.bounds import require_squares_fit
from metaplastic.packed.export.graph import Graph
from metaplastic.packed.export.operations import LOGITS, TASK, along, bits_name
from metaplastic.packed.layers import Layer


@dataclass(frozen=True)
class Step:
    """A layer of a graph under construction.

    Args:
        graph: What is added to.
        index: Which layer, from 0.
        layer: The layer.
        kind: NumPy's type of its sums.
        bound: Largest sum that it can reach; None where sums are real.
    """

    graph: Graph
    index: int
    layer: Layer
    kind: type
    bound: int | None

    def constant(self, name: str, value: np.ndarray, kind: type | None = None) -> str:
        """Store numbers per unit, or tables of them, so that they go with the sums."""
        return self.graph.constant(f"layers.{self.index}.{name}", along(self.layer, value), kind)

    def of_task(self, name: str, tables: np.ndarray, kind: type | None = None) -> str:
        """Store tables and select the row of the task; where there is but one, it is a constant."""
        if len(tables) == 1:
            return self.constant(name, tables[0], kind)
        return self.graph.add("Gather", self.constant(name, tables, kind), TASK, axis=0)


def as_signs(graph: Graph, bits: str, kind: type = np.float32) -> str:
    """Turn bits into +1 and -1.

    Args:
        graph: What is added to.
        bits: Name of the bits.
        kind: NumPy's type of the signs.

    Returns:
        The name of the signs.
    """
    name = np.dtype(kind).name
    return graph.add("Where", bits, graph.constant(f"plus.{name}", 1, kind), graph.constant(f"minus.{name}", -1, kind))


def activations(step: Step, sums: str) -> str:
    """Decide on the sums of a hidden layer.

    Args:
        step: The layer.
        sums: Name of its sums.

    Returns:
        The name of the activations, +1 and -1.

    Raises:
        ValueError: When sums are too large for layer norm in 64 bits.
    """
    decision = step.layer.after
    if isinstance(decision, Thresholds):
        return as_signs(step.graph, _reached(step, decision, sums))
    assert isinstance(decision, SampleMean)
    return as_signs(step.graph, _beyond_mean(step, decision, sums))


def logits(step: Step, sums: str) -> None:
    """Scale the sums of the last layer to logits.

    Args:
        step: The layer.
        sums: Name of its sums.

    Raises:
        ValueError: When sums are too large for layer norm in 64 bits.
    """
    graph, readout = step.graph, step.layer.after
    if isinstance(readout, Readout):
        product = graph.add("Mul", graph.cast(sums, np.float32), step.of_task("scale", readout.scale))
        graph.add("Add", product, step.of_task("offset", readout.offset), result=LOGITS)
        return
    assert isinstance(readout, SampleReadout)
    deviations, root = _moments(step, readout, sums)
    normalised = graph.add("Div", deviations, root)
    if readout.gain is not None and readout.offset is not None:
        product = graph.add("Mul", step.constant("gain", readout.gain, np.float64), normalised)
        normalised = graph.add("Add", product, step.constant("offset", readout.offset, np.float64))
    graph.cast(normalised, np.float32, result=LOGITS)


def _reached(step: Step, decision: Thresholds, sums: str) -> str:
    graph, name = step.graph, bits_name(step.index)
    threshold = step.of_task("threshold", decision.threshold, step.kind)
    if not decision.flipped.any():
        return graph.add("GreaterOrEqual", sums, threshold, result=name)
    reached = graph.add("GreaterOrEqual", sums, threshold)
    return graph.add("Xor", reached, step.of_task("flipped", decision.flipped), result=name)


def _beyond_mean(step: Step, decision: SampleMean, sums: str) -> str:
    graph, name = step.graph, bits_name(step.index)
    if decision.gain is None or decision.offset is None:
        deviations, _, kind = _deviations(step, sums)
        return graph.add("GreaterOrEqual", deviations, graph.constant(f"zero.{kind}", 0, kind), result=name)
    deviations, root = _moments(step, decision, sums)
    left = graph.add("Mul", step.constant("gain", decision.gain, np.float64), deviations)
    right = graph.add("Mul", step.constant("offset", decision.offset, np.float64), root)
    zero = graph.constant("zero.float64", 0, np.float64)
    return graph.add("GreaterOrEqual", graph.add("Add", left, right), zero, result=name)


def _deviations(step: Step, sums: str) -> tuple[str, str, str]:
    """Compute n h - sum h and sum h, in 64 bits; integers unless features are real."""
    graph, features, kind = step.graph, step.layer.out_features, _wide(step)
    wide = graph.cast(sums, kind)
    total = _total(step, wide)
    scaled = graph.add("Mul", wide, graph.constant(f"features.{features}.{kind}", features, kind))
    return graph.add("Sub", scaled, total), total, kind


def _total(step: Step, terms: str) -> str:
    axes = step.graph.constant(f"axes.{len(step.layer.out_shape)}", range(1, 1 + len(step.layer.out_shape)), np.int64)
    return step.graph.add("ReduceSum", terms, axes, keepdims=1)


def _moments(step: Step, decision: SampleMean | SampleReadout, sums: str) -> tuple[str, str]:
    r"""Compute :math:`c d` and :math:`\sqrt{c^2 V + n^2 \epsilon}`, with the symbols of `SampleMean`, in float64."""
    graph, features = step.graph, step.layer.out_features
    deviations, total, kind = _deviations(step, sums)
    if kind == "float64":
        squares = _total(step, graph.add("Mul", deviations, deviations))
        spread = graph.add("Div", squares, graph.constant(f"features.{features}.{kind}", features, kind))
    else:
        require_squares_fit(step.index, features, step.bound or 0)
        wide = graph.cast(sums, np.int64)
        squares = _total(step, graph.add("Mul", wide, wide))
        scaled = graph.add("Mul", squares, graph.constant(f"features.{features}.{kind}", features, kind))
        spread = graph.cast(graph.add("Sub", scaled, graph.add("Mul", total, total)), np.float64)
    unit, name = decision.unit, f"layers.{step.index}"
    variance = graph.add("Mul", spread, graph.constant(f"{name}.unit_squared", unit * unit, np.float64))
    eps = graph.constant(f"{name}.eps", float(features * features) * decision.eps, np.float64)
    root = graph.add("Sqrt", graph.add("Add", variance, eps))
    scale = graph.constant(f"{name}.unit", unit, np.float64)
    return graph.add("Mul", graph.cast(deviations, np.float64), scale), root


def _wide(step: Step) -> str:
    return "float64" if step.bound is None else "int64"
