"""Strategies of Avalanche that train a binary network: what metaplasticity adds to them.

Four permutations of handwritten digits are learned one after the other by Avalanche's own `Naive` and `Replay`, with
and without metaplasticity. One plugin does what a binary network needs beside its optimizer.

Needs Avalanche (`pip install 'metaplastic[avalanche]'`); without it the example says so and ends.
"""

import warnings
from typing import Any

import torch

import metaplastic as mp

warnings.filterwarnings("ignore", module="qpsolvers|avalanche")  # of other packages, and of what 0.7 will change

try:
    from metaplastic.integrations.avalanche import MetaplasticPlugin, as_benchmark
except ImportError as error:
    print(f"skipped: {error}")
    raise SystemExit from None

from avalanche.evaluation.metrics import accuracy_metrics
from avalanche.training.plugins import EvaluationPlugin
from avalanche.training.supervised import Naive, Replay

TASKS, EPOCHS, BATCH = 4, 6, 100
LAYER_NORM = mp.NormPolicy(statistics=mp.Statistics.LAYER, affine=False)


def learn(strategy_class: type, metaplasticity: float, **options: Any) -> dict[str, float]:
    """Train on each permutation in turn; return what Avalanche measured last."""
    torch.manual_seed(0)
    scenario = mp.permuted(mp.load("digits"), tasks=TASKS, announced=mp.Announced(boundaries=True))
    net = mp.BinaryMLP([64, 512, 512, 10], norm=LAYER_NORM)
    strategy = strategy_class(
        model=net,
        optimizer=mp.MetaplasticAdam(mp.param_groups(net, metaplasticity=metaplasticity), lr=5e-3),
        criterion=torch.nn.CrossEntropyLoss(),
        train_mb_size=BATCH,
        train_epochs=EPOCHS,
        eval_mb_size=500,
        plugins=[MetaplasticPlugin()],
        evaluator=EvaluationPlugin(accuracy_metrics(experience=True, stream=True), loggers=[]),
        **options,
    )
    benchmark = as_benchmark(scenario)
    strategy.train(benchmark.train_stream)
    return strategy.eval(benchmark.test_stream)


def mean(values: dict[str, float], beginning: str, end: str = "") -> float:
    """Average, in percent, the values whose names begin and end so."""
    chosen = [value for name, value in values.items() if name.startswith(beginning) and name.endswith(end)]
    return 100 * sum(chosen) / len(chosen)


if __name__ == "__main__":
    print("strategy     m   accuracy on each task (%)      mean   flipped in the last task (%)")
    for name, strategy_class, options in (("Naive", Naive, {}), ("Replay", Replay, {"mem_size": 100})):
        for m in (0.0, 15.0):
            values = learn(strategy_class, m, **options)
            each = [mean(values, "Top1_Acc_Exp", f"Exp{task:03}") for task in range(TASKS)]
            shown = "  ".join(f"{accuracy:5.1f}" for accuracy in each)
            flipped = mean({key: value for key, value in values.items() if f"Exp{TASKS - 1:03}" in key}, "Flip_Rate")
            print(f"{name:8} {m:5.1f}   {shown}   {mean(values, 'Top1_Acc_Stream'):10.1f}   {flipped:5.1f}")
