"""A configuration small enough to be run many times."""

import signal
from dataclasses import replace

import pytest
import torch

from metaplastic.experiments import Config, can_stack, preset
from metaplastic.experiments.config import Network, Optimizer, Running
from metaplastic.experiments.scenario_config import Permuted
from metaplastic.learners import Engine
from metaplastic.nn import NormPolicy, Scope


@pytest.fixture
def small() -> Config:
    return replace(
        preset("permuted-digits"),
        scenario=Permuted("digits", tasks=2, boundaries=True, task_at_test=True),
        network=Network(hidden=(16,)),
        norm=NormPolicy(scope=Scope.PER_TASK),
        optimizer=Optimizer(metaplasticity=(30.0,)),
        epochs=2,
        batch_size=100,
        running=Running(calibration_samples=1000),
    )


@pytest.fixture(params=[0.0, 0.25], ids=["stacked", "one by one"])
def brief(request, small) -> Config:
    """One epoch of five steps a task, by networks that are trained as a stack, and by others that cannot be."""
    running = Running(calibration_samples=100, evaluate_epochs=0, threads=1, engine=Engine.PLAIN)
    network = replace(small.network, dropout=request.param)
    config = replace(small, network=network, epochs=1, batch_size=300, running=running)
    assert can_stack(config) == (request.param == 0)
    return config


@pytest.fixture(autouse=True)
def threads_as_found():
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def in_a_terminal():
    """Let Ctrl-C reach the tests; a shell starts what it runs in the background without it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
