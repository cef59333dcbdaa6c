"""A network of one bit a weight: immutable, in integers, the reference of every backend and every export."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from metaplastic.choices import choose, unknown
from metaplastic.packed.decisions import LAST_READOUT, UNIT_LIMIT, Thresholds
from metaplastic.packed.engine import Engine, default_threads
from metaplastic.packed.inputs import encode
from metaplastic.packed.layers import BYTE_LIMIT, ConvLayer, DenseLayer, Input, Layer
from metaplastic.packed.products import Backend, backend_of
from metaplastic.packed.value import Value

if TYPE_CHECKING:
    from metaplastic.packed.summary import Summary

_SIZE_LIMIT = 2**24
"""Numbers that a layer may have of one sample."""


@dataclass(frozen=True, eq=False)
class PackedNetwork(Value):
    """A chain of layers with binary weights and binary activations, in integers up to the logits.

    Made by `pack` of a trained network, or by `PackedNetwork.load` of a file. Two of them are equal where every bit,
    threshold and name is. What it predicts for a sample does not depend on the samples beside it, nor on what computes
    it.

    Args:
        input: What the first layer multiplies.
        input_shape: Shape of one sample, e.g. `(784,)` or `(3, 32, 32)`.
        layers: The layers in order; the last is dense and gives logits, all others give bits.
        tasks: Names of the tasks, where each has a table of its own; empty where all share one.
        unit: What one step of a byte was worth where the network was trained: the data set's `scale`.
        dataset: Name of the data set, for people.
        statistics: Name of the policy of the folded normalisation, for people.

    Raises:
        ValueError: When layers do not fit each other, or the tables not the tasks.

    Example:
        >>> from metaplastic.packed import Readout
        >>> readout = Readout(np.ones((1, 2), np.float32), np.zeros((1, 2), np.float32))
        >>> network = PackedNetwork(Input.SIGNS, (3,), (DenseLayer(np.array([[5], [3]], np.uint8), 3, readout),))
        >>> network.logits(np.array([[1.0, 1.0, -1.0]])).tolist(), network.predict([[1.0, 1.0, -1.0]]).tolist()
        ([[-1.0, 3.0]], [1])
    """

    input: Input
    input_shape: tuple[int, ...]
    layers: tuple[Layer, ...]
    tasks: tuple[str, ...] = ()
    unit: float = 1 / 256
    dataset: str = ""
    statistics: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "input", choose(Input, self.input, "input"))
        for name in ("input_shape", "layers", "tasks"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        object.__setattr__(self, "_engines", {})
        check(self)

    @property
    def classes(self) -> int:
        """Number of classes."""
        return self.layers[-1].out_features

    @property
    def in_features(self) -> int:
        """Numbers of one sample."""
        return math.prod(self.input_shape)

    def predict(
        self,
        x: Any,
        task: int | str | None = None,
        *,
        backend: Backend | str = Backend.BEST,
        threads: int | None = None,
    ) -> np.ndarray:
        """Predict classes.

        Args:
            x: `[batch, ...]`, an array or a tensor: uint8 pixels, or the numbers that the network was trained on.
            task: Name or index of the task, where each has a table of its own.
            backend: What computes the products; the result is the same.
            threads: Threads of the kernel and of NumPy; None for `OMP_NUM_THREADS`, or all processors.

        Returns:
            `[batch]`, int64: the class of the largest logit, the first of equals.
        """
        return self.logits(x, task, backend=backend, threads=threads).argmax(1)

    def predict_proba(
        self,
        x: Any,
        task: int | str | None = None,
        *,
        backend: Backend | str = Backend.BEST,
        threads: int | None = None,
    ) -> np.ndarray:
        """Predict the probability of each class.

        Args:
            x: As for `predict`.
            task: As for `predict`.
            backend: As for `predict`.
            threads: As for `predict`.

        Returns:
            `[batch, classes]`, float64: the softmax of the logits.
        """
        logits = self.logits(x, task, backend=backend, threads=threads).astype(np.float64)
        powers = np.exp(logits - logits.max(1, keepdims=True))
        return powers / powers.sum(1, keepdims=True)

    def logits(
        self,
        x: Any,
        task: int | str | None = None,
        *,
        backend: Backend | str = Backend.BEST,
        threads: int | None = None,
    ) -> np.ndarray:
        """Compute the logits.

        Args:
            x: As for `predict`.
            task: As for `predict`.
            backend: As for `predict`.
            threads: As for `predict`.

        Returns:
            `[batch, classes]`, float32.
        """
        table = self.table(task)
        sums = self._engine(backend, threads).last_sums(self.encode(x), table)
        readout = self.layers[-1].after
        return readout(sums, table if readout.tables > 1 else 0)

    def trace(
        self,
        x: Any,
        task: int | str | None = None,
        *,
        backend: Backend | str = Backend.BEST,
        threads: int | None = None,
    ) -> list[tuple[np.ndarray, np.ndarray | None]]:
        """Compute and keep what every layer makes of samples, to verify another implementation.

        Args:
            x: As for `predict`.
            task: As for `predict`.
            backend: As for `predict`.
            threads: As for `predict`.

        Returns:
            For each layer its sums `[batch, units, ...]`, int32 or float64, pooled, and its bits of the same shape,
            bool; for the last layer None instead of bits.
        """
        return list(self._engine(backend, threads).trace(self.encode(x), self.table(task)))

    def encode(self, x: Any) -> np.ndarray:
        """Make samples what the first layer multiplies.

        Args:
            x: As for `predict`.

        Returns:
            `[batch, features]`: uint8 for bytes, bool for signs, float64 for real features.
        """
        return encode(x, self.input, self.unit, self.input_shape)

    def table(self, task: int | str | None = None) -> int:
        """Find the table of a task.

        Args:
            task: Its name, or its index in `tasks`.

        Returns:
            Its index; 0 where all tasks share one.

        Raises:
            ValueError: When the task must be known and is not given, when there is none of that name or index, and
                when there are no tasks.
        """
        if not self.tasks:
            if task is None:
                return 0
            raise ValueError(
                f"expected no task, got {task!r}: this network has one table for all; call it without a task, or pack "
                "a network whose normalisation has scope 'per_task'"
            )
        if task is None:
            raise ValueError(
                f"expected a task, since each has its own thresholds, got none; give one of {', '.join(self.tasks)}"
            )
        if isinstance(task, str):
            if task not in self.tasks:
                raise ValueError(unknown("task", task, self.tasks))
            return self.tasks.index(task)
        if not 0 <= task < len(self.tasks):
            raise ValueError(f"expected a task from 0 to {len(self.tasks) - 1}, got {task}; or give its name")
        return int(task)

    def backend(self, batch: int = 1) -> Backend:
        """Tell what computes the largest product of a batch by default.

        Args:
            batch: Number of samples.

        Returns:
            The kernel, where it was compiled; else NumPy or matrices, by the size.
        """
        places = (math.prod(layer.sum_shape[1:]) for layer in self.layers if isinstance(layer, ConvLayer))
        return backend_of(batch * max(places, default=1))

    def save(self, path: str | Path) -> Path:
        """Write a file, whole or not at all.

        Args:
            path: Where to; its folder must exist.

        Returns:
            The path.
        """
        from metaplastic.packed.file import save

        return save(self, path)

    @classmethod
    def load(cls, path: str | Path) -> "PackedNetwork":
        """Read a file.

        Args:
            path: A file that `save` wrote. It is data only: nothing in it is executed.

        Returns:
            A network equal to the one that was saved.
        """
        from metaplastic.packed.file import load

        return load(path)

    def summary(self) -> "Summary":
        """Count parameters, bytes and operations, per layer and in total.

        Returns:
            A table; `print` shows it. Its bytes add up to the size of the file.
        """
        from metaplastic.packed.summary import summarise

        return summarise(self)

    def _engine(self, backend: Backend | str, threads: int | None) -> Engine:
        engines = self.__dict__["_engines"]
        key = backend, threads
        if key not in engines:
            engines[key] = Engine(self, backend, default_threads() if threads is None else threads)
        return engines[key]

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what is prepared on first use."""
        return self.__dict__ | {"_engines": {}}

    def __repr__(self) -> str:
        shapes = " -> ".join("x".join(map(str, shape)) for shape in (self.input_shape, *(_shapes(self))))
        tasks = f", tasks={list(self.tasks)}" if self.tasks else ""
        return f"PackedNetwork({self.input.value} {shapes}{tasks})"


