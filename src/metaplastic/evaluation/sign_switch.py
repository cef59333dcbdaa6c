"""Whether a large hidden weight marks an important synapse: switch binary weights and watch the training loss."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor, nn

from metaplastic.evaluation.hidden_weights import relative_bins
from metaplastic.evaluation.json_record import JsonRecord
from metaplastic.hidden_weight import is_hidden_weight
from metaplastic.learners import task_loss
from metaplastic.nn import StackedMLP, evaluating, require_fixed_statistics
from metaplastic.scenarios import Task


@dataclass(frozen=True)
class TrainingLoss:
    """The training loss of a network as it stands, in evaluation mode and with fixed normalisation statistics.

    Args:
        network: Maps inputs to logits; every measurement leaves its mode as found.
        task: The training samples and the outputs that are trained.
        rows: `[samples]`: which of its samples the loss is the mean over; None means all.
        index: Index of the task, for networks that keep a normalisation state per task; None for the current state.
        batch_size: Samples per forward pass, >= 1; the loss does not depend on it but for rounding.

    Raises:
        ValueError: For a stack of networks, for statistics of the test batch, and for a size or a selection without
            samples.

    Example:
        >>> from metaplastic.data import load
        >>> from metaplastic.nn import BinaryMLP
        >>> from metaplastic.scenarios import permuted
        >>> task = permuted(load("digits"), tasks=1).tasks[0]
        >>> TrainingLoss(BinaryMLP([64, 16, 10], norm="layer"), task).measure() > 0
        True

    Deviation from the authors' code: there statistics come from the batch under test (at their head), which normalises
    a network with switched weights anew; that is refused here.
    """

    network: nn.Module
    task: Task
    rows: Int64[Tensor, " samples"] | None = None
    index: int | None = None
    batch_size: int = 1000

    def __post_init__(self) -> None:
        if isinstance(self.network, StackedMLP):
            raise ValueError(
                f"expected one network, got a stack of {self.network.members}; measure its members one by one, whose "
                "weights are those of the stack"
            )
        require_fixed_statistics(self.network, "every batch would normalise the changed network anew")
        if self.samples < 1 or self.batch_size < 1:
            raise ValueError(
                f"expected at least one sample and one per batch, got {self.samples} and {self.batch_size}; leave rows "
                "out to measure on all of the task's samples"
            )

    @property
    def samples(self) -> int:
        """Number of samples that the loss is the mean over."""
        return len(self.task.view) if self.rows is None else len(self.rows)

    @torch.no_grad()
    def measure(self) -> float:
        """Compute the mean cross-entropy over the samples; batches are added up in float64.

        Returns:
            Nats per sample.
        """
        rows = torch.arange(self.samples) if self.rows is None else self.rows
        with evaluating(self.network, self.index):
            batches = rows.split(self.batch_size)
            return sum(len(batch) * float(task_loss(self.network, self.task, batch)) for batch in batches) / len(rows)

    def hidden_weight(self, layer: str) -> Float[Tensor, "..."]:
        """Find a hidden weight of the network.

        Args:
            layer: Name of the parameter.

        Returns:
            The parameter itself.

        Raises:
            ValueError: When no hidden weight has that name.
        """
        known = {name: weight for name, weight in self.network.named_parameters() if is_hidden_weight(weight)}
        if layer not in known:
            raise ValueError(f"expected the name of a hidden weight, got {layer!r}; the network has {list(known)}")
        return known[layer]


@contextmanager
def switched(hidden: Float[Tensor, "..."], synapses: Int64[Tensor, " synapses"]) -> Iterator[None]:
    """Switch the binary weight of some synapses within a `with` block.

    `W_b -> -W_b` by `W_h -> -W_h` with `W_h = hidden`, in place. A hidden weight of 0, whose binary weight is +1,
    becomes the negative number nearest to 0 that is not denormal.

    Args:
        hidden: The parameter, any shape.
        synapses: Positions among its entries in the order of `hidden.flatten()`, distinct.

    Yields:
        Nothing; every bit of `hidden` is then as it was, whatever happened in between.

    Example:
        >>> hidden = torch.tensor([[0.5, 0.0], [-0.1, 2.0]])
        >>> with switched(hidden, torch.tensor([1, 3])):
        ...     (hidden >= 0).tolist()
        [[True, False], [False, False]]
        >>> hidden.tolist()
        [[0.5, 0.0], [-0.10000000149011612, 2.0]]
    """
    places = torch.unravel_index(synapses.to(hidden.device), hidden.shape)
    kept = hidden.detach()[places]
    least = torch.full_like(kept, -torch.finfo(kept.dtype).tiny)
    try:
        with torch.no_grad():
            hidden[places] = torch.where(kept == 0, least, -kept)
        yield
    finally:
        with torch.no_grad():
            hidden[places] = kept


def switching_cost(
    loss: TrainingLoss, layer: str, synapses: Int64[Tensor, " synapses"]
) -> Float64[Tensor, " synapses"]:
    r"""Loss increase of switching synapses one at a time: the importance of each, measured.

    .. math:: \Delta L_i = L(-W_{b,i}) - L(W_b)

    Each synapse costs a pass over the samples, so choose some.

    Args:
        loss: What is measured.
        layer: Name of the hidden weight.
        synapses: `[synapses]`: positions in the flattened weight.

    Returns:
        `[synapses]`: increase of the training loss in nats; negative where switching would help.

    Example:
        >>> from metaplastic.data import load
        >>> from metaplastic.nn import BinaryMLP
        >>> from metaplastic.scenarios import permuted
        >>> network, task = BinaryMLP([64, 16, 10], norm="layer"), permuted(load("digits"), tasks=1).tasks[0]
        >>> switching_cost(TrainingLoss(network, task), "layers.0.weight", torch.tensor([3, 900])).shape
        torch.Size([2])
    """
    hidden, before = loss.hidden_weight(layer), loss.measure()
    after = [_loss_switched(loss, hidden, synapse) for synapse in synapses.split(1)]
    return torch.tensor(after, dtype=torch.float64) - before


@dataclass(frozen=True)
class SignSwitch(JsonRecord):
    """Loss increase per switched weight, by the magnitude of the hidden weight.

    A bin with fewer weights than are switched together has no increase; its weights are counted all the same.

    Args:
        count: Weights switched together.
        draws: How often in each bin.
        samples: Training samples that the loss is the mean over.
        loss: Training loss of the network as it is, nats.
        edges: Borders of the bins of `|W_h| / max|W_h|`, ascending from 0 to 1, one more than there are bins. A bin
            holds its lower border, the last one its upper border too.
        weights: Weights in each bin; they sum to those of the layer.
        magnitude: Mean of `|W_h| / max|W_h|` in each bin; None where it is empty.
        increase: Mean loss increase per switched weight, nats; None where the bin holds too few weights.
        deviation: Standard deviation of the increase over the draws (n - 1), nats; None likewise.

    Raises:
        ValueError: When the lengths differ.
    """

    count: int
    draws: int
    samples: int
    loss: float
    edges: tuple[float, ...]
    weights: tuple[int, ...]
    magnitude: tuple[float | None, ...]
    increase: tuple[float | None, ...]
    deviation: tuple[float | None, ...]

    def __post_init__(self) -> None:
        lengths = [len(values) for values in (self.weights, self.magnitude, self.increase, self.deviation)]
        if set(lengths) != {len(self.edges) - 1}:
            raise ValueError(f"expected one value per bin, of which there are {len(self.edges) - 1}, got {lengths}")


def switch_signs(
    loss: TrainingLoss,
    layer: str,
    *,
    count: int,
    generator: torch.Generator,
    draws: int = 100,
    bins: int = 15,
    after_bin: Callable[[int], None] | None = None,
) -> SignSwitch:
    r"""Measure what binary weights are worth to a trained network, by the magnitude of their hidden weights.

    .. math:: \frac{L(W_b \text{ with the signs of } S \text{ switched}) - L(W_b)}{|S|}, \qquad S \subset
        \{i : |W_{h,i}| / \max_j |W_{h,j}| \in \text{bin}\}

    :math:`L` is `loss`, :math:`|S|` is `count`; :math:`S` is drawn `draws` times without replacement from each of
    `bins` bins of equal width. The paper reads a rising curve as: a larger hidden weight is a more important synapse.
    In a bin that holds hardly more than `count` weights all draws are nearly one, and their deviation says little.

    Args:
        loss: What is measured. Its network is the same afterwards, bit for bit, even if the loss raises.
        layer: Name of the hidden weight whose synapses are switched.
        count: Weights switched together, >= 1; in the paper 1000, 2000 and 100 for the three layers.
        generator: Source of the draws, on the CPU.
        draws: Draws in each bin, >= 2.
        bins: Number of bins, >= 1.
        after_bin: Called with the index of each bin once it is measured, for showing progress.

    Returns:
        The increase per switched weight in each bin.

    Raises:
        ValueError: When a number is out of range, or the layer's hidden weights are all 0 or not all finite.

    Example:
        >>> from metaplastic.data import load
        >>> from metaplastic.nn import BinaryMLP
        >>> from metaplastic.scenarios import permuted
        >>> from metaplastic.seeding import Purpose, generator
        >>> network, task = BinaryMLP([64, 16, 10], norm="layer"), permuted(load("digits"), tasks=1).tasks[0]
        >>> loss, random = TrainingLoss(network, task), generator(0, Purpose.PROBE)
        >>> probe = switch_signs(loss, "layers.0.weight", count=20, generator=random, draws=2, bins=3)
        >>> sum(probe.weights), len(probe.increase)
        (1024, 3)

    References:
        Laborieux et al. 2021, Nature Communications 12:2549, Fig. 6c-e.

    Deviations from the authors' code: there bins are open intervals, so that the largest weight is in none; here the
    last bin is closed and every weight is in one. Statistics are fixed, see `TrainingLoss`.
    """
    for name, value, least in (("count", count, 1), ("draws", draws, 2), ("bins", bins, 1)):
        if value < least:
            raise ValueError(f"expected {name} >= {least}, got {value}")
    hidden = loss.hidden_weight(layer)
    _require_magnitudes(hidden, layer)
    relative, edges, owner = relative_bins(hidden, bins)
    before = loss.measure()
    weights, magnitude, increase = [], [], []
    for position in range(bins):
        members = (owner == position).nonzero().flatten()
        weights.append(len(members))
        magnitude.append(float(relative[members].mean()) if len(members) else None)
        drawn = _draw(members, count, draws, generator) if len(members) >= count else ()
        after = [_loss_switched(loss, hidden, synapses) for synapses in drawn]
        increase.append((torch.tensor(after, dtype=torch.float64) - before) / count)
        if after_bin is not None:
            after_bin(position)
    means = tuple(float(values.mean()) if len(values) else None for values in increase)
    spread = tuple(float(values.std()) if len(values) else None for values in increase)
    parts = (tuple(edges.tolist()), tuple(weights), tuple(magnitude), means, spread)
    return SignSwitch(count, draws, loss.samples, before, *parts)


def _draw(members: Tensor, count: int, draws: int, generator: torch.Generator) -> Iterator[Tensor]:
    for _ in range(draws):
        yield members[torch.randperm(len(members), generator=generator)[:count]]


def _loss_switched(loss: TrainingLoss, hidden: Tensor, synapses: Tensor) -> float:
    with switched(hidden, synapses):
        return loss.measure()


def _require_magnitudes(hidden: Tensor, layer: str) -> None:
    largest = float(hidden.detach().abs().max()) if hidden.numel() else 0.0
    if not 0 < largest < float("inf"):
        raise ValueError(
            f"expected hidden weights of {layer!r} that are finite and not all 0, got a largest magnitude of "
            f"{largest}; there is nothing to compare magnitudes with"
        )
