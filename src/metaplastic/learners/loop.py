"""The one training loop. It owns no policy: it yields what happened, and whoever asked decides what to do."""

import enum
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from metaplastic.learners.descent import Descent, descent
from metaplastic.learners.finetune import FineTune
from metaplastic.learners.learner import Learner, NeedsBoundaries
from metaplastic.nn import Scope, Statistics, keep_task, normalizations, recalibrate
from metaplastic.scenarios import Scenario, Task
from metaplastic.seeding import Purpose, generator


class NonFiniteLossError(RuntimeError):
    """The loss became infinite or not a number, or a weight was found so at the end of an epoch.

    In the first case the weights are those before the step that would have used the loss.
    """


class Moment(enum.StrEnum):
    """When an event happens."""

    STEP = "step"
    """The optimizer made a step."""
    EPOCH = "epoch"
    """Every sample of the task was seen once more."""
    TASK = "task"
    """A task ended: the learner's hook ran, statistics were taken and kept."""


@dataclass(frozen=True)
class Position:
    """Where training stands: the next step to be made.

    Args:
        task: Index of the task.
        epoch: Epochs of that task already complete.
        step: Steps of that epoch already made.
        loss_sums: Sums of the losses of those steps, one per member of a stack of networks.
    """

    task: int = 0
    epoch: int = 0
    step: int = 0
    loss_sums: tuple[float, ...] = (0.0,)

    def after(self, losses: tuple[float, ...]) -> "Position":
        """Move on by one step.

        Args:
            losses: Of the step.

        Returns:
            The next position.
        """
        before = self.loss_sums if self.step else (0.0,) * len(losses)
        sums = tuple(one + other for one, other in zip(before, losses, strict=True))
        return replace(self, step=self.step + 1, loss_sums=sums)


@dataclass(frozen=True)
class Event:
    """Something happened in training.

    Args:
        moment: What.
        task: Index of the task it happened in.
        epoch: Index of the epoch within the task.
        losses: Of the step, or the means over the epoch's steps, penalty included: one per member of a stack.
        position: Where training goes on: all that a checkpoint needs to know of the loop.
    """

    moment: Moment
    task: int
    epoch: int
    losses: tuple[float, ...]
    position: Position

    @property
    def loss(self) -> float:
        """The loss, for a stack the mean over its members."""
        return sum(self.losses) / len(self.losses)


@dataclass(frozen=True)
class Schedule:
    """How long, in what order and in what portions samples are shown.

    Args:
        epochs: Passes over each task, >= 1.
        batch_size: Samples per step, >= 1. An epoch is cut into as few batches as hold at most so many, and they
            differ by at most one sample: there is no small last batch, whose statistics would be poor. Where that would
            leave a batch of one, there is one batch fewer.
        seed: Seed of the order, which depends on nothing else but task and epoch; for a stack one per member.
        reset_optimizer: Whether the optimizer's state is cleared when a task begins; needs announced boundaries.
        lr_division: What the learning rate is divided by at every boundary, >= 1; another value than 1 needs announced
            boundaries.
        calibration_samples: Training samples that recalibrated statistics are taken from, >= 2, 1,000 or more
            recommended; all are used where a task has fewer.

    Raises:
        ValueError: When a value is out of range.
    """

    epochs: int
    batch_size: int = 100
    seed: int | tuple[int, ...] = 0
    reset_optimizer: bool = False
    lr_division: float = 1.0
    calibration_samples: int = 5000

    def __post_init__(self) -> None:
        for name, least in (("epochs", 1), ("batch_size", 1), ("calibration_samples", 2)):
            if getattr(self, name) < least:
                raise ValueError(f"expected {name} >= {least}, got {getattr(self, name)}")
        if not 1 <= self.lr_division < math.inf:
            raise ValueError(f"expected lr_division >= 1 and finite, got {self.lr_division}; 1 leaves the rate alone")

    def steps(self, task: Task) -> int:
        """Count the steps of one epoch of a task.

        Args:
            task: The task.

        Returns:
            Batches per epoch.
        """
        samples, batches = len(task.view), math.ceil(len(task.view) / self.batch_size)
        alone = self.batch_size > 1 and batches > 1 and samples // batches == 1
        return batches - 1 if alone else batches

    def batches(self, task: Task, index: int, epoch: int, device: torch.device | None = None) -> tuple[Tensor, ...]:
        """Deal the rows of a task into the batches of one epoch.

        Args:
            task: The task.
            index: Its index.
            epoch: Index of the epoch.
            device: Where the rows are needed; the order does not depend on it.

        Returns:
            One tensor of rows per step: `[batch]`, or `[batch, members]` where there is a seed per member.
        """
        order = self._order(task, Purpose.BATCH_ORDER, index, epoch)
        return order.to(device or order.device).tensor_split(
            self.steps(task)
        )  # at once: every copy to a GPU takes its time

    def calibration_rows(self, task: Task, index: int) -> Tensor:
        """Draw the samples of a task that recalibrated statistics are taken from.

        Args:
            task: The task.
            index: Its index.

        Returns:
            Rows, in the shape of those of a batch.
        """
        return self._order(task, Purpose.CALIBRATION, index)[: self.calibration_samples]

    def _order(self, task: Task, purpose: Purpose, *position: int) -> Tensor:
        seeds = self.seed if isinstance(self.seed, Sequence) else (self.seed,)
        orders = [torch.randperm(len(task.view), generator=generator(seed, purpose, *position)) for seed in seeds]
        return torch.stack(orders, 1) if isinstance(self.seed, Sequence) else orders[0]


