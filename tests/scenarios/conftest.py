import pytest
import torch

from metaplastic.data import Dataset, Samples


def part(samples, shape, classes, first_mark):
    """Images whose first pixels spell a number of their own; labels in a shuffled but complete order."""
    random = torch.Generator().manual_seed(first_mark)
    inputs = torch.randint(0, 256, (samples, *shape), generator=random, dtype=torch.uint8)
    marks = torch.arange(first_mark, first_mark + samples)
    flat = inputs.flatten(1)  # a view: marking it marks the images
    flat[:, 0], flat[:, 1] = (marks // 256).to(torch.uint8), (marks % 256).to(torch.uint8)
    labels = (torch.arange(samples) % classes)[torch.randperm(samples, generator=random)]
    return Samples(inputs, labels)


@pytest.fixture
def make():
    """Makes data sets in which no two images are equal."""

    def made(name="marked", train=23, test=11, shape=(3, 4), classes=4, first_mark=0, scale=1 / 256):
        names = tuple(f"{name}-{label}" for label in range(classes))
        return Dataset(
            name,
            part(train, shape, classes, first_mark),
            part(test, shape, classes, first_mark + train),
            names,
            scale,
        )

    return made


@pytest.fixture
def shown():
    """All samples of a view: rows of inputs (flattened) and labels, as plain numbers."""

    def of(view):
        inputs, labels = view.batch(torch.arange(len(view)))
        return inputs.flatten(1).tolist(), labels.tolist()

    return of
