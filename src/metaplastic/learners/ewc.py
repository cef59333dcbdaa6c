"""Elastic weight consolidation: weights that mattered to past tasks are held by springs."""

from torch import Tensor, nn

from metaplastic.learners.fisher import NEEDS_FIXED, Fisher, Importance, Shuffled
from metaplastic.learners.learner import NeedsBoundaries
from metaplastic.learners.quadratic_penalty import QuadraticPenalty, require_strength
from metaplastic.learners.weights import ConsolidatedWeights, Weights
from metaplastic.nn import require_fixed_statistics
from metaplastic.scenarios import Task


class EWC(NeedsBoundaries):
    r"""Elastic weight consolidation, with a term for every past task, or online with one that moves on.

    .. math:: L + \frac{\lambda}{2} \sum_k \sum_i F_{k,i} (w_i - w^*_{k,i})^2
        \qquad\text{online:}\quad
        L + \frac{\lambda}{2} \sum_i \tilde F_i (w_i - w^*_i)^2, \quad \tilde F \leftarrow \gamma \tilde F + F

    :math:`\lambda` is `strength`, :math:`F_k` the `importance` for task k, :math:`w^*_k` the weights at its end,
    :math:`w^*` those at the end of the last task, :math:`\gamma` is `decay`, and w are the weights as `weights` says.
    The terms of past tasks are kept as their sum, which is exact, so that memory and time do not grow with the tasks.

    On binary weights the distance is 0 or 2: no force until a synapse flips, then a constant one back, which reaches
    the hidden weight straight through. On hidden weights it is the usual spring. They are two methods, and a strength
    for one says nothing about the other, nor about networks with real weights.

    Args:
        network: What is trained.
        strength: From 0, which switches it off. With the factor 1/2 and the mean over samples, as in the authors' code.
        importance: How much each weight matters to a task.
        weights: Which weights are held.
        decay: What the importance of earlier tasks is multiplied by at the end of a task, in [0, 1], for online EWC;
            None keeps a term for every task.

    Raises:
        ValueError: When strength or decay are out of range, or the network normalises by the batch under test.

    Example:
        >>> from metaplastic.nn import BinaryMLP
        >>> EWC(BinaryMLP([4, 3, 2]), strength=5000.0).penalty() is None  # before the first task has ended
        True

    References:
        Kirkpatrick et al. 2017, arXiv 1612.00796; Schwarz et al. 2018, arXiv 1805.06370, for the online form, as in
        van de Ven and Tolias 2018, arXiv 1809.10635; Laborieux et al. 2021, Table 1 and Fig. 3, on binary weights.

    Deviations from the authors' code: their command for Table 1 lacks the flag that switches EWC on, and their batch
    norm lets it crash; they have no online form and no hidden weights held.
    """

    def __init__(
        self,
        network: nn.Module,
        strength: float,
        importance: Importance = Fisher(),
        weights: Weights | str = Weights.BINARY,
        decay: float | None = None,
    ) -> None:
        require_strength(strength)
        if decay is not None and not 0 <= decay <= 1:
            raise ValueError(f"expected a decay in [0, 1], got {decay}; 1 forgets no task's importance")
        require_fixed_statistics(network, NEEDS_FIXED)
        self.name = _name(importance, decay)
        self.network = network
        self.strength = strength
        self.importance = importance
        self.decay = decay
        self.weights = ConsolidatedWeights(network, weights)
        self.quadratic = QuadraticPenalty(self.weights)

    def penalty(self) -> Tensor | None:
        """Return the energy of the springs; None before the first task has ended."""
        return self.quadratic.value(self.strength / 2)

    def end_task(self, task: Task, index: int) -> None:
        """Attach springs to the weights as they are.

        Args:
            task: The task that ends.
            index: Its index.
        """
        if self.strength == 0:
            return
        importance = self.importance(self.network, self.weights.parameters, task, index)
        if self.decay is None:
            self.quadratic.add(importance, self.weights.values())
        else:
            self.quadratic.move(self.weights.values(), importance, self.decay)

    def state(self) -> dict[str, Tensor]:
        """Return the springs."""
        return self.quadratic.state()

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Take back what `state` returned."""
        self.quadratic.load_state(state)


def _name(importance: Importance, decay: float | None) -> str:
    method = "random consolidation" if isinstance(importance, Shuffled) else "EWC"
    return method if decay is None else f"online {method}"


def random_consolidation(
    network: nn.Module,
    strength: float,
    importance: Importance = Fisher(),
    weights: Weights | str = Weights.BINARY,
    seed: int = 0,
) -> EWC:
    """Make the paper's control for EWC: as many springs, as stiff, but on synapses drawn by lot.

    Args:
        network: What is trained.
        strength: From 0, which switches it off.
        importance: What is shuffled within each tensor.
        weights: Which weights are held.
        seed: Seed of the shuffling.

    Returns:
        A learner.

    Example:
        >>> from metaplastic.nn import BinaryMLP
        >>> random_consolidation(BinaryMLP([4, 3, 2]), strength=5000.0).importance.seed
        0

    References:
        Laborieux et al. 2021, Table 1.

    Deviation from the authors' code: see `Shuffled`.
    """
    return EWC(network, strength, Shuffled(importance, seed), weights)
