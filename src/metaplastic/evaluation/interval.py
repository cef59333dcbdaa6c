"""How sure a mean over seeds is: Student's interval."""

import math

import numpy as np
from jaxtyping import Float64


def student_quantile(degrees: int, confidence: float = 0.95) -> float:
    r"""Find the t that Student's distribution stays within, on both sides, with some probability.

    The distribution of :math:`\nu` = `degrees` is a finite sum in :math:`\theta = \arctan(t / \sqrt\nu)`, which is
    solved for :math:`\theta` by bisection.

    Args:
        degrees: Degrees of freedom, >= 1.
        confidence: That probability, in (0, 1).

    Returns:
        t > 0.

    Raises:
        ValueError: When an argument is out of range.

    Example:
        >>> round(student_quantile(4), 3), round(student_quantile(1), 2)
        (2.776, 12.71)

    References:
        Abramowitz & Stegun 1964, 26.7.3 and 26.7.4.
    """
    if degrees < 1 or not 0 < confidence < 1:
        raise ValueError(
            f"expected at least one degree of freedom and a confidence in (0, 1), got {degrees} and {confidence}; an "
            "interval needs two values"
        )
    low, high = 0.0, math.pi / 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _within(middle, degrees) < confidence else (low, middle)
    return math.sqrt(degrees) * math.tan((low + high) / 2)


def mean_interval(
    values: Float64[np.ndarray, "seed ..."], confidence: float = 0.95
) -> tuple[Float64[np.ndarray, "..."], Float64[np.ndarray, "..."]]:
    r"""Compute means over seeds and how far their intervals reach, :math:`t_{n-1} s / \sqrt n` to either side.

    :math:`s` is the standard deviation over the :math:`n` seeds with n - 1 in its denominator.

    Args:
        values: One entry or array per seed, at least one, any unit.
        confidence: Share of such intervals that hold the true mean, if the values are normally distributed; in (0, 1).

    Returns:
        Means and half widths, without the axis of seeds; the half width is not a number with one seed.

    Example:
        >>> mean, half = mean_interval(np.array([[1.0], [2.0], [3.0]]))
        >>> mean.tolist(), half.round(3).tolist()
        ([2.0], [2.484])
    """
    mean = np.asarray(values.mean(axis=0))
    if len(values) < 2:
        return mean, np.full(mean.shape, np.nan)
    reach = student_quantile(len(values) - 1, confidence) / math.sqrt(len(values))
    return mean, np.asarray(reach * values.std(axis=0, ddof=1))


def _within(angle: float, degrees: int) -> float:
    """Probability of Student's distribution between -t and t, with t given by its angle."""
    sine, cosine = math.sin(angle), math.cos(angle)
    odd = degrees % 2
    term, total = (cosine, 0.0) if odd else (1.0, 0.0)
    for step in range(1 + odd, degrees, 2):
        total += term
        term *= cosine**2 * step / (step + 1)
    return 2 / math.pi * (angle + sine * total) if odd else sine * total
