"""The layers of a packed network: bits of weights, shapes, and what follows the sums."""

import enum
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from metaplastic.choices import choose
from metaplastic.packed.bits import signs_of
from metaplastic.packed.decisions import (
    LAST_READOUT,
    Decision,
    Readout,
    SampleMean,
    SampleReadout,
    Thresholds,
)
from metaplastic.packed.value import Value

__all__ = [
    "LAST_READOUT",
    "ConvLayer",
    "Decision",
    "DenseLayer",
    "Input",
    "Layer",
    "Pooling",
    "Readout",
    "SampleMean",
    "SampleReadout",
    "Thresholds",
]

BYTE_LIMIT = 255
"""Largest byte."""

_SUM_LIMIT = 2**31 - 1


class Input(enum.StrEnum):
    """What the first layer multiplies its signs by."""

    BYTES = "bytes"
    """Bytes p, of which the network was shown u p: sums are integers in units of u, the network's `unit`, which is
    1/256 for the images of this package and 1/255 for those of torchvision."""
    SIGNS = "signs"
    """Signs of the input: bit 1 where a number is >= 0, and where a byte is >= 1, as `Dataset.two_signed` shows it."""
    REAL = "real"
    """Real features, rounded to multiples of 2^-24 so that their sums, below 2^29, are exact in float64 whatever the
    order of summation."""


class Pooling(enum.StrEnum):
    """How the sums of a convolution are halved in height and width; an odd last row or column is left out."""

    NONE = "none"
    """Not at all."""
    AVERAGE = "average"
    """Sum of 2 x 2, kept an integer in units of a quarter."""
    MAX = "max"
    """Largest of 2 x 2."""

    @property
    def stride(self) -> int:
        """What the sides of the image are divided by."""
        return 1 if self is Pooling.NONE else 2

    @property
    def terms(self) -> int:
        """How many sums are added to one, and so the inverse of the unit of that one."""
        return 4 if self is Pooling.AVERAGE else 1


@dataclass(frozen=True, eq=False)
class DenseLayer(Value):
    r"""A fully connected layer.

    .. math:: h = x S^T, \qquad S = 2 B - 1

    with :math:`B` the bits of `weight` and :math:`x` signs, bytes or real features; then `after`.

    Args:
        weight: `[out, ceil(in_features / 8)]`, uint8: bit k of byte b belongs to input 8 b + k, 1 is +1 and 0 is -1.
            Bits behind the last input are 0. They are the signs of the trained weights, never negated.
        in_features: Number of inputs, >= 1.
        after: Makes bits of the sums, or logits.

    Raises:
        ValueError: When shapes and types do not fit each other.

    Example:
        >>> readout = Readout(np.ones((1, 2), np.float32), np.zeros((1, 2), np.float32))
        >>> DenseLayer(np.array([[0b101], [0b011]], np.uint8), 3, readout).signs.tolist()
        [[1, -1, 1], [1, 1, -1]]
    """

    weight: np.ndarray
    in_features: int
    after: Decision | Readout | SampleReadout

    def __post_init__(self) -> None:
        _require_counts(in_features=self.in_features)
        _settle_weight(self, self.in_features)

    @property
    def fan_in(self) -> int:
        """Inputs that one sum has."""
        return self.in_features

    @property
    def out_shape(self) -> tuple[int, ...]:
        """Shape of a sample's sums."""
        return (len(self.weight),)

    @property
    def out_features(self) -> int:
        """Number of sums of a sample."""
        return len(self.weight)

    @property
    def signs(self) -> np.ndarray:
        """Weights as `[out, in_features]` of +1 and -1, int8."""
        return signs_of(self.weight, self.in_features)

    def bound(self, largest: int = 1) -> int:
        """Give the largest sum that can be reached.

        Args:
            largest: Largest input: 1 for signs, 255 for bytes.

        Returns:
            The bound; sums lie between it and its negative.
        """
        return self.in_features * largest


