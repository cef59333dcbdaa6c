"""What the stages of a training step and of a packed prediction take in native code.

    python benchmarks/kernel_stages.py FILE.json      # half a minute

The middle layer of the paper's network in training, batch 100: signs packed after an update, the product forward, the
gradient passed on and that of the weights. And one image through 784-4096-4096-10, packed: all layers, the two large
ones alone, and layers of 4096 inputs of several widths on one thread. Medians of many calls on noise; call and checks
from Python are counted.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch

from metaplastic import native
from metaplastic.experiments.environment import environment
from metaplastic.files import write_json
from metaplastic.hidden_weight import HiddenWeight
from metaplastic.nn.native_arithmetic import NativeArithmetic
from metaplastic.packed.kernel import Chain
from metaplastic.packed.layers import Input, Thresholds
from metaplastic.storage import BinaryCopies

WIDTH, BATCH, PIXELS, CLASSES = 4096, 100, 784, 10


def median(call: Callable[[], object], turns: int) -> float:
    for _ in range(turns // 10):
        call()
    taken = []
    for _ in range(turns):
        start = time.perf_counter()
        call()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def training() -> dict[str, float]:
    source = torch.Generator().manual_seed(0)
    weight = HiddenWeight(torch.randn(WIDTH, WIDTH, generator=source))
    x, gradient = (torch.randn(BATCH, WIDTH, generator=source) for _ in range(2))
    arithmetic = NativeArithmetic(BinaryCopies(weight), torch.bfloat16, None)
    zero, result = torch.zeros(()), torch.empty(1, WIDTH, WIDTH, dtype=torch.bfloat16)
    _, kept = arithmetic.forward(x, zero)

    def packed_anew() -> None:
        arithmetic._packed = None
        arithmetic._follow()

    return {
        "pack": median(packed_anew, 100),
        "forward": median(lambda: arithmetic.forward(x, zero), 100),
        "gradient passed on": median(lambda: arithmetic.input_gradient(gradient), 100),
        "gradient of weights": median(lambda: arithmetic.weight_gradient(gradient, kept, result), 100),
    }


def prediction(threads: int) -> dict[str, float]:
    source = np.random.default_rng(0)

    def weights(units: int, features: int) -> np.ndarray:
        return source.integers(0, 256, (units, -(-features // 8)), dtype=np.uint8)

    thresholds = Thresholds(np.zeros((1, WIDTH), np.int32), np.zeros((1, WIDTH), np.bool_))
    first, second, last = weights(WIDTH, PIXELS), weights(WIDTH, WIDTH), weights(CLASSES, WIDTH)
    image = source.integers(0, 256, (1, PIXELS), dtype=np.uint8)
    bits = source.integers(0, 256, (1, WIDTH // 8), dtype=np.uint8)
    whole = Chain([first, second, last], [thresholds, thresholds], PIXELS, Input.BYTES)
    alone = Chain([first], [], PIXELS, Input.BYTES), Chain([second], [], WIDTH, Input.SIGNS)
    return {
        "all layers": median(lambda: whole(image, threads=threads), 3000),
        "first layer": median(lambda: alone[0](image, threads=threads), 3000),
        "second layer": median(lambda: alone[1](bits, threads=threads), 3000),
    }


def growth() -> dict[str, float]:
    """Seconds of one layer of signs on one thread, by the bytes of its bits: where they leave the core's own cache."""
    source = np.random.default_rng(0)
    bits = source.integers(0, 256, (1, WIDTH // 8), dtype=np.uint8)
    found = {}
    for units in (64, 512, 1024, 2048, 4096, 8192):
        weight = source.integers(0, 256, (units, WIDTH // 8), dtype=np.uint8)
        layer = Chain([weight], [], WIDTH, Input.SIGNS)
        found[str(weight.nbytes)] = median(partial(layer, bits), 3000)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path)
    options = parser.parse_args()
    if native.products is None:
        raise SystemExit("expected native products, got none: not compiled, or a processor without AVX-512")
    found = {
        "environment": environment(),
        "training_seconds": training(),
        "prediction_seconds": {str(threads): prediction(threads) for threads in (1, 2)},
        "layer_seconds_by_bytes": growth(),
    }
    write_json(options.file, found, indent=2)
    for name in ("training_seconds", "prediction_seconds", "layer_seconds_by_bytes"):
        print(name, found[name])


if __name__ == "__main__":
    main()