def _shapes(network: PackedNetwork) -> list[tuple[int, ...]]:
    return [layer.out_shape for layer in network.layers]


def check(network: PackedNetwork) -> None:
    """Fail unless the parts of a network fit each other.

    Args:
        network: The network.

    Raises:
        ValueError: When they do not.
    """
    shape = network.input_shape
    if not shape or not all(type(side) is int and side > 0 for side in shape) or math.prod(shape) > _SIZE_LIMIT:
        raise ValueError(f"expected an input shape of integers > 0, at most 2^24 in all, got {shape}; e.g. (784,)")
    if not (isinstance(network.unit, float) and 1 / UNIT_LIMIT <= network.unit <= UNIT_LIMIT):
        raise ValueError(f"expected a unit of bytes, got {network.unit!r}; that of the package's images is 1 / 256")
    if not network.layers or not isinstance(network.layers[-1], DenseLayer):
        raise ValueError("expected layers that end in a dense one with a readout, got none; pack a whole classifier")
    names = network.tasks
    if not all(isinstance(name, str) and name for name in names) or len(set(names)) < len(names):
        raise ValueError(f"expected different names for the tasks, got {names}; name each of them once")
    for depth, layer in enumerate(network.layers):
        try:
            _check_layer(network, depth, layer, shape)
        except ValueError as error:
            raise ValueError(f"layer {depth}: {error}") from error
        shape = layer.out_shape


