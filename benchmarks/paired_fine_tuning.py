"""Fine-tuning by this package and in plain PyTorch on the same permutations of MNIST, seed by seed.

    python benchmarks/paired_fine_tuning.py SEEDS OUT.json

It asks whether the two differ by more than chance, which the row `none` of the study `real-check` is too dear for: its
tasks, but with hidden layers of 100, four epochs a task and Adam at 1e-3. Weights and the order of samples are each
side's own: torch's `nn.Linear` and `randperm` against ours. Some two minutes a seed on one core.
"""

import itertools
import json
import statistics
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from metaplastic.evaluation import paired_permutation_test
from metaplastic.experiments import Config, run, study
from metaplastic.experiments.run import make_trial
from metaplastic.scenarios import View


def small_task(seed: int) -> Config:
    config = study("real-check").config("none")
    return replace(
        config,
        network=replace(config.network, hidden=(100, 100)),
        epochs=4,
        optimizer=replace(config.optimizer, lr=1e-3),
        seed=seed,
    )


def by_this_package(config: Config) -> float:
    with tempfile.TemporaryDirectory() as folder:
        return 100 * float(run(config, Path(folder) / "run", progress=False).accuracy[-1].mean())


def samples(view: View) -> tuple[Tensor, Tensor]:
    inputs, labels = zip(*(view.batch(rows) for rows in torch.arange(len(view)).split(5000)), strict=True)
    return torch.cat(inputs), torch.cat(labels)


def by_plain_pytorch(config: Config) -> float:
    scenario = make_trial(config).scenario
    torch.manual_seed(config.seed)
    sizes = (1024, *config.network.hidden)
    layers = [part for shape in itertools.pairwise(sizes) for part in (nn.Linear(*shape), nn.ReLU())]
    network = nn.Sequential(*layers, nn.Linear(sizes[-1], scenario.classes))
    optimizer = torch.optim.Adam(network.parameters(), lr=config.optimizer.lr, fused=True)
    for task in scenario.tasks:
        inputs, labels = samples(task.view)
        for _ in range(config.epochs):
            for batch in torch.randperm(len(labels)).split(config.batch_size):
                optimizer.zero_grad()
                functional.cross_entropy(network(inputs[batch]), labels[batch]).backward()
                optimizer.step()
    with torch.no_grad():
        tests = [samples(test.view) for test in scenario.tests]
        right = [(network(inputs).argmax(1) == labels).float().mean().item() for inputs, labels in tests]
    return 100 * statistics.mean(right)


if __name__ == "__main__":
    seeds, out = int(sys.argv[1]), Path(sys.argv[2])
    torch.set_num_threads(1)
    ours, plain = [], []
    for seed in range(seeds):
        ours.append(by_this_package(small_task(seed)))
        plain.append(by_plain_pytorch(small_task(seed)))
        print(f"seed {seed}: {ours[-1]:.2f} by this package, {plain[-1]:.2f} in plain PyTorch", flush=True)
    differences = [one - other for one, other in zip(ours, plain, strict=True)]
    test = paired_permutation_test(ours, plain)
    record = {
        "torch": torch.__version__,
        "ours": ours,
        "plain": plain,
        "difference": test.difference,
        "standard_deviation": statistics.stdev(differences),
        "p": test.p_value,
    }
    out.write_text(json.dumps(record, indent=2) + "\n")
