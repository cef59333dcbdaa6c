"""Several data sets one after the other."""

from collections.abc import Sequence

import torch
from torch import Tensor

from metaplastic.data import Dataset
from metaplastic.scenarios.scenario import Announced, Scenario, Task, Test
from metaplastic.scenarios.view import IndexView
from metaplastic.seeding import Purpose, generator


def sequence(
    datasets: Sequence[Dataset],
    *,
    samples: Sequence[int] = (),
    seed: int = 0,
    shared_head: bool = True,
    announced: Announced = Announced(),
) -> Scenario:
    """Make one task of each data set, in the order given.

    Args:
        datasets: Data sets with inputs of one shape, e.g. MNIST then Fashion-MNIST; one alone is what a sequence is
            compared with.
        samples: Number of training samples of each data set, drawn at random without regard to their classes; empty
            takes all. Tests are whole.
        seed: Seed of that draw. A data set gives the same samples wherever in a sequence it stands, and fewer of them
            are some of those that more would be.
        shared_head: Whether all data sets answer with the same outputs (label 3 of each is output 3), or each class
            of each data set has an output of its own.
        announced: What a learner is told.

    Returns:
        A domain-incremental scenario with a shared head, else a class-incremental one; task-incremental if the task
        is announced at test.

    Raises:
        ValueError: When there is no data set, inputs differ in shape, scale or offset, or there are fewer samples.

    Example:
        >>> from metaplastic.data import load
        >>> sequence([load("digits"), load("digits")], shared_head=False).classes
        20
        >>> scenario = sequence([load("digits"), load("digits")], samples=(200, 180))
        >>> [len(task.view) for task in scenario.tasks]
        [200, 180]

    References:
        Laborieux et al. 2021, MNIST then Fashion-MNIST with ten shared outputs; 2,000 samples of MNIST, then 1,800 of
        USPS.

    Deviation from the authors' code: there a subset is a block of neighbouring samples, at an offset that no seed sets.
    """
    if not datasets:
        raise ValueError("expected at least one data set, got none; give them in the order in which they are learned")
    first = datasets[0]
    for other in datasets[1:]:
        if (other.input_shape, other.scale, other.offset) != (first.input_shape, first.scale, first.offset):
            raise ValueError(
                f"expected data sets of one shape, scale and offset, got {first.name!r} with {first.input_shape} times "
                f"{first.scale} plus {first.offset} and {other.name!r} with {other.input_shape} times {other.scale} "
                f"plus {other.offset}; pad the images (Dataset.padded, --image-side) or rescale one"
            )
    rows = _drawn(datasets, samples, seed) if samples else [None] * len(datasets)
    heads = [0] * len(datasets) if shared_head else [sum(d.classes for d in datasets[:i]) for i in range(len(datasets))]
    labels = [torch.arange(data.classes) + first_output for data, first_output in zip(datasets, heads, strict=True)]
    by_head = "domain-incremental" if shared_head else "class-incremental"
    parts = list(enumerate(zip(_names(datasets), datasets, labels, rows, strict=True)))
    portions = [f"{count} of " for count in samples] or [""] * len(datasets)
    return Scenario(
        name=" then ".join(portion + data.name for portion, data in zip(portions, datasets, strict=True)),
        tasks=tuple(
            Task(name, IndexView(data.train, data.scale, rows=chosen, labels=shown, offset=data.offset), tests=(index,))
            for index, (name, data, shown, chosen) in parts
        ),
        tests=tuple(
            Test(name, IndexView(data.test, data.scale, labels=shown, offset=data.offset), task=index)
            for index, (name, data, shown, _) in parts
        ),
        announced=announced,
        classes=max(int(shown.max()) for shown in labels) + 1,
        input_shape=first.input_shape,
        kind="task-incremental" if announced.task_at_test else by_head,
    )


def _drawn(datasets: Sequence[Dataset], samples: Sequence[int], seed: int) -> list[Tensor]:
    """Draw rows of the training samples of each data set."""
    if len(samples) != len(datasets):
        raise ValueError(
            f"expected one number of samples per data set, got {len(samples)} for {len(datasets)}; give none for all"
        )
    for data, count in zip(datasets, samples, strict=True):
        if not 1 <= count <= len(data.train):
            raise ValueError(
                f"expected from 1 to {len(data.train)} samples of {data.name!r}, got {count}; ask for fewer"
            )
    return [
        torch.randperm(len(data.train), generator=generator(seed, Purpose.SUBSET))[:count].sort().values
        for data, count in zip(datasets, samples, strict=True)
    ]


def _names(datasets: Sequence[Dataset]) -> list[str]:
    """Name each task after its data set, numbered where a data set comes twice."""
    names = [data.name for data in datasets]
    return names if len(set(names)) == len(names) else [f"{name} {index + 1}" for index, name in enumerate(names)]
