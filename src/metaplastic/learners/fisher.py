"""Fisher information of a network's weights, its diagonal: how much each of them matters to what was learned."""

import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from metaplastic.choices import settle_choices
from metaplastic.learners.sample_gradients import SampleGradients
from metaplastic.nn import evaluating, require_fixed_statistics
from metaplastic.scenarios import Task
from metaplastic.seeding import Purpose, generator

NEEDS_FIXED = "a Fisher information is one of single samples"
"""Why it is refused for a network whose statistics are those of the batch under test."""


class FisherKind(enum.StrEnum):
    """Whose gradients are squared. `sampled` estimates `exact`, as does `empirical` where probabilities fit labels."""

    EXACT = "exact"
    """Every label of every sample, weighted by the probability that the network gives it."""
    SAMPLED = "sampled"
    """One label per sample, drawn from the network's probabilities."""
    EMPIRICAL = "empirical"
    """The true label of every sample, as the authors' code has it."""
    PREDICTED = "predicted"
    """The label that the network takes to be the most probable; smaller than the others where it is sure."""
    BATCHED = "batched"
    """The gradient of the mean loss of a batch, squared: not the Fisher information but about a batch-size-th of it. It
    is what several libraries use, and is here to compare with them only."""


@dataclass(frozen=True)
class Fisher:
    r"""The diagonal of the Fisher information of a task.

    .. math:: F_i = \frac{1}{N} \sum_n \sum_y p_n(y)
        \left(\frac{\partial \log p(y \mid x_n, w)}{\partial w_i}\right)^2

    with N `samples` and :math:`p_n` the network's own probabilities (`exact`), or with one label y of each sample:
    drawn from them (`sampled`), the true one (`empirical`) or the most probable one (`predicted`). In a binary layer
    the derivative is the pseudo-gradient, which is the same for the binary weight and for the hidden one.
    Normalisations use their fixed statistics, so a sample's gradient does not depend on the samples beside it.

    Args:
        kind: Whose gradients are squared.
        samples: Training samples it is taken from, >= 1, drawn without replacement; all are used where there are fewer.
        seed: Seed of which samples, and of sampled labels.
        batch_size: Samples per gradient of the batched kind, >= 1; the others do not depend on it.

    Raises:
        ValueError: When a value is out of range.

    Example:
        >>> from metaplastic.data import load
        >>> from metaplastic.nn import BinaryMLP
        >>> from metaplastic.scenarios import permuted
        >>> network, scenario = BinaryMLP([64, 5, 10], norm="layer"), permuted(load("digits"), tasks=1)
        >>> information = Fisher(samples=20)(network, dict(network.named_parameters()), scenario.tasks[0], 0)
        >>> information["layers.0.weight"].shape, bool((information["layers.0.weight"] >= 0).all())
        (torch.Size([5, 64]), True)

    References:
        Kirkpatrick et al. 2017, arXiv 1612.00796; Martens 2020, arXiv 1412.1193; van de Ven 2025, arXiv 2502.11756, for
        the kinds; van de Ven and Tolias 2018, arXiv 1809.10635, whose code takes predicted labels of all samples.

    Deviations from the authors' code: there the first 5,000 samples are taken, one at a time; here as many are drawn,
    in chunks. Theirs divides by the number of samples less one where a task has fewer, and needs batches of one sample,
    with which batch norm without running statistics fails.
    """

    kind: FisherKind | str = FisherKind.EMPIRICAL
    samples: int = 5000
    seed: int = 0
    batch_size: int = 100

    def __post_init__(self) -> None:
        settle_choices(self)
        for name in ("samples", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"expected {name} of a Fisher information >= 1, got {getattr(self, name)}")

    @torch.no_grad()  # of gains and offsets, which are none of the parameters of torch.func
    def __call__(
        self, network: nn.Module, parameters: Mapping[str, Tensor], task: Task, index: int
    ) -> dict[str, Tensor]:
        """Estimate the information that a task has about some parameters.

        Args:
            network: Maps inputs to logits; mode, statistics and gradients are left as found.
            parameters: The parameters by their names in the network.
            task: The task.
            index: Its index, for the draws.

        Returns:
            By name, in the shape of the parameter: mean squares, from 0.

        Raises:
            ValueError: When the network normalises by the batch under test.
        """
        require_fixed_statistics(network, NEEDS_FIXED)
        source = generator(self.seed, Purpose.FISHER, index)
        rows = torch.randperm(len(task.view), generator=source)[: self.samples]
        with evaluating(network):
            gradients = SampleGradients(network, parameters, task.outputs, task.view.batch(rows[:1])[0])
            if self.kind is FisherKind.BATCHED:
                squares = (gradients.of_batch(*task.view.batch(part)) for part in rows.split(self.batch_size))
                return _mean(squares, -(-len(rows) // self.batch_size))
            parts = rows.split(gradients.chunk)
            squares = (found for part in parts for found in self._squares(gradients, *task.view.batch(part), source))
            return _mean(squares, len(rows))

    def _squares(
        self, gradients: SampleGradients, inputs: Tensor, labels: Tensor, source: torch.Generator
    ) -> Iterator[dict[str, Tensor]]:
        """Sum the squares over some samples; once, or for the exact kind once per label."""
        once = torch.ones(len(labels), device=labels.device)
        if self.kind is FisherKind.EMPIRICAL:
            yield gradients.squares(inputs, labels, once)
            return
        probabilities = gradients.probabilities(inputs)
        if self.kind is FisherKind.SAMPLED:
            drawn = torch.multinomial(probabilities.cpu(), 1, generator=source).flatten()
            yield gradients.squares(inputs, drawn.to(labels.device), once)
            return
        if self.kind is FisherKind.PREDICTED:
            yield gradients.squares(inputs, probabilities.argmax(1), once)
            return
        for label, weights in enumerate(probabilities.unbind(1)):
            yield gradients.squares(inputs, torch.full_like(labels, label), weights)


@dataclass(frozen=True)
class Shuffled:
    """Another importance, shuffled within each tensor: as much of it, but on no synapse in particular.

    Args:
        importance: What is shuffled.
        seed: Seed of the shuffling.

    Example:
        >>> from metaplastic.data import load
        >>> from metaplastic.nn import BinaryMLP
        >>> from metaplastic.scenarios import permuted
        >>> task = permuted(load("digits"), tasks=1).tasks[0]
        >>> network = BinaryMLP([64, 10], norm="layer")
        >>> weights = dict(network.named_parameters())
        >>> own, shuffled = (
        ...     make(network, weights, task, 0)["layers.0.weight"] for make in (Fisher(), Shuffled(Fisher()))
        ... )
        >>> torch.equal(own, shuffled), torch.equal(own.flatten().sort()[0], shuffled.flatten().sort()[0])
        (False, True)

    References:
        Laborieux et al. 2021, Table 1, "random consolidation".

    Deviation from the authors' code: there the shuffled and the true information go into the same list, so that from
    the third task on they are paired with the wrong anchors.
    """

    importance: "Importance"
    seed: int = 0

    def __call__(
        self, network: nn.Module, parameters: Mapping[str, Tensor], task: Task, index: int
    ) -> dict[str, Tensor]:
        """Estimate the importance, and shuffle it.

        Args:
            network: As for the importance.
            parameters: As for the importance.
            task: As for the importance.
            index: Index of the task.

        Returns:
            By name, the same numbers in another order.
        """
        source = generator(self.seed, Purpose.SHUFFLE, index)
        found = self.importance(network, parameters, task, index)
        return {name: _shuffled(tensor, source) for name, tensor in found.items()}


Importance = Fisher | Shuffled
"""What says how much each weight matters to a task."""


def _mean(squares: Iterator[dict[str, Tensor]], count: int) -> dict[str, Tensor]:
    total = next(squares)
    for found in squares:
        for name, tensor in found.items():
            total[name] += tensor
    return {name: tensor.div_(count) for name, tensor in total.items()}


def _shuffled(tensor: Tensor, source: torch.Generator) -> Tensor:
    order = torch.randperm(tensor.numel(), generator=source).to(tensor.device)
    return tensor.flatten()[order].view_as(tensor)
