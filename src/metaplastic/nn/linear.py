"""Fully connected layers whose parameter is the hidden weight."""

from typing import Any

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn
from torch.nn import functional

from metaplastic.hidden_weight import HiddenWeight
from metaplastic.nn.initialization import Initialization
from metaplastic.nn.integer_product import IntegerProduct
from metaplastic.nn.sign import PseudoGradient, binary_sign, clipped_straight_through, straight_through


class BinaryLinear(nn.Module):
    r"""Linear layer that computes with the signs of its hidden weights.

    .. math:: y = \hat x \, \mathrm{sign}(W_h)^T, \qquad \hat x = \mathrm{sign}(x) \text{ or } x

    `weight` is :math:`W_h` and :math:`\hat x` is the sign of the input if `binarize_input`. There is no bias: the
    normalisation that follows has an offset.

    Args:
        in_features: Width of the input, >= 1.
        out_features: Width of the output, >= 1.
        binarize_input: Whether the layer computes with the signs of its input. Never guessed: the first layer of a
            network usually sees real-valued pixels, every other layer signs.
        initialization: How the hidden weights are drawn.
        weight_pseudo_gradient: Stands in for the derivative of sign(W_h).
        input_pseudo_gradient: Stands in for the derivative of sign(x).
        generator: Source of randomness for the hidden weights.

    Raises:
        ValueError: When the input's last dimension is not `in_features`.

    Example:
        >>> layer = BinaryLinear(3, 2, binarize_input=True)
        >>> layer(torch.randn(5, 3)).shape
        torch.Size([5, 2])

    References:
        Courbariaux et al. 2016, arXiv 1602.02830; Laborieux et al. 2021, Nature Communications 12:2549.

    Deviations from the authors' code: there a layer binarises its input, in place in the caller's tensor, unless its
    width is 784; here it is an argument and no input is changed.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        binarize_input: bool,
        initialization: Initialization = Initialization(),
        weight_pseudo_gradient: PseudoGradient = straight_through,
        input_pseudo_gradient: PseudoGradient = clipped_straight_through,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.in_features = in_features
        self.out_features = out_features
        self.binarize_input = binarize_input
        self.weight_pseudo_gradient = weight_pseudo_gradient
        self.input_pseudo_gradient = input_pseudo_gradient
        self.weight = HiddenWeight(initialization.draw((out_features, in_features), generator))
        # Put here by the fast engine, for as long as it is at work.
        self.product: IntegerProduct | None = None

    def forward(self, x: Shaped[Tensor, "... in_features"]) -> Float[Tensor, "... out_features"]:
        """Multiply by the binary weights.

        Args:
            x: `[..., in_features]`.

        Returns:
            `[..., out_features]`.

        Raises:
            ValueError: When the last dimension is not `in_features`.
        """
        if x.shape[-1] != self.in_features:
            raise ValueError(
                f"expected an input of {self.in_features} features, got shape {tuple(x.shape)}; flatten images to "
                "[batch, features] first"
            )
        if self.product is not None and self.product.serves(self.weight, x):
            return self.product(x)
        return functional.linear(self.operand(x), binary_sign(self.weight, self.weight_pseudo_gradient))

    def operand(self, x: Shaped[Tensor, "... in_features"]) -> Float[Tensor, "... in_features"]:
        """Give what the binary weights are multiplied by.

        Args:
            x: Input of the layer.

        Returns:
            Its signs, where the layer binarizes its input; else its values, bytes in the unit that an engine knows.
        """
        if self.product is not None:
            x = self.product.as_numbers(x)
        return binary_sign(x, self.input_pseudo_gradient) if self.binarize_input else x

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what belongs to an engine: a copy of the layer is not at work."""
        return self.__dict__ | {"product": None}

    def extra_repr(self) -> str:
        """Show the widths and what happens to the input."""
        return f"{self.in_features}, {self.out_features}, binarize_input={self.binarize_input}"


class RealLinear(nn.Module):
    r"""Linear layer that computes with its hidden weights themselves: the real-valued twin of `BinaryLinear`.

    .. math:: y = x W_h^T

    Its weight carries the same mark, so the metaplastic rule can be applied to a real-valued network, which it helps
    less than a binary one (Fig. 2f; numbers in the ledger).

    Args:
        in_features: Width of the input, >= 1.
        out_features: Width of the output, >= 1.
        initialization: How the weights are drawn.
        generator: Source of randomness for the weights.

    Example:
        >>> RealLinear(3, 2)(torch.randn(5, 3)).shape
        torch.Size([5, 2])
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        initialization: Initialization = Initialization(),
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.in_features = in_features
        self.out_features = out_features
        self.weight = HiddenWeight(initialization.draw((out_features, in_features), generator))

    def forward(self, x: Float[Tensor, "... in_features"]) -> Float[Tensor, "... out_features"]:
        """Multiply by the real weights.

        Args:
            x: `[..., in_features]`.

        Returns:
            `[..., out_features]`.
        """
        return functional.linear(x, self.weight)

    def extra_repr(self) -> str:
        """Show the widths."""
        return f"{self.in_features}, {self.out_features}"
