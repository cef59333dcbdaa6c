"""A sweep of runs that take a moment."""

from dataclasses import replace

import pytest
import torch

from metaplastic.experiments import Config, preset
from metaplastic.experiments.config import Network, Running
from metaplastic.experiments.scenario_config import Permuted
from metaplastic.learners import Engine


@pytest.fixture
def tiny() -> Config:
    return replace(
        preset("permuted-digits"),
        scenario=Permuted("digits", tasks=2),
        network=Network(hidden=(16,)),
        epochs=1,
        batch_size=100,
        running=Running(threads=1, engine=Engine.PLAIN),
    )


@pytest.fixture(autouse=True)
def threads_as_found():
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def results_of():
    """Everything in the folder of a sweep that does not tell the time, by its path."""

    def read(folder):
        kept = ("config.json", "accuracy.csv", "summary.json", "network.safetensors", "results.csv", "runs.csv")
        files = sorted(path for path in folder.rglob("*") if path.name in kept)
        return {str(path.relative_to(folder)): path.read_bytes() for path in files}

    return read
