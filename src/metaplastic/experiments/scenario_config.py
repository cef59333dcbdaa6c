"""What is learned, as frozen values: the scenarios, and what each of them announces."""

import enum
from dataclasses import dataclass

from metaplastic.choices import settle_choices
from metaplastic.scenarios import Announced, Augmentation, Grouping, Increment


@dataclass(frozen=True)
class Permuted:
    """Permuted images.

    Args:
        data: Name of a data set, or a path to your own.
        tasks: Number of tasks, >= 1.
        image_side: Height and width to which images are padded with zeros; None leaves them as they are.
        permute_first: Whether the first task is permuted too.
        permutation_seed: Seed of the permutations; None takes the run's seed.
        boundaries: Announce task boundaries in training.
        task_at_test: Tell the task at test.
    """

    data: str = "digits"
    tasks: int = 6
    image_side: int | None = None
    permute_first: bool = True
    permutation_seed: int | None = None
    boundaries: bool = False
    task_at_test: bool = False

    def __post_init__(self) -> None:
        at_least("tasks", self.tasks, 1)

    @property
    def announced(self) -> Announced:
        """What a learner is told."""
        return Announced(self.boundaries, self.task_at_test)


@dataclass(frozen=True)
class Sequence:
    """Several data sets one after the other.

    Args:
        data: Names or paths of the data sets, in order; one alone is what a sequence is compared with.
        samples: Number of training samples drawn from each data set; empty takes all.
        image_side: Height and width to which images are padded with zeros; None leaves them as they are.
        shared_head: Whether all answer with the same outputs.
        boundaries: Announce task boundaries in training.
        task_at_test: Tell the task at test.
    """

    data: tuple[str, ...] = ("mnist", "fashion-mnist")
    samples: tuple[int, ...] = ()
    image_side: int | None = None
    shared_head: bool = True
    boundaries: bool = False
    task_at_test: bool = False

    def __post_init__(self) -> None:
        at_least("number of data sets", len(self.data), 1)
        if self.samples and len(self.samples) != len(self.data):
            raise ValueError(
                f"expected one number of samples per data set, got {len(self.samples)} for {len(self.data)}; give none "
                "for all samples"
            )
        for count in self.samples:
            at_least("samples", count, 1)

    @property
    def announced(self) -> Announced:
        """What a learner is told."""
        return Announced(self.boundaries, self.task_at_test)


class Features(enum.StrEnum):
    """What a network is shown of an image."""

    PIXELS = "pixels"
    """The image itself."""
    RANDOM = "random"
    """512 features from one layer of fixed random filters, brought to mean 0 and deviation 1 in every sample: what
    stands for a pretrained network where there is none."""


@dataclass(frozen=True)
class Split:
    """The classes of one data set, divided into tasks.

    Args:
        data: Name of a data set, or a path to your own.
        tasks: Number of tasks, >= 1; it divides the number of classes.
        increment: What a new task adds.
        grouping: Which classes are learned together.
        features: What the network is shown of an image.
        boundaries: Announce task boundaries in training.
        task_at_test: Tell the task at test, while all outputs answer; increment `task` tells it in any case.
    """

    data: str = "mnist"
    tasks: int = 5
    increment: Increment = Increment.CLASS
    grouping: Grouping = Grouping.IN_ORDER
    features: Features = Features.PIXELS
    boundaries: bool = False
    task_at_test: bool = False

    def __post_init__(self) -> None:
        settle_choices(self)
        at_least("tasks", self.tasks, 1)

    @property
    def announced(self) -> Announced:
        """What a learner is told."""
        return Announced(self.boundaries, self.task_at_test or self.increment is Increment.TASK)


@dataclass(frozen=True)
class Stream:
    """One data set that comes in random parts.

    Args:
        data: Name of a data set, or a path to your own.
        parts: Number of parts, >= 1; 1 is ordinary training.
        augment: How training images are moved at random; tests see them as they are.
    """

    data: str = "fashion-mnist"
    parts: int = 60
    augment: Augmentation = Augmentation.NONE

    def __post_init__(self) -> None:
        settle_choices(self)
        at_least("parts", self.parts, 1)

    @property
    def announced(self) -> Announced:
        """What a learner is told: nothing, because nothing changes."""
        return Announced()


ScenarioConfig = Permuted | Sequence | Split | Stream


def at_least(name: str, value: int, least: int) -> None:
    """Fail for a number that is too small, or too large for PyTorch and NumPy to count with.

    Args:
        name: What it is the number of, for the message.
        value: The number.
        least: The least that it may be.

    Raises:
        ValueError: When it is less, or beyond 64 bits.
    """
    if value < least:
        raise ValueError(f"expected {name} >= {least}, got {value}")
    if value >= 2**63:
        raise ValueError(f"expected {name} within 64 bits, up to about 9.2e18, got {value}")
