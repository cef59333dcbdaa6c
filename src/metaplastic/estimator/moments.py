"""Means and deviations of features of samples that come one after the other."""

from dataclasses import dataclass

import numpy as np

FURTHEST = 8.0
"""Deviations from the mean beyond which a feature is cut off."""


@dataclass(frozen=True, eq=False)
class Moments:
    r"""Number, mean and summed squared deviations of samples, feature by feature.

    Args:
        count: Number of samples.
        mean: `[features]`, float64.
        squares: `[features]`, float64: squared deviations from the mean, added up.

    Example:
        >>> first, second = Moments.of(np.array([[1.0], [3.0]])), Moments.of(np.array([[8.0]]))
        >>> both = first.merged(second)
        >>> both.mean.tolist(), both.squares.tolist()
        ([4.0], [26.0])
    """

    count: int
    mean: np.ndarray
    squares: np.ndarray

    @classmethod
    def of(cls, x: np.ndarray) -> "Moments":
        """Take the moments of samples.

        Args:
            x: `[samples, features]`, at least one sample.

        Returns:
            Their moments.
        """
        mean = x.mean(0, dtype=np.float64)
        return cls(len(x), mean, np.square(x - mean).sum(0))

    def merged(self, other: "Moments") -> "Moments":
        r"""Take the moments of two sets of samples together.

        .. math:: \mu = \mu_a + \frac{n_b}{n_a + n_b} \delta, \quad S = S_a + S_b + \frac{n_a n_b}{n_a + n_b} \delta^2,
            \quad \delta = \mu_b - \mu_a

        with :math:`n` the `count`, :math:`\mu` the `mean` and :math:`S` the `squares`.

        Args:
            other: Moments of the other samples.

        Returns:
            Those of all.

        References:
            Chan, Golub and LeVeque 1983, The American Statistician 37:242.
        """
        count, apart = self.count + other.count, other.mean - self.mean
        share = other.count / count
        squares = self.squares + other.squares + self.count * share * np.square(apart)
        return Moments(count, self.mean + share * apart, squares)

    @property
    def deviation(self) -> np.ndarray:
        """`[features]`: the standard deviation; 1 where all samples were equal, up to rounding."""
        variance = self.squares / self.count
        constant = variance <= np.square(self.count * np.finfo(np.float64).eps * self.mean)
        return np.where(constant, 1.0, np.sqrt(variance))

    def standardised(self, x: np.ndarray) -> np.ndarray:
        """Standardise samples.

        Args:
            x: `[samples, features]`.

        Returns:
            Same shape, float64, cut off where they are further than 8 deviations away.
        """
        return np.clip((x - self.mean) / self.deviation, -FURTHEST, FURTHEST)
