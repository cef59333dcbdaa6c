"""How large the gradients of single weights are in a trained network, beside Adam's eps and what a weight decay adds.

    python benchmarks/gradient_sizes.py RECORD OUT.json

RECORD is the folder of a run, with its network. Over 20 batches of the last task, as in training.
"""

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file

from metaplastic.experiments import Record
from metaplastic.experiments.config import Optimizer
from metaplastic.experiments.run import make_trial
from metaplastic.learners import task_loss

BATCHES = 20
QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)


def gradient_sizes(folder: Path) -> dict[str, object]:
    """Measure the root mean square of each weight's gradient; give quantiles and shares of every layer."""
    config = Record(folder).config
    trial = make_trial(config)
    trial.network.load_state_dict(load_file(folder / "network.safetensors"))
    trial.network.train()
    task, weights = trial.scenario.tasks[-1], {n: p for n, p in trial.network.named_parameters() if p.dim() > 1}
    squares = {name: torch.zeros_like(weight) for name, weight in weights.items()}
    losses = []
    for rows in torch.arange(BATCHES * config.batch_size).split(config.batch_size):
        trial.network.zero_grad()
        loss = task_loss(trial.network, task, rows)
        loss.backward()
        losses.append(loss.item())
        for name, weight in weights.items():
            squares[name] += weight.grad.square() / BATCHES
    layers = {name: _layer(squares[name].sqrt(), weights[name], config.optimizer) for name in weights}
    return {"batches": BATCHES, "mean_loss": sum(losses) / BATCHES, "layers": layers}


def _layer(size: torch.Tensor, weight: torch.Tensor, optimizer: Optimizer) -> dict[str, object]:
    ordered = size.flatten().sort().values
    return {
        "quantiles": {str(q): ordered[int(q * (len(ordered) - 1))].item() for q in QUANTILES},
        "share_below_eps": (size < optimizer.adam_eps).float().mean().item(),
        "share_below_decay": (size < optimizer.weight_decay * weight.abs()).float().mean().item(),
    }


if __name__ == "__main__":
    folder, out = map(Path, sys.argv[1:])
    out.write_text(json.dumps(gradient_sizes(folder), indent=2) + "\n")
