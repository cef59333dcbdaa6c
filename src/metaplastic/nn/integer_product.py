"""Products with binary weights in integers: exact forward, and a backward pass on owned buffers."""

import enum
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float, Int8, Int32, Shaped
from torch import Tensor

from metaplastic.hidden_weight import HiddenWeight
from metaplastic.nn.sign import PseudoGradient
from metaplastic.storage import BinaryCopies, allocate_stream

_LARGE = 2**23
"""Elements of a matrix whose rearrangement takes longer than that of a product."""

BYTE_OFFSET = 128
"""What is taken from a byte to make it a signed one."""


class Precision(enum.StrEnum):
    """How the gradients of an integer product are multiplied; its forward product is exact in any case."""

    EXACT = "exact"
    """In float32."""
    FAST = "fast"
    """In bfloat16: signs and bytes are exact in it, the gradient from above is rounded to 8 bits, and so is the
    gradient of the hidden weights, which is kept in bfloat16."""

    @property
    def dtype(self) -> torch.dtype:
        """What gradients are multiplied in."""
        return torch.float32 if self is Precision.EXACT else torch.bfloat16


class IntegerProduct:
    r"""Multiplies by the signs of a hidden weight in int8.

    .. math:: y = \mathrm{sign}(x) \, \mathrm{sign}(W_h)^T \quad\text{or}\quad y = c \, p \, \mathrm{sign}(W_h)^T

    for activations :math:`x` and for bytes :math:`p` in units of :math:`c` = `unit`. The sums are integers below 2^24,
    so the result equals, bit for bit, what the plain product computes in float32 when c is a power of two.

    In the backward pass the gradient of the weight goes straight into `weight.grad`, a buffer that is used again in
    every step: keep a copy if you need it longer. `torch.autograd.grad` for the weight and hooks on it are not served.

    A weight `[members, out, in]` is that of a stack of networks: each member multiplies its own part of the input.

    Args:
        weight: `[out, in]` or `[members, out, in]`, the hidden weight.
        precision: How gradients are multiplied.
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
        # A layer of bytes passes no gradient on and needs no bfloat16 copy; but with one, all layers are moved by the
        # same compiled pass, and to compile another would take longer than the copies ever will.
        self.copies = BinaryCopies(weight, half=precision is Precision.FAST)
        self.gradient: Tensor | None = None

    def serves(self, weight: Tensor, x: Tensor) -> bool:
        """Tell whether a product is one that this was made for.

        Args:
            weight: A functional call puts other weights in the place of those that it was made for.
            x: Bytes where it was made for bytes, else numbers to binarise.

        Returns:
            False where the plain product is to be used, as it is under the transforms of `torch.func`.
        """
        fits = (x.dtype is torch.uint8) == (self.unit is not None)
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
        product: type[torch.autograd.Function] = _SignProduct if self.unit is None else _ByteProduct
        # In training what is not finite must not be hidden by its sign: times zero it reaches the loss, and is caught.
        zero = self.copies.zero() if torch.is_grad_enabled() else None
        y = product.apply(x.reshape(-1, x.shape[-1]), self.copies.weight, self, zero)
        return y.reshape(*x.shape[:-1], -1)

    def accumulate(self, gradient: Float[Tensor, "batch out"], x: Shaped[Tensor, "batch in"]) -> None:
        """Add the weight's gradient, gradient^T x, to `weight.grad`; both in the dtype of the precision.

        Args:
            gradient: Gradient with respect to the output.
            x: What was multiplied by the signs.
        """
        weight = self.copies.weight
        kept = weight.grad
        if self.gradient is None:
            self.gradient = allocate_stream(weight, 1, self.precision.dtype)
        buffers = _members(self.gradient if kept is None else kept)
        for buffer, left, right in zip(buffers, *self.parts(gradient, x), strict=True):
            if kept is None:
                torch.mm(left.t(), right, out=buffer)
            else:
                buffer.addmm_(left.t(), right)
        if kept is None:
            weight.grad = self.gradient

    def parts(self, *tensors: Tensor) -> list[tuple[Tensor, ...]]:
        """Cut tensors `[batch, members * features]` into the parts of the members."""
        return [tensor.chunk(len(_members(self.copies.weight)), 1) for tensor in tensors]

    def multiply(self, product: Callable[[Tensor, Tensor], Tensor], x: Tensor, matrices: Tensor) -> Tensor:
        """Multiply each member's part of `x` by its matrix, and put the results side by side."""
        (parts,) = self.parts(x)
        results = [product(part, matrix) for part, matrix in zip(parts, _members(matrices), strict=True)]
        return results[0] if len(results) == 1 else torch.cat(results, 1)


