"""The classes of one data set, divided into tasks."""

import enum
from collections.abc import Sequence

import torch
from torch import Tensor

from metaplastic.choices import choose
from metaplastic.data import Dataset, Samples
from metaplastic.scenarios.scenario import Announced, Scenario, Task, Test
from metaplastic.scenarios.view import IndexView


class Increment(enum.StrEnum):
    """What a new task adds, in the taxonomy of van de Ven and Tolias (arXiv 1904.07734)."""

    TASK = "task"
    """New classes, and the task is told: only its outputs answer."""
    DOMAIN = "domain"
    """New classes behind the same outputs: the first class of every task is output 0, and so on."""
    CLASS = "class"
    """New classes with outputs of their own; the task is not told."""


class Grouping(enum.StrEnum):
    """Which classes of a data set are learned together."""

    IN_ORDER = "in-order"
    """Classes in their order, as many in each task."""
    VEHICLES_ANIMALS = "vehicles-animals"
    """The paper's two tasks of CIFAR-10: the authors' "vehicles", a horse among them, then their "animals"."""


VEHICLES, ANIMALS = ("airplane", "automobile", "horse", "ship", "truck"), ("bird", "cat", "deer", "dog", "frog")
"""The authors' halves of CIFAR-10, which are of one size because the horse is among the vehicles."""


def class_groups(dataset: Dataset, tasks: int, grouping: Grouping | str = Grouping.IN_ORDER) -> list[tuple[int, ...]]:
    """Divide the classes of a data set into tasks.

    Args:
        dataset: Data with labels.
        tasks: Number of tasks, >= 1.
        grouping: Which classes are learned together.

    Returns:
        Labels of each task, for `split`.

    Raises:
        ValueError: When the classes cannot be divided so.

    Example:
        >>> from metaplastic.data import load
        >>> class_groups(load("digits"), 2)
        [(0, 1, 2, 3, 4), (5, 6, 7, 8, 9)]

    Deviation from the authors' code: there the animals are renumbered 0 to 4 and the vehicles 5 to 9. Here labels are
    those of the data set, which exchanges outputs that are drawn alike.
    """
    if choose(Grouping, grouping) is Grouping.VEHICLES_ANIMALS:
        return _vehicles_animals(dataset, tasks)
    if tasks < 1 or dataset.classes % tasks:
        raise ValueError(
            f"expected a number of tasks that divides the {dataset.classes} classes of {dataset.name!r}, got {tasks}"
        )
    size = dataset.classes // tasks
    return [tuple(range(first, first + size)) for first in range(0, dataset.classes, size)]


def _vehicles_animals(dataset: Dataset, tasks: int) -> list[tuple[int, ...]]:
    if tasks != 2 or set(dataset.class_names) != {*VEHICLES, *ANIMALS}:
        raise ValueError(
            f"expected 2 tasks of the classes of CIFAR-10 with grouping 'vehicles-animals', got {tasks} of "
            f"{dataset.name!r} with classes {', '.join(dataset.class_names)}; use 'in-order'"
        )
    return [tuple(map(dataset.class_names.index, group)) for group in (VEHICLES, ANIMALS)]


def split(
    dataset: Dataset,
    classes: Sequence[Sequence[int]],
    increment: Increment | str = Increment.CLASS,
    *,
    announced: Announced = Announced(),
) -> Scenario:
    """Make tasks of disjoint groups of classes.

    Args:
        dataset: Data with labels.
        classes: Labels of each task, e.g. `[(0, 1), (2, 3)]`; no label in two tasks.
        increment: What a new task adds.
        announced: What a learner is told. With `Increment.TASK` the task is told at test in any case; with another it
            may be told while all outputs answer, as the authors tell it to the normalisation.

    Returns:
        A scenario of the kind named.

    Raises:
        ValueError: When there is no task, a label does not exist or is in two tasks, or tasks of different sizes
            share outputs.

    Example:
        >>> from metaplastic.data import load
        >>> scenario = split(load("digits"), [(0, 1), (2, 3)], "domain")
        >>> scenario.classes, [len(task.view) for task in scenario.tasks]
        (2, [287, 288])

    References:
        Zenke et al. 2017, arXiv 1703.04200; van de Ven and Tolias 2019, arXiv 1904.07734.
    """
    increment = choose(Increment, increment)
    announced = Announced(announced.boundaries, announced.task_at_test or increment is Increment.TASK)
    groups = [tuple(group) for group in classes]
    _check(groups, dataset, increment)
    names = [" ".join(dataset.class_names[label] for label in group) for group in groups]
    outputs = [group if increment is Increment.TASK else None for group in groups]
    shown = [_labels_shown(group, dataset.classes, increment) for group in groups]

    def views(samples: Samples) -> list[IndexView]:
        return [
            IndexView(samples, dataset.scale, rows=_rows(samples, group), labels=labels, offset=dataset.offset)
            for group, labels in zip(groups, shown, strict=True)
        ]

    return Scenario(
        name=f"split {dataset.name}",
        tasks=tuple(
            Task(name, view, out, tests=(i,))
            for i, (name, view, out) in enumerate(zip(names, views(dataset.train), outputs, strict=True))
        ),
        tests=tuple(
            Test(name, view, i, out)
            for i, (name, view, out) in enumerate(zip(names, views(dataset.test), outputs, strict=True))
        ),
        announced=announced,
        classes=len(groups[0]) if increment is Increment.DOMAIN else dataset.classes,
        input_shape=dataset.input_shape,
        kind="task-incremental" if announced.task_at_test else f"{increment}-incremental",
    )


def _check(groups: list[tuple[int, ...]], dataset: Dataset, increment: Increment) -> None:
    if not groups:
        raise ValueError("expected at least one group of classes, got none; e.g. [(0, 1), (2, 3)]")
    labels = [label for group in groups for label in group]
    outside = [label for label in labels if not 0 <= label < dataset.classes]
    if outside:
        raise ValueError(
            f"expected labels from 0 to {dataset.classes - 1}, got {outside}; {dataset.name!r} has no others"
        )
    if len(set(labels)) < len(labels):
        raise ValueError(f"expected each label in one task, got {groups}; remove the label that occurs twice")
    if increment is Increment.DOMAIN and len({len(group) for group in groups}) > 1:
        raise ValueError(f"expected tasks of one size to share their outputs, got {groups}; use 'class' or 'task'")


def _rows(samples: Samples, group: tuple[int, ...]) -> Tensor:
    return torch.isin(samples.labels, torch.tensor(group)).nonzero().flatten()


def _labels_shown(group: tuple[int, ...], classes: int, increment: Increment) -> Tensor | None:
    """Label shown for each stored one: its place in the task, except where classes have outputs of their own."""
    if increment is Increment.CLASS:
        return None
    shown = torch.zeros(classes, dtype=torch.int64)
    shown[list(group)] = torch.arange(len(group))
    return shown
