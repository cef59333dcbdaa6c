"""Samples to choose settings by, taken from the training samples, so that no choice is made on the test samples."""

from dataclasses import replace

import torch

from metaplastic.data.arrays import stratified_split
from metaplastic.data.dataset import Dataset, Samples


def held_out(dataset: Dataset, share: float, seed: int = 0) -> Dataset:
    """Put held-out training samples in the place of the test samples.

    Args:
        dataset: The data set.
        share: Share of the training samples that is held out, class by class, in (0, 1).
        seed: Of the draw.

    Returns:
        A data set that is trained on the other training samples and tested on those held out; its own test samples are
        not in it.

    Raises:
        ValueError: When the share is not in (0, 1), or a class is too small to be in both parts.

    Example:
        >>> from metaplastic.data import load
        >>> digits = load("digits")
        >>> part = held_out(digits, 0.25)
        >>> len(part.train) + len(part.test) == len(digits.train)
        True
    """
    train, validation = stratified_split(dataset.train.labels.numpy(), share, seed)

    def part(rows: torch.Tensor) -> Samples:
        return Samples(dataset.train.inputs[rows], dataset.train.labels[rows])

    return replace(dataset, train=part(torch.from_numpy(train)), test=part(torch.from_numpy(validation)))
