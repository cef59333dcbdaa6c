"""How a GPU multiplies by binary weights: on its tensor cores, in bfloat16 where that is exact."""

import torch
from jaxtyping import BFloat16, Float, Shaped
from torch import Tensor

from metaplastic.nn.arithmetic import members_of
from metaplastic.storage import BinaryCopies

PARTS = 3
"""Numbers of bfloat16, with eight bits each, that hold the 24 bits of a float32."""


class TensorCoreArithmetic:
    """Products of bfloat16, whose sums are taken in float32: those of signs and of bytes are exact.

    A stack is multiplied at once, its members as a batch of matrices. Where gradients are kept in bfloat16, the one
    from above is the sum of three numbers of that type, which hold all bits of float32, and each is multiplied: signs
    being exact, so is every product. That costs arithmetic, of which there is plenty, and hardly any memory.

    Args:
        copies: Signs of the hidden weight as bfloat16.
        dtype: What gradients of hidden weights are kept in; float32 is multiplied in float32.
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
        """Put it in the unit of bytes, and split it where it is multiplied in bfloat16: `[parts * batch, out]`."""
        gradient = gradient if self.unit is None else gradient * self.unit
        return gradient if self.dtype is torch.float32 else torch.cat(split(gradient))

    def weight_gradient(self, gradient: Tensor, kept: Tensor, results: Shaped[Tensor, "members out in"]) -> None:
        """Multiply gradient^T by what was kept, once for each of its parts."""
        kept = kept.to(gradient.dtype).repeat(self._number(gradient), 1)
        torch.bmm(self._parts(gradient).mT, self._parts(kept), out=results)

    def input_gradient(self, gradient: Tensor) -> Tensor:
        """Multiply the gradient by the signs of the weights, and put its parts together."""
        passed = _side_by_side(in_float32(self._parts(gradient), self._signs().to(gradient.dtype)))
        return passed.unflatten(0, (self._number(gradient), -1)).sum(0)

    @staticmethod
    def _number(gradient: Tensor) -> int:
        """Count the parts of a prepared gradient."""
        return 1 if gradient.dtype is torch.float32 else PARTS

    def _signs(self) -> Tensor:
        return members_of(self.copies.half())

    def _parts(self, x: Tensor) -> Tensor:
        """View `[batch, members * features]` as `[members, batch, features]`."""
        return x.unflatten(1, (len(members_of(self.copies.weight)), -1)).transpose(0, 1)


def split(x: Float[Tensor, "..."]) -> list[BFloat16[Tensor, "..."]]:
    """Write numbers as sums of bfloat16.

    Args:
        x: Any numbers, float32.

    Returns:
        Three tensors in the shape of x, the largest part first; their sum is x, but for numbers so small that a part
        falls below the range of the type, and NaN for what is not finite.

    Example:
        >>> x = torch.tensor([1 / 3, -1e-5])
        >>> bool((sum(part.double() for part in split(x)) == x.double()).all())
        True
    """
    parts = []
    for _ in range(PARTS):
        parts.append(x.to(torch.bfloat16))
        x = x - parts[-1].to(torch.float32)
    return parts


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
