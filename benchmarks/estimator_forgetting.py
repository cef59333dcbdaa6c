"""What is left of earlier tasks: MetaplasticClassifier beside scikit-learn's classifiers that have a partial_fit.

    python benchmarks/estimator_forgetting.py run FOLDER --data digits mnist --seeds 0 1 2 3 4
    python benchmarks/estimator_forgetting.py table FOLDER      # FOLDER/report.md from the records that are there

Tasks come one after the other, nothing is announced, and nobody is given a sample twice but within its task: each task
is shown in calls of `partial_fit`, `--call` samples each, `--passes` times. All classifiers get the same calls in the
same order; those of scikit-learn get pixels divided by 255 (by 16 for the digits), ours the bytes. Everything else is
the default of the class, but that the hidden layers of MLPClassifier are as wide as ours. A run is a file; those that
are there already are not made again.
"""

import argparse
import json
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import SGDClassifier
from sklearn.neural_network import MLPClassifier

import metaplastic as mp
from metaplastic.data import held_out
from metaplastic.files import write_text
from metaplastic.scenarios import class_groups

METHODS: dict[str, Callable[[int, dict[str, Any]], Any]] = {
    "SGDClassifier": lambda seed, _: SGDClassifier(loss="log_loss", random_state=seed),
    "MLPClassifier": lambda seed, _: MLPClassifier((512, 512), random_state=seed),
    "plain (m = 0)": lambda seed, given: mp.MetaplasticClassifier(**given | {"metaplasticity": 0}, random_state=seed),
    "all outputs": lambda seed, given: mp.MetaplasticClassifier(**given | {"outputs": "all"}, random_state=seed),
    "MetaplasticClassifier": lambda seed, given: mp.MetaplasticClassifier(**given, random_state=seed),
}
OURS = list(METHODS)[2:]
SCENARIOS = ("permuted", "split")


@dataclass(frozen=True)
class Part:
    """Bytes `[samples, pixels]` of one task, and their labels."""

    inputs: np.ndarray
    labels: np.ndarray


