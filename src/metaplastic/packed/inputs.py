"""From what a caller has to what the first layer of a packed network multiplies."""

import math
from typing import Any

import numpy as np

from metaplastic.packed.layers import BYTE_LIMIT, Input

_UINT8 = np.dtype(np.uint8)

_STEP = 2.0**-24
"""What real features are multiples of, so that sums of them are exact in float64."""

_REAL_LIMIT = 2.0**27
"""What the absolute values of a sample's real features must add up to less than; a sum of four sums is below 2^29."""

_NEAR = 1e-3
"""How far a number may be from a byte, in steps of one."""


def encode(x: Any, kind: Input, unit: float, shape: tuple[int, ...]) -> np.ndarray:
    """Make samples what the first layer multiplies.

    Args:
        x: `[batch, ...]`, an array or a tensor on the CPU: uint8 pixels or numbers; bool where signs are wanted.
        kind: What the first layer multiplies.
        unit: What one step of a byte is worth.
        shape: Shape of one sample.

    Returns:
        `[batch, features]`: uint8 for bytes, bool for signs, float64 for real features.

    Raises:
        ValueError: When the shape is not that of samples, or the numbers cannot be what the network learned from.

    Example:
        >>> encode(np.array([[0.0, 0.5]]), Input.BYTES, 1 / 256, (2,)).tolist()
        [[0, 128]]
    """
    array, features = np.asarray(x), math.prod(shape)
    if array.ndim < 2 or math.prod(array.shape[1:]) != features:
        raise ValueError(
            f"expected samples of shape {shape} as [batch, ...], got shape {array.shape}; for one sample add a first "
            "dimension of 1"
        )
    return _ENCODERS[kind](array.reshape(len(array), features), unit)


def _bytes(x: np.ndarray, unit: float) -> np.ndarray:
    if x.dtype == _UINT8:
        return x
    _require_numbers(x, "uint8 pixels, or floats that are bytes times the unit of the network")
    steps = x.astype(np.float64) / unit
    whole = np.rint(steps)
    if x.size and not (np.abs(steps - whole).max() <= _NEAR and whole.min() >= 0 and whole.max() <= BYTE_LIMIT):
        worst = x.flat[int(np.argmax(np.abs(steps - np.clip(whole, 0, BYTE_LIMIT))))]
        raise ValueError(
            f"expected pixels k * {unit!r} with k from 0 to 255, got {worst}; give uint8 pixels, or pack the network "
            "again with the unit of yours, or with input='real' if its features are no bytes"
        )
    return whole.astype(np.uint8)


def _signs(x: np.ndarray, unit: float) -> np.ndarray:
    if x.dtype == np.bool_:
        return x
    if x.dtype == _UINT8:
        return x >= 1
    _require_numbers(x, "bits, uint8 pixels or floats of both signs")
    return x >= 0


def _real(x: np.ndarray, unit: float) -> np.ndarray:
    _require_numbers(x, "floats as the network was trained on")
    features = np.rint(x.astype(np.float64) / _STEP) * _STEP
    if x.size and np.abs(features).sum(1).max() >= _REAL_LIMIT:
        raise ValueError(
            f"expected features whose absolute values add up to less than 2^27 in a sample, got "
            f"{np.abs(features).sum(1).max():.3g}; scale them to a deviation of about 1 before training"
        )
    return features


_ENCODERS = {Input.BYTES: _bytes, Input.SIGNS: _signs, Input.REAL: _real}


def _require_numbers(x: np.ndarray, expected: str) -> None:
    if x.dtype.kind != "f":
        raise ValueError(f"expected {expected}, got {x.dtype}; convert them with astype")
    if not np.isfinite(x).all():
        raise ValueError("expected finite numbers, got NaN or infinity; replace missing values first")
