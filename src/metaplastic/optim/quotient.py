"""Quotients that are divided once, at the end: in a compiled pass over weights a division is what takes longest."""

from typing import NamedTuple

from torch import Tensor


class Quotient(NamedTuple):
    """A numerator over a denominator, of one shape.

    Args:
        numerator: The numerator.
        denominator: The denominator; None stands for 1.

    Example:
        >>> import torch
        >>> Quotient(torch.tensor([1.0, 2.0]), torch.tensor([4.0, 4.0])).divided()
        tensor([0.2500, 0.5000])
    """

    numerator: Tensor
    denominator: Tensor | None = None

    def divided(self) -> Tensor:
        """Give the value, which may be the numerator itself."""
        return self.numerator if self.denominator is None else self.numerator / self.denominator
