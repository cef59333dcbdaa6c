"""The networks of the paper: binary and real-valued, fully connected and convolutional."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from metaplastic.nn.blocks import (
    Activation,
    BinaryLayers,
    ConvBlock,
    RealLayers,
    as_images,
    convolutional_layers,
    flat_features,
    linear_layers,
    policy_of,
)
from metaplastic.nn.initialization import Initialization
from metaplastic.nn.normalization import NormPolicy, Statistics


class BinaryMLP(nn.Module):
    r"""Fully connected network with binary weights and binary activations.

    Each layer is linear -> normalisation, and a layer binarises its input:

    .. math:: h_l = \mathrm{norm}(\mathrm{sign}(h_{l-1}) \, \mathrm{sign}(W_l)^T)

    The first layer takes its input as it is (real-valued pixels) unless `binarize_input`; the last layer's
    normalised output is the vector of logits.

    Args:
        sizes: Widths from input to output, e.g. `[784, 1024, 1024, 10]`.
        norm: Policy of every normalisation, or the name of its statistics.
        binarize_input: Whether the first layer computes with the signs of its input. Pixels are never negative and
            sign(0) = +1, so give such a network inputs of both signs, as `Dataset.two_signed` shows them.
        dropout: Probability that a hidden unit is silenced in training, in [0, 1).
        initialization: How hidden weights are drawn.
        generator: Source of randomness for weights and gains.

    Raises:
        ValueError: When a width is missing or below 1.

    Example:
        >>> net = BinaryMLP([784, 32, 10], norm="layer")
        >>> net(torch.rand(5, 28, 28)).shape
        torch.Size([5, 10])

    References:
        Laborieux et al. 2021, Nature Communications 12:2549.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        norm: NormPolicy | Statistics | str = NormPolicy(),
        *,
        binarize_input: bool = False,
        dropout: float = 0.0,
        initialization: Initialization = Initialization(),
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        make = BinaryLayers(initialization, generator, binarize_input, dropout)
        self.layers = linear_layers(sizes, policy_of(norm), make.linear, make.between_linear, generator)

    def forward(self, x: Shaped[Tensor, "batch ..."]) -> Float[Tensor, "batch out_features"]:
        """Compute the logits.

        Args:
            x: `[batch, ...]`, flattened to `[batch, in_features]`.

        Returns:
            `[batch, out_features]`.
        """
        return self.layers(x.flatten(1))