def learn(
    network: nn.Module,
    scenario: Scenario,
    optimizer: torch.optim.Optimizer,
    learner: Learner = FineTune(),
    *,
    schedule: Schedule,
    start: Position = Position(),
) -> Iterator[Event]:
    """Learn the tasks of a scenario in order, yielding every step, epoch and task that ends.

    The generator holds no state of its own beyond `Event.position`: with the network, the optimizer and the learner
    put back as they were at an event, and `start` set to its position, training goes on with the same bits. Where the
    learning rate is divided, a group's state holds the undivided one too, as `undivided_lr`, which counts.

    Args:
        network: Any module that maps inputs to logits; its mode is left as found.
        scenario: What is learned; it is what `learner.curriculum` returned.
        optimizer: Holds the network's parameters.
        learner: The continual-learning method.
        schedule: Epochs, batches and their order.
        start: Where to begin.

    Yields:
        Events, in the order in which they happen.

    Raises:
        ValueError: When network, learner or schedule need something that the scenario does not announce.

    Example:
        >>> from metaplastic.data import load
        >>> from metaplastic.nn import BinaryMLP
        >>> from metaplastic.scenarios import permuted
        >>> net, scenario = BinaryMLP([64, 16, 10]), permuted(load("digits"), tasks=2)
        >>> optimizer = torch.optim.Adam(net.parameters(), lr=5e-3)
        >>> events = list(learn(net, scenario, optimizer, schedule=Schedule(epochs=1)))
        >>> [event.task for event in events if event.moment is Moment.TASK]
        [0, 1]
    """
    require_announced(network, scenario, schedule, learner)
    modes = [(module, module.training) for module in network.modules()]
    rates = [group.get(_UNDIVIDED, group["lr"]) for group in optimizer.param_groups]
    try:
        for index in range(start.task, len(scenario.tasks)):
            begin = start if index == start.task else Position(index)
            _set_rates(optimizer, rates, schedule.lr_division, index)
            if schedule.reset_optimizer and (begin.epoch, begin.step) == (0, 0):
                optimizer.state.clear()
            steps = descent(network, scenario.tasks[index], optimizer, learner)
            for epoch in range(begin.epoch, schedule.epochs):
                at = begin if epoch == begin.epoch else Position(index, epoch)
                yield from _epoch(network, scenario, steps, learner, schedule, at)
            calibrate(network, scenario.tasks[index], index, schedule)
            keep_task(network, index)
            learner.end_task(scenario.tasks[index], index)
            yield Event(Moment.TASK, index, schedule.epochs - 1, (math.nan,), Position(index + 1))
    finally:
        for module, mode in modes:
            module.training = mode
        _set_rates(optimizer, rates, schedule.lr_division, 0)
        for group in optimizer.param_groups:
            group.pop(_UNDIVIDED, None)


