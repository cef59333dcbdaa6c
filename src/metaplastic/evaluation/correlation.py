"""Whether two measurements of the same things rise together."""

from jaxtyping import Float64
from torch import Tensor


def correlation(first: Float64[Tensor, " point"], second: Float64[Tensor, " point"]) -> float | None:
    r"""Pearson's correlation.

    .. math:: r = \frac{\sum_i (x_i - \bar x)(y_i - \bar y)}{\sqrt{\sum_i (x_i - \bar x)^2 \sum_i (y_i - \bar y)^2}}

    with :math:`x` = `first` and :math:`y` = `second`.

    Args:
        first: One value per point, finite.
        second: As many, in the same order.

    Returns:
        From -1 to 1; None where one of the two has no two different values.

    Example:
        >>> import torch
        >>> values = torch.tensor([1.0, 2.0, 4.0], dtype=torch.float64)
        >>> correlation(values, -values), correlation(values, torch.full_like(values, 0.1))
        (-1.0, None)

    References:
        Pearson 1896, Philosophical Transactions of the Royal Society A 187:253.
    """
    # The mean of equal values may differ from them in the last bit, so that what is left is not 0.
    if any(bool((values == values[:1]).all()) for values in (first, second)):
        return None
    first, second = first - first.mean(), second - second.mean()
    scale = float(first.square().sum() * second.square().sum()) ** 0.5
    return min(max(float(first @ second) / scale, -1.0), 1.0) if scale else None