class RealMLP(nn.Module):
    r"""Fully connected network with real weights: the twin of `BinaryMLP`.

    .. math:: h_l = \mathrm{norm}(a(h_{l-1}) \, W_l^T)

    with :math:`a` the activation. Its weights carry the mark of hidden weights, so the metaplastic rule can be
    applied to them.

    Args:
        sizes: Widths from input to output.
        norm: Policy of every normalisation, or the name of its statistics.
        activation: What follows each hidden normalisation.
        initialization: How the weights are drawn.
        generator: Source of randomness for weights and gains.

    Raises:
        ValueError: When a width is missing or below 1.

    Example:
        >>> RealMLP([64, 32, 10], norm="layer")(torch.rand(5, 8, 8)).shape
        torch.Size([5, 10])
    """

    def __init__(
        self,
        sizes: Sequence[int],
        norm: NormPolicy | Statistics | str = NormPolicy(),
        *,
        activation: Activation | str = Activation.RELU,
        initialization: Initialization = Initialization(),
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        make = RealLayers(initialization, generator, activation)
        self.layers = linear_layers(sizes, policy_of(norm), make.linear, make.between, generator)

    def forward(self, x: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch out_features"]:
        """Compute the logits.

        Args:
            x: `[batch, ...]`, flattened to `[batch, in_features]`.

        Returns:
            `[batch, out_features]`.
        """
        return self.layers(x.flatten(1))


class BinaryConvNet(nn.Module):
    """Convolutional network with binary weights and binary activations.

    Blocks of convolution -> pooling -> normalisation, then the layers of a `BinaryMLP`; each layer binarises its
    input. The two shapes of the paper are `mnist_usps_blocks()` with no hidden layer and `CIFAR_STREAM_BLOCKS` with
    hidden layers (2048, 2048) and dropout 0.5.

    Args:
        input_shape: `(channels, height, width)` of an image.
        blocks: Convolutional blocks, at least one.
        hidden: Widths of the fully connected hidden layers.
        classes: Number of outputs.
        norm: Policy of every normalisation, or the name of its statistics.
        binarize_input: Whether the first layer computes with the signs of its input. Pixels are never negative and
            sign(0) = +1, so give such a network inputs of both signs, as `Dataset.two_signed` shows them.
        dropout: Probability that a fully connected hidden unit is silenced in training, in [0, 1).
        initialization: How hidden weights are drawn.
        generator: Source of randomness for weights and gains.

    Example:
        >>> from metaplastic.nn.blocks import mnist_usps_blocks
        >>> net = BinaryConvNet((1, 28, 28), mnist_usps_blocks(), (), 10)
        >>> sum(weight.numel() for weight in net.parameters() if weight.dim() > 1)
        14832

    References:
        Laborieux et al. 2021, Nature Communications 12:2549.

    Deviation from the authors' code: there a hard tanh stands before each sign in the CIFAR-10 network. Sign with its
    clipped pseudo-gradient is the same function with the same backward pass.
    """

    def __init__(
        self,
        input_shape: tuple[int, int, int],
        blocks: Sequence[ConvBlock],
        hidden: Sequence[int],
        classes: int,
        norm: NormPolicy | Statistics | str = NormPolicy(),
        *,
        binarize_input: bool = False,
        dropout: float = 0.0,
        initialization: Initialization = Initialization(),
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        policy = policy_of(norm)
        self.input_shape = input_shape
        make = BinaryLayers(initialization, generator, binarize_input, dropout=0.0)
        self.convolutions = convolutional_layers(input_shape[0], blocks, policy, make.convolution, list, generator)
        make = BinaryLayers(initialization, generator, signs_first=True, dropout=dropout)
        sizes = [flat_features(input_shape, blocks), *hidden, classes]
        self.layers = linear_layers(sizes, policy, make.linear, make.between_linear, generator)

    def forward(self, x: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch classes"]:
        """Compute the logits.

        Args:
            x: `[batch, channels, height, width]`, or anything of as many values per sample.

        Returns:
            `[batch, classes]`.

        Raises:
            ValueError: When a sample has more or fewer values than an image.
        """
        return self.layers(self.convolutions(as_images(x, self.input_shape)).flatten(1))


class RealConvNet(nn.Module):
    """Convolutional network with real weights: the twin of `BinaryConvNet`, without dropout.

    Args:
        input_shape: `(channels, height, width)` of an image.
        blocks: Convolutional blocks, at least one.
        hidden: Widths of the fully connected hidden layers.
        classes: Number of outputs.
        norm: Policy of every normalisation, or the name of its statistics.
        activation: What follows each hidden normalisation.
        initialization: How the weights are drawn.
        generator: Source of randomness for weights and gains.

    Example:
        >>> from metaplastic.nn.blocks import mnist_usps_blocks
        >>> RealConvNet((1, 28, 28), mnist_usps_blocks(), (), 10, norm="layer")(torch.rand(2, 1, 28, 28)).shape
        torch.Size([2, 10])
    """

    def __init__(
        self,
        input_shape: tuple[int, int, int],
        blocks: Sequence[ConvBlock],
        hidden: Sequence[int],
        classes: int,
        norm: NormPolicy | Statistics | str = NormPolicy(),
        *,
        activation: Activation | str = Activation.RELU,
        initialization: Initialization = Initialization(),
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        policy = policy_of(norm)
        self.input_shape = input_shape
        make = RealLayers(initialization, generator, activation)
        self.convolutions = convolutional_layers(
            input_shape[0], blocks, policy, make.convolution, make.between, generator
        )
        self.convolutions.extend(make.between())
        sizes = [flat_features(input_shape, blocks), *hidden, classes]
        self.layers = linear_layers(sizes, policy, make.linear, make.between, generator)

    def forward(self, x: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch classes"]:
        """Compute the logits.

        Args:
            x: `[batch, channels, height, width]`, or anything of as many values per sample.

        Returns:
            `[batch, classes]`.

        Raises:
            ValueError: When a sample has more or fewer values than an image.
        """
        return self.layers(self.convolutions(as_images(x, self.input_shape)).flatten(1))
