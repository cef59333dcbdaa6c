"""A parabola over the weights: what the penalties of EWC and of synaptic intelligence have in common."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from metaplastic.learners.weights import ConsolidatedWeights


class QuadraticPenalty:
    r"""A parabola over the weights, which grows as tasks are added to it.

    .. math:: P(w) = \sum_i k_i (w_i - c_i)^2 + p

    with :math:`k` the curvature, :math:`c` the centre and :math:`p` the floor. A sum of parabolas is a parabola, so one
    term per past task takes no more memory or time than a single one: adding :math:`k' (w - c')^2` gives the curvature
    :math:`k + k'`, the centre weighted by the curvatures, and the floor :math:`k k' (c - c')^2 / (k + k')` more.

    Args:
        weights: What it is a function of.

    Example:
        >>> from torch import nn
        >>> from metaplastic.learners.weights import Weights
        >>> line = nn.Linear(1, 1, bias=False)
        >>> penalty = QuadraticPenalty(ConsolidatedWeights(line, Weights.HIDDEN))
        >>> penalty.add({"weight": torch.ones(1, 1)}, {"weight": torch.zeros(1, 1)})
        >>> penalty.add({"weight": torch.ones(1, 1)}, {"weight": torch.full((1, 1), 2.0)})
        >>> penalty.curvature["weight"].item(), penalty.centre["weight"].item(), penalty.floor.item()
        (2.0, 1.0, 2.0)
    """

    def __init__(self, weights: ConsolidatedWeights) -> None:
        self.weights = weights
        self.curvature: dict[str, Tensor] = {}
        self.centre: dict[str, Tensor] = {}
        self.floor = torch.zeros((), dtype=torch.float64)

    def value(self, strength: float) -> Tensor | None:
        """Compute what is added to the loss.

        Args:
            strength: What the parabola is multiplied by.

        Returns:
            A scalar that passes gradients to the parameters; None where nothing would be added.
        """
        if strength == 0 or not self.curvature:
            return None
        parts = [
            _Parabola.apply(parameter, self.weights.seen(name, parameter), self.curvature[name], self.centre[name])
            for name, parameter in self.weights.parameters.items()
        ]
        total = torch.stack(parts).sum()
        return strength * (total + self.floor.to(total))

    @torch.no_grad()
    def gradient(self, name: str, values: Tensor) -> Tensor | None:
        """Compute the gradient for one parameter, without any strength.

        Args:
            name: Name of the parameter.
            values: Its values, which need not be the current ones.

        Returns:
            2 k (w - c), in the shape of the parameter; None where there is no parabola yet.
        """
        if not self.curvature:
            return None
        return (self.weights.seen(name, values) - self.centre[name]).mul_(self.curvature[name]).mul_(2)

    @torch.no_grad()
    def add(self, curvature: Mapping[str, Tensor], centre: Mapping[str, Tensor]) -> None:
        """Add a parabola, as EWC does with every task.

        Args:
            curvature: Its curvature by parameter, from 0.
            centre: Its centre by parameter.
        """
        for name, k in curvature.items():
            if name not in self.curvature:
                self.curvature[name], self.centre[name] = k.clone(), centre[name].clone()
                continue
            distance = centre[name] - self.centre[name]
            share = (k / (self.curvature[name] + k)).nan_to_num_(0.0)  # 0 / 0 where neither holds on to anything
            self.floor += (self.curvature[name] * share * distance.square()).cpu().sum(dtype=torch.float64)
            self.centre[name] += share * distance
            self.curvature[name] += k

    @torch.no_grad()
    def move(self, centre: Mapping[str, Tensor], curvature: Mapping[str, Tensor], decay: float = 1.0) -> None:
        """Add curvature and move all of it to a new centre, as online EWC and synaptic intelligence do.

        Args:
            centre: The centre by parameter.
            curvature: What is added, from 0.
            decay: What the curvature so far is multiplied by, from 0.
        """
        for name, k in curvature.items():
            before = self.curvature.get(name)
            self.curvature[name] = k.clone() if before is None else before.mul_(decay).add_(k)
            self.centre[name] = centre[name].clone()

    def state(self) -> dict[str, Tensor]:
        """Return what a checkpoint must hold, by name."""
        found = {f"curvature/{name}": tensor for name, tensor in self.curvature.items()}
        found |= {f"centre/{name}": tensor for name, tensor in self.centre.items()}
        return found | {"floor": self.floor} if found else {}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Take back what `state` returned.

        Args:
            state: Tensors by name; others that are in it are left alone.
        """
        for kind, tensors in (("curvature", self.curvature), ("centre", self.centre)):
            tensors.clear()
            for name, parameter in self.weights.parameters.items():
                if f"{kind}/{name}" in state:
                    tensors[name] = state[f"{kind}/{name}"].to(parameter.device, copy=True)
        self.floor = state.get("floor", torch.zeros((), dtype=torch.float64)).clone()


def require_strength(strength: float) -> None:
    """Fail for the strength of a penalty that is out of range.

    Args:
        strength: The strength.

    Raises:
        ValueError: When it is negative or not finite.
    """
    if not 0 <= strength < math.inf:
        raise ValueError(f"expected a strength >= 0 and finite, got {strength}; 0 switches the penalty off")


class _Parabola(torch.autograd.Function):
    """Sum of k (w - c)^2; its gradient is straight through to the parameter, be w its value or its sign."""

    @staticmethod
    def forward(ctx: Any, parameter: Tensor, seen: Tensor, curvature: Tensor, centre: Tensor) -> Tensor:
        distance = seen - centre
        pull = curvature * distance
        ctx.save_for_backward(pull)
        return (pull * distance).sum()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        (pull,) = ctx.saved_tensors
        return 2 * gradients[0] * pull, None, None, None
