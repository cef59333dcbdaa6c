"""One data set that comes in parts."""

import torch
from torch import Tensor

from metaplastic.choices import choose
from metaplastic.data import Dataset
from metaplastic.scenarios.augmentation import Augmentation, AugmentedView
from metaplastic.scenarios.scenario import Announced, Scenario, Task, Test
from metaplastic.scenarios.view import IndexView, View
from metaplastic.seeding import Purpose, generator


def stream(dataset: Dataset, parts: int, *, seed: int = 0, augment: Augmentation | str = Augmentation.NONE) -> Scenario:
    """Deal the training samples at random into parts that are learned one after the other.

    All parts are of one distribution: nothing changes at a boundary, and none is announced. One test set serves all.

    Args:
        dataset: The data to deal.
        parts: Number of parts, >= 1; sizes differ by at most one sample. One part is ordinary training.
        seed: Seed of the deal and of the augmentation.
        augment: How training images are moved, otherwise in every epoch; tests and statistics see them as they are.

    Returns:
        A scenario with `parts` tasks and one test.

    Raises:
        ValueError: When there are fewer samples than parts, or images are to be augmented and there are none.

    Example:
        >>> from metaplastic.data import load
        >>> scenario = stream(load("digits"), parts=10)
        >>> len(scenario.tasks), len(scenario.tests)
        (10, 1)

    References:
        Laborieux et al. 2021, "stream learning": Fashion-MNIST in 60 parts, CIFAR-10 in 20, augmented by
        `flip-and-crop-or-rotate`.
    """
    samples = len(dataset.train)
    if not 1 <= parts <= samples:
        raise ValueError(f"expected from 1 to {samples} parts of {dataset.name!r}, got {parts}")
    augment = choose(Augmentation, augment)
    order = torch.randperm(samples, generator=generator(seed, Purpose.SPLIT))

    def shown(rows: Tensor, part: int) -> View:
        view = IndexView(dataset.train, dataset.scale, rows=rows, offset=dataset.offset)
        return view if augment is Augmentation.NONE else AugmentedView(view, augment, seed, part)

    return Scenario(
        name=f"{dataset.name} in {parts} parts",
        tasks=tuple(
            Task(f"part {index + 1}", shown(rows, index), tests=(0,))
            for index, rows in enumerate(order.tensor_split(parts))
        ),
        tests=(Test(dataset.name, IndexView(dataset.test, dataset.scale, offset=dataset.offset)),),
        announced=Announced(),
        classes=dataset.classes,
        input_shape=dataset.input_shape,
        kind="stream",
    )
