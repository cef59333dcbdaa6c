"""Randomness as an argument: one generator per purpose, all derived from one seed."""

import enum
import hashlib

import torch


class Purpose(enum.StrEnum):
    """What a stream of random numbers is for; two purposes never share a stream."""

    INITIALIZATION = "initialization"
    """Hidden weights and normalisation gains before training."""
    BATCH_ORDER = "batch order"
    """Order of the training samples within an epoch."""
    PERMUTATION = "permutation"
    """Pixel permutations of the tasks."""
    SPLIT = "split"
    """Division of one data set into parts, or into training and test samples."""
    SUBSET = "subset"
    """Training samples of a data set that are learned, where not all are."""
    CALIBRATION = "calibration"
    """Training samples that normalisation statistics are taken from."""
    AUGMENTATION = "augmentation"
    """How training images are moved in an epoch."""
    FISHER = "fisher"
    """Training samples, and their labels, that a Fisher information is estimated from."""
    SHUFFLE = "shuffle"
    """Which synapse gets whose importance in a random consolidation."""
    PROBE = "probe"
    """What a probe of a trained network tries: which synapses it switches, which samples it looks at."""
    FEATURES = "features"
    """Filters of random features."""


def generator(seed: int, purpose: Purpose, *position: int) -> torch.Generator:
    """Make the generator that belongs to a seed, a purpose and a position.

    The state is a hash of the three, so a stream depends on nothing drawn before it: the batch order of epoch 3
    is the same whether or not epochs 0 to 2 were run in this process. No seed has a special meaning.

    Args:
        seed: The run's seed, any integer.
        purpose: What the numbers are for.
        *position: Where they are used, e.g. task and epoch.

    Returns:
        A CPU generator in the state given by the arguments.

    Example:
        >>> order = torch.randperm(5, generator=generator(0, Purpose.BATCH_ORDER, 2, 1))
        >>> again = torch.randperm(5, generator=generator(0, Purpose.BATCH_ORDER, 2, 1))
        >>> bool((order == again).all())
        True
    """
    text = "/".join([str(seed), purpose.value, *map(str, position)])
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "big") >> 1)