@dataclass(frozen=True, eq=False)
class ConvLayer(Value):
    r"""A convolution of stride 1 with square kernels, and its pooling.

    Padding adds zeros: they are neither +1 nor -1. A product that takes the padding of signs for bits 0, which are -1,
    is put right by `border`, which is added.

    Args:
        weight: `[out, ceil(in_channels * kernel_size^2 / 8)]`, uint8, as in a `DenseLayer`; the order of the taps of a
            kernel is channel, row, column.
        in_channels: Channels of the input, >= 1.
        kernel_size: Side of the kernel, in pixels, >= 1.
        padding: Zeros added on each side, in pixels, >= 0.
        pool: Pooling of the sums.
        height: Height of the input, in pixels, >= 1.
        width: Width of the input, in pixels, >= 1.
        after: Makes bits of the pooled sums; a unit is a channel.

    Raises:
        ValueError: When shapes and types do not fit each other, or nothing is left of the image.

    Example:
        >>> after = Thresholds(np.zeros((1, 1), np.int32), np.zeros((1, 1), bool))
        >>> layer = ConvLayer(np.array([[0b1111]], np.uint8), 1, 2, 1, Pooling.NONE, 2, 2, after)
        >>> layer.out_shape, layer.border.tolist()
        ((1, 3, 3), [[[3, 2, 3], [2, 0, 2], [3, 2, 3]]])
    """

    weight: np.ndarray
    in_channels: int
    kernel_size: int
    padding: int
    pool: Pooling
    height: int
    width: int
    after: Decision

    def __post_init__(self) -> None:
        object.__setattr__(self, "pool", choose(Pooling, self.pool, "pooling"))
        _require_counts(
            in_channels=self.in_channels, kernel_size=self.kernel_size, height=self.height, width=self.width
        )
        if type(self.padding) is not int or not 0 <= self.padding < self.kernel_size:
            raise ValueError(
                f"expected a padding from 0 and below the kernel's {self.kernel_size}, got {self.padding}; more of it "
                "gives sums without inputs"
            )
        if min(self.out_shape) < 1:
            raise ValueError(
                f"expected images large enough for kernel {self.kernel_size} and pooling {self.pool.value!r}, got "
                f"{self.height} x {self.width}; use larger images or fewer layers"
            )
        _settle_weight(self, self.fan_in)

    @property
    def fan_in(self) -> int:
        """Inputs that one sum has, before pooling."""
        return self.in_channels * self.kernel_size**2

    @property
    def in_features(self) -> int:
        """Number of inputs of the layer: channels times height times width."""
        return self.in_channels * self.height * self.width

    @property
    def sum_shape(self) -> tuple[int, int, int]:
        """Channels, height and width before pooling."""
        shrink = 2 * self.padding - self.kernel_size + 1
        return len(self.weight), self.height + shrink, self.width + shrink

    @property
    def out_shape(self) -> tuple[int, int, int]:
        """Channels, height and width behind the pooling."""
        channels, height, width = self.sum_shape
        return channels, height // self.pool.stride, width // self.pool.stride

    @property
    def out_features(self) -> int:
        """Number of sums of a sample behind the pooling."""
        channels, height, width = self.out_shape
        return channels * height * width

    @property
    def signs(self) -> np.ndarray:
        """Weights as `[out, in_channels * kernel_size^2]` of +1 and -1, int8."""
        return signs_of(self.weight, self.fan_in)

    @cached_property
    def border(self) -> np.ndarray:
        """What is to be added to sums, before pooling, that took padding for -1: `[out, height', width']`, int32."""
        # There are few ways for a kernel to hang over an edge, and many places.
        rows, row_kinds = np.unique(self._outside(self.height), axis=0, return_inverse=True)
        columns, column_kinds = np.unique(self._outside(self.width), axis=0, return_inverse=True)
        outside = (rows[:, None, :, None] | columns[None, :, None, :]).astype(np.int32)
        taps = self.signs.reshape(-1, self.in_channels, self.kernel_size, self.kernel_size).sum(1, dtype=np.int32)
        table = np.einsum("oij,rcij->orc", taps, outside)
        return table[:, row_kinds.reshape(-1, 1), column_kinds.reshape(1, -1)]

    def _outside(self, side: int) -> np.ndarray:
        """Whether each tap of a kernel is on padding, along one side of the image: `[places, kernel_size]`."""
        places = np.arange(side + 2 * self.padding - self.kernel_size + 1)[:, None] - self.padding
        pixels = places + np.arange(self.kernel_size)
        return (pixels < 0) | (pixels >= side)

    def bound(self, largest: int = 1) -> int:
        """Give the largest pooled sum that can be reached.

        Args:
            largest: Largest input: 1 for signs, 255 for bytes.

        Returns:
            The bound; sums lie between it and its negative.
        """
        return self.fan_in * largest * self.pool.terms


Layer = DenseLayer | ConvLayer
"""What a packed network is a chain of."""


def _require_counts(**counts: int) -> None:
    for name, count in counts.items():
        if type(count) is not int or count < 1:
            raise ValueError(f"expected {name} as an integer >= 1, got {count!r}; give the number of the trained layer")


def _settle_weight(layer: Layer, fan_in: int) -> None:
    layer.settle(weight=np.uint8)
    weight, expected = layer.weight, -(-fan_in // 8)
    if weight.ndim != 2 or not len(weight) or weight.shape[1] != expected:
        raise ValueError(
            f"expected weights of {fan_in} inputs as [out, {expected}] bytes, got {weight.shape}; pack 8 inputs a byte"
        )
    if fan_in % 8 and (weight[:, -1] >> fan_in % 8).any():
        raise ValueError(f"expected the bits behind the last of {fan_in} inputs to be 0, got others; clear them")
    if layer.bound(BYTE_LIMIT) > _SUM_LIMIT:
        raise ValueError(f"expected sums that fit into 32 bits, got {fan_in} inputs; use a narrower layer")
    if layer.after.units not in (None, len(weight)):
        raise ValueError(
            f"expected what follows to have the {len(weight)} units of the layer, got {layer.after.units}; fold the "
            "normalisation behind this very layer"
        )
