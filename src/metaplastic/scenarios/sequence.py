"""Several data sets one after the other."""

from collections.abc import Sequence

import torch

from metaplastic.data import Dataset
from metaplastic.scenarios.scenario import Announced, Scenario, Task, Test
from metaplastic.scenarios.view import IndexView


def sequence(datasets: Sequence[Dataset], *, shared_head: bool = True, announced: Announced = Announced()) -> Scenario:
    """Make one task of each data set, in the order given.

    Args:
        datasets: At least two data sets with inputs of one shape, e.g. MNIST then Fashion-MNIST.
        shared_head: Whether all data sets answer with the same outputs (label 3 of each is output 3), or each class
            of each data set has an output of its own.
        announced: What a learner is told.

    Returns:
        A domain-incremental scenario with a shared head, else a class-incremental one; task-incremental if the task
        is announced at test.

    Raises:
        ValueError: When there is no data set, or inputs differ in shape or scale.

    Example:
        >>> from metaplastic.data import load
        >>> sequence([load("digits"), load("digits")], shared_head=False).classes
        20

    References:
        Laborieux et al. 2021, MNIST then Fashion-MNIST with ten shared outputs.
    """
    if not datasets:
        raise ValueError("expected at least two data sets, got none; give them in the order in which they are learned")
    first = datasets[0]
    for other in datasets[1:]:
        if (other.input_shape, other.scale) != (first.input_shape, first.scale):
            raise ValueError(
                f"expected data sets of one shape and scale, got {first.name!r} with {first.input_shape} times "
                f"{first.scale} and {other.name!r} with {other.input_shape} times {other.scale}; pad or rescale one"
            )
    heads = [0] * len(datasets) if shared_head else [sum(d.classes for d in datasets[:i]) for i in range(len(datasets))]
    labels = [torch.arange(data.classes) + first_output for data, first_output in zip(datasets, heads, strict=True)]
    by_head = "domain-incremental" if shared_head else "class-incremental"
    parts = list(enumerate(zip(_names(datasets), datasets, labels, strict=True)))
    return Scenario(
        name=" then ".join(data.name for data in datasets),
        tasks=tuple(
            Task(name, IndexView(data.train, data.scale, labels=shown), tests=(index,))
            for index, (name, data, shown) in parts
        ),
        tests=tuple(
            Test(name, IndexView(data.test, data.scale, labels=shown), task=index)
            for index, (name, data, shown) in parts
        ),
        announced=announced,
        classes=max(int(shown.max()) for shown in labels) + 1,
        input_shape=first.input_shape,
        kind="task-incremental" if announced.task_at_test else by_head,
    )


def _names(datasets: Sequence[Dataset]) -> list[str]:
    """Name each task after its data set, numbered where a data set comes twice."""
    names = [data.name for data in datasets]
    return names if len(set(names)) == len(names) else [f"{name} {index + 1}" for index, name in enumerate(names)]
