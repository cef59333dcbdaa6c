"""What predicts in a benchmark of packed networks: ours by each backend, torch in float32, and onnxruntime."""

import importlib
import logging
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from metaplastic.nn import BinaryLinear, BinaryMLP, Normalization, NormPolicy, Statistics, recalibrate
from metaplastic.packed import Backend, PackedNetwork, pack
from metaplastic.packed.export.optional import require

KINDS = ("packed", "eager", "onnx", "onnx-int8", "onnx-quantised")

UNIT = 1 / 256
"""What a step of a byte is worth."""

LEAST = 3
"""Batches of a turn at least: the first finds the caches full of what others left."""

Predict = Callable[[np.ndarray], np.ndarray]
"""From bytes `[batch, 784]` to classes."""


def images(count: int) -> np.ndarray:
    """Draw images from noise: time does not depend on what is in them.

    Args:
        count: How many.

    Returns:
        `[count, 784]`, uint8, always the same.
    """
    return np.random.default_rng(0).integers(0, 256, (count, 784), dtype=np.uint8)


def calibrated(hidden: list[int]) -> BinaryMLP:
    """Make a network with random signs, and take its statistics.

    Args:
        hidden: Widths of the hidden layers.

    Returns:
        The network, always the same.
    """
    generator = torch.Generator().manual_seed(0)
    network = BinaryMLP([784, *hidden, 10], NormPolicy(Statistics.RECALIBRATED), generator=generator)
    recalibrate(network, torch.from_numpy(images(500)) * UNIT)
    return network.eval()


class Sign(nn.Module):
    """The sign, +1 at zero."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Take the sign of `x`."""
        return torch.where(x >= 0, 1.0, -1.0)


def as_float(network: BinaryMLP) -> nn.Sequential:
    """Write a network as torch has it: its signs as float32 weights, BatchNorm, and a sign between layers.

    Args:
        network: The network, calibrated.

    Returns:
        The same function of images in float32.
    """
    layers: list[nn.Module] = []
    for layer in network.layers:
        if isinstance(layer, BinaryLinear):
            layers += [Sign()] if layers else []
            layers.append(_linear(layer))
        elif isinstance(layer, Normalization):
            layers.append(_batch_norm(layer))
    return nn.Sequential(*layers).eval()


@torch.no_grad()
def _linear(layer: BinaryLinear) -> nn.Linear:
    made = nn.Linear(layer.in_features, len(layer.weight), bias=False)
    made.weight.copy_(torch.where(layer.weight >= 0, 1.0, -1.0))
    return made


@torch.no_grad()
def _batch_norm(layer: Normalization) -> nn.BatchNorm1d:
    made = nn.BatchNorm1d(layer.features, eps=layer.policy.eps)
    assert made.running_mean is not None
    assert made.running_var is not None
    made.running_mean.copy_(layer.mean)
    made.running_var.copy_(layer.variance)
    if layer.gain is not None and layer.offset is not None:
        made.weight.copy_(layer.gain)
        made.bias.copy_(layer.offset)
    return made


class Predictor:
    """Predicts batches of one network by one means.

    Args:
        predict: From what `prepare` gives to classes.
        hidden: Widths of the hidden layers.
        batches: Samples of a batch, one size after the other.
        turn: Seconds of a turn.
        prepare: From bytes to what is predicted from; not timed.
        expected: The packed network, whose classes are the right ones.
        chosen: What computes, for people.
    """

    def __init__(
        self,
        predict: Callable[[Any], Any],
        batches: list[int],
        turn: float,
        expected: PackedNetwork,
        prepare: Callable[[np.ndarray], Any] = np.ascontiguousarray,
        chosen: str = "",
    ) -> None:
        self.run, self.turn, self.expected, self.prepare, self.chosen = predict, turn, expected, prepare, chosen
        self.batches = iter(batches)
        self.advance()

    def advance(self) -> dict[str, float]:
        """Go on to the next size of a batch, if there is one."""
        self.batch = next(self.batches, 1)
        self.inputs = self.prepare(images(self.batch))
        return {}

    def predict(self) -> dict[str, float]:
        """Predict the classes of a batch, over and over; the median time."""
        seconds: list[float] = []
        ends = time.perf_counter() + self.turn
        while len(seconds) < LEAST or time.perf_counter() < ends:
            started = time.perf_counter()
            self.run(self.inputs)
            seconds.append(time.perf_counter() - started)
        return {str(self.batch): statistics.median(seconds)}

    def agreement(self) -> dict[str, float]:
        """Compare the classes of 200 images with those by integers; the share that agrees."""
        found = np.asarray(self.run(self.prepare(images(200))))
        return {"agreement": float((found == self.expected.predict(images(200), backend=Backend.NUMPY)).mean())}


def make(kind: str, options: dict[str, Any]) -> Predictor:
    """Make a subject.

    Args:
        kind: One of `KINDS`.
        options: Widths, batches and seconds of a turn; of packed networks the backend, and whether the kernel is to be
            found.

    Returns:
        The subject; it computes in as many threads as torch is set to.
    """
    network = calibrated(options["hidden"])
    packed = pack(network, unit=UNIT)
    told = {"batches": options["batches"], "turn": options["turn"], "expected": packed}
    threads = torch.get_num_threads()
    if kind == "packed":
        return _packed(packed, options["backend"], options["compiled"], threads, told)
    if kind == "eager":
        return _eager(as_float(network), told)
    from metaplastic.benchmark.int8_onnx import int8_model
    from metaplastic.packed.export.onnx import onnx_model

    if kind == "onnx":
        return Predictor(_onnxruntime(onnx_model(packed), threads), **told, chosen="our export, float32")
    if kind == "onnx-int8":
        return Predictor(_onnxruntime(int8_model(packed), threads), **told, chosen="the same by MatMulInteger, exact")
    quantised = _quantised(onnx_model(packed))
    return Predictor(_onnxruntime(quantised, threads), **told, chosen="our export by its quantize_dynamic, inexact")


def _packed(network: PackedNetwork, backend: str, compiled: bool, threads: int, told: dict[str, Any]) -> Predictor:
    if not compiled:
        # What an import finds where nothing was compiled.
        sys.modules["metaplastic.packed.kernel"] = None  # type: ignore[assignment]
    from metaplastic.packed.products import kernel

    found = kernel()
    chosen = f"compiled, path {found.paths()[0]}" if found else "NumPy for two samples and less, else int8 by torch"
    return Predictor(lambda x: network.predict(x, backend=backend, threads=threads), **told, chosen=chosen)


def _eager(network: nn.Sequential, told: dict[str, Any]) -> Predictor:
    @torch.inference_mode()
    def predict(x: torch.Tensor) -> torch.Tensor:
        return network(x).argmax(1)

    return Predictor(
        predict, **told, prepare=lambda x: torch.from_numpy(x) * UNIT, chosen="float32, eager, BatchNorm and signs"
    )


def _quantised(model: Any) -> Any:
    quantize_dynamic = importlib.import_module("onnxruntime.quantization").quantize_dynamic
    logging.disable(logging.WARNING)  # it would have the model preprocessed, which changes nothing here
    with tempfile.TemporaryDirectory() as folder:
        plain, made = (Path(folder) / name for name in ("plain.onnx", "quantised.onnx"))
        plain.write_bytes(model.SerializeToString())
        quantize_dynamic(plain, made)
        return require("onnx").load(made)


def _onnxruntime(model: Any, threads: int) -> Predict:
    onnxruntime = require("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return lambda x: session.run(["class"], {"input": x})[0]
