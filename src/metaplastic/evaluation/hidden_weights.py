"""What training did to the hidden weights: flipped signs, consolidation, magnitudes."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from metaplastic.evaluation.json_record import JsonRecord


def flip_rate(before_hidden: Float[Tensor, "..."], after_hidden: Float[Tensor, "..."]) -> float:
    """Share of binary weights that changed between two moments.

    `mean(sign(W_before) != sign(W_after))` with `W_before = before_hidden`, `W_after = after_hidden` and
    `sign(0) = +1`, as in the forward pass.

    Args:
        before_hidden: Hidden weights at the first moment, any shape.
        after_hidden: The same weights at the second moment.

    Returns:
        From 0 to 1.

    Raises:
        ValueError: When the shapes differ, there is no weight, or one is not a number.

    Example:
        >>> flip_rate(torch.tensor([0.5, -0.5, 0.0, -2.0]), torch.tensor([0.1, 0.5, 3.0, -1.0]))
        0.25
    """
    require_one_shape("hidden weights before and after", before_hidden, after_hidden)
    _check_values("hidden weights", before_hidden)
    _check_values("hidden weights", after_hidden)
    return _share((before_hidden >= 0) != (after_hidden >= 0))


def consolidated_fraction(attenuation: Float[Tensor, "..."]) -> float:
    """Share of weights that are consolidated: a step that would weaken them is more than halved.

    `mean(f_meta(W_h) < 1/2)` with `f_meta(W_h) = attenuation`.

    Args:
        attenuation: Value of the consolidation function at each hidden weight, any shape; what a weakening step is
            multiplied by, from 0 (frozen) to 1 (free).

    Returns:
        From 0 to 1.

    Raises:
        ValueError: When there is no weight or a value is not a number.

    Example:
        >>> consolidated_fraction(torch.tensor([1.0, 0.5, 0.49, 0.0]))
        0.5
    """
    _check_values("attenuations", attenuation)
    return _share(attenuation < 0.5)


@dataclass(frozen=True)
class MagnitudeHistogram(JsonRecord):
    """Counts of hidden-weight magnitudes; no weight is left out.

    Args:
        edges: Borders of the bins, ascending, one more than there are bins. A bin holds its lower border, the last
            one its upper border too.
        counts: Weights in each bin.
        below: Weights with a magnitude under the first border.
        above: Weights with a magnitude over the last border.
    """

    edges: tuple[float, ...]
    counts: tuple[int, ...]
    below: int
    above: int


def hidden_weight_histogram(
    hidden: Float[Tensor, "..."], bins: int = 50, range: tuple[float, float] = (0.0, 1.0)
) -> MagnitudeHistogram:
    """Count `|W_h|` in bins of equal width, with `W_h = hidden`.

    Args:
        hidden: Hidden weights, any shape.
        bins: Number of bins, at least 1.
        range: First and last border of the bins, in units of the hidden weight, `0 <= first < last`; see
            `magnitude_range`.

    Returns:
        The counts, those outside the range included.

    Raises:
        ValueError: When there is no weight, one is not a number, or the bins or the range are not as above.

    Example:
        >>> hidden_weight_histogram(torch.tensor([-0.2, 0.1, 0.9, -1.5]), bins=2)
        MagnitudeHistogram(edges=(0.0, 0.5, 1.0), counts=(2, 1), below=0, above=1)
    """
    first, last = range
    if bins < 1 or not 0 <= first < last < float("inf"):
        raise ValueError(f"expected at least 1 bin and 0 <= first < last, got {bins} bins from {first} to {last}")
    _check_values("hidden weights", hidden)
    # In float64 the counts stay exact beyond 2^24 weights; torch.histogram exists on the CPU only.
    magnitudes = hidden.detach().to("cpu", torch.float64).abs().flatten()
    counts, edges = torch.histogram(magnitudes, bins, range=(first, last))
    return MagnitudeHistogram(
        tuple(edges.tolist()),
        tuple(int(count) for count in counts.tolist()),
        int((magnitudes < first).sum()),
        int((magnitudes > last).sum()),
    )


def magnitude_range(*hidden: Float[Tensor, "..."]) -> tuple[float, float]:
    """Find the range that holds every magnitude of some layers, so that their histograms have the same bins.

    `(0, max|W_h|)` over all of `hidden`. Hidden weights drift without bound, so no range can be fixed beforehand.

    Args:
        *hidden: Hidden weights, e.g. of one layer at the end of each task, with and without metaplasticity.

    Returns:
        First and last border for `hidden_weight_histogram`.

    Raises:
        ValueError: When there is no weight, or the weights are all 0 or not all finite.

    Example:
        >>> magnitude_range(torch.tensor([0.5, -2.0]), torch.tensor([[1.0]]))
        (0.0, 2.0)
    """
    for weights in hidden:
        _check_values("hidden weights", weights)
    largest = max((float(weights.detach().abs().max()) for weights in hidden), default=0.0)
    if not 0 < largest < float("inf"):
        raise ValueError(f"expected hidden weights that are finite and not all 0, got a largest magnitude of {largest}")
    return 0.0, largest


def relative_bins(
    hidden: Float[Tensor, "..."], bins: int
) -> tuple[Float64[Tensor, " weights"], Float64[Tensor, " edges"], Int64[Tensor, " weights"]]:
    """Sort hidden weights into bins of equal width of `|W_h| / max |W_h|`, the last one closed.

    Args:
        hidden: Hidden weights W_h, any shape, finite and not all 0.
        bins: Number of bins, >= 1.

    Returns:
        Relative magnitudes, the borders of the bins, and the bin of each weight, all on the CPU.

    Example:
        >>> relative_bins(torch.tensor([0.5, -1.0, 4.0]), 2)[2].tolist()
        [0, 0, 1]
    """
    magnitude = hidden.detach().to("cpu", torch.float64).abs().flatten()
    relative, edges = magnitude / magnitude.max(), torch.linspace(0, 1, bins + 1, dtype=torch.float64)
    return relative, edges, torch.bucketize(relative, edges[1:-1], right=True)


def layer_report(
    before: Mapping[str, Tensor], after: Mapping[str, Tensor], attenuation: Mapping[str, Tensor]
) -> dict[str, dict[str, float]]:
    """Describe every layer's hidden weights by a few numbers.

    Args:
        before: Hidden weights by layer name at a first moment, e.g. before a task.
        after: The same layers at a second moment.
        attenuation: Value of the consolidation function at each weight of `after`, from 0 to 1.

    Returns:
        For each layer, in the order of `after`: `flip_rate` and `consolidated_fraction`, from 0 to 1, and
        `mean_magnitude`, the mean of `|W_h|` in `after`.

    Raises:
        ValueError: When the names or the shapes differ, a layer is empty, or a value is not a number.

    Example:
        >>> before, after = {"first": torch.tensor([1.0, -1.0])}, {"first": torch.tensor([2.0, 1.0])}
        >>> layer_report(before, after, {"first": torch.tensor([0.1, 0.6])})
        {'first': {'flip_rate': 0.5, 'consolidated_fraction': 0.5, 'mean_magnitude': 1.5}}
    """
    for name, layers in (("before", before), ("attenuation", attenuation)):
        if layers.keys() != after.keys():
            raise ValueError(
                f"expected the layers {sorted(after)} in {name}, got {sorted(layers)}; take both from one network"
            )
    return {name: _layer(name, before[name], after[name], attenuation[name]) for name in after}


def _layer(name: str, before: Tensor, after: Tensor, attenuation: Tensor) -> dict[str, float]:
    require_one_shape(f"hidden weights and attenuation of {name!r}", after, attenuation)
    try:
        return {
            "flip_rate": flip_rate(before, after),
            "consolidated_fraction": consolidated_fraction(attenuation),
            "mean_magnitude": float(after.detach().abs().mean(dtype=torch.float64)),
        }
    except ValueError as error:
        raise ValueError(f"in layer {name!r}: {error}") from error


def require_one_shape(what: str, first: Tensor, second: Tensor) -> None:
    """Fail unless two tensors are of the same synapses, as far as their shapes say.

    Args:
        what: What the two are, for the message.
        first: One value per synapse.
        second: The same.

    Raises:
        ValueError: When the shapes differ.
    """
    if first.shape != second.shape:
        raise ValueError(
            f"expected {what} of one shape, got {tuple(first.shape)} and {tuple(second.shape)}; take both from the "
            "same synapses"
        )


def _share(chosen: Tensor) -> float:
    return int(torch.count_nonzero(chosen)) / chosen.numel()


def _check_values(what: str, values: Tensor) -> None:
    if values.numel() == 0:
        raise ValueError(f"expected {what}, got an empty tensor of shape {tuple(values.shape)}; leave that layer out")
    if bool(values.isnan().any()):
        raise ValueError(f"expected {what} that are numbers, got NaN; training has diverged, lower the learning rate")
