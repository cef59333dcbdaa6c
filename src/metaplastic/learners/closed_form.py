"""Learning without gradients: classifiers that are shown every sample once, and are never shown it again."""

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Protocol, runtime_checkable

from torch import Tensor

from metaplastic.learners.loop import Event, Moment, Position, Schedule
from metaplastic.scenarios import Scenario, Task


@runtime_checkable
class ClosedForm(Protocol):
    """A classifier that is a formula of statistics of the samples it has seen; its state is in its buffers."""

    def observe(self, inputs: Tensor, labels: Tensor) -> None:
        """Take in some samples: inputs `[batch, ...]`, and labels `[batch]` from 0."""
        ...


def observe_scenario(
    classifier: ClosedForm, scenario: Scenario, *, schedule: Schedule, start: Position = Position()
) -> Iterator[Event]:
    """Show the tasks of a scenario to a classifier in order, yielding what `learn` yields.

    Labels that count within a task's outputs are shown as the outputs that they stand for. Nothing needs to be
    announced. There is no loss: that of every event is not a number.

    Args:
        classifier: What observes the samples.
        scenario: What is learned.
        schedule: Batches and their order; there is one epoch, because a second would repeat what was counted.
        start: Where to begin, with the classifier as it was there.

    Yields:
        Events, in the order in which they happen.

    Raises:
        ValueError: When there is more than one epoch, or a label is no output of its task.

    Example:
        >>> from metaplastic.data import load
        >>> from metaplastic.learners.nearest_mean import NearestMean
        >>> from metaplastic.scenarios import split
        >>> scenario = split(load("digits"), [(0, 1), (2, 3)])
        >>> events = list(observe_scenario(NearestMean(64, 10), scenario, schedule=Schedule(epochs=1)))
        >>> [event.task for event in events if event.moment is Moment.TASK]
        [0, 1]
    """
    if schedule.epochs != 1:
        raise ValueError(
            f"expected one epoch for {type(classifier).__name__}, got {schedule.epochs}: it takes in every sample "
            "once, and a second pass would count it twice; set epochs to 1"
        )
    for index in range(start.task, len(scenario.tasks)):
        at = start if index == start.task else Position(index)
        if at.epoch == 0:
            yield from _epoch(classifier, scenario.tasks[index], schedule, at)
        yield _event(Moment.TASK, index, Position(index + 1))


def _epoch(classifier: ClosedForm, task: Task, schedule: Schedule, at: Position) -> Iterator[Event]:
    for rows in schedule.batches(task, at.task, 0)[at.step :]:
        inputs, labels = task.view.batch(rows)
        classifier.observe(inputs, _as_outputs(labels, task))
        at = replace(at, step=at.step + 1)
        yield _event(Moment.STEP, at.task, at)
    yield _event(Moment.EPOCH, at.task, Position(at.task, epoch=1))


def _event(moment: Moment, task: int, position: Position) -> Event:
    return Event(moment, task, 0, (math.nan,), position)


def _as_outputs(labels: Tensor, task: Task) -> Tensor:
    """Turn labels that count within the outputs of a task into outputs."""
    if task.outputs is None:
        return labels
    if int(labels.max()) >= len(task.outputs):
        raise ValueError(
            f"expected labels below {len(task.outputs)}, the outputs that learn {task.name!r}, got "
            f"{int(labels.max())}; labels count within the outputs of their task"
        )
    return labels.new_tensor(task.outputs)[labels]