def _members(weight: Tensor) -> Tensor:
    """View a weight as that of a stack."""
    return weight if weight.dim() == 3 else weight[None]


class _SignProduct(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, product: IntegerProduct, zero: Tensor | None) -> Tensor:
        signs = torch.ge(x, 0, out=torch.empty_like(x, dtype=torch.int8)).mul_(2).sub_(1)
        ctx.product, ctx.signs = product, signs
        ctx.save_for_backward(x)
        y = _floats(product.multiply(integer_mm, signs, product.copies.integer()))
        return y if zero is None else y.add_(x.sum() * 0 + zero)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, None, None, None]:
        product, (x,) = ctx.product, ctx.saved_tensors
        gradient = gradients[0].to(product.precision.dtype)
        if ctx.needs_input_grad[1]:
            product.accumulate(gradient, ctx.signs.to(gradient.dtype))
        if not ctx.needs_input_grad[0]:
            return None, None, None, None
        copies = product.copies
        signs = copies.half() if product.precision is Precision.FAST else copies.integer().to(gradient.dtype)
        passed = product.multiply(torch.mm, gradient, signs).to(x.dtype)
        return product.pseudo_gradient(passed, x), None, None, None


class _ByteProduct(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, product: IntegerProduct, zero: Tensor | None) -> Tensor:
        ctx.product, ctx.unit = product, product.unit or 1.0
        ctx.save_for_backward(x)
        y = _floats(product.multiply(integer_mm_bytes, x, product.copies.integer())).mul_(ctx.unit)
        return y if zero is None else y.add_(zero)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, None, None, None]:
        product, (x,) = ctx.product, ctx.saved_tensors
        if ctx.needs_input_grad[1]:
            gradient = (gradients[0] * ctx.unit).to(product.precision.dtype)
            product.accumulate(gradient, x.to(gradient.dtype))
        return None, None, None, None


def _floats(integers: Tensor) -> Tensor:
    return integers.to(torch.float32, memory_format=torch.contiguous_format)


def integer_mm(left: Int8[Tensor, "rows in"], right: Int8[Tensor, "out in"]) -> Int32[Tensor, "rows out"]:
    """Multiply int8 matrices, exactly.

    Args:
        left: `[rows, in]`.
        right: `[out, in]`.

    Returns:
        `left @ right.T` in int32.

    Example:
        >>> signs = torch.tensor([[1, -1, 1]], dtype=torch.int8)
        >>> integer_mm(signs, signs).tolist()
        [[3]]
    """
    if left.shape[1] == 1:  # where torch.mm of integers reads the transpose of a single column wrongly
        return left.to(torch.int32) * right.t()
    if right.numel() >= _LARGE and len(left) < len(right):
        # The right operand is rearranged before it is multiplied, so it is better to have it the smaller one.
        return torch._int_mm(right, left.t()).t()
    return torch._int_mm(left, right.t())


def integer_mm_bytes(left: Shaped[Tensor, "rows in"], right: Int8[Tensor, "out in"]) -> Int32[Tensor, "rows out"]:
    r"""Multiply bytes by an int8 matrix, exactly.

    .. math:: p \, s^T = (p - 128) \, s^T + 128 \cdot 1 s^T

    Bytes less 128 fit into int8; the sums of `right` that correct for it come from a row of ones below `left`.

    Args:
        left: `[rows, in]`, uint8.
        right: `[out, in]`.

    Returns:
        `left @ right.T` in int32.

    Example:
        >>> pixels, signs = torch.tensor([[0, 255]], dtype=torch.uint8), torch.tensor([[1, -1]], dtype=torch.int8)
        >>> integer_mm_bytes(pixels, signs).tolist()
        [[-255]]
    """
    ones = left.new_full((1, left.shape[1]), BYTE_OFFSET + 1)
    centred = torch.cat([left, ones]).bitwise_xor_(BYTE_OFFSET).view(torch.int8)
    products = integer_mm(centred, right)
    return products[:-1].add_(products[-1:], alpha=BYTE_OFFSET)
