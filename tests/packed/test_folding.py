"""Folded thresholds against float64 normalisation."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from metaplastic.nn import (
    BinaryConv2d,
    BinaryLinear,
    BinaryMLP,
    Normalization,
    NormPolicy,
    RealConvNet,
    RealMLP,
    SignDropout,
    Statistics,
    mnist_usps_blocks,
    recalibrate,
)
from metaplastic.packed import Input, Readout, SampleMean, Thresholds, pack
from metaplastic.packed.states import State, first_step

UNIT = 1 / 256


@pytest.mark.parametrize("kind", ["dense", "conv"])
@pytest.mark.parametrize("statistics", ["recalibrated", "running", "layer"])
@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("signs", [False, True])
def test_bits_are_the_signs_of_float64_normalisation(
    build, naive, images, assert_traces_agree, kind, statistics, affine, signs, backend
):
    network = build(kind, statistics, signs=signs, affine=affine)
    x = images(network)
    packed = pack(network)
    assert packed.input is (Input.SIGNS if signs else Input.BYTES)
    shown = x.to(torch.float64) - 0.5 if signs else x
    outputs = naive(network, shown, UNIT)
    assert_traces_agree(packed.trace(x, backend=backend), outputs)
    np.testing.assert_allclose(packed.logits(x, backend=backend), outputs[-1], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", ["dense", "conv"])
@pytest.mark.parametrize("statistics", ["recalibrated", "layer"])
def test_real_features_are_served_to_the_last_bit(build, naive, images, assert_traces_agree, kind, statistics, backend):
    network = build(kind, statistics)
    x = torch.randn(images(network).shape, generator=torch.Generator().manual_seed(1))
    packed = pack(network, input="real")
    rounded = torch.round(x.double() * 2**24) / 2**24
    outputs = naive(network, rounded, 1.0)
    assert_traces_agree(packed.trace(x, backend=backend), outputs)
    np.testing.assert_allclose(packed.logits(x, backend=backend), outputs[-1], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", ["dense", "conv"])
def test_each_task_has_its_table_and_all_share_the_weights(build, naive, images, assert_traces_agree, kind, backend):
    network = build(kind, tasks=3)
    x = images(network)
    packed = pack(network, tasks=["digits", "clothes", "letters"])
    shared = pack(build(kind))
    for one, other in zip(packed.layers, shared.layers, strict=True):
        np.testing.assert_array_equal(one.weight, other.weight)
    for task, name in enumerate(packed.tasks):
        outputs = naive(network, x, UNIT, task)
        assert_traces_agree(packed.trace(x, name, backend=backend), outputs)
        np.testing.assert_allclose(packed.logits(x, task, backend=backend), outputs[-1], rtol=1e-5, atol=1e-5)
    assert any(len({row.tobytes() for row in layer.after.flipped}) > 1 for layer in packed.layers[:-1])


@settings(deadline=None)
@given(
    gain=st.one_of(st.just(0.0), st.floats(-10, 10, width=32)),
    offset=st.floats(-100, 100, width=32),
    mean=st.floats(-300, 300, width=32),
    variance=st.floats(0, 1000, width=32),
    unit=st.sampled_from([1.0, 0.25, 1 / 255, 1 / 256]),
)
def test_a_threshold_parts_the_sums_as_the_float64_formula_does(gain, offset, mean, variance, unit):
    bound = 1000
    deviation = math.sqrt(variance + 1e-5)
    (threshold,) = first_step(State(*(np.array([number]) for number in (gain, offset, mean, deviation))), unit, bound)
    assert -bound <= threshold <= bound + 1
    for h in range(-bound, bound + 1):
        wanted = (h * unit - mean) / deviation * gain + offset >= 0
        assert ((h >= threshold) != (gain < 0)) == wanted, h


@pytest.mark.parametrize(("offset", "bit"), [(0.5, True), (0.0, True), (-0.5, False)])
def test_a_gain_of_zero_gives_a_constant(offset, bit):
    network = BinaryMLP([6, 3, 2], "running")
    with torch.no_grad():
        network.layers[1].gain.fill_(0)
        network.layers[1].offset.fill_(offset)
    x = np.random.default_rng(0).integers(0, 256, (50, 6), dtype=np.uint8)
    _, bits = pack(network).trace(x)[0]
    assert (bits == bit).all()


def test_a_sum_on_the_threshold_is_positive_whatever_the_sign_of_the_gain():
    network = BinaryMLP([4, 2, 2], "running", binarize_input=True)
    with torch.no_grad():
        network.layers[0].weight.fill_(1)
        network.layers[1].gain.copy_(torch.tensor([1.0, -1.0]))
        network.layers[1].mean.fill_(2.0)
    x = np.array([[1, 1, 1, 1], [1, 1, 1, -1], [1, 1, -1, -1]], np.float32)
    sums, bits = pack(network).trace(x)[0]
    assert sums.tolist() == [[4, 4], [2, 2], [0, 0]]
    assert bits.tolist() == [[True, False], [True, True], [False, True]]


def test_an_odd_row_or_column_is_left_out_by_the_pooling(build):
    packed = pack(build("conv"))
    assert packed.layers[0].sum_shape == (5, 11, 10)
    assert packed.layers[0].out_shape == (5, 5, 5)


def test_networks_without_normalisation_have_offsets():
    layers = [BinaryLinear(20, 9, binarize_input=False), BinaryLinear(9, 3, binarize_input=True)]
    network = nn.Sequential(*layers)
    x = np.random.default_rng(0).integers(0, 256, (50, 20), dtype=np.uint8)
    packed = pack(network, unit=1.0)
    hidden = x.astype(int) @ np.where(layers[0].weight.detach().numpy() >= 0, 1, -1).T
    np.testing.assert_array_equal(packed.trace(x)[0][1], hidden >= 0)
    assert packed.statistics == "none"


def test_a_policy_of_none_is_folded_to_its_offset():
    network = BinaryMLP([20, 9, 3], "none", generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        network.layers[1].offset.copy_(torch.linspace(-2, 2, 9))
    x = np.random.default_rng(0).integers(0, 256, (50, 20), dtype=np.uint8)
    signs = np.where(network.layers[0].weight.detach().numpy() >= 0, 1, -1)
    expected = x.astype(int) @ signs.T / 256 + np.linspace(-2, 2, 9, dtype=np.float32) >= 0
    np.testing.assert_array_equal(pack(network).trace(x)[0][1], expected)


def test_a_chain_of_ones_own_with_the_batch_norm_of_torch_is_packed():
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Sequential(BinaryConv2d(1, 6, 3, binarize_input=False, padding=1), nn.MaxPool2d(2), nn.BatchNorm2d(6)),
        nn.Flatten(),
        BinaryLinear(96, 20, binarize_input=True),
        nn.BatchNorm1d(20),
        SignDropout(0.5),
        BinaryLinear(20, 3, binarize_input=False),
    )
    x = torch.randint(0, 256, (64, 1, 8, 8))
    for _ in range(50):
        network(x / 256)
    packed = pack(network.eval(), input_shape=(1, 8, 8))
    with torch.no_grad():
        expected = network.double()(x.double() / 256)
    np.testing.assert_allclose(packed.logits(x.to(torch.uint8)), expected, rtol=1e-5)


def test_dropout_is_left_out():
    with_dropout = BinaryMLP([20, 9, 3], "layer", dropout=0.5)
    without = BinaryMLP([20, 9, 3], "layer")
    for mine, theirs in zip(without.parameters(), with_dropout.parameters(), strict=True):
        mine.data.copy_(theirs)
    assert pack(with_dropout) == pack(without)


def test_packing_leaves_the_network_as_it_was(build):
    network = build("conv", tasks=2).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    assert pack(network) == pack(network)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert network.training


def test_what_follows_a_layer_is_what_its_statistics_ask_for(build):
    kinds = [type(layer.after) for layer in pack(build("dense")).layers]
    assert kinds == [Thresholds, Thresholds, Readout]
    assert isinstance(pack(build("dense", "layer")).layers[0].after, SampleMean)


@pytest.mark.filterwarnings("ignore:norm='batch'")
def test_statistics_of_the_batch_are_refused_with_the_fix():
    with pytest.raises(
        ValueError,
        match=r"got those of the batch under test, but a packed network must give a sample "
        r"the same class in every batch; use statistics recalibrated \(with recalibrate\(network, inputs\) before\)",
    ):
        pack(BinaryMLP([6, 5, 3], "batch"))


def test_statistics_that_were_never_taken_are_refused_with_the_fix():
    network = BinaryMLP([6, 5, 3])
    with pytest.raises(ValueError, match=r"layer 0: .*never calibrated; call recalibrate\(network, inputs\)"):
        pack(network)
    recalibrate(network, torch.rand(100, 6))
    pack(network)


@pytest.mark.parametrize(
    "network",
    [RealMLP([6, 5, 3], "layer"), RealConvNet((1, 28, 28), mnist_usps_blocks(), (), 3, "layer")],
    ids=["dense", "conv"],
)
def test_real_weights_are_refused(network):
    with pytest.raises(ValueError, match=r"expected binary weights, got the real ones of Real\w+; only networks"):
        pack(network)


DENSE = BinaryLinear(6, 5, binarize_input=False)
LAST = BinaryLinear(5, 3, binarize_input=True)
LAYER_NORM = Normalization(5, NormPolicy(statistics=Statistics.LAYER))
REFUSED = {
    "a real layer": ([nn.Linear(6, 5), LAST], "expected binary weights, got the real ones of Linear"),
    "no layers": ([nn.Flatten()], "expected at least one BinaryLinear, got none"),
    "real activations": (
        [DENSE, BinaryLinear(5, 3, binarize_input=False)],
        "expected a hidden layer that computes with signs",
    ),
    "two normalisations": ([DENSE, LAYER_NORM, LAYER_NORM, LAST], "got Normalization.* elsewhere"),
    "another activation": ([DENSE, nn.ReLU(), LAST], "expected a normalisation behind the layer, got ReLU"),
    "dropout in front": ([SignDropout(0.5), DENSE, LAST], "got SignDropout.* elsewhere"),
    "pooling of 3 x 3": (
        [BinaryConv2d(1, 2, 3, binarize_input=False), nn.MaxPool2d(3), BinaryLinear(8, 3, binarize_input=True)],
        "expected a pooling of 2 x 2 without padding",
    ),
    "a convolution at the end": ([BinaryConv2d(1, 2, 3, binarize_input=False)], "expected a linear layer at the end"),
    "a normalisation of another width": (
        [DENSE, Normalization(4, NormPolicy(statistics=Statistics.RUNNING)), LAST],
        "expected a normalisation of 5 features, got 4",
    ),
    "widths that do not fit": (
        [DENSE, BinaryLinear(4, 3, binarize_input=True)],
        "layer 1: expected a layer that takes",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_chain_that_cannot_be_packed_is_refused(name):
    layers, message = REFUSED[name]
    with pytest.raises(ValueError, match=message):
        pack(nn.Sequential(*layers), input_shape=(1, 8, 8) if isinstance(layers[0], BinaryConv2d) else None)


def test_other_modules_are_refused():
    with pytest.raises(ValueError, match=r"expected a BinaryMLP, a BinaryConvNet or an nn.Sequential .* got LSTM"):
        pack(nn.LSTM(3, 3))


def test_weights_that_are_no_numbers_are_refused(build):
    network = build("dense")
    with torch.no_grad():
        network.layers[2].weight[0, 0] = math.nan
    with pytest.raises(ValueError, match="layer 1: expected weights that are numbers, got NaN"):
        pack(network)


def test_statistics_that_are_infinite_are_refused(build):
    network = build("dense")
    network.layers[1].mean[0] = math.inf
    with pytest.raises(ValueError, match="layer 0: expected finite gains, offsets and statistics"):
        pack(network)


def test_names_must_be_as_many_as_tasks(build):
    with pytest.raises(ValueError, match="states kept for tasks, 2, got 1; name each task"):
        pack(build("dense", tasks=2), tasks=["one"])
    with pytest.raises(ValueError, match="leave them out: the normalisation is shared by all tasks"):
        pack(build("dense"), tasks=["one"])
    assert pack(build("dense", tasks=2)).tasks == ("0", "1")


def test_layers_that_kept_different_tasks_are_refused(build):
    network = build("dense", tasks=2)
    network.layers[1].keep(7)
    with pytest.raises(ValueError, match="expected every normalisation to have kept the same tasks"):
        pack(network)


def test_an_input_that_the_network_does_not_take_is_refused(build):
    with pytest.raises(ValueError, match="expected input 'bytes or real' for a first layer with binarize_input=False"):
        pack(build("dense"), input="signs")
    with pytest.raises(ValueError, match="expected input 'signs' for a first layer with binarize_input=True"):
        pack(build("dense", signs=True), input="bytes")


def test_a_chain_of_convolutions_needs_the_shape_of_images():
    with pytest.raises(ValueError, match="give input_shape"):
        pack(nn.Sequential(BinaryConv2d(1, 2, 3, binarize_input=False), LAST))


@pytest.mark.parametrize(
    "options",
    [{"stride": 2}, {"dilation": 2}, {"groups": 2}, {"padding": "same"}, {"kernel_size": (1, 3)}, {"padding": (0, 1)}],
    ids=str,
)
def test_a_convolution_that_has_no_packed_form_is_refused(options):
    layer = BinaryConv2d(2, 2, binarize_input=False, **{"kernel_size": 3, **options})
    norm = Normalization(2, NormPolicy(statistics=Statistics.RUNNING))
    network = nn.Sequential(layer, norm, nn.Flatten(), LAST)
    with pytest.raises(ValueError, match=r"layer 0: expected a convolution with a square kernel, .* cannot be packed"):
        pack(network, input_shape=(2, 8, 8))
