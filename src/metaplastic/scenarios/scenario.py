"""The values at the centre of the scenarios: views of data, tasks, and what is announced about them."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Int64, Shaped
from torch import Tensor

from metaplastic.data import Samples

LAID_OUT_BYTES = 2**28
"""Memory that tests may take to lie in the order in which they are shown."""


@runtime_checkable
class View(Protocol):
    """Samples as a task shows them to a network."""

    def __len__(self) -> int:
        """Return the number of samples."""
        ...

    def batch(self, rows: Int64[Tensor, " batch"]) -> tuple[Tensor, Tensor]:
        """Return inputs `[batch, ...]`, as the network takes them, and labels `[batch]` of some rows."""
        ...

    def to(self, device: torch.device) -> "View":
        """Return the view with its tensors on a device."""
        ...


@dataclass(frozen=True)
class IndexView:
    """Samples seen through index operations: nothing is copied until a batch is asked for.

    Args:
        samples: The samples, as they lie in memory; views may share them.
        scale: What every entry of an input is multiplied by; None shows entries as they are stored.
        permutation: `[pixels]`: where each pixel of the shown input is taken from; None leaves images as they are.
        rows: `[view]`: which samples belong to the view; None means all.
        labels: `[classes]`: the label shown for each stored one; None leaves labels as they are.
    """

    samples: Samples
    scale: float | None = 1.0
    permutation: Int64[Tensor, " pixels"] | None = None
    rows: Int64[Tensor, " view"] | None = None
    labels: Int64[Tensor, " classes"] | None = None

    def __len__(self) -> int:
        return len(self.samples) if self.rows is None else len(self.rows)

    def batch(self, rows: Int64[Tensor, " batch"]) -> tuple[Shaped[Tensor, "batch ..."], Int64[Tensor, " batch"]]:
        """Gather, permute and scale some samples.

        Args:
            rows: Positions within the view.

        Returns:
            Inputs in float32 unless they are shown as stored, flattened if they are permuted, and labels.
        """
        rows = rows.to(self.samples.inputs.device)
        if self.rows is not None:
            rows = self.rows[rows]
        inputs, labels = self.samples.inputs[rows], self.samples.labels[rows]
        if self.permutation is not None:
            inputs = inputs.flatten(1)[:, self.permutation]
        if self.labels is not None:
            labels = self.labels[labels]
        return inputs if self.scale is None else inputs.to(torch.float32) * self.scale, labels

    @property
    def unit_of_bytes(self) -> float | None:
        """What one step of a byte is worth to a network; None where inputs are not stored as bytes."""
        return self.scale if self.samples.inputs.dtype is torch.uint8 else None

    def stored(self) -> "IndexView":
        """Return the view with inputs shown as they are stored, not scaled."""
        return replace(self, scale=None)

    def laid_out(self) -> "IndexView":
        """Return the same view of a copy of its samples that lies as it shows them."""
        inputs, labels = replace(self, scale=None).batch(torch.arange(len(self)))
        return IndexView(Samples(inputs, labels), self.scale)

    def to(self, device: torch.device) -> "IndexView":
        """Move the view; tensors that are already there are not copied.

        Args:
            device: Where to.

        Returns:
            The same view there.
        """

        def moved(index: Tensor | None) -> Tensor | None:
            return None if index is None else index.to(device)

        return replace(
            self,
            samples=Samples(self.samples.inputs.to(device), self.samples.labels.to(device)),
            permutation=moved(self.permutation),
            rows=moved(self.rows),
            labels=moved(self.labels),
        )


@dataclass(frozen=True)
class UnionView:
    """Several views one behind the other, as one.

    Args:
        views: The views, whose inputs have one shape.
    """

    views: tuple[View, ...]

    def __len__(self) -> int:
        return sum(map(len, self.views))

    def batch(self, rows: Int64[Tensor, " batch"]) -> tuple[Shaped[Tensor, "batch ..."], Int64[Tensor, " batch"]]:
        """Gather some samples, each from the view it belongs to.

        Args:
            rows: Positions within the union.

        Returns:
            Inputs and labels, in the order of `rows`.
        """
        starts = torch.tensor([0, *map(len, self.views)], device=rows.device).cumsum(0)
        owner = torch.bucketize(rows, starts[1:], right=True)
        order = owner.argsort(stable=True)
        parts = [
            view.batch(rows[owner == index] - starts[index])
            for index, view in enumerate(self.views)
            if bool((owner == index).any())
        ]
        back = order.argsort()
        inputs, labels = (torch.cat(tensors) for tensors in zip(*parts, strict=True))
        return inputs[back.to(inputs.device)], labels[back.to(labels.device)]

    @property
    def unit_of_bytes(self) -> float | None:
        """What one step of a byte is worth to a network; None where views differ or are not stored as bytes."""
        return common_unit(self.views)

    def stored(self) -> "UnionView":
        """Return the union with inputs shown as they are stored, not scaled."""
        return UnionView(tuple(stored(view) for view in self.views))

    def to(self, device: torch.device) -> "UnionView":
        """Move the views.

        Args:
            device: Where to.

        Returns:
            The same union there.
        """
        return UnionView(tuple(view.to(device) for view in self.views))


@runtime_checkable
class StoredView(View, Protocol):
    """A view that can show its inputs as they are stored."""

    @property
    def unit_of_bytes(self) -> float | None:
        """What one step of a byte is worth to a network; None where inputs are not stored as bytes."""
        ...

    def stored(self) -> View:
        """Return the view with inputs shown as they are stored, not scaled."""
        ...


def common_unit(views: Iterable[View]) -> float | None:
    """Find the unit of the bytes of several views.

    Args:
        views: Any views.

    Returns:
        What one step of a byte is worth; None unless all hold bytes of one unit.
    """
    units = {view.unit_of_bytes if isinstance(view, StoredView) else None for view in views}
    return units.pop() if len(units) == 1 else None


def stored(view: View) -> View:
    """Show the inputs of a view as they are stored, where it can.

    Args:
        view: Any view.

    Returns:
        The view, not scaled.
    """
    return view.stored() if isinstance(view, StoredView) else view


@dataclass(frozen=True)
class Announced:
    """What a learner is told. Asking for more is an error.

    Args:
        boundaries: Whether training says when a task ends and the next begins.
        task_at_test: Whether a test says which task it belongs to.
    """

    boundaries: bool = False
    task_at_test: bool = False


@dataclass(frozen=True)
class Test:
    """Samples that accuracy is measured on.

    Args:
        name: What the records call it.
        view: The samples.
        task: Index of the task it belongs to; None if it belongs to all.
        outputs: The outputs that may answer; None means all. Labels count within them.
    """

    __test__ = False  # not a test case, whatever pytest makes of the name

    name: str
    view: View
    task: int | None = None
    outputs: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Task:
    """Samples that are learned together.

    Args:
        name: What the records call it.
        view: The training samples.
        outputs: The outputs that are trained; None means all. Labels count within them.
        tests: Indices of the tests whose task is learned here.
    """

    name: str
    view: View
    outputs: tuple[int, ...] | None = None
    tests: tuple[int, ...] = ()


@dataclass(frozen=True)
class Scenario:
    """Tasks in the order in which they are learned, the tests, and what is announced.

    Args:
        name: What the records call it.
        tasks: The tasks, at least one.
        tests: The tests, at least one; every one is taken after every task.
        announced: What a learner is told.
        classes: Number of outputs that a network needs.
        input_shape: Shape of one input.
        kind: Where it stands in the usual taxonomy: task-, domain- or class-incremental, or a stream.

    Raises:
        ValueError: When there is no task or no test, one of them has no samples, a task names no test, or outputs are
            restricted at test where the task is not announced.
    """

    name: str
    tasks: tuple[Task, ...]
    tests: tuple[Test, ...]
    announced: Announced
    classes: int
    input_shape: tuple[int, ...]
    kind: str = field(default="domain-incremental")

    def __post_init__(self) -> None:
        if not self.tasks or not self.tests:
            raise ValueError(
                f"expected at least one task and one test in {self.name!r}, got {len(self.tasks)} and "
                f"{len(self.tests)}; a scenario with nothing to learn or to measure is a mistake"
            )
        parts: tuple[Task | Test, ...] = (*self.tasks, *self.tests)
        for part in parts:
            if len(part.view) == 0:
                raise ValueError(
                    f"expected samples in {part.name!r} of scenario {self.name!r}, got none; give each task classes "
                    "that occur in the data"
                )
        for task in self.tasks:
            if not task.tests or not set(task.tests) <= set(range(len(self.tests))):
                raise ValueError(
                    f"expected {task.name!r} to name its tests, from 0 to {len(self.tests) - 1}, got {task.tests}; a "
                    "task says which tests measure it"
                )
        if not self.announced.task_at_test and any(test.outputs is not None for test in self.tests):
            raise ValueError(
                f"expected tests of {self.name!r} answered by all outputs, got some restricted to their task's, which "
                "tells the task; announce the task at test, or leave outputs=None"
            )

    def require_boundaries(self, who: str) -> None:
        """Fail if boundaries are needed but not announced.

        Args:
            who: What needs them, for the message.

        Raises:
            ValueError: When boundaries are not announced.
        """
        if not self.announced.boundaries:
            raise ValueError(
                f"expected announced task boundaries for {who}, got scenario {self.name!r} that announces none; "
                "announce them (--boundaries) or use a method that needs none"
            )

    def require_task_at_test(self, who: str) -> None:
        """Fail if the task of a test is needed but not announced.

        Args:
            who: What needs it, for the message.

        Raises:
            ValueError: When the task is not announced at test.
        """
        if not self.announced.task_at_test:
            raise ValueError(
                f"expected the task to be known at test for {who}, got scenario {self.name!r} that does not tell it; "
                "announce it (--task-at-test) or use a method that needs none"
            )

    def to(self, device: torch.device) -> "Scenario":
        """Move all samples; nothing is copied where they already are on the device.

        Args:
            device: Where to.

        Returns:
            The same scenario there.
        """
        return self._with_views(lambda view: view.to(device))

    @property
    def unit_of_bytes(self) -> float | None:
        """What one step of a byte is worth to a network; None unless all inputs are bytes of one unit."""
        return common_unit([task.view for task in self.tasks] + [test.view for test in self.tests])

    def stored(self) -> "Scenario":
        """Show inputs as they are stored: bytes stay bytes, for a network that takes them in `unit_of_bytes`.

        Returns:
            The same scenario. Nothing is copied but the tests, which are passed over again and again in one order: they
            are laid out in it where all together take no more than a quarter of a gigabyte.
        """
        shown = self._with_views(stored)
        indexed = [test.view for test in shown.tests if isinstance(test.view, IndexView)]
        if sum(len(view) * view.samples.inputs[0].nbytes for view in indexed) > LAID_OUT_BYTES:
            return shown
        tests = (
            replace(test, view=test.view.laid_out()) if isinstance(test.view, IndexView) else test
            for test in shown.tests
        )
        return replace(shown, tests=tuple(tests))

    def _with_views(self, change: Callable[[View], View]) -> "Scenario":
        tasks = tuple(replace(task, view=change(task.view)) for task in self.tasks)
        tests = tuple(replace(test, view=change(test.view)) for test in self.tests)
        return replace(self, tasks=tasks, tests=tests)
