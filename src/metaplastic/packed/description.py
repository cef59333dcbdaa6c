"""A packed network as named arrays and a description in JSON, and back."""

from collections.abc import Callable
from typing import Any

import numpy as np

from metaplastic.packed.bits import pack_bits, unpack_bits
from metaplastic.packed.decisions import Readout, SampleMean, SampleReadout, Thresholds
from metaplastic.packed.golden import COST_LIMIT, cost
from metaplastic.packed.layers import ConvLayer, DenseLayer, Input, Layer, Pooling
from metaplastic.packed.network import PackedNetwork

_CONVENTION = {"bit_order": "little", "polarity": "1 is +1, 0 is -1", "padding_bits": "0"}
"""How bits are to be read, for those who read the file without this package."""

_CONV_SIZES = ("in_channels", "kernel_size", "padding", "height", "width")


def tensors(network: PackedNetwork) -> dict[str, np.ndarray]:
    """Name the arrays of a network as they are stored.

    Args:
        network: The network.

    Returns:
        Arrays by name, little-endian.
    """
    return {
        f"layers.{depth}.{name}": array
        for depth, layer in enumerate(network.layers)
        for name, array in layer_tensors(layer).items()
    }


def layer_tensors(layer: Layer) -> dict[str, np.ndarray]:
    """Name the arrays of a layer as they are stored.

    Args:
        layer: The layer.

    Returns:
        Arrays by name, little-endian.
    """
    after = layer.after
    if isinstance(after, Thresholds):
        rest = {"threshold": _narrow(after.threshold), "flipped": pack_bits(after.flipped)}
    elif isinstance(after, Readout):
        rest = {"scale": after.scale, "offset": after.offset}
    elif after.gain is not None and after.offset is not None:
        rest = {"gain": after.gain, "offset": after.offset}
    else:
        rest = {}
    return {
        name: array.astype(array.dtype.newbyteorder("<")) for name, array in {"weight": layer.weight, **rest}.items()
    }


def _narrow(threshold: np.ndarray) -> np.ndarray:
    """Store integers in 16 bits where all of them fit."""
    fits = threshold.dtype == np.int32 and np.array_equal(threshold, threshold.astype(np.int16))
    return threshold.astype(np.int16) if fits else threshold


def describe(network: PackedNetwork) -> dict[str, Any]:
    """Describe what is not in the arrays.

    Args:
        network: The network.

    Returns:
        JSON values.
    """
    return {
        "input": network.input.value,
        "unit": network.unit,
        "input_shape": list(network.input_shape),
        "tasks": list(network.tasks),
        "dataset": network.dataset,
        "statistics": network.statistics,
        **_CONVENTION,
        "layers": [_describe_layer(layer) for layer in network.layers],
    }


def _describe_layer(layer: Layer) -> dict[str, Any]:
    if isinstance(layer, ConvLayer):
        sizes = {name: getattr(layer, name) for name in _CONV_SIZES}
        shape = {"kind": "conv", **sizes, "pool": layer.pool.value}
    else:
        shape = {"kind": "dense", "in_features": layer.in_features}
    after = layer.after
    sample = {}
    if isinstance(after, SampleMean | SampleReadout):
        sample = {"unit": after.unit, "eps": after.eps, "affine": after.gain is not None}
    return shape | {"after": _KINDS[type(after)], **sample}


_KINDS: dict[type, str] = {
    Thresholds: "thresholds",
    SampleMean: "sample mean",
    Readout: "readout",
    SampleReadout: "sample readout",
}


def restore(description: dict[str, Any], arrays: dict[str, np.ndarray]) -> PackedNetwork:
    """Make a network of what `tensors` and `describe` gave.

    Args:
        description: JSON values, of any origin.
        arrays: Arrays by name, of any origin; they are copied.

    Returns:
        The network.

    Raises:
        ValueError: When something is missing, left over, of another type, or too much to compute.
    """
    left = dict(arrays)
    layers = tuple(
        _restore_layer(layer, _taker(left, f"layers.{depth}."))
        for depth, layer in enumerate(_take(description, "layers", list))
    )
    if left:
        raise ValueError(f"expected no more than its layers have, got {sorted(left)[:3]}; pack the network again")
    tasks = tuple(_take(description, "tasks", list))
    if cost(layers, len(tasks)) > COST_LIMIT:
        raise ValueError("expected a network that takes seconds for a sample, got a larger one; was it made to hang?")
    return PackedNetwork(
        input=Input(_take(description, "input", str)),
        input_shape=tuple(_take(description, "input_shape", list)),
        layers=layers,
        tasks=tasks,
        unit=_take(description, "unit", float),
        dataset=_take(description, "dataset", str),
        statistics=_take(description, "statistics", str),
    )


_Taker = Callable[[str], np.ndarray]
"""Gives the array of a name."""


def _taker(arrays: dict[str, np.ndarray], prefix: str) -> _Taker:
    def take(name: str) -> np.ndarray:
        if prefix + name not in arrays:
            raise ValueError(f"expected an entry {prefix + name!r}, got none; pack the network again")
        return arrays.pop(prefix + name).copy()

    return take


def _restore_layer(description: Any, array: _Taker) -> Layer:
    if not isinstance(description, dict):
        raise ValueError("expected a JSON object for each layer, got something else; pack the network again")
    weight = array("weight")
    after = _restore_after(description, array, weight.shape[0] if weight.ndim else 0)
    if _take(description, "kind", str) == "dense":
        return DenseLayer(weight, _take(description, "in_features", int), after)
    sizes = {name: _take(description, name, int) for name in _CONV_SIZES}
    return ConvLayer(weight, **sizes, pool=Pooling(_take(description, "pool", str)), after=after)


def _restore_after(description: dict[str, Any], array: _Taker, units: int) -> Any:
    kind = _take(description, "after", str)
    if kind == _KINDS[Thresholds]:
        threshold = array("threshold")
        flipped = array("flipped")
        if flipped.ndim != 2 or flipped.dtype != np.uint8:
            raise ValueError(f"expected flipped as bytes [tables, bytes], got {flipped.dtype} {flipped.shape}")
        wide = threshold.astype(np.int32) if threshold.dtype == np.int16 else threshold
        return Thresholds(wide, unpack_bits(flipped, units))
    if kind == _KINDS[Readout]:
        return Readout(array("scale"), array("offset"))
    if kind not in _KINDS.values():
        raise ValueError(
            f"expected one of {list(_KINDS.values())} behind a layer, got {kind!r}; pack the network again"
        )
    made = SampleMean if kind == _KINDS[SampleMean] else SampleReadout
    unit, eps = _take(description, "unit", float), _take(description, "eps", float)
    return made(unit, eps, *(array(name) for name in ("gain", "offset") if _take(description, "affine", bool)))


def _take(description: dict[str, Any], name: str, kind: type) -> Any:
    value = description.get(name)
    if type(value) is not kind:
        raise ValueError(f"expected {name!r} as {kind.__name__}, got {type(value).__name__}; pack the network again")
    return value