def _check_layer(network: PackedNetwork, depth: int, layer: Layer, shape: tuple[int, ...]) -> None:
    given = (layer.in_channels, layer.height, layer.width) if isinstance(layer, ConvLayer) else (layer.in_features,)
    if given != (shape if isinstance(layer, ConvLayer) else (math.prod(shape),)):
        raise ValueError(f"expected a layer that takes {shape}, got one that takes {given}; leave no layer out")
    sums = math.prod(layer.sum_shape) if isinstance(layer, ConvLayer) else layer.out_features
    if sums > _SIZE_LIMIT:
        raise ValueError(f"expected at most 2^24 sums of a sample, got {sums}; use fewer channels or smaller images")
    last = depth == len(network.layers) - 1
    if isinstance(layer.after, LAST_READOUT) is not last:
        raise ValueError(
            f"expected {'logits' if last else 'bits'} here, got {type(layer.after).__name__}; only the last layer has "
            "a readout"
        )
    if layer.after.tables not in {1, len(network.tasks) or 1}:
        raise ValueError(
            f"expected one table, or one for each of {len(network.tasks)} tasks, got {layer.after.tables}; name "
            "as many tasks as there are tables"
        )
    if isinstance(layer.after, Thresholds):
        _check_thresholds(network, depth, layer, layer.after)


def _check_thresholds(network: PackedNetwork, depth: int, layer: Layer, after: Thresholds) -> None:
    real = depth == 0 and network.input is Input.REAL
    if (after.threshold.dtype == np.float64) is not real:
        raise ValueError(
            f"expected {'float64' if real else 'int32'} thresholds, got {after.threshold.dtype}; sums are floats "
            "behind real features only"
        )
    bound = layer.bound(BYTE_LIMIT if depth == 0 and network.input is Input.BYTES else 1)
    if not real and not (-bound <= int(after.threshold.min()) and int(after.threshold.max()) <= bound + 1):
        raise ValueError(
            f"expected thresholds from {-bound} to {bound + 1}, got others; clip them to what is reachable"
        )
