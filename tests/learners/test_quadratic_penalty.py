"""The sum of parabolas against the parabolas one by one, in float64."""

import pytest
import torch
from torch import nn

from metaplastic.learners import ConsolidatedWeights, QuadraticPenalty, Weights
from metaplastic.nn import BinaryConv2d, BinaryLinear, BinaryMLP, RealMLP, StackedMLP


def line(seed=0):
    net = nn.Linear(4, 3).to(torch.float64)
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=random, dtype=torch.float64))
    return net


def parabola(net, seed):
    random = torch.Generator().manual_seed(seed)

    def draw(parameter):
        return torch.rand(parameter.shape, generator=random, dtype=torch.float64)

    curvature = {name: draw(parameter) for name, parameter in net.named_parameters()}
    curvature["weight"][0] = 0.0  # rows that nobody holds
    return curvature, {name: 2 * draw(parameter) - 1 for name, parameter in net.named_parameters()}


def one_by_one(net, parabolas):
    return sum(
        (k[name] * (parameter - c[name]).square()).sum()
        for k, c in parabolas
        for name, parameter in net.named_parameters()
    )


@pytest.mark.parametrize("tasks", [1, 2, 5])
def test_a_sum_of_parabolas_is_kept_as_one(tasks):
    net = line()
    parabolas = [parabola(net, seed) for seed in range(tasks)]
    penalty = QuadraticPenalty(ConsolidatedWeights(net, Weights.HIDDEN))
    for curvature, centre in parabolas:
        penalty.add(curvature, centre)
    expected = 0.7 * one_by_one(net, parabolas)
    found = penalty.value(0.7)
    assert found.item() == pytest.approx(expected.item(), rel=1e-12)
    wanted = torch.autograd.grad(expected, list(net.parameters()))
    for (name, parameter), gradient in zip(net.named_parameters(), wanted, strict=True):
        (got,) = torch.autograd.grad(penalty.value(0.7), parameter)
        torch.testing.assert_close(got, gradient, rtol=1e-12, atol=1e-14)
        torch.testing.assert_close(0.7 * penalty.gradient(name, parameter), gradient, rtol=1e-12, atol=1e-14)


def test_memory_does_not_grow_with_the_tasks():
    net = line()
    penalty = QuadraticPenalty(ConsolidatedWeights(net, Weights.HIDDEN))
    penalty.add(*parabola(net, 0))
    before = {name: tensor.shape for name, tensor in penalty.state().items()}
    penalty.add(*parabola(net, 1))
    assert {name: tensor.shape for name, tensor in penalty.state().items()} == before


def test_a_moving_parabola_has_the_curvatures_so_far_and_the_last_centre():
    net = line()
    (k1, c1), (k2, c2) = parabola(net, 0), parabola(net, 1)
    penalty = QuadraticPenalty(ConsolidatedWeights(net, Weights.HIDDEN))
    penalty.move(c1, k1, decay=0.5)
    penalty.move(c2, k2, decay=0.5)
    both = {name: 0.5 * k1[name] + k2[name] for name in k1}
    assert penalty.value(1.0).item() == pytest.approx(one_by_one(net, [(both, c2)]).item(), rel=1e-12)


def test_nothing_is_added_without_strength_or_before_there_is_a_parabola():
    net = line()
    penalty = QuadraticPenalty(ConsolidatedWeights(net, Weights.HIDDEN))
    assert penalty.value(1.0) is None
    assert penalty.state() == {}
    penalty.add(*parabola(net, 0))
    assert penalty.value(0.0) is None
    assert penalty.value(1.0) > 0


def test_on_binary_weights_nothing_is_felt_until_a_synapse_flips():
    layer = BinaryLinear(3, 1, binarize_input=True)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[0.2, -0.1, 0.0]]))
    weights = ConsolidatedWeights(layer, Weights.BINARY)
    assert weights.values()["weight"].tolist() == [[1.0, -1.0, 1.0]]
    penalty = QuadraticPenalty(weights)
    penalty.add({"weight": torch.tensor([[3.0, 5.0, 7.0]])}, weights.values())
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[9.0, 0.1, -0.1]]))
    value = penalty.value(0.5)
    assert value.item() == pytest.approx(0.5 * (5 * 4 + 7 * 4))
    value.backward()
    # Back towards the anchors, straight through: 2 k (w - c) times the strength.
    assert layer.weight.grad.tolist() == [[0.0, 10.0, -14.0]]


def test_the_faces_of_weights():
    binary, real = BinaryMLP([4, 3, 2]), RealMLP([4, 3, 2])
    for face, levels in ((Weights.BINARY, {-1.0, 1.0}), (Weights.HIDDEN, None)):
        values = ConsolidatedWeights(binary, face).values()
        assert list(values) == ["layers.0.weight", "layers.2.weight"]  # no gain, no offset
        assert all((set(value.unique().tolist()) <= {-1.0, 1.0}) == (levels is not None) for value in values.values())
        values = ConsolidatedWeights(real, face).values()
        assert all(torch.equal(value, dict(real.named_parameters())[name]) for name, value in values.items())
    convolution = BinaryConv2d(1, 2, 3, binarize_input=True)
    assert set(ConsolidatedWeights(convolution, Weights.BINARY).values()["weight"].unique().tolist()) <= {-1.0, 1.0}


def test_values_are_copies():
    net = line()
    values = ConsolidatedWeights(net, Weights.HIDDEN).values()
    with torch.no_grad():
        net.weight.add_(1.0)
    assert not torch.equal(values["weight"], net.weight)


def test_a_network_with_nothing_to_hold_is_refused():
    with pytest.raises(ValueError, match=r"expected a network with trained weights to consolidate, got ReLU without"):
        ConsolidatedWeights(nn.ReLU(), Weights.HIDDEN)


@pytest.mark.parametrize("norm", [nn.BatchNorm1d(4), nn.LayerNorm(4), nn.GroupNorm(2, 4), nn.RMSNorm(4)])
def test_gains_and_offsets_of_torchs_normalisations_are_left_out(norm):
    net = nn.Sequential(nn.Linear(4, 4), norm)
    assert list(ConsolidatedWeights(net, Weights.HIDDEN).parameters) == ["0.weight", "0.bias"]


def test_a_stack_of_networks_is_refused():
    stack = StackedMLP([BinaryMLP([4, 3, 2]), BinaryMLP([4, 3, 2])])
    with pytest.raises(ValueError, match=r"expected one network, got a stack of 2, whose losses a penalty would mix"):
        ConsolidatedWeights(stack, Weights.BINARY)
