"""The arithmetic of products with binary weights, and torch's way of it."""

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int8, Int32, Shaped
from torch import Tensor

from metaplastic.storage import BinaryCopies

_LARGE = 2**23
"""Elements of a matrix whose rearrangement takes longer than that of a product."""

BYTE_OFFSET = 128
"""What is taken from a byte to make it a signed one."""


@runtime_checkable
class Arithmetic(Protocol):
    """Multiplies signs, or bytes, by the signs of hidden weights, and gradients by both.

    Rows of the members of a stack lie side by side: `[batch, members * features]`.
    """

    def forward(self, x: Tensor, zero: Tensor | None, /) -> tuple[Tensor, Tensor]:
        """Multiply.

        Args:
            x: `[batch, in]`: float32, of which the signs are taken, or uint8.
            zero: 0 or NaN, which is added to every result, and NaN too where x is not finite; None where nothing is
                looked at.

        Returns:
            `[batch, out]` in float32, and what the gradient of the weights will need.
        """
        ...

    def prepared(self, gradient: Tensor, /) -> Tensor:
        """Bring a gradient with respect to the output into the form that it is multiplied in."""
        ...

    def weight_gradient(self, gradient: Tensor, kept: Tensor, results: Tensor, /) -> None:
        """Multiply a prepared gradient by what was kept.

        Args:
            gradient: `[batch, out]`.
            kept: Second result of `forward`.
            results: `[members, out, in]`, written to.
        """
        ...

    def input_gradient(self, gradient: Tensor, /) -> Tensor:
        """Multiply a prepared gradient by the signs of the weights, giving `[batch, in]`."""
        ...


def members_of(weight: Tensor) -> Tensor:
    """View a weight as that of a stack, `[members, out, in]`."""
    return weight if weight.dim() == 3 else weight[None]


class TorchArithmetic:
    """Products of int8 forward, and of floating point backward, by the operations of torch.

    Args:
        copies: Signs of the hidden weight.
        dtype: What gradients of hidden weights are kept in, and those of a layer of bytes multiplied in.
        unit: The unit of inputs of bytes, None for signs.
    """

    def __init__(self, copies: BinaryCopies, dtype: torch.dtype, unit: float | None) -> None:
        self.copies = copies
        self.dtype = dtype
        self.unit = unit

    def forward(self, x: Tensor, zero: Tensor | None) -> tuple[Float[Tensor, "batch out"], Tensor]:
        """Multiply; what is kept are the signs of x as int8, or its bytes."""
        if self.unit is not None:
            y = _floats(self._multiply(integer_mm_bytes, x, self.copies.integer())).mul_(self.unit)
            return (y if zero is None else y.add_(zero)), x
        signs = torch.ge(x, 0, out=torch.empty_like(x, dtype=torch.int8)).mul_(2).sub_(1)
        y = _floats(self._multiply(integer_mm, signs, self.copies.integer()))
        return (y if zero is None else y.add_(x.sum() * 0 + zero)), signs

    def prepared(self, gradient: Tensor) -> Tensor:
        """Convert that of a layer of bytes to the type of gradients, in their unit; others are not rounded."""
        return gradient if self.unit is None else (gradient * self.unit).to(self.dtype)

    def weight_gradient(self, gradient: Tensor, kept: Tensor, results: Tensor) -> None:
        """Multiply gradient^T by what was kept."""
        parts = zip(results, self._parts(gradient), self._parts(kept.to(gradient.dtype)), strict=True)
        for result, left, right in parts:
            result.copy_(left.t() @ right) if result.dtype is not left.dtype else torch.mm(left.t(), right, out=result)

    def input_gradient(self, gradient: Tensor) -> Tensor:
        """Multiply the gradient by the signs of the weights."""
        return self._multiply(torch.mm, gradient, self.copies.integer().to(gradient.dtype))

    def _parts(self, x: Tensor) -> tuple[Tensor, ...]:
        """Cut `[batch, members * features]` into the parts of the members."""
        return x.chunk(len(members_of(self.copies.weight)), 1)

    def _multiply(self, product: Callable[[Tensor, Tensor], Tensor], x: Tensor, matrices: Tensor) -> Tensor:
        """Multiply each member's part of `x` by its matrix, and put the results side by side."""
        results = [product(part, matrix) for part, matrix in zip(self._parts(x), members_of(matrices), strict=True)]
        return results[0] if len(results) == 1 else torch.cat(results, 1)


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
