"""Convolutions whose parameter is the hidden weight."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from metaplastic.hidden_weight import HiddenWeight
from metaplastic.nn.initialization import Initialization
from metaplastic.nn.sign import PseudoGradient, binary_sign, clipped_straight_through, straight_through

Sides = int | tuple[int, int]
"""A number of pixels, or one each along height and width."""


class BinaryConv2d(nn.Module):
    r"""Two-dimensional convolution with the signs of its hidden weights.

    .. math:: y = \hat x * \mathrm{sign}(W_h), \qquad \hat x = \mathrm{sign}(x) \text{ or } x

    Padding adds zeros **after** the input is binarised, so a border position contributes nothing to the sum; it is
    the one place where a third level enters a binary layer.

    Args:
        in_channels: Channels of the input, >= 1.
        out_channels: Channels of the output, >= 1.
        kernel_size: Side of the kernel, in pixels, >= 1; two numbers for one that is not square.
        binarize_input: Whether the layer computes with the signs of its input; never guessed.
        padding: Zeros added on each side, in pixels, >= 0; "same" for as many as keep height and width, with stride 1.
        stride: Pixels from one position of the kernel to the next, >= 1.
        dilation: Pixels from one row or column of the kernel to the next, >= 1.
        groups: Equal parts of the channels that are convolved one by one; it divides both numbers of channels.
        initialization: How the hidden weights are drawn.
        weight_pseudo_gradient: Stands in for the derivative of sign(W_h).
        input_pseudo_gradient: Stands in for the derivative of sign(x).
        generator: Source of randomness for the hidden weights.

    Raises:
        ValueError: When `groups` does not divide the channels, and when the input's channels are not `in_channels`.

    Example:
        >>> BinaryConv2d(1, 4, 3, binarize_input=False, padding=1)(torch.rand(2, 1, 8, 8)).shape
        torch.Size([2, 4, 8, 8])

    Deviation from the authors' code: there a convolution binarises its input unless it has 3 channels.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sides,
        *,
        binarize_input: bool,
        padding: Sides | str = 0,
        stride: Sides = 1,
        dilation: Sides = 1,
        groups: int = 1,
        initialization: Initialization = Initialization(),
        weight_pseudo_gradient: PseudoGradient = straight_through,
        input_pseudo_gradient: PseudoGradient = clipped_straight_through,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if in_channels % groups or out_channels % groups:
            raise ValueError(
                f"expected groups that divide {in_channels} input and {out_channels} output channels, got {groups}; "
                "use 1 to convolve all channels together"
            )
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = _one_number(kernel_size)
        self.padding = padding if isinstance(padding, str) else _one_number(padding)
        self.stride = _one_number(stride)
        self.dilation = _one_number(dilation)
        self.groups = groups
        self.binarize_input = binarize_input
        self.weight_pseudo_gradient = weight_pseudo_gradient
        self.input_pseudo_gradient = input_pseudo_gradient
        sides = (kernel_size, kernel_size) if isinstance(kernel_size, int) else tuple(kernel_size)
        shape = (out_channels, in_channels // groups, *sides)
        self.weight = HiddenWeight(initialization.draw(shape, generator))

    def forward(self, x: Float[Tensor, "batch in_channels height width"]) -> Float[Tensor, "batch out_channels _ _"]:
        """Convolve with the binary kernels.

        Args:
            x: `[batch, in_channels, height, width]`.

        Returns:
            `[batch, out_channels, height', width']`.

        Raises:
            ValueError: When the input's channels are not `in_channels`.
        """
        if x.shape[1] != self.in_channels:
            raise ValueError(
                f"expected images of {self.in_channels} channels as [batch, channel, height, width], got shape "
                f"{tuple(x.shape)}; add the channel dimension or build the layer for {x.shape[1]} channels"
            )
        if self.binarize_input:
            x = binary_sign(x, self.input_pseudo_gradient)
        kernels = binary_sign(self.weight, self.weight_pseudo_gradient)
        return functional.conv2d(
            x, kernels, stride=self.stride, padding=self.padding, dilation=self.dilation, groups=self.groups
        )

    def extra_repr(self) -> str:
        """Show the channels, the kernel and what happens to the input."""
        unusual = "".join(f"{name}={getattr(self, name)}, " for name in _ONES if getattr(self, name) != 1)
        return (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, padding={self.padding}, "
            f"{unusual}binarize_input={self.binarize_input}"
        )


_ONES = ("stride", "dilation", "groups")
"""What is 1 in the convolutions of the paper."""


def _one_number(sides: Sides) -> Sides:
    """Write two equal numbers as one, so that a square kernel is known as such however it was given."""
    if isinstance(sides, int):
        return sides
    height, width = sides
    return height if height == width else (height, width)


class RealConv2d(nn.Module):
    r"""Two-dimensional convolution with its hidden weights themselves: the twin of `BinaryConv2d`.

    .. math:: y = x * W_h

    Args:
        in_channels: Channels of the input, >= 1.
        out_channels: Channels of the output, >= 1.
        kernel_size: Side of the square kernel, in pixels, >= 1.
        padding: Zeros added on each side, in pixels, >= 0.
        initialization: How the weights are drawn.
        generator: Source of randomness for the weights.

    Example:
        >>> RealConv2d(1, 4, 3)(torch.rand(2, 1, 8, 8)).shape
        torch.Size([2, 4, 6, 6])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        padding: int = 0,
        initialization: Initialization = Initialization(),
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.padding = padding
        shape = (out_channels, in_channels, kernel_size, kernel_size)
        self.weight = HiddenWeight(initialization.draw(shape, generator))

    def forward(self, x: Float[Tensor, "batch in_channels height width"]) -> Float[Tensor, "batch out_channels _ _"]:
        """Convolve with the real kernels.

        Args:
            x: `[batch, in_channels, height, width]`.

        Returns:
            `[batch, out_channels, height', width']`.
        """
        return functional.conv2d(x, self.weight, padding=self.padding)

    def extra_repr(self) -> str:
        """Show the shape of the kernels."""
        return f"{tuple(self.weight.shape)}, padding={self.padding}"
