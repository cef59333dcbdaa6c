"""What a step of training takes on a GPU: networks alone and in stacks, by the plain and by the fast engine.

    python benchmarks/gpu_steps.py FILE.json

Networks 784-N-N-10 on noise of the shape of MNIST, batch 100, with the loop, the losses that it reads and the samples
that it gathers; medians over steps after the first. Beside them what the memory of the GPU gives, measured by a copy,
and how long it would take a step's least traffic: 34 bytes a weight, which are weight and two moments read and written
(24), the gradient in bfloat16 written and read (4), the sign in bfloat16 written once and read twice (6). No record of
it is kept yet: it was written without a GPU at hand.
"""

import argparse
import statistics
import time
from pathlib import Path
from typing import Any

import torch

import metaplastic as mp
from metaplastic.benchmark.subjects import synthetic
from metaplastic.experiments.environment import environment
from metaplastic.files import write_json
from metaplastic.hidden_weight import hidden_weights
from metaplastic.learners import Engine, Moment, Schedule, accelerated, learn
from metaplastic.nn import StackedMLP
from metaplastic.scenarios import stacked

WIDTHS, MEMBERS = (512, 1024, 2048, 4096), (1, 5)
WARM, TIMED = 30, 150
LEAST_BYTES = 34
GPU = torch.device("cuda")


def steps(width: int, members: int, engine: Engine) -> dict[str, Any]:
    scenarios = [mp.permuted(synthetic(), tasks=1, seed=seed).to(GPU) for seed in range(members)]
    nets = [mp.BinaryMLP([784, width, width, 10], norm="recalibrated").to(GPU) for _ in range(members)]
    network = StackedMLP(nets) if members > 1 else nets[0]
    scenario = stacked(scenarios) if members > 1 else scenarios[0]
    optimizer = mp.MetaplasticAdam(mp.param_groups(network, 1.35), lr=5e-3, weight_decay=1e-7)
    schedule = Schedule(epochs=10, seed=tuple(range(members)) if members > 1 else 0)
    taken = []
    with accelerated(network, optimizer, scenario, engine, quiet=True) as chosen:
        start = time.perf_counter()
        for event in learn(network, chosen.shown(scenario), optimizer, schedule=schedule):
            if event.moment is not Moment.STEP:
                continue
            taken.append(-start + (start := time.perf_counter()))
            if len(taken) == WARM + TIMED:
                torch.cuda.synchronize()
                break
        said = str(chosen)
    seconds = statistics.median(taken[WARM:])
    weights = sum(weight.numel() for weight in hidden_weights(network).values())
    return {
        "width": width,
        "members": members,
        "engine": said,
        "milliseconds": 1e3 * seconds,
        "milliseconds per network": 1e3 * seconds / members,
        "least bytes": LEAST_BYTES * weights,
    }


def copied_per_second() -> float:
    source = torch.empty(2**30, dtype=torch.uint8, device=GPU)
    target = torch.empty_like(source)
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    for turn in range(12):
        if turn == 2:
            begin.record()
        target.copy_(source)
    end.record()
    torch.cuda.synchronize()
    return 10 * 2 * source.numel() / (begin.elapsed_time(end) / 1e3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="where the measurements go, JSON")
    path = parser.parse_args().file
    rate = copied_per_second()
    rows = []
    for width in WIDTHS:
        for members in MEMBERS:
            for engine in Engine:
                row = steps(width, members, engine)
                row["milliseconds of memory"] = 1e3 * row["least bytes"] / rate
                rows.append(row)
                print({name: value for name, value in row.items() if name != "engine"}, flush=True)
    write_json(path, {"environment": environment("cuda"), "bytes per second": rate, "steps": rows}, indent=1)


if __name__ == "__main__":
    main()
