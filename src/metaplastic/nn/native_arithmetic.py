"""The native way to multiply by binary weights: bits forward, sums that are looked up backward."""

import torch
from jaxtyping import Float
from torch import Tensor

from metaplastic import native
from metaplastic.nn.arithmetic import TorchArithmetic, members_of
from metaplastic.storage import BinaryCopies

_ROWS, _STEP = 32, 64
"""Samples whose signs make one word of a column; what the number of columns is rounded up to."""


class NativeArithmetic:
    """Products by the package's own compiled functions, for processors with AVX-512.

    Forward, signs are bits: 64 products are an exclusive or and a count. Backward, a product of float32 with signs
    needs no multiplication: the sixteen sums of four numbers with signs are made once and looked up for sixteen
    columns at a time, in float32. Only the gradient of a layer of bytes is left to torch.

    Args:
        copies: Signs of the hidden weight, for which `serves` holds.
        dtype: What gradients of hidden weights are kept in, and those of a layer of bytes multiplied in.
        unit: The unit of inputs of bytes, None for signs.
    """

    def __init__(self, copies: BinaryCopies, dtype: torch.dtype, unit: float | None) -> None:
        self.copies = copies
        self.unit = unit
        weights = members_of(copies.weight)
        self.out_features, self.in_features = weights.shape[1:]
        self._weights = [
            native.products.Weights(unit is not None, self.in_features, self.out_features)  # type: ignore[union-attr]
            for _ in weights
        ]
        self._packed: tuple[int, int] | None = None
        self._of_bytes = TorchArithmetic(copies, dtype, unit)

    @staticmethod
    def serves(weight: Tensor) -> bool:
        """Tell whether the products were compiled, the processor has them, and the weight lies in one piece."""
        there = native.products is not None and weight.device.type == "cpu"
        return there and weight.is_contiguous() and weight.numel() > 0

    def forward(self, x: Tensor, zero: Tensor | None) -> tuple[Float[Tensor, "batch out"], Tensor]:
        """Multiply; what is kept are the signs of x, column by column, or x itself where no gradient is wanted."""
        self._follow()
        x = x.contiguous()
        rows, threads = len(x), torch.get_num_threads()
        y = x.new_empty(rows, len(self._weights) * self.out_features, dtype=torch.float32)
        finite, added = zero is not None, 0.0 if zero is None else float(zero)
        kept = self._columns(rows) if finite and self.unit is None else x
        for weights, part, result, columns in zip(
            self._weights, self._addresses(x, self.in_features), self._addresses(y, self.out_features),
            self._addresses_of_columns(kept), strict=True,
        ):  # fmt: skip
            weights.forward(
                part, x.stride(0), rows, result, y.stride(0), finite, self.unit or 1.0, added, columns, threads
            )
        return y, kept

    def prepared(self, gradient: Tensor) -> Tensor:
        """Put the gradient in one piece, and that of a layer of bytes in its unit and type."""
        return gradient.contiguous() if self.unit is None else self._of_bytes.prepared(gradient)

    def weight_gradient(self, gradient: Tensor, kept: Tensor, results: Tensor) -> None:
        """Look up the sums of the gradient by the signs that were kept."""
        if self.unit is not None:
            self._of_bytes.weight_gradient(gradient, kept, results)
            return
        rows, threads = len(gradient), torch.get_num_threads()
        for weights, part, columns, result in zip(
            self._weights, self._addresses(gradient, self.out_features), self._addresses_of_columns(kept), results,
            strict=True,
        ):  # fmt: skip
            if rows == 0:
                result.zero_()
            half = result.dtype is torch.bfloat16
            weights.gradient(part, gradient.stride(0), rows, columns, result.data_ptr(), half, threads)

    def input_gradient(self, gradient: Tensor) -> Tensor:
        """Look up the sums of the gradient by the signs of the weights."""
        self._follow()
        passed = gradient.new_empty(len(gradient), len(self._weights) * self.in_features)
        for weights, part, result in zip(
            self._weights, self._addresses(gradient, self.out_features), self._addresses(passed, self.in_features),
            strict=True,
        ):  # fmt: skip
            weights.pass_on(part, gradient.stride(0), len(gradient), result, passed.stride(0), torch.get_num_threads())
        return passed

    def _follow(self) -> None:
        """Pack the signs anew where the weight has changed."""
        signs = self.copies.integer()
        if self._packed == self.copies.state:
            return
        for weights, member in zip(self._weights, members_of(signs), strict=True):
            weights.pack(member.data_ptr(), torch.get_num_threads())
        self._packed = self.copies.state

    def _columns(self, rows: int) -> Tensor:
        words, stride = -(-rows // _ROWS), -(-self.in_features // _STEP) * _STEP
        return torch.empty(len(self._weights), words, stride, dtype=torch.int32)

    def _addresses_of_columns(self, kept: Tensor) -> list[int]:
        if kept.dtype is not torch.int32:
            return [0] * len(self._weights)
        return [member.data_ptr() for member in kept]

    def _addresses(self, rows: Tensor, features: int) -> range:
        """Give the addresses of the members' parts of `[batch, members * features]`."""
        start, size = rows.data_ptr(), features * rows.element_size()
        return range(start, start + len(self._weights) * size, size)