_UNDIVIDED = "undivided_lr"
"""Key of a group's rate in the first task, so that what an optimizer saves within a later one is not divided twice."""


def _set_rates(optimizer: torch.optim.Optimizer, rates: list[float], division: float, index: int) -> None:
    """Set the learning rates of a task; where nothing is divided they are left to whoever else changes them."""
    if division != 1:
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group |= {"lr": rate / division**index, _UNDIVIDED: rate}


def require_announced(
    network: nn.Module, scenario: Scenario, schedule: Schedule, learner: Learner = FineTune()
) -> None:
    """Fail if network, schedule or learner need to know what the scenario does not announce.

    Args:
        network: Its normalisations may be kept per task.
        scenario: Says what is announced.
        schedule: May reset the optimizer at boundaries.
        learner: May do something where a task ends.

    Raises:
        ValueError: When something is needed that is not announced.
    """
    if isinstance(learner, NeedsBoundaries):
        learner.curriculum(scenario)
    if schedule.reset_optimizer:
        scenario.require_boundaries("an optimizer reset at each task")
    if schedule.lr_division != 1:
        scenario.require_boundaries("a learning rate divided at each task")
    if any(layer.policy.scope is Scope.PER_TASK for layer in normalizations(network)):
        scenario.require_boundaries("normalisation kept per task")
        scenario.require_task_at_test("normalisation kept per task")


def calibrate(network: nn.Module, task: Task, index: int, schedule: Schedule) -> None:
    """Take recalibrated statistics from the training samples of a task; other policies are left alone.

    Args:
        network: Any module.
        task: The task that is, or was last, learned.
        index: Its index.
        schedule: Says how many samples and which.
    """
    if not any(layer.policy.statistics is Statistics.RECALIBRATED for layer in normalizations(network)):
        return
    inputs, _ = task.view.batch(schedule.calibration_rows(task, index))
    recalibrate(network, inputs)


def _epoch(
    network: nn.Module,
    scenario: Scenario,
    steps: Descent,
    learner: Learner,
    schedule: Schedule,
    at: Position,
) -> Iterator[Event]:
    task = scenario.tasks[at.task].in_epoch(at.epoch)
    network.train()
    device = next((parameter.device for parameter in network.parameters()), None)
    batches = schedule.batches(task, at.task, at.epoch, device)
    for rows in batches[at.step :]:
        losses = steps.losses(task, rows)
        _require_finite(losses, task, at)
        steps.move()
        learner.after_step()
        at = at.after(losses)
        yield Event(Moment.STEP, at.task, at.epoch, losses, at)
        network.train()  # whoever took the event may have evaluated
    _require_finite_weights(network, task)
    means = tuple(total / len(batches) for total in at.loss_sums)
    yield Event(Moment.EPOCH, at.task, at.epoch, means, Position(at.task, at.epoch + 1))


def _require_finite(losses: tuple[float, ...], task: Task, at: Position) -> None:
    if all(map(math.isfinite, losses)):
        return
    got = losses[0] if len(losses) == 1 else losses
    raise NonFiniteLossError(
        f"expected a finite loss, got {got} in {task.name!r} (task {at.task + 1}), epoch {at.epoch + 1}, step "
        f"{at.step + 1}; lower the learning rate, or look for infinite values in the inputs"
    )


def _require_finite_weights(network: nn.Module, task: Task) -> None:
    """Catch what a sign would hide from the loss; once an epoch, because it reads every weight."""
    for name, parameter in network.named_parameters():
        if parameter.numel() == 0:
            continue
        low, high = torch.aminmax(parameter.detach())
        if not (math.isfinite(low) and math.isfinite(high)):
            raise NonFiniteLossError(
                f"expected finite weights after an epoch of {task.name!r}, got values from {low} to {high} in "
                f"{name!r}; lower the learning rate"
            )
