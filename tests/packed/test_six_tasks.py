"""Six permuted tasks in one packed network: one set of weights, a table of thresholds for each task."""

import dataclasses
import os

import numpy as np
import pytest
import torch

from metaplastic.benchmark.packed import sizes
from metaplastic.data import load
from metaplastic.experiments import train
from metaplastic.learners import Engine
from metaplastic.nn import BinaryMLP, NormPolicy, Scope
from metaplastic.optim import MetaplasticAdam, param_groups
from metaplastic.packed import PackedNetwork, pack
from metaplastic.scenarios import Announced, permuted

TASKS = 6
real_data = pytest.mark.skipif(not os.environ.get("METAPLASTIC_DATA"), reason="METAPLASTIC_DATA names no data folder")


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    """A network of width 256 that learned six permutations of MNIST, shortly, and its file read back."""
    mnist = load("mnist")
    some = dataclasses.replace(
        mnist,
        train=dataclasses.replace(mnist.train, inputs=mnist.train.inputs[:5000], labels=mnist.train.labels[:5000]),
    )
    scenario = permuted(some, TASKS, announced=Announced(boundaries=True, task_at_test=True))
    network = BinaryMLP(
        [784, 256, 256, 10], NormPolicy(scope=Scope.PER_TASK), generator=torch.Generator().manual_seed(0)
    )
    optimizer = MetaplasticAdam(param_groups(network, metaplasticity=40.0), lr=5e-3)
    result = train(network, scenario, optimizer, epochs=1, engine=Engine.PLAIN)
    names = [task.name for task in scenario.tasks]
    path = pack(network, tasks=names, unit=scenario.unit_of_bytes).save(
        tmp_path_factory.mktemp("six") / "net.safetensors"
    )
    return scenario, result, PackedNetwork.load(path)


@pytest.mark.large_data
@pytest.mark.slow
@real_data
def test_six_tables_are_as_accurate_as_the_training_framework(learned):
    scenario, result, packed = learned
    assert packed.statistics == "recalibrated"
    assert [layer.after.tables for layer in packed.layers] == [TASKS] * 3
    assert len({layer.weight.tobytes() for layer in packed.layers}) == 3
    for index, test in enumerate(scenario.tests):
        pixels, labels = test.view.batch(torch.arange(len(test.view)))
        assert len(labels) == 10_000
        accuracy = (packed.predict(pixels, scenario.tasks[index].name) == labels.numpy()).mean()
        assert abs(accuracy - result.accuracy[-1, index]) <= 2e-4  # two images
    assert result.accuracy[-1].mean() > 0.55


@pytest.mark.large_data
@pytest.mark.slow
@real_data
def test_the_tables_differ_and_belong_to_their_tasks(learned):
    scenario, _, packed = learned
    pixels, labels = scenario.tests[0].view.batch(torch.arange(1000))
    own, *others = ((packed.predict(pixels, task) == labels.numpy()).mean() for task in range(TASKS))
    assert own > max(others)
    for layer in packed.layers[:-1]:
        assert len(np.unique(layer.after.threshold, axis=0)) == TASKS


def test_a_task_adds_at_most_20_kilobytes_at_4096():
    counted = sizes((4096, 4096))
    assert counted["bytes_per_task"] <= 20_000
    assert counted["file_bytes"] <= 2_600_000
