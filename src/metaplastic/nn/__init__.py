"""What a binary network is."""

from metaplastic.nn.arithmetic import integer_mm
from metaplastic.nn.blocks import CIFAR_STREAM_BLOCKS, Activation, ConvBlock, Pool, mnist_usps_blocks
from metaplastic.nn.conv import BinaryConv2d, RealConv2d
from metaplastic.nn.conversion import InputSigns, binarize
from metaplastic.nn.conversion_report import ConversionReport, ConvertedLayer
from metaplastic.nn.dropout import SignDropout
from metaplastic.nn.fixed_scale import FixedScale
from metaplastic.nn.initialization import Distribution, Initialization
from metaplastic.nn.integer_product import IntegerProduct, Precision
from metaplastic.nn.linear import BinaryLinear, RealLinear
from metaplastic.nn.networks import BinaryConvNet, BinaryMLP, RealConvNet, RealMLP
from metaplastic.nn.normalization import (
    GainInit,
    Normalization,
    NormPolicy,
    Scope,
    Statistics,
    evaluating,
    keep_task,
    normalization,
    normalizations,
    recalibrate,
    require_fixed_statistics,
)
from metaplastic.nn.offset import Offset
from metaplastic.nn.sign import PseudoGradient, binary_sign, clipped_straight_through, straight_through
from metaplastic.nn.stacked import StackedLinear, StackedMLP, member_cross_entropy

__all__ = [
    "CIFAR_STREAM_BLOCKS",
    "Activation",
    "BinaryConv2d",
    "BinaryConvNet",
    "BinaryLinear",
    "BinaryMLP",
    "ConvBlock",
    "ConversionReport",
    "ConvertedLayer",
    "Distribution",
    "FixedScale",
    "GainInit",
    "Initialization",
    "InputSigns",
    "IntegerProduct",
    "NormPolicy",
    "Normalization",
    "Offset",
    "Pool",
    "Precision",
    "PseudoGradient",
    "RealConv2d",
    "RealConvNet",
    "RealLinear",
    "RealMLP",
    "Scope",
    "SignDropout",
    "StackedLinear",
    "StackedMLP",
    "Statistics",
    "binarize",
    "binary_sign",
    "clipped_straight_through",
    "evaluating",
    "integer_mm",
    "keep_task",
    "member_cross_entropy",
    "mnist_usps_blocks",
    "normalization",
    "normalizations",
    "recalibrate",
    "require_fixed_statistics",
    "straight_through",
]