def tasks_of(data: str, scenario: str, seed: int, options: argparse.Namespace) -> list[tuple[Part, Part]]:
    """Training and test samples of each task; a split has two classes a task, whatever `--tasks` says."""
    dataset = mp.load(data)
    if options.held_out:
        dataset = held_out(dataset, options.held_out, seed)
    if scenario == "permuted":
        made = mp.permuted(dataset, options.tasks, seed=seed)
    else:
        made = mp.split(dataset, class_groups(dataset, dataset.classes // 2))
    made, limit = made.stored(), options.limit
    return [
        (part(task.view, limit and (limit if scenario == "permuted" else limit // len(made.tasks))), part(test.view))
        for task, test in zip(made.tasks, made.tests, strict=True)
    ]


def part(view: Any, limit: int | None = None) -> Part:
    order = torch.randperm(len(view), generator=torch.Generator().manual_seed(0))[:limit]
    inputs, labels = view.batch(order)
    return Part(inputs.flatten(1).numpy(), labels.numpy())


def calls(samples: Part, passes: int, size: int, source: np.random.Generator) -> Iterator[np.ndarray]:
    """Rows of each call."""
    for _ in range(passes):
        order = source.permutation(len(samples.labels))
        yield from np.array_split(order, -(-len(order) // size))


def trained(method: str, data: str, scenario: str, seed: int, options: argparse.Namespace) -> dict[str, Any]:
    """Learn the tasks in order; the accuracy on all of them after each."""
    tasks = tasks_of(data, scenario, seed, options)
    classes = np.unique(np.concatenate([train.labels for train, _ in tasks]))
    classifier, source = METHODS[method](seed, options.set), np.random.default_rng(seed)
    divisor = None if method in OURS else (16 if data == "digits" else 255)

    def shown(inputs: np.ndarray) -> np.ndarray:
        return inputs if divisor is None else inputs / divisor

    matrix, start = [], time.perf_counter()
    for train, _ in tasks:
        for rows in calls(train, options.passes, options.call, source):
            classifier.partial_fit(shown(train.inputs[rows]), train.labels[rows], classes=classes)
        matrix.append([float(classifier.score(shown(test.inputs), test.labels)) for _, test in tasks])
    fields = {"method": method, "data": data, "scenario": scenario, "seed": seed, "tasks": len(tasks)}
    asked = {name: getattr(options, name) for name in ("passes", "call", "limit", "held_out", "set")}
    return fields | asked | {"accuracy": matrix, "seconds": time.perf_counter() - start}


def run(options: argparse.Namespace) -> None:
    options.folder.mkdir(parents=True, exist_ok=True)
    for data in options.data:
        for scenario in options.scenarios:
            for seed in options.seeds:
                for method in options.methods:
                    path = options.folder / f"{data}-{scenario}-{zlib.crc32(method.encode()):08x}-{seed}.json"
                    if not path.exists():
                        found = trained(method, data, scenario, seed, options)
                        write_text(path, json.dumps(found) + "\n")
                        final = 100 * np.mean(found["accuracy"][-1])
                        print(f"{data}, {scenario}, {method}, seed {seed}: {final:.1f} %, {found['seconds']:.0f} s")
    write_text(options.folder / "report.md", table(options.folder))
    print(table(options.folder))


def forgetting(matrix: np.ndarray) -> float:
    """Mean over all tasks but the last: by how much the accuracy fell since the task was learned."""
    return float(np.mean(np.diag(matrix)[:-1] - matrix[-1, :-1]))


def table(folder: Path) -> str:
    records = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    lines = [
        "Mean accuracy on all tasks at the end, and forgetting (how much of the accuracy right after a task was lost, "
        "mean over all tasks but the last), both in %, mean ± standard deviation over seeds.",
        "",
        "| data | tasks | seeds | method | accuracy | forgetting | last task |",
        "| --- | --- | ---: | --- | ---: | ---: | ---: |",
    ]
    for data, scenario, method in sorted(
        {(one["data"], one["scenario"], one["method"]) for one in records},
        key=lambda key: (key[0], key[1], list(METHODS).index(key[2])),
    ):
        group = [one for one in records if (one["data"], one["scenario"], one["method"]) == (data, scenario, method)]
        matrices = [np.array(one["accuracy"]) for one in group]
        columns = (
            [matrix[-1].mean() for matrix in matrices],
            [forgetting(matrix) for matrix in matrices],
            [matrix[-1, -1] for matrix in matrices],
        )
        cells = [data, f"{scenario}, {group[0]['tasks']}", str(len(group)), method, *map(cell, columns)]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def cell(values: list[float]) -> str:
    spread = f" ± {100 * np.std(values, ddof=1):.1f}" if len(values) > 1 else ""
    return f"{100 * np.mean(values):.1f}{spread}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("command", choices=("run", "table"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--data", nargs="+", default=["digits"])
    parser.add_argument("--scenarios", nargs="+", choices=SCENARIOS, default=list(SCENARIOS))
    parser.add_argument("--methods", nargs="+", choices=list(METHODS), default=list(METHODS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--tasks", type=int, default=4, help="permutations")
    parser.add_argument("--passes", type=int, default=8, help="over each task; 1 or 2 serve the large sets")
    parser.add_argument("--call", type=int, default=500, help="samples of a call of partial_fit")
    parser.add_argument("--limit", type=int, help="training samples of a permutation, or of all classes of a split")
    parser.add_argument("--held-out", type=float, default=0.0, help="share of training samples to test on instead")
    parser.add_argument("--set", type=json.loads, default={}, help='parameters of ours, e.g. {"metaplasticity": 4}')
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.command == "run":
        run(options)
    else:
        print(table(options.folder))


if __name__ == "__main__":
    main()
