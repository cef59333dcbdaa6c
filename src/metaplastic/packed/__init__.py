"""The 1-bit network: weights as bits, normalisation as thresholds, predictions in integers; NumPy is all it needs."""

import importlib
from typing import TYPE_CHECKING, Any

from metaplastic.packed.layers import (
    ConvLayer,
    DenseLayer,
    Input,
    Pooling,
    Readout,
    SampleMean,
    SampleReadout,
    Thresholds,
)
from metaplastic.packed.network import PackedNetwork
from metaplastic.packed.products import Backend

if TYPE_CHECKING:
    from metaplastic.packed.folding import pack

__all__ = [
    "Backend",
    "ConvLayer",
    "DenseLayer",
    "Input",
    "PackedNetwork",
    "Pooling",
    "Readout",
    "SampleMean",
    "SampleReadout",
    "Thresholds",
    "pack",
]


def __getattr__(name: str) -> Any:
    # Folding needs torch, and a packed network does without it.
    if name == "pack":
        return importlib.import_module("metaplastic.packed.folding").pack
    raise AttributeError(f"module 'metaplastic.packed' has no attribute {name!r}")
