"""Records that no training made, with accuracies by a formula."""

import json
import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from metaplastic.evaluation import AccuracyMatrix
from metaplastic.experiments import Config, study
from metaplastic.experiments.environment import environment
from metaplastic.experiments.method_config import Method
from metaplastic.experiments.record import write_config
from metaplastic.report.run_records import stages

SAMPLES = 1000

Accuracy = Callable[[Config, int, float], float]
"""Accuracy in [0, 1] of a run on a test after a number of epochs of the whole sequence."""


def made_up_study(name: str, folder: Path, accuracy: Accuracy, seeds: Iterable[int] = (0,), panels=None) -> Path:
    """Write a study as if every panel had been trained."""
    folder.mkdir(parents=True)
    (folder / "study.json").write_text(json.dumps({"study": name, "size": "laptop"}))
    said = environment()
    for panel, training in study(name).panels.items():
        for seed in seeds if panels is None or panel in panels else ():
            made_up_record(folder / panel / f"seed{seed}", replace(training.config, seed=seed), accuracy, said)
    return folder


def made_up_record(folder: Path, config: Config, accuracy: Accuracy, said: dict) -> None:
    folder.mkdir(parents=True)
    write_config(folder / "config.json", config)
    (folder / "environment.json").write_text(json.dumps(said))
    tasks, together = config.scenario.tasks, config.method is Method.JOINT

    def correct(epochs: float) -> list[int]:
        return [round(SAMPLES * accuracy(config, test, epochs)) for test in range(tasks)]

    names = tuple(f"permutation {task + 1}" for task in range(tasks))
    matrix = AccuracyMatrix(names, (SAMPLES,) * tasks, untrained=tuple(correct(0)))
    lines = []
    for stage in range(stages(config)):
        for epoch in range(config.epochs):
            trained = stage * config.epochs + epoch + 1
            every = config.running.evaluate_epochs
            tested = epoch + 1 == config.epochs or (every and (epoch + 1) % every == 0)
            counts = correct(trained) if tested else None
            lines.append({"event": "epoch", "task": stage, "epoch": epoch, "correct": counts, "seconds": 1.0})
        matrix = matrix.with_stage(correct(trained), range(tasks) if together else None)
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "accuracy.csv").write_text(matrix.to_csv())
    (folder / "summary.json").write_text("{}")


def forgetting(config: Config, test: int, epochs: float) -> float:
    """Tasks that are learned and then lost, the more slowly the wider the network; all at once, none is lost."""
    wide = math.log2(config.network.hidden[0])
    jitter = 0.01 * ((37 * config.seed + 11 * test) % 5 - 2)
    if config.method is Method.JOINT:
        return 0.6 + 0.03 * wide + jitter
    begun = epochs - test * config.epochs
    if begun <= 0:
        return 0.1
    slow = 1.0 if config.optimizer.weight_decay == 0 else 2.5
    gone = max(begun / config.epochs - 1, 0)
    return min(0.1 + (0.85 - 0.3 * math.exp(-begun)) * math.exp(-slow * gone / wide) + jitter, 1.0)
