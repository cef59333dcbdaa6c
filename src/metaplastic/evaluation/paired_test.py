"""Whether one method beats another over the same seeds: the exact paired permutation test."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

MOST_PAIRS = 20
"""With more pairs than this there are too many sign flips to go through them all."""


@dataclass(frozen=True)
class PairedTest:
    """What the test found.

    Args:
        difference: Mean of first minus second, in the unit of the values.
        p_value: Share of all sign flips whose mean is at least as far from 0, in (0, 1].
        pairs: Number of pairs.
    """

    difference: float
    p_value: float
    pairs: int

    @property
    def smallest_p(self) -> float:
        """The smallest p that so many pairs can give, `2 / 2^n`: that of differences of one sign."""
        return 2.0 ** (1 - self.pairs)


def paired_permutation_test(first: Sequence[float], second: Sequence[float]) -> PairedTest:
    r"""Test whether the mean of paired differences is 0, two-sided and exact.

    If the two methods were one, either sign of each difference would be as likely, whatever its distribution:

    .. math:: p = 2^{-n} \, \#\{s \in \{-1, 1\}^n : |\sum_i s_i d_i| \ge |\sum_i d_i|\}

    with :math:`d_i` = `first[i] - second[i]`. With 5 pairs no p is below 1/16 = 0.0625.

    Args:
        first: A value per pair, e.g. the accuracy of a method with each seed; at least one.
        second: The other value of each pair, in the same order and unit.

    Returns:
        Mean difference and p.

    Raises:
        ValueError: When the lengths differ, there is no pair or more than 20, or a value is not finite.

    Example:
        >>> found = paired_permutation_test([0.92, 0.91, 0.93, 0.90, 0.94], [0.90, 0.90, 0.91, 0.89, 0.90])
        >>> round(found.difference, 3), found.p_value, found.smallest_p
        (0.02, 0.0625, 0.0625)

    References:
        Fisher 1935, The Design of Experiments, section 21.
    """
    if len(first) != len(second) or not 1 <= len(first) <= MOST_PAIRS:
        raise ValueError(
            f"expected as many values of both, from 1 to {MOST_PAIRS}, got {len(first)} and {len(second)}; pair them "
            "by seed"
        )
    differences = np.array(first, dtype=np.float64) - np.array(second, dtype=np.float64)
    if not np.isfinite(differences).all():
        raise ValueError(f"expected finite values, got {list(first)} and {list(second)}; leave out runs that diverged")
    sums = np.zeros(1)
    for difference in differences:
        sums = np.concatenate([sums + difference, sums - difference])
    # Sums that are equal but for the order of their terms differ in the last bits.
    slack = 1e-12 * np.abs(differences).sum()
    p_value = float(np.mean(np.abs(sums) >= abs(differences.sum()) - slack))
    return PairedTest(float(differences.mean()), p_value, len(differences))
