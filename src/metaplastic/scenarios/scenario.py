"""The values at the centre of the scenarios: tasks, tests, and what is announced about them."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch

from metaplastic.scenarios.view import IndexView, View, common_unit, in_epoch, stored

LAID_OUT_BYTES = 2**28
"""Memory that tests may take to lie in the order in which they are shown."""


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

    def in_epoch(self, epoch: int) -> "Task":
        """Show the samples as they are learned in an epoch.

        Args:
            epoch: Index of the epoch.

        Returns:
            The same task; its samples are augmented where the scenario says so.
        """
        return replace(self, view=in_epoch(self.view, epoch))


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

    def beginning(self, tasks: int) -> "Scenario":
        """Leave out later tasks, and the tests that are theirs alone.

        Args:
            tasks: Number of tasks that are learned, from the first, >= 1.

        Returns:
            The shorter scenario.

        Raises:
            ValueError: When there are not as many tasks.
        """
        if not 1 <= tasks <= len(self.tasks):
            raise ValueError(
                f"expected 1 to {len(self.tasks)} tasks of {self.name!r} to be learned, got {tasks}; --first-tasks 0 "
                "learns all"
            )
        kept = sorted({test for task in self.tasks[:tasks] for test in task.tests})
        moved = {old: new for new, old in enumerate(kept)}
        learned = (replace(task, tests=tuple(moved[test] for test in task.tests)) for task in self.tasks[:tasks])
        return replace(self, tasks=tuple(learned), tests=tuple(self.tests[test] for test in kept))

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
