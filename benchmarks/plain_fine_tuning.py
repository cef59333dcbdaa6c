"""Fine-tuning on ten permutations of MNIST in plain PyTorch, to compare the row `none` of the study `real-check` with.

    python benchmarks/plain_fine_tuning.py SEED OUT.json

Of this package it uses the data alone. All else is torch's own, and as van de Ven and Tolias 2018 have it: images
padded to 32 x 32, 1024-1000-1000-10 with ReLU, torch's initialisation of weights and biases, Adam at 1e-4 that goes on
from task to task, 5,000 steps of 128 samples a task, the last few samples of each epoch left out. Some 17 minutes on
one core.
"""

import json
import sys
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from metaplastic.data import Samples, load

TASKS, STEPS, BATCH = 10, 5000, 128


def padded(samples: Samples) -> tuple[Tensor, Tensor]:
    return functional.pad(samples.inputs, (2, 2, 2, 2)).flatten(1), samples.labels.long()


def pixels(images: Tensor) -> Tensor:
    return images.float() / 255


def train(network: nn.Module, optimizer: torch.optim.Optimizer, images: Tensor, labels: Tensor) -> None:
    step = 0
    while step < STEPS:
        order = torch.randperm(len(images))
        for batch in order[: len(order) // BATCH * BATCH].split(BATCH)[: STEPS - step]:
            optimizer.zero_grad()
            functional.cross_entropy(network(pixels(images[batch])), labels[batch]).backward()
            optimizer.step()
            step += 1


@torch.no_grad()
def accuracy(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    return (network(pixels(images)).argmax(1) == labels).float().mean().item()


def fine_tuning(seed: int) -> list[list[float]]:
    """Accuracy in % on every task so far, after each."""
    torch.manual_seed(seed)
    data = load("mnist")
    (images, labels), (test_images, test_labels) = padded(data.train), padded(data.test)
    permutations = [torch.randperm(images.shape[1]) for _ in range(TASKS)]
    network = nn.Sequential(
        nn.Linear(1024, 1000), nn.ReLU(), nn.Linear(1000, 1000), nn.ReLU(), nn.Linear(1000, data.classes)
    )
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4, fused=True)
    rows = []
    for task, permutation in enumerate(permutations):
        train(network, optimizer, images[:, permutation], labels)
        seen = permutations[: task + 1]
        rows.append([100 * accuracy(network, test_images[:, p], test_labels) for p in seen])
        print(f"task {task + 1}: {sum(rows[-1]) / len(rows[-1]):.2f}", flush=True)
    return rows


if __name__ == "__main__":
    seed, out = int(sys.argv[1]), Path(sys.argv[2])
    rows = fine_tuning(seed)
    record = {"seed": seed, "steps": STEPS, "torch": torch.__version__, "average": sum(rows[-1]) / TASKS, "R": rows}
    out.write_text(json.dumps(record, indent=2) + "\n")
