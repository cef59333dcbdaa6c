"""What becomes of a network whose gradients are rounded before they are multiplied by signs.

    python benchmarks/rounded_gradients.py FILE.json      # a quarter of an hour on one core

Behind a batch normalisation the gradients of a unit add up to zero over a batch. Rounded they do not, so that weights
behind an input that is the same for all samples move by nothing but rounding. Gradients have the 24 bits of float32, or
are rounded to the 11 of TF32 or the 8 of bfloat16, as in matrix products that a GPU makes in those types. Two
permutations of MNIST, three epochs each, 784-1024-1024-10, m = 1.35, decay 1e-7, exact statistics kept per task, gains
from 1 and from U(0, 1), three seeds; accuracy at the end, and the share of the units of each hidden layer that give one
sign for all of 5,000 images of the task that was learned last.
"""

import argparse
import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from metaplastic.experiments import Config, Size, study
from metaplastic.experiments.environment import environment
from metaplastic.experiments.run import computing, make_trial
from metaplastic.experiments.trial import Trial
from metaplastic.files import write_json
from metaplastic.nn import BinaryLinear, GainInit, Precision, evaluating
from metaplastic.nn.arithmetic import Arithmetic

WIDTH, EPOCHS, SEEDS = 1024, 3, (0, 1, 2)
BITS = {"float32": 24, "tf32": 11, "bfloat16": 8}
"""Significant bits by type."""


class Rounded:
    """An arithmetic that is given gradients of few bits; all else is that of another."""

    def __init__(self, arithmetic: Arithmetic, bits: int) -> None:
        self.arithmetic, self.bits = arithmetic, bits
        self.forward, self.weight_gradient = arithmetic.forward, arithmetic.weight_gradient
        self.input_gradient = arithmetic.input_gradient

    def prepared(self, gradient: Tensor) -> Tensor:
        """Round a gradient, then bring it into the form that it is multiplied in."""
        mantissa, exponent = torch.frexp(gradient)  # from 1/2 to 1
        return self.arithmetic.prepared(torch.ldexp(torch.round(mantissa * 2**self.bits) / 2**self.bits, exponent))


def experiment(gains: GainInit, seed: int) -> Config:
    config = study("width", Size.LAPTOP).config("recalibrated-512")
    return replace(
        config,
        epochs=EPOCHS,
        seed=seed,
        network=replace(config.network, hidden=(WIDTH, WIDTH)),
        norm=replace(config.norm, gain_init=gains),
        running=replace(config.running, evaluate_epochs=0, threads=1),
    )


@torch.no_grad()
def constant_units(trial: Trial) -> list[float]:
    """Find the share of units of every hidden layer whose sign is the same for all images of the last task."""
    task = len(trial.scenario.tasks) - 1
    rows = trial.schedule.calibration_rows(trial.scenario.tasks[task], task)
    x = trial.scenario.tasks[task].view.batch(rows)[0].flatten(1)
    shares = []
    with evaluating(trial.network, task):
        for layer in trial.network.get_submodule("layers").children():
            if isinstance(layer, BinaryLinear) and layer.binarize_input:
                signs = x >= 0
                shares.append(float((signs.all(0) | (~signs).all(0)).float().mean()))
            x = layer(x)
    return shares


def row(gains: GainInit, rounded: str, seed: int) -> dict[str, Any]:
    trial = make_trial(experiment(gains, seed))
    with trial.accelerated(None, Precision.FAST):
        products = [layer.product for layer in trial.network.modules() if isinstance(layer, BinaryLinear)]
        for product in products[1:]:  # the first multiplies bytes
            if product is None:
                raise RuntimeError("expected products in integers, whose gradients can be rounded, got none here")
            product.arithmetic = Rounded(product.arithmetic, BITS[rounded])
        trial.begin()
        for _ in trial.run():
            pass
    accuracy = trial.matrix.accuracy[-1].tolist()
    return {
        "gains": gains.value,
        "rounded to": rounded,
        "seed": seed,
        "accuracy": accuracy,
        "constant units": constant_units(trial),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="where the numbers go, JSON")
    path, rows = parser.parse_args().file, []
    with computing(1):
        for gains, rounded, seed in itertools.product(GainInit, BITS, SEEDS):
            rows.append(row(gains, rounded, seed))
            print(rows[-1], flush=True)
        found = {"environment": environment(), "width": WIDTH, "epochs": EPOCHS, "runs": rows}
    write_json(path, found, indent=1)


if __name__ == "__main__":
    main()
