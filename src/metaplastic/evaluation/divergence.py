"""Whether the hidden weights of important synapses diverge faster."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from metaplastic.evaluation.correlation import correlation
from metaplastic.evaluation.hidden_weights import require_one_shape
from metaplastic.evaluation.json_record import JsonRecord


def divergence_speed(before: Float[Tensor, "..."], after: Float[Tensor, "..."], steps: int) -> Float64[Tensor, "..."]:
    r"""Mean speed at which hidden weights moved away from where they were.

    .. math:: v = |W_h(T) - W_h(0)| / T

    with :math:`W_h(0)` = `before`, :math:`W_h(T)` = `after` and :math:`T` = `steps`. A weight that hovers has a speed
    near 0 however fast it moves.

    Args:
        before: Hidden weights at the first moment, any shape.
        after: The same weights at the second moment.
        steps: Optimizer steps between the two, >= 1.

    Returns:
        Hidden weight per step, on the CPU, same shape.

    Raises:
        ValueError: When the shapes differ, a weight is not finite, or there was no step.

    Example:
        >>> divergence_speed(torch.tensor([0.5, 0.0]), torch.tensor([-1.5, 0.25]), steps=2).tolist()
        [1.0, 0.125]
    """
    if steps < 1:
        raise ValueError(f"expected steps >= 1 between the two moments, got {steps}; nothing has moved yet")
    start, end = _numbers("hidden weights before", before), _numbers("hidden weights after", after)
    require_one_shape("hidden weights before and after", start, end)
    return (end - start).abs() / steps


def rank_correlation(importance: Float[Tensor, "..."], speed: Float[Tensor, "..."]) -> float | None:
    r"""Spearman's correlation: that of the ranks, equal values sharing the mean of theirs.

    .. math:: \rho = \frac{\sum_i (r_i - \bar r)(s_i - \bar s)}{\sqrt{\sum_i (r_i - \bar r)^2 \sum_i (s_i - \bar s)^2}}

    with :math:`r_i` the rank of `importance[i]` and :math:`s_i` that of `speed[i]`.

    Args:
        importance: One value per synapse, any shape.
        speed: One value per synapse, same shape.

    Returns:
        From -1 to 1; None where one of the two has no two different values, and so no order.

    Raises:
        ValueError: When the shapes differ, there is no synapse, or a value is not finite.

    Example:
        >>> rank_correlation(torch.tensor([1.0, 2.0, 3.0, 4.0]), torch.tensor([0.0, 10.0, 20.0, 15.0]))
        0.8

    References:
        Spearman 1904, American Journal of Psychology 15:72.
    """
    first, second = _numbers("importances", importance), _numbers("speeds", speed)
    require_one_shape("importance and speed", first, second)
    return correlation(_ranks(first), _ranks(second))


@dataclass(frozen=True)
class LayerDivergence(JsonRecord):
    """Importance against divergence speed in one layer, in bins of about as many synapses each.

    Synapses are in bins by their rank of importance. Those of equal importance are in one bin, so that where many are
    equal bins hold unequal numbers of synapses, or none.

    Args:
        steps: Optimizer steps that the speed is the mean over.
        rank_correlation: Over all synapses, from -1 to 1; None where it is not defined.
        correlation_above_zero: The same over the synapses whose importance is above 0. Those of an input that never
            varies, as of a blank pixel, have none, and weight decay alone moves them, which makes or hides a
            correlation.
        weights: Synapses in each bin, least important first.
        importance: Mean importance in each bin, in the caller's unit; None where it is empty.
        speed: Mean speed in each bin, hidden weight per step; None where it is empty.
        deviation: Standard deviation of the speed within each bin (n - 1); None below 2 synapses.

    Raises:
        ValueError: When the lengths differ.
    """

    steps: int
    rank_correlation: float | None
    correlation_above_zero: float | None
    weights: tuple[int, ...]
    importance: tuple[float | None, ...]
    speed: tuple[float | None, ...]
    deviation: tuple[float | None, ...]

    def __post_init__(self) -> None:
        lengths = [len(values) for values in (self.weights, self.importance, self.speed, self.deviation)]
        if len(set(lengths)) > 1:
            raise ValueError(f"expected one value per bin in each field, got {lengths}")


def divergence_report(
    importance: Mapping[str, Tensor],
    before: Mapping[str, Tensor],
    after: Mapping[str, Tensor],
    steps: int,
    bins: int = 20,
) -> dict[str, LayerDivergence]:
    r"""Compare, layer by layer, how important synapses are with how fast their hidden weights diverge.

    On the quadratic binary task the two are one thing: a component that drifts with a fixed sign costs

    .. math:: \Delta L_i \approx 2 v_i / \eta + 2 H_{ii}

    to switch, :math:`v` being the speed, :math:`\eta` the learning rate and :math:`H` the curvature. Whether it holds
    in a trained network is what this measures. There the step is not the plain gradient: Adam divides by the size of
    gradients, and metaplasticity damps the steps that weaken; both change the speeds.

    Args:
        importance: By layer name, one value per synapse, any shape: the diagonal of the Fisher information computed
            with binary weights, or the loss increase that `switching_cost` measured. Where it was measured for some
            synapses only, give `before` and `after` of the same ones.
        before: Hidden weights of the same synapses at a first moment, same shape.
        after: The same at a second moment.
        steps: Optimizer steps between the two, >= 1.
        bins: Bins of importance, >= 1.

    Returns:
        For each layer, in the order of `importance`, the rank correlation and the binned means.

    Raises:
        ValueError: When names or shapes differ, a layer is empty, a value is not finite, or a number is out of range.

    Example:
        >>> start, end = {"first": torch.zeros(4)}, {"first": torch.tensor([0.2, -0.4, 0.6, 0.8])}
        >>> fisher = {"first": torch.tensor([1.0, 2.0, 4.0, 3.0])}
        >>> layer = divergence_report(fisher, start, end, steps=2, bins=2)["first"]
        >>> layer.rank_correlation, layer.weights, layer.importance
        (0.8, (2, 2), (1.5, 3.5))

    References:
        Laborieux et al. 2021, arXiv 2101.07592.

    Deviation from the paper: its measure of importance and its layers are not known to us.
    """
    if bins < 1:
        raise ValueError(f"expected bins >= 1, got {bins}")
    for name, layers in (("before", before), ("after", after)):
        if layers.keys() != importance.keys():
            raise ValueError(
                f"expected the layers {sorted(importance)} in {name}, got {sorted(layers)}; give the hidden weights of "
                "the layers whose importance is known"
            )
    return {name: _layer(name, importance[name], before[name], after[name], steps, bins) for name in importance}


def _layer(name: str, importance: Tensor, before: Tensor, after: Tensor, steps: int, bins: int) -> LayerDivergence:
    try:
        values, speed = _numbers("importances", importance), divergence_speed(before, after, steps)
        require_one_shape("importance and hidden weights", values, speed)
    except ValueError as error:
        raise ValueError(f"in layer {name!r}: {error}") from error
    values, speed = values.flatten(), speed.flatten()
    ranks = _ranks(values)
    owner = ((ranks - 0.5) * (bins / len(ranks))).to(torch.int64)
    weights, importances, speeds = (_binned(owner, part, bins) for part in (torch.ones_like(speed), values, speed))
    squares = _binned(owner, (speed - (speeds / weights)[owner]).square(), bins)
    return LayerDivergence(
        steps,
        correlation(ranks, _ranks(speed)),
        correlation(_ranks(values[values > 0]), _ranks(speed[values > 0])),
        tuple(int(count) for count in weights.tolist()),
        _defined(importances / weights),
        _defined(speeds / weights),
        _defined((squares / (weights - 1)).sqrt().where(weights > 1, torch.nan)),
    )


def _binned(owner: Tensor, values: Tensor, bins: int) -> Tensor:
    return torch.bincount(owner, values, bins)


def _defined(values: Tensor) -> tuple[float | None, ...]:
    return tuple(None if value != value else value for value in values.tolist())


def _ranks(values: Tensor) -> Tensor:
    """Rank from 1, in float64; equal values have the mean of the ranks they take up."""
    _, group, sizes = torch.unique(values.flatten(), return_inverse=True, return_counts=True)
    return (sizes.cumsum(0) - (sizes - 1) / 2).to(torch.float64)[group]


def _numbers(what: str, values: Tensor) -> Tensor:
    if values.numel() == 0:
        raise ValueError(f"expected {what}, got an empty tensor of shape {tuple(values.shape)}; leave that layer out")
    if not bool(values.isfinite().all()):
        raise ValueError(f"expected finite {what}, got infinity or NaN; look whether training has diverged")
    return values.detach().to("cpu", torch.float64)
