"""How a GPU multiplies by binary weights: on its tensor cores, in bfloat16 where that is exact."""

import torch
from jaxtyping import BFloat16, Float, Shaped
from torch import Tensor

from metaplastic.nn.arithmetic import members_of
from metaplastic.storage import BinaryCopies


class TensorCoreArithmetic:
    """Products of bfloat16, whose sums are taken in float32: those of signs and of bytes are exact.

    A stack is multiplied at once, its members as a batch of matrices. Gradients are multiplied in bfloat16 with sums in
    float32, or in float32 altogether.

    Args:
        copies: Signs of the hidden weight as bfloat16.
        dtype: What gradients are multiplied in, and those of hidden weights kept in.
        unit: The unit of inputs of bytes, None for signs.
    """

    def __init__(self, copies: BinaryCopies, dtype: torch.dtype, unit: float | None) -> None:
        self.copies = copies
        self.dtype = dtype
        self.unit = unit

    @staticmethod
    def serves(weight: Tensor) -> bool:
        """Tell whether a weight lies on a GPU with tensor cores that multiply bfloat16."""
        return weight.device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)

    def forward(
        self, x: Tensor, zero: Tensor | None
    ) -> tuple[Float[Tensor, "batch out"], BFloat16[Tensor, "batch in"]]:
        """Multiply; what is kept are the signs of x, or its bytes, in bfloat16."""
        kept = x.to(torch.bfloat16) if self.unit is not None else _signs(x)
        y = _side_by_side(in_float32(self._parts(kept), self._signs().mT))
        if self.unit is not None:
            y = y.mul_(self.unit)
            return (y if zero is None else y.add_(zero)), kept
        return (y if zero is None else y.add_(x.sum() * 0 + zero)), kept

    def prepared(self, gradient: Tensor) -> Tensor:
        """Convert to the type of gradients, in the unit of bytes."""
        return (gradient if self.unit is None else gradient * self.unit).to(self.dtype)

    def weight_gradient(self, gradient: Tensor, kept: Tensor, results: Shaped[Tensor, "members out in"]) -> None:
        """Multiply gradient^T by what was kept."""
        torch.bmm(self._parts(gradient).mT, self._parts(kept.to(gradient.dtype)), out=results)

    def input_gradient(self, gradient: Tensor) -> Tensor:
        """Multiply the gradient by the signs of the weights."""
        return _side_by_side(in_float32(self._parts(gradient), self._signs().to(gradient.dtype)))

    def _signs(self) -> Tensor:
        return members_of(self.copies.half())

    def _parts(self, x: Tensor) -> Tensor:
        """View `[batch, members * features]` as `[members, batch, features]`."""
        return x.unflatten(1, (len(members_of(self.copies.weight)), -1)).transpose(0, 1)


def _side_by_side(parts: Tensor) -> Tensor:
    return parts.transpose(0, 1).flatten(1)


def _signs(x: Tensor) -> Tensor:
    return torch.ge(x, 0, out=torch.empty_like(x, dtype=torch.bfloat16)).mul_(2).sub_(1)


def in_float32(
    left: Float[Tensor, "members rows inner"], right: Float[Tensor, "members inner columns"]
) -> Float[Tensor, "members rows columns"]:
    """Multiply matrices of float32 or bfloat16 with sums, and results, in float32.

    Args:
        left: `[members, rows, inner]`.
        right: `[members, inner, columns]`, of the same type.

    Returns:
        `left @ right`. Integers that the type holds are multiplied exactly as long as sums stay below 2^24.

    Example:
        >>> ones = torch.ones(1, 3, 3, dtype=torch.bfloat16)
        >>> in_float32(ones, 255 * ones)[0, 0].tolist()
        [765.0, 765.0, 765.0]
    """
    if left.dtype is torch.bfloat16 and left.device.type == "cuda":
        return torch.bmm(left, right, out_dtype=torch.float32)
    return torch.bmm(left.to(torch.float32), right.to(torch.float32))  # torch keeps the sums on a GPU only
