"""Exact products with binary weights, as of integers, and a backward pass on owned buffers."""

import enum
from typing import Any

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from metaplastic.hidden_weight import HiddenWeight
from metaplastic.nn.arithmetic import Arithmetic, TorchArithmetic, members_of
from metaplastic.nn.native_arithmetic import NativeArithmetic
from metaplastic.nn.sign import PseudoGradient
from metaplastic.nn.tensor_core_arithmetic import TensorCoreArithmetic
from metaplastic.storage import BinaryCopies, allocate_stream


class Precision(enum.StrEnum):
    """What gradients of hidden weights are kept in; the forward product is exact in any case."""

    EXACT = "exact"
    """Float32."""
    FAST = "fast"
    """The gradient of hidden weights is kept in bfloat16, its sums are those of float32. Only for the bytes of a first
    layer the processor rounds the gradient from above to bfloat16 before it multiplies. In front of signs that would do
    harm: behind a normalisation the gradients of a unit add up to zero over a batch, and rounded ones no longer do."""

    @property
    def dtype(self) -> torch.dtype:
        """What gradients of hidden weights are kept in."""
        return torch.float32 if self is Precision.EXACT else torch.bfloat16


class IntegerProduct:
    r"""Multiplies by the signs of a hidden weight in integers.

    .. math:: y = \mathrm{sign}(x) \, \mathrm{sign}(W_h)^T \quad\text{or}\quad y = c \, p \, \mathrm{sign}(W_h)^T

    for activations :math:`x` and for bytes :math:`p` in units of :math:`c` = `unit`. The sums are integers below 2^24,
    so the result equals, bit for bit, what the plain product computes in float32 when c is a power of two.

    In the backward pass the gradient of the weight goes straight into `weight.grad`, a buffer that is used again in
    every step: keep a copy if you need it longer. `torch.autograd.grad` for the weight and hooks on it are not served.

    A weight `[members, out, in]` is that of a stack of networks: each member multiplies its own part of the input.

    Args:
        weight: `[out, in]` or `[members, out, in]`, the hidden weight.
        precision: What gradients of hidden weights are kept in.
        pseudo_gradient: Stands in for the derivative of sign(x).
        unit: The unit c of inputs of bytes, which pass no gradient on; None where the input is to be binarised.

    References:
        Courbariaux et al. 2016, arXiv 1602.02830, for the products; the layout of the buffers is ours.
    """

    def __init__(
        self,
        weight: HiddenWeight,
        precision: Precision,
        pseudo_gradient: PseudoGradient,
        *,
        unit: float | None = None,
    ) -> None:
        self.precision = precision
        self.pseudo_gradient = pseudo_gradient
        self.unit = unit
        self.copies, self.arithmetic, self.whose = _arithmetic(weight, precision, unit)
        self.gradient: Tensor | None = None

    def serves(self, weight: Tensor, x: Tensor) -> bool:
        """Tell whether a product is one that this was made for.

        Args:
            weight: A functional call puts other weights in the place of those that it was made for.
            x: Bytes where it was made for bytes, else numbers to binarise.

        Returns:
            False where the plain product is to be used, as it is under the transforms of `torch.func`.
        """
        fits = x.dtype is (torch.float32 if self.unit is None else torch.uint8)
        return fits and weight is self.copies.weight and not torch._C._are_functorch_transforms_active()

    def as_numbers(self, x: Shaped[Tensor, "... in"]) -> Shaped[Tensor, "... in"]:
        """Give the plain product what it can multiply.

        Args:
            x: What the layer was given.

        Returns:
            Bytes in their unit; anything else as it is.
        """
        return x.to(torch.float32) * (self.unit or 1.0) if x.dtype is torch.uint8 else x

    def __call__(self, x: Shaped[Tensor, "... in"]) -> Float[Tensor, "... out"]:
        """Multiply activations by their signs, or bytes by their values.

        Args:
            x: `[..., in]`: float32, of which the signs are taken, or uint8.

        Returns:
            `[..., out]` in float32.
        """
        # In training what is not finite must not be hidden by its sign: times zero it reaches the loss, and is caught.
        zero = self.copies.zero() if torch.is_grad_enabled() else None
        y = _Product.apply(x.reshape(-1, x.shape[-1]), self.copies.weight, self, zero)
        return y.reshape(*x.shape[:-1], -1)

    def accumulate(self, gradient: Float[Tensor, "batch out"], kept: Tensor) -> None:
        """Add the weight's gradient to `weight.grad`.

        Args:
            gradient: Gradient with respect to the output.
            kept: What the forward product kept of its input.
        """
        weight = self.copies.weight
        if self.gradient is None:
            self.gradient = allocate_stream(weight, 1, self.precision.dtype)
        if weight.grad is None:
            self.arithmetic.weight_gradient(gradient, kept, members_of(self.gradient))
            weight.grad = self.gradient
            return
        more = torch.empty_like(weight.grad)
        self.arithmetic.weight_gradient(gradient, kept, members_of(more))
        weight.grad.add_(more)


def _arithmetic(weight: HiddenWeight, precision: Precision, unit: float | None) -> tuple[BinaryCopies, Arithmetic, str]:
    """Find the fastest way to multiply by a weight, the copies of its signs that this needs, and what it is called."""
    if TensorCoreArithmetic.serves(weight):
        copies = BinaryCopies(weight, integer=False, half=True)
        return copies, TensorCoreArithmetic(copies, precision.dtype, unit), "tensor cores"
    if NativeArithmetic.serves(weight):
        copies = BinaryCopies(weight)
        return copies, NativeArithmetic(copies, precision.dtype, unit), "native"
    copies = BinaryCopies(weight)
    return copies, TorchArithmetic(copies, precision.dtype, unit), "torch"


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, product: IntegerProduct, zero: Tensor | None) -> Tensor:
        y, ctx.kept = product.arithmetic.forward(x, zero)
        ctx.product = product
        ctx.save_for_backward(x)
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, None, None, None]:
        product, (x,) = ctx.product, ctx.saved_tensors
        gradient = product.arithmetic.prepared(gradients[0])
        if ctx.needs_input_grad[1]:
            product.accumulate(gradient, ctx.kept)
        if not ctx.needs_input_grad[0]:
            return None, None, None, None
        passed = product.arithmetic.input_gradient(gradient).to(x.dtype)
        return product.pseudo_gradient(passed, x), None, None, None
