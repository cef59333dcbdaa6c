"""Outputs that are restricted to those of the task, for benchmarks that tell it."""

import math

import torch
from avalanche.models import MultiTaskModule
from torch import Tensor, nn

from metaplastic.scenarios import Scenario


class TaskOutputs(MultiTaskModule):
    """A network of which only the outputs of the task answer and are trained; the others are minus infinity.

    With `as_benchmark`, whose labels count all classes, the loss and the predictions are those of a scenario that gives
    each task outputs of its own.

    Args:
        network: Maps inputs to one logit per class of the scenario.
        scenario: Says which outputs belong to which task.

    Raises:
        ValueError: When the scenario does not tell the task at test.

    Example:
        >>> from metaplastic.data import load
        >>> from metaplastic.scenarios import Increment, split
        >>> net = TaskOutputs(nn.Linear(64, 10), split(load("digits"), [(0, 1), (2, 3)], Increment.TASK))
        >>> net(torch.rand(2, 64), torch.tensor([0, 1])).isfinite().nonzero().tolist()
        [[0, 0], [0, 1], [1, 2], [1, 3]]
    """

    allowed: Tensor

    def __init__(self, network: nn.Module, scenario: Scenario) -> None:
        super().__init__()
        scenario.require_task_at_test("outputs restricted to the task")
        self.network = network
        allowed = torch.zeros(len(scenario.tasks), scenario.classes, dtype=torch.bool)
        for row, task in zip(allowed, scenario.tasks, strict=True):
            row[list(task.outputs) if task.outputs is not None else slice(None)] = True
        self.register_buffer("allowed", allowed)

    def forward(self, x: Tensor, task_labels: Tensor | int | None) -> Tensor | dict[int, Tensor]:
        """Compute the logits of samples, each restricted to its task.

        Args:
            x: `[batch, ...]`.
            task_labels: `[batch]`, or one for all; None computes those of every task seen so far.

        Returns:
            `[batch, classes]`, or one such tensor a task.
        """
        if task_labels is None:
            return self.forward_all_tasks(x)
        # Not task by task as in the class above: a batch is normalised as a whole.
        return self.network(x).masked_fill(~self.allowed[task_labels], -math.inf)

    def forward_single_task(self, x: Tensor, task_label: int) -> Tensor:
        """Compute the logits of samples of one task.

        Args:
            x: `[batch, ...]`.
            task_label: The task.

        Returns:
            `[batch, classes]`.
        """
        return self.network(x).masked_fill(~self.allowed[task_label], -math.inf)
