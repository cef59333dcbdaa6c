"""The blocks that networks are made of, and the makers that chain them."""

import enum
import itertools
import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Shaped
from torch import Tensor, nn

from metaplastic.choices import choose, settle_choices
from metaplastic.nn.conv import BinaryConv2d, RealConv2d
from metaplastic.nn.dropout import SignDropout
from metaplastic.nn.initialization import Initialization
from metaplastic.nn.linear import BinaryLinear, RealLinear
from metaplastic.nn.normalization import NormPolicy, Statistics, normalization


class Activation(enum.StrEnum):
    """What follows the normalisation of a real-valued network's hidden layers."""

    RELU = "relu"
    """max(x, 0), the authors' v1.0.0."""
    TANH = "tanh"
    """The hyperbolic tangent, the authors' code until August 2020."""

    def module(self) -> nn.Module:
        """Make the activation as a layer."""
        return nn.ReLU() if self is Activation.RELU else nn.Tanh()


class Pool(enum.StrEnum):
    """How a convolutional block halves the image."""

    NONE = "none"
    """Not at all."""
    AVERAGE = "average"
    """Mean of 2 x 2."""
    MAX = "max"
    """Largest of 2 x 2."""

    def modules(self) -> list[nn.Module]:
        """Make the pooling as a list of at most one layer."""
        if self is Pool.NONE:
            return []
        return [nn.AvgPool2d(2) if self is Pool.AVERAGE else nn.MaxPool2d(2)]

    @property
    def stride(self) -> int:
        """What the sides of the image are divided by."""
        return 1 if self is Pool.NONE else 2


@dataclass(frozen=True)
class ConvBlock:
    """One convolution with what follows it.

    Args:
        channels: Output channels, >= 1.
        kernel_size: Side of the kernel, in pixels.
        padding: Zeros added on each side, in pixels.
        pool: Pooling between convolution and normalisation.
    """

    channels: int
    kernel_size: int
    padding: int
    pool: Pool = Pool.NONE

    def __post_init__(self) -> None:
        settle_choices(self)


def mnist_usps_blocks(channels: Sequence[int] = (12, 20, 30)) -> tuple[ConvBlock, ...]:
    """Make the convolutional blocks of the paper's MNIST-then-USPS network.

    Args:
        channels: Output channels of each block.

    Returns:
        Kernel 4, padding 1, average pool 2 in each block; a 28 x 28 image becomes 2 x 2.

    Example:
        >>> flat_features((1, 28, 28), mnist_usps_blocks())
        120
    """
    return tuple(ConvBlock(width, 4, 1, Pool.AVERAGE) for width in channels)


CIFAR_STREAM_BLOCKS = (
    ConvBlock(128, 3, 1),
    ConvBlock(128, 3, 1, Pool.MAX),
    ConvBlock(256, 3, 1),
    ConvBlock(256, 3, 1, Pool.MAX),
    ConvBlock(512, 3, 1),
    ConvBlock(512, 3, 0, Pool.MAX),
)
"""The convolutional blocks of the paper's CIFAR-10 stream network; 3 x 32 x 32 becomes 512 x 3 x 3."""


LinearMaker = Callable[[int, int, int], nn.Module]
"""Makes the linear layer at (depth, fan_in, fan_out); depth 0 is the first."""

ConvolutionMaker = Callable[[int, int, ConvBlock], nn.Module]
"""Makes the convolution at (depth, input channels, block)."""

BetweenMaker = Callable[[], list[nn.Module]]
"""Makes what stands between a normalisation and the next linear layer or convolution."""


def policy_of(norm: NormPolicy | Statistics | str) -> NormPolicy:
    """Take a policy as it is, or make the default one with the statistics of that name."""
    if isinstance(norm, NormPolicy):
        return norm
    if norm == Statistics.BATCH:
        warnings.warn(
            "norm='batch' normalises by the test batch, so predictions depend on how a test set is split; it exists to "
            "reproduce published runs. For ordinary batch norm use 'recalibrated' or 'running'",
            stacklevel=3,
        )
    return NormPolicy(statistics=choose(Statistics, norm))


def linear_layers(
    sizes: Sequence[int],
    policy: NormPolicy,
    linear: LinearMaker,
    between: BetweenMaker,
    generator: torch.Generator | None,
) -> nn.Sequential:
    """Chain linear layers, each followed by its normalisation.

    Args:
        sizes: Widths from input to output, at least two, all >= 1.
        policy: Policy of every normalisation.
        linear: Makes each linear layer.
        between: Makes what stands in front of every linear layer but the first.
        generator: Source of randomness for the gains.

    Returns:
        The layers in order.

    Raises:
        ValueError: When a width is missing or below 1.
    """
    if len(sizes) < 2 or min(sizes) < 1:
        raise ValueError(
            f"expected at least an input and an output width, all >= 1, got {list(sizes)}; e.g. [784, 1024, 1024, 10]"
        )
    layers = nn.Sequential()
    for depth, (fan_in, fan_out) in enumerate(itertools.pairwise(sizes)):
        layers.extend(between() if depth else [])
        layers.extend([linear(depth, fan_in, fan_out), normalization(fan_out, policy, generator)])
    return layers


