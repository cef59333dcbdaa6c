"""Golden vectors: inputs drawn once and for all, and the logits that a network gives for them."""

import hashlib
import math
from typing import TYPE_CHECKING

import numpy as np

from metaplastic.packed.layers import ConvLayer, Input, Layer
from metaplastic.packed.products import Backend, kernel

if TYPE_CHECKING:
    from metaplastic.packed.network import PackedNetwork

GOLDEN_INPUTS = 64
"""Golden inputs of a network; fewer of one that takes long."""

COST_LIMIT = 2**32
"""Steps, of about a nanosecond, that one sample may take with all tasks."""

_STEPS = 2**30
"""Steps that all golden inputs may take."""


def golden_inputs(network: "PackedNetwork", count: int | None = None) -> np.ndarray:
    """Draw the golden inputs of a network: the same ones always and everywhere.

    Args:
        network: The network.
        count: How many; None for as many as its file was verified with.

    Returns:
        `[count, *input_shape]` as `predict` takes it: uint8 for bytes, bool for signs, float32 for real features.
    """
    count = golden_count(network) if count is None else count
    stream = hashlib.shake_256(b"metaplastic golden vectors 1").digest(count * network.in_features)
    drawn = np.frombuffer(stream, np.uint8).reshape(count, *network.input_shape)
    if network.input is Input.SIGNS:
        return drawn >= 128
    return drawn if network.input is Input.BYTES else (drawn.astype(np.float32) - np.float32(127.5)) / np.float32(64)


def golden_logits(network: "PackedNetwork", inputs: np.ndarray) -> np.ndarray:
    """Compute the logits of golden inputs for every task, without torch.

    Args:
        network: The network.
        inputs: Golden inputs.

    Returns:
        `[tasks, count, classes]`, float32; one task where all share one table.
    """
    backend = Backend.KERNEL if kernel() else Backend.NUMPY
    return np.stack([network.logits(inputs, task, backend=backend, threads=1) for task in network.tasks or (None,)])


def golden_hash(network: "PackedNetwork", count: int) -> str:
    """Hash the logits of golden inputs.

    Args:
        network: The network.
        count: How many golden inputs.

    Returns:
        SHA-256 of the logits as little-endian float32, in hexadecimal.
    """
    logits = golden_logits(network, golden_inputs(network, count))
    return hashlib.sha256(logits.astype("<f4").tobytes()).hexdigest()


def golden_count(network: "PackedNetwork") -> int:
    """Choose how many golden inputs there are, so that checking them takes a second or so.

    Args:
        network: The network.

    Returns:
        From 1 to `GOLDEN_INPUTS`.
    """
    return max(1, min(GOLDEN_INPUTS, _STEPS // cost(network.layers, len(network.tasks))))


def cost(layers: tuple[Layer, ...], tasks: int) -> int:
    """Estimate the steps that one sample takes with all tasks, of about a nanosecond each.

    Args:
        layers: The layers.
        tasks: Number of tasks; 0 where they share one table.

    Returns:
        The steps, >= 1.
    """
    return max(tasks, 1) * sum(4 * _entries(layer) + operations(layer) // 8 for layer in layers)


def operations(layer: Layer) -> int:
    """Count the products of a layer, for one sample.

    Args:
        layer: The layer.

    Returns:
        Inputs of a sum times sums, before pooling.
    """
    sums = math.prod(layer.sum_shape) if isinstance(layer, ConvLayer) else layer.out_features
    return layer.fan_in * sums


def _entries(layer: Layer) -> int:
    places = math.prod(layer.sum_shape[1:]) if isinstance(layer, ConvLayer) else 1
    return layer.fan_in * places + layer.out_features
