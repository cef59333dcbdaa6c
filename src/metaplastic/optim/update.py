"""Update rules: from the gradient and its moments to the direction in which a parameter moves."""

import enum
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from metaplastic.optim.quotient import Quotient


class EpsPlacement(enum.StrEnum):
    """Where Adam adds eps, relative to the bias correction of the second moment."""

    BEFORE_CORRECTION = "before-correction"
    """To the root of the raw moment, as PyTorch 1.1 and the authors' code; stronger by 1/sqrt(1 - b2^t) at step t."""
    AFTER_CORRECTION = "after-correction"
    """To the root of the corrected moment, as `torch.optim.Adam` today."""

    def __reduce_ex__(self, protocol: object) -> tuple[Any, ...]:
        # By value, as Python does but for 3.11.0 to 3.11.3, whose way `torch.load` refuses in the state of optimizers.
        return type(self), (self.value,)


@runtime_checkable
class UpdateRule(Protocol):
    """A frozen value that moves the moments in place and gives the update, up to the size of the step.

    It is written without branches on the values of tensors, so that it can be compiled; eps may be a number or a
    tensor of one.
    """

    @property
    def moments(self) -> tuple[str, ...]:
        """Names of what the rule remembers of earlier gradients, each in the shape of the parameter."""
        ...

    def __call__(self, gradient: Tensor, moments: Sequence[Tensor], eps: float | Tensor, /) -> Quotient:
        """Give the update U of W <- W - size U; it may hold the gradient or a moment itself: do not write to it."""
        ...


def decayed(
    gradient: Float[Tensor, "*weight"], parameter: Float[Tensor, "*weight"], weight_decay: float
) -> Float[Tensor, "*weight"]:
    """Add the gradient of weight_decay/2 |W|^2, without touching the caller's gradient.

    Args:
        gradient: Gradient of the loss, any shape.
        parameter: The parameter W, same shape.
        weight_decay: Strength of the L2 penalty, from 0.

    Returns:
        The gradient itself when there is no decay, else a new tensor.
    """
    return gradient.add(parameter, alpha=weight_decay) if weight_decay != 0 else gradient


def bias_correction(step: int, betas: tuple[float, float], eps: float, placement: EpsPlacement) -> tuple[float, float]:
    """Give the two numbers by which one step of Adam differs from another.

        s = sqrt(1 - b2^t) / (1 - b1^t)        U = s a / (sqrt(v) + e)

        t: step, b1, b2: betas, a, v: the moments, U: the update, s and e: the numbers returned

    Args:
        step: Number t of the step, from 1.
        betas: Decay rates of the two moments, in [0, 1).
        eps: What keeps the denominator from 0, from 0, in units of the gradient.
        placement: Where eps is added.

    Returns:
        The scale s and the eps e to add to the root of the raw second moment: `eps` itself before the correction,
        `eps` sqrt(1 - b2^t) after it.

    Example:
        >>> scale, eps = bias_correction(1, (0.9, 0.999), 1e-8, EpsPlacement.AFTER_CORRECTION)
        >>> round(scale, 4), round(1e-8 / eps, 1)
        (0.3162, 31.6)
    """
    root = math.sqrt(1 - betas[1] ** step)
    return root / (1 - betas[0] ** step), eps if placement is EpsPlacement.BEFORE_CORRECTION else eps * root


@dataclass(frozen=True)
class AdamUpdate:
    """Adam's update up to the scale of its step.

        a <- b1 a + (1 - b1) g        v <- b2 v + (1 - b2) g^2        U = a / (sqrt(v) + eps)

        g: gradient, a, v: moments, b1, b2: betas

    Args:
        betas: Decay rates of the two moments, in [0, 1).

    Example:
        >>> import torch
        >>> moments = [torch.zeros(1), torch.zeros(1)]
        >>> AdamUpdate((0.5, 0.75))(torch.tensor([2.0]), moments, 0.0).divided(), moments
        (tensor([1.]), [tensor([1.]), tensor([1.])])

    References:
        Kingma and Ba 2015, arXiv 1412.6980.
    """

    betas: tuple[float, float]

    @property
    def moments(self) -> tuple[str, ...]:
        """Names of a and v."""
        return "first_moment", "second_moment"

    def __call__(self, gradient: Tensor, moments: Sequence[Tensor], eps: float | Tensor) -> Quotient:
        """Move the two moments and give the update, which has the signs of the first."""
        first, second = moments
        first.lerp_(gradient, 1 - self.betas[0])
        second.mul_(self.betas[1]).addcmul_(gradient, gradient, value=1 - self.betas[1])
        return Quotient(first, second.sqrt().add_(eps))


@dataclass(frozen=True)
class SGDUpdate:
    """The update of gradient descent with momentum.

        u <- momentum u + g        U = u

        g: gradient, u: velocity; without a velocity U = g

    Args:
        momentum: Decay rate of the velocity, in [0, 1).

    Example:
        >>> import torch
        >>> SGDUpdate(0.5)(torch.tensor([1.0]), [torch.tensor([4.0])], 0.0).divided()
        tensor([3.])
    """

    momentum: float

    @property
    def moments(self) -> tuple[str, ...]:
        """Name of u; nothing is remembered without momentum."""
        return ("velocity",) if self.momentum else ()

    def __call__(self, gradient: Tensor, moments: Sequence[Tensor], eps: float | Tensor) -> Quotient:
        """Move the velocity, if there is one, and give the update; there is no eps to add."""
        if not moments:
            return Quotient(gradient)
        return Quotient(moments[0].mul_(self.momentum).add_(gradient))
