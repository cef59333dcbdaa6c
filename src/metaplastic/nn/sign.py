"""Binarisation: the sign, and the pseudo-gradients that stand in for its derivative."""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

PseudoGradient = Callable[[Tensor, Tensor], Tensor]
"""Maps (gradient with respect to the sign, input of the sign) to the gradient with respect to the input."""


def straight_through(gradient: Float[Tensor, "..."], x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """Pass the gradient as it is: d sign(x)/dx := 1.

    The pseudo-gradient of hidden weights. It never vanishes, so a hidden weight can drift without bound, which is
    what makes its magnitude a measure of consolidation.

    Args:
        gradient: Gradient with respect to sign(x), any shape.
        x: Input of the sign, same shape; not used.

    Returns:
        `gradient`.
    """
    return gradient


def clipped_straight_through(gradient: Float[Tensor, "..."], x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """Pass the gradient where the input is small: d sign(x)/dx := 1 if |x| <= 1 else 0.

    The pseudo-gradient of activations; it is the derivative of the hard tanh, edge included.

    Args:
        gradient: Gradient with respect to sign(x), any shape.
        x: Input of the sign, same shape.

    Returns:
        `gradient` where |x| <= 1, zero beyond.
    """
    # Torch's kernel for it leaves the edges out, so its interval ends at the next number beyond them. It takes a tenth
    # of the time that comparing and multiplying does on a CPU.
    edge = 1 + torch.finfo(x.dtype).eps
    return torch.ops.aten.hardtanh_backward(gradient, x, -edge, edge)


class _Sign(torch.autograd.Function):
    """Sign with a replaceable derivative; the vmap rule lets per-sample gradients pass through."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, pseudo_gradient: PseudoGradient) -> Tensor:
        # Three vectorised passes for the two levels; comparing and selecting takes ten times as long on a CPU.
        signs = x.sign().add_(0.5).sign_()
        # Adds 0 * x: nothing, except where x is infinite or not a number.
        return signs.add_(x, alpha=0)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, PseudoGradient], output: Tensor) -> None:
        x, ctx.pseudo_gradient = inputs
        ctx.save_for_backward(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        return ctx.pseudo_gradient(gradients[0], x), None


def binary_sign(
    x: Float[Tensor, "..."], pseudo_gradient: PseudoGradient = clipped_straight_through
) -> Float[Tensor, "..."]:
    r"""Reduce every entry to its sign.

    .. math:: \mathrm{sign}(x) = +1 \text{ if } x \ge 0, \text{ else } -1

    There are two levels only: sign(0) = +1. An infinite entry or NaN becomes NaN, so that it
    reaches the loss, where it is caught.

    Args:
        x: Values to binarise, any shape.
        pseudo_gradient: What takes the place of the derivative: `clipped_straight_through` for activations,
            `straight_through` for hidden weights, or a function of your own (gradient, x) -> gradient.

    Returns:
        Entries in {-1, +1}, same shape and type as `x`.

    Example:
        >>> x = torch.tensor([-2.0, -0.5, 0.0, 3.0], requires_grad=True)
        >>> y = binary_sign(x)
        >>> y.tolist()
        [-1.0, -1.0, 1.0, 1.0]
        >>> y.sum().backward()
        >>> x.grad.tolist()
        [0.0, 1.0, 1.0, 0.0]

    References:
        Courbariaux et al. 2016, arXiv 1602.02830.

    Deviation from the authors' code: there sign(0) = 0, a third level. The metaplastic update does not depend on the
    choice, since every consolidation function is 1 at 0.
    """
    return _Sign.apply(x, pseudo_gradient)
