"""Scenarios side by side: the same step of each at once, for networks that are trained as one."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Int64, Shaped
from torch import Tensor

from metaplastic.scenarios.scenario import Scenario, Task, Test
from metaplastic.scenarios.view import View, common_unit, in_epoch, stored


@dataclass(frozen=True)
class StackedView:
    """Views of equal length, of which each shows samples of its own at the same time.

    Args:
        views: One per member.
    """

    views: tuple[View, ...]

    def __len__(self) -> int:
        return len(self.views[0])

    def batch(
        self, rows: Int64[Tensor, "batch members"]
    ) -> tuple[Shaped[Tensor, "batch members_in"], Int64[Tensor, "batch members"]]:
        """Gather a batch for every member.

        Args:
            rows: `[batch, members]`: positions within each member's view.

        Returns:
            Inputs `[batch, members * in_features]` and labels `[batch, members]`.
        """
        parts = [view.batch(rows[:, member]) for member, view in enumerate(self.views)]
        inputs = torch.cat([inputs.flatten(1) for inputs, _ in parts], 1)
        return inputs, torch.stack([labels for _, labels in parts], 1)

    @property
    def unit_of_bytes(self) -> float | None:
        """What one step of a byte is worth to a network; None where views differ or are not stored as bytes."""
        return common_unit(self.views)

    def in_epoch(self, epoch: int) -> "StackedView":
        """Return the views as they are shown in an epoch.

        Args:
            epoch: Index of the epoch.

        Returns:
            The views as they are shown in it.
        """
        return StackedView(tuple(in_epoch(view, epoch) for view in self.views))

    def stored(self) -> "StackedView":
        """Return the views with inputs shown as they are stored, not scaled."""
        return StackedView(tuple(stored(view) for view in self.views))

    def to(self, device: torch.device) -> "StackedView":
        """Move the views.

        Args:
            device: Where to.

        Returns:
            The same views there.
        """
        return StackedView(tuple(view.to(device) for view in self.views))


def stacked(scenarios: Sequence[Scenario]) -> Scenario:
    """Put scenarios of one shape side by side.

    Args:
        scenarios: One per member; as many tasks and samples in each, announced alike, with all outputs trained.

    Returns:
        A scenario whose batches hold one of each, and whose rows are `[batch, members]`.

    Raises:
        ValueError: When the scenarios differ in shape, or train outputs per task.

    Example:
        >>> from metaplastic.data import load
        >>> from metaplastic.scenarios.permuted import permuted
        >>> both = stacked([permuted(load("digits"), tasks=2, seed=seed) for seed in (0, 1)])
        >>> inputs, labels = both.tasks[0].view.batch(torch.tensor([[0, 7], [1, 8], [2, 9]]))
        >>> inputs.shape, labels.shape
        (torch.Size([3, 128]), torch.Size([3, 2]))
    """
    first = scenarios[0]
    shapes = {
        (tuple(len(task.view) for task in one.tasks), one.input_shape, one.classes, one.announced) for one in scenarios
    }
    if len(shapes) > 1 or any(task.outputs is not None for task in first.tasks):
        raise ValueError(
            f"expected scenarios of one shape with all outputs trained, got {len(shapes)} shapes of {first.name!r}; "
            "learn them one after another"
        )
    tasks = zip(*(one.tasks for one in scenarios), strict=True)
    tests = zip(*(one.tests for one in scenarios), strict=True)
    return replace(
        first,
        tasks=tuple(Task(of[0].name, StackedView(tuple(task.view for task in of)), tests=of[0].tests) for of in tasks),
        tests=tuple(Test(of[0].name, StackedView(tuple(test.view for test in of)), task=of[0].task) for of in tests),
        input_shape=(len(scenarios) * torch.Size(first.input_shape).numel(),),
    )