def convolutional_layers(
    channels: int,
    blocks: Sequence[ConvBlock],
    policy: NormPolicy,
    convolution: ConvolutionMaker,
    between: BetweenMaker,
    generator: torch.Generator | None,
) -> nn.Sequential:
    """Chain convolutions, each followed by its pooling and its normalisation.

    Args:
        channels: Channels of the input.
        blocks: What each convolution looks like.
        policy: Policy of every normalisation.
        convolution: Makes each convolution.
        between: Makes what stands in front of every convolution but the first.
        generator: Source of randomness for the gains.

    Returns:
        The layers in order.
    """
    layers = nn.Sequential()
    for depth, block in enumerate(blocks):
        layers.extend(between() if depth else [])
        layers.extend([convolution(depth, channels, block), *block.pool.modules()])
        layers.append(normalization(block.channels, policy, generator))
        channels = block.channels
    return layers


def flat_features(input_shape: tuple[int, int, int], blocks: Sequence[ConvBlock]) -> int:
    """Count the features that the convolutions leave.

    Args:
        input_shape: `(channels, height, width)` of an image.
        blocks: The convolutional blocks.

    Returns:
        Channels times height times width behind the last block.

    Raises:
        ValueError: When the image is too small for the blocks.
    """
    channels, *sides = input_shape
    for block in blocks:
        channels = block.channels
        sides = [(side + 2 * block.padding - block.kernel_size + 1) // block.pool.stride for side in sides]
    if min(sides) < 1:
        raise ValueError(f"expected images large enough for {len(blocks)} blocks, got {input_shape}; use fewer blocks")
    return channels * math.prod(sides)


def as_images(x: Shaped[Tensor, "batch ..."], input_shape: tuple[int, int, int]) -> Shaped[Tensor, "batch c h w"]:
    """Give samples the shape of images.

    Args:
        x: `[batch, ...]`.
        input_shape: `(channels, height, width)` of an image.

    Returns:
        `[batch, channels, height, width]`.

    Raises:
        ValueError: When a sample has more or fewer values than an image.
    """
    try:  # and no question, which nothing that traces a model could follow
        return x.flatten(1).unflatten(1, input_shape)
    except (RuntimeError, IndexError) as error:
        raise ValueError(
            f"expected a batch of samples of {math.prod(input_shape)} values, images of {tuple(input_shape)}, got "
            f"shape {tuple(x.shape)}; make the network for these images, and give one image as x[None]"
        ) from error


class BinaryLayers:
    """Makes the layers of a binary network; holds what they have in common."""

    def __init__(
        self, initialization: Initialization, generator: torch.Generator | None, signs_first: bool, dropout: float
    ) -> None:
        self.initialization = initialization
        self.generator = generator
        self.signs_first = signs_first
        self.dropout = dropout

    def linear(self, depth: int, fan_in: int, fan_out: int) -> nn.Module:
        """Make the linear layer at a depth."""
        # Behind a SignDropout the input is signs already, with zeros that a second sign would destroy.
        signs = self.signs_first if depth == 0 else self.dropout == 0
        return BinaryLinear(
            fan_in,
            fan_out,
            binarize_input=signs,
            initialization=self.initialization,
            generator=self.generator,
        )

    def convolution(self, depth: int, channels: int, block: ConvBlock) -> nn.Module:
        """Make the convolution at a depth."""
        return BinaryConv2d(
            channels,
            block.channels,
            block.kernel_size,
            binarize_input=self.signs_first or depth > 0,
            padding=block.padding,
            initialization=self.initialization,
            generator=self.generator,
        )

    def between_linear(self) -> list[nn.Module]:
        """Make the dropout in front of a linear layer, if there is one."""
        if self.dropout == 0:
            return []
        return [SignDropout(self.dropout, seed=int(torch.randint(2**31, (), generator=self.generator)))]


class RealLayers:
    """Makes the layers of a real-valued network; holds what they have in common."""

    def __init__(
        self, initialization: Initialization, generator: torch.Generator | None, activation: Activation | str
    ) -> None:
        self.initialization = initialization
        self.generator = generator
        self.activation = choose(Activation, activation)

    def linear(self, depth: int, fan_in: int, fan_out: int) -> nn.Module:
        """Make the linear layer at a depth."""
        return RealLinear(fan_in, fan_out, initialization=self.initialization, generator=self.generator)

    def convolution(self, depth: int, channels: int, block: ConvBlock) -> nn.Module:
        """Make the convolution at a depth."""
        return RealConv2d(
            channels,
            block.channels,
            block.kernel_size,
            padding=block.padding,
            initialization=self.initialization,
            generator=self.generator,
        )

    def between(self) -> list[nn.Module]:
        """Make the activation in front of a layer."""
        return [self.activation.module()]
