"""Trained networks of runs, packed: they predict as the networks they were made of."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from metaplastic.evaluation.accuracy import predict
from metaplastic.experiments import pack_run, preset, run
from metaplastic.experiments.build import build_network, build_scenario
from metaplastic.experiments.config import Family, Network
from metaplastic.experiments.method_config import Method
from metaplastic.experiments.scenario_config import Permuted, Sequence
from metaplastic.nn import NormPolicy, Scope, Statistics
from metaplastic.packed import Input

TOLD = {"boundaries": True, "task_at_test": True}


def small(**changes):
    config = replace(preset("permuted-digits"), scenario=Permuted("digits", tasks=2), epochs=1)
    return replace(config, **({"network": Network(hidden=(24,))} | changes))


CONFIGS = {
    "layer norm": small(),
    "tables per task": small(
        scenario=Permuted("digits", tasks=3, **TOLD),
        norm=NormPolicy(statistics=Statistics.RECALIBRATED, scope=Scope.PER_TASK),
    ),
    "signs": small(network=Network(hidden=(24,), binarize_input=True), norm=NormPolicy(statistics=Statistics.RUNNING)),
    "joint": small(method=Method.JOINT, norm=NormPolicy(statistics=Statistics.RECALIBRATED)),
    "convolutions": small(
        scenario=Sequence(("digits", "digits"), samples=(150, 150), image_side=28, **TOLD),
        network=Network(Family.BINARY_CONV, hidden=(), channels=(4, 5, 6)),
        norm=NormPolicy(statistics=Statistics.RECALIBRATED, scope=Scope.PER_TASK),
    ),
}


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_it_predicts_what_the_trained_network_does_on_every_test(config, tmp_path):
    run(config, tmp_path / "run", progress=False)
    packed = pack_run(tmp_path / "run")
    scenario = build_scenario(config)
    network = build_network(config, scenario).double()
    network.load_state_dict(load_file(tmp_path / "run" / "network.safetensors"))
    told = config.norm.scope is Scope.PER_TASK
    assert packed.tasks == (tuple(task.name for task in scenario.tasks) if told else ())
    assert packed.input is (Input.SIGNS if config.network.binarize_input else Input.BYTES)
    for test in scenario.tests:
        rows = torch.arange(len(test.view))
        pixels = test.view.stored().batch(rows)[0].numpy()
        assert pixels.dtype == np.uint8
        expected = predict(_Doubled(network), test, task=test.task if told else None)
        np.testing.assert_array_equal(packed.predict(pixels, test.task if told else None), expected.numpy())


class _Doubled(torch.nn.Module):
    """Computes in float64, so that no rounding decides."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x):
        return self.network(x.double())


def test_a_run_without_its_network_is_refused_with_what_to_do(tmp_path):
    run(small(), tmp_path / "run", progress=False)
    (tmp_path / "run" / "network.safetensors").unlink()
    with pytest.raises(ValueError, match=r"expected a trained network at .*, got none: .*'metaplastic run --from .*'"):
        pack_run(tmp_path / "run")


def test_a_formula_and_real_weights_are_refused(tmp_path):
    run(small(method=Method.NEAREST_MEAN), tmp_path / "formula", progress=False)
    with pytest.raises(ValueError, match=r"expected a binary network in .*, got the formula 'nearest-mean'"):
        pack_run(tmp_path / "formula")
    run(small(network=Network(Family.REAL_MLP, hidden=(8,))), tmp_path / "real", progress=False)
    with pytest.raises(ValueError, match="expected binary weights, got the real ones"):
        pack_run(tmp_path / "real")


def test_a_damaged_network_is_refused(tmp_path):
    run(small(), tmp_path / "run", progress=False)
    (tmp_path / "run" / "network.safetensors").write_bytes(b"\0" * 100)
    with pytest.raises(ValueError, match=r"expected the network of .*run in .*, got a damaged or another one"):
        pack_run(tmp_path / "run")
