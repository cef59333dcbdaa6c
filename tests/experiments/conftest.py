"""A configuration small enough to be run many times."""

from dataclasses import replace

import pytest
import torch

from metaplastic.experiments import Config, preset
from metaplastic.experiments.config import Network, Optimizer, Running
from metaplastic.experiments.scenario_config import Permuted
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


@pytest.fixture(autouse=True)
def threads_as_found():
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
