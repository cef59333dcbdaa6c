"""Synaptic intelligence: each weight is held in proportion to what its way through the task did for the loss."""

import torch
from torch import Tensor, nn

from metaplastic.learners.learner import NeedsBoundaries
from metaplastic.learners.quadratic_penalty import QuadraticPenalty, require_strength
from metaplastic.learners.weights import ConsolidatedWeights, Weights
from metaplastic.scenarios import Task


class SynapticIntelligence(NeedsBoundaries):
    r"""Synaptic intelligence.

    .. math::
        L + c \sum_i \Omega_i (w_i - w^*_i)^2, \qquad
        \Omega \leftarrow \Omega + \frac{\max(\omega, 0)}{\Delta^2 + \xi}, \qquad
        \omega = -\sum_t g_t \, (v_{t+1} - v_t)

    c is `strength`, :math:`\xi` is `damping`, w are the weights that are held, as `weights` says, :math:`w^*` those at
    the end of the last task. The path integral :math:`\omega` goes along the weights v, as `path` says, over the steps
    of a task; g is the gradient of the task's loss alone, at the weights where the step begins, and :math:`\Delta` the
    distance from the beginning of the task to its end along v. The gradient of the task is what a step used, less the
    known one of the penalty: gradients must be float32 (`exact_gradients`), because in bfloat16 what is left of the
    larger one would count as importance.

    Args:
        network: What is trained.
        strength: From 0, which switches it off.
        damping: Keeps the importance of weights finite that moved little, > 0, in squared units of the weight.
        path: Which weights the path integral goes along.
        weights: Which weights are held.
        signed: Leave a negative :math:`\omega` as it is, in the place of 0: what a way did harm to then loosens a
            weight, and where the sum over tasks is negative it is pushed away from :math:`w^*`.

    Raises:
        ValueError: When strength or damping are out of range.

    Example:
        >>> from metaplastic.nn import BinaryMLP
        >>> SynapticIntelligence(BinaryMLP([4, 3, 2]), strength=1.0).penalty() is None
        True

    References:
        Zenke et al. 2017, arXiv 1703.04200.

    Deviations from the authors' code: there the gradient of the penalty is in the path integral too; along hidden
    weights each gradient is paired with the displacement of the step before; importance is `signed`; along binary
    weights the denominator has the hidden displacement. No command of theirs uses it, so their strength is unknown.
    """

    exact_gradients = True

    def __init__(
        self,
        network: nn.Module,
        strength: float,
        damping: float = 0.1,
        path: Weights | str = Weights.HIDDEN,
        weights: Weights | str = Weights.BINARY,
        signed: bool = False,
    ) -> None:
        require_strength(strength)
        if not damping > 0:
            raise ValueError(f"expected a damping > 0, got {damping}; 0.1 is usual")
        self.strength = strength
        self.damping = damping
        self.signed = signed
        self.path_weights = ConsolidatedWeights(network, path)
        self.weights = ConsolidatedWeights(network, weights)
        self.quadratic = QuadraticPenalty(self.weights)
        self.path_integral: dict[str, Tensor] = {}
        self.start: dict[str, Tensor] = {}
        self._before: dict[str, Tensor] = {}

    def penalty(self) -> Tensor | None:
        """Return the energy of the springs, and remember the weights that a step begins with."""
        if self.strength and not self._before:
            self._before = _copies(self.path_weights)
        if self.strength and not self.start:
            self.start = self.path_weights.values()
            self.path_integral = {name: torch.zeros_like(tensor) for name, tensor in self.start.items()}
        return self.quadratic.value(self.strength)

    @torch.no_grad()
    def after_step(self) -> None:
        """Add a step to the path integral: its gradient, less that of the penalty, times its displacement."""
        for name, integral in self.path_integral.items():
            parameter, before = self.path_weights.parameters[name], self._before[name]
            if parameter.grad is not None:
                gradient = parameter.grad.to(before.dtype)
                pull = self.quadratic.gradient(name, before)
                if pull is not None:
                    gradient = pull.mul_(-self.strength).add_(gradient)
                displacement = self.path_weights.seen(name, parameter) - self.path_weights.seen(name, before)
                integral.addcmul_(gradient, displacement, value=-1)
            before.copy_(parameter)

    @torch.no_grad()
    def end_task(self, task: Task, index: int) -> None:
        """Turn the path integral into importance, and move the springs to the weights as they are.

        Args:
            task: The task that ends.
            index: Its index.
        """
        end = self.path_weights.values()
        importance = {
            name: (integral if self.signed else integral.clamp(min=0))
            / ((end[name] - self.start[name]).square_() + self.damping)
            for name, integral in self.path_integral.items()
        }
        self.quadratic.move(self.weights.values(), importance)
        self.path_integral, self.start, self._before = {}, {}, {}

    def state(self) -> dict[str, Tensor]:
        """Return the springs, and how far the path integral has come."""
        found = {f"path_integral/{name}": tensor for name, tensor in self.path_integral.items()}
        found |= {f"start/{name}": tensor for name, tensor in self.start.items()}
        return found | self.quadratic.state()

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Take back what `state` returned.

        Args:
            state: Tensors by name.
        """
        self.quadratic.load_state(state)
        self._before = {}
        for kind, tensors in (("path_integral", self.path_integral), ("start", self.start)):
            tensors.clear()
            for name, parameter in self.path_weights.parameters.items():
                if f"{kind}/{name}" in state:
                    tensors[name] = state[f"{kind}/{name}"].to(parameter.device, copy=True)


def _copies(weights: ConsolidatedWeights) -> dict[str, Tensor]:
    """Copy the parameters themselves, be it their signs or their values that are looked at."""
    return {name: parameter.detach().clone() for name, parameter in weights.parameters.items()}
