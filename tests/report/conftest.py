"""Real records, as small as they can be."""

from dataclasses import replace
from pathlib import Path

import pytest

from metaplastic.experiments import Config, preset, run
from metaplastic.experiments.config import Method, Network, Optimizer, Permuted, Running
from metaplastic.nn import NormPolicy, Statistics


def small(m: float, seed: int, method: Method = Method.FINETUNE) -> Config:
    return replace(
        preset("permuted-digits"),
        scenario=Permuted("digits", tasks=2),
        network=Network(hidden=(8,)),
        optimizer=Optimizer(metaplasticity=(m,)),
        norm=NormPolicy(statistics=Statistics.LAYER),
        method=method,
        epochs=2,
        seed=seed,
        running=Running(calibration_samples=200, threads=1),
    )


@pytest.fixture(scope="session")
def runs(tmp_path_factory) -> Path:
    """A folder of runs: two seeds plain, two metaplastic, one joint."""
    folder = tmp_path_factory.mktemp("runs")
    for m in (0.0, 80.0):
        for seed in (0, 1):
            run(small(m, seed), folder / f"m{m:g}-seed{seed}", progress=False)
    run(small(0.0, 0, Method.JOINT), folder / "joint", progress=False)
    return folder


@pytest.fixture(scope="session")
def stream(tmp_path_factory) -> Path:
    config = preset("fashion-stream")
    config = replace(
        config,
        scenario=replace(config.scenario, data="digits", parts=3),
        network=Network(hidden=(8,)),
        epochs=1,
        running=Running(threads=1),
    )
    folder = tmp_path_factory.mktemp("stream") / "run"
    run(config, folder, progress=False)
    return folder
