"""From a configuration to what it describes."""

import pytest
import torch

from metaplastic.experiments.build import build_network, build_scenario
from metaplastic.experiments.config import Config, Family, Network
from metaplastic.experiments.run import make_trial, run
from metaplastic.experiments.scenario_config import Permuted, Sequence, Split, Stream
from metaplastic.nn import BinaryConv2d, BinaryLinear, NormPolicy, Statistics, binary_sign
from metaplastic.scenarios import Increment


def test_a_sequence_takes_as_many_padded_samples_as_it_says():
    config = Sequence(("digits", "digits"), samples=(200, 180), image_side=12)
    scenario, other = (build_scenario(Config(scenario=config, seed=seed)) for seed in (1, 2))
    assert [len(task.view) for task in scenario.tasks] == [200, 180]
    assert [len(test.view) for test in scenario.tests] == [360, 360]
    assert scenario.input_shape == (12, 12)
    assert scenario.tasks[0].view.rows.tolist() != other.tasks[0].view.rows.tolist()


def test_permutations_reach_over_the_padding():
    scenario = build_scenario(Config(scenario=Permuted("digits", tasks=2, image_side=12)))
    assert scenario.input_shape == (144,)
    shown = [task.view.batch(torch.arange(1437))[0] for task in scenario.tasks]
    assert torch.equal(*(inputs.sort(dim=1).values for inputs in shown))
    assert [int((inputs.max(0).values > 0).sum()) for inputs in shown] == [61, 61]  # of 64; three are never inked


def test_more_samples_than_a_data_set_has_are_refused():
    with pytest.raises(ValueError, match="expected from 1 to 1437 samples of 'digits', got 1438; ask for fewer"):
        build_scenario(Config(scenario=Sequence(("digits",), samples=(1438,))))


def test_layer_norm_behind_two_outputs_is_refused_before_there_is_a_record(tmp_path):
    config = Config(
        scenario=Split("digits", tasks=5, increment=Increment.DOMAIN), norm=NormPolicy(statistics=Statistics.LAYER)
    )
    with pytest.raises(ValueError, match="expected other statistics than 'layer' for two outputs"):
        run(config, tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


IMAGES = [Sequence(("digits",)), Split("digits", tasks=2), Stream("digits", parts=2)]
CASES = [(scenario, family) for scenario in IMAGES for family in (Family.BINARY_MLP, Family.BINARY_CONV)]


@pytest.mark.parametrize(("scenario", "family"), [(Permuted(tasks=1), Family.BINARY_MLP), *CASES])
def test_a_network_that_binarizes_its_input_is_given_both_signs(scenario, family):
    network = Network(family, hidden=(8,), channels=(2,), binarize_input=True)
    trial = make_trial(Config(scenario=scenario, network=network))
    first = next(module for module in trial.network.modules() if isinstance(module, BinaryLinear | BinaryConv2d))
    assert first.binarize_input
    stored = make_trial(Config(scenario=scenario)).scenario
    for part, plain in zip((*trial.scenario.tasks, *trial.scenario.tests), (*stored.tasks, *stored.tests), strict=True):
        inputs, pixels = (of.view.batch(torch.arange(50))[0] for of in (part, plain))
        assert torch.equal(binary_sign(inputs) > 0, pixels > 0)
        assert 0.2 < float((inputs < 0).float().mean()) < 0.8


def test_a_network_that_does_not_is_given_pixels():
    trial = make_trial(Config(network=Network(hidden=(8,))))
    assert not trial.network.layers[0].binarize_input
    assert trial.scenario.tasks[0].view.batch(torch.arange(50))[0].min() == 0


def test_signs_and_zeros_with_ones_differ_by_what_a_normalisation_takes_back_except_at_padded_borders():
    network = Network(Family.BINARY_CONV, hidden=(), channels=(3,), binarize_input=True)
    config = Config(scenario=Stream("digits", parts=1), network=network)
    scenario = build_scenario(config)
    convolution = build_network(config, scenario).convolutions[0]
    inputs = scenario.tasks[0].view.batch(torch.arange(50))[0][:, None]
    ours = convolution(inputs)
    convolution.binarize_input = False
    theirs = convolution((inputs > 0).float())
    expected = 2 * theirs - binary_sign(convolution.weight).sum((1, 2, 3))[:, None, None]
    inner = (slice(None), slice(None), slice(1, -1), slice(1, -1))
    assert ours.shape == (50, 3, 7, 7)
    assert torch.equal(ours[inner], expected[inner])
    assert not torch.equal(ours[..., 0, :], expected[..., 0, :])
