"""Which parameters are damped, and what is said about the others."""

import warnings
from collections import defaultdict

import pytest
import torch
from torch import nn

from metaplastic.hidden_weight import HiddenWeight
from metaplastic.optim import EpsPlacement, MetaplasticAdam, MetaplasticSGD, UnmarkedParameterWarning, param_groups


class Layer(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.weight = HiddenWeight(torch.full((width, width), 0.5))
        self.norm = nn.BatchNorm1d(width)


def network():
    return nn.Sequential(Layer(3), Layer(4))


def pull_to_zero(parameters):
    for parameter in parameters:
        parameter.grad = torch.ones_like(parameter)


def displacement(parameter, optimizer):
    before = parameter.detach().clone()
    pull_to_zero([parameter])
    optimizer.step()
    return (parameter.detach() - before).abs().max().item()


def test_hidden_weights_come_first_and_the_rest_is_never_damped():
    net = network()
    hidden, others = param_groups(net, 1.2, weight_decay=1e-7)
    assert [p is q for p, q in zip(hidden["params"], (net[0].weight, net[1].weight), strict=True)] == [True, True]
    assert (hidden["metaplasticity"], others["metaplasticity"]) == (1.2, 0.0)
    assert (hidden["weight_decay"], others["weight_decay"]) == (1e-7, 1e-7)
    assert {id(p) for p in others["params"]} == {id(p) for layer in net for p in layer.norm.parameters()}


def test_the_published_strength_is_the_default():
    assert param_groups(network())[0]["metaplasticity"] == 1.35


def test_each_layer_may_have_its_own_strength():
    net = network()
    groups = param_groups(net, [0.5, 2.0])
    assert [group["metaplasticity"] for group in groups] == [0.5, 2.0, 0.0]
    assert groups[1]["params"][0] is net[1].weight


def test_a_network_of_hidden_weights_alone_has_one_group():
    net = nn.Module()
    net.weight = HiddenWeight(torch.zeros(2))
    assert len(param_groups(net, 1.0)) == 1


@pytest.mark.parametrize("strengths", [[1.0], [1.0, 1.0, 1.0], []])
def test_a_wrong_number_of_strengths_is_refused(strengths):
    message = f"expected one metaplasticity per hidden weight, 2, got {len(strengths)}; give a single number"
    with pytest.raises(ValueError, match=message):
        param_groups(network(), strengths)


def test_a_network_without_hidden_weights_is_refused():
    with pytest.raises(ValueError, match="expected a network with hidden weights, got Linear with 2 parameters"):
        param_groups(nn.Linear(2, 2))


@pytest.mark.parametrize("optimizer", [MetaplasticAdam, MetaplasticSGD])
def test_an_optimizer_without_hidden_weights_is_refused(optimizer):
    with pytest.raises(ValueError, match="expected at least one hidden weight, got 2 parameters and no HiddenWeight"):
        optimizer(nn.Linear(2, 2).parameters(), lr=0.1, metaplasticity=1.0)


def test_all_hidden_damps_every_parameter_of_its_group():
    weight = nn.Parameter(torch.tensor([1.0]))
    optimizer = MetaplasticAdam([{"params": [weight], "all_hidden": True}], lr=0.1, metaplasticity=1.0)
    assert displacement(weight, optimizer) == pytest.approx(0.1 * 0.41997, rel=1e-3)


def test_only_hidden_weights_are_damped_and_one_warning_says_so():
    net = network()
    message = r"expected only hidden weights in a group with metaplasticity 1\.0, got 4 other parameters, the first of"
    with pytest.warns(UnmarkedParameterWarning, match=message) as caught:
        optimizer = MetaplasticAdam(net.parameters(), lr=0.1, metaplasticity=1.0)
    assert [warning.filename for warning in caught] == [__file__]
    pull_to_zero(net.parameters())
    optimizer.step()  # warnings are errors, so a second one would fail here
    assert net[0].norm.weight[0].item() == pytest.approx(0.9)
    assert net[0].weight[0, 0].item() == pytest.approx(0.5 - 0.1 * 0.78645, rel=1e-4)


def test_no_warning_without_metaplasticity():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        MetaplasticAdam(network().parameters(), metaplasticity=0.0)
    assert caught == []


def test_parameters_adopted_behind_the_back_of_the_optimizer_train_and_are_warned_of_once():
    net = network()
    optimizer = MetaplasticAdam(param_groups(net, 1.0), lr=0.1)
    pull_to_zero(net.parameters())
    optimizer.step()
    head, weight = nn.Parameter(torch.ones(3)), HiddenWeight(torch.ones(3))
    optimizer.param_groups[0]["params"] += [head, weight]
    optimizer.state = defaultdict(dict)
    pull_to_zero([*net.parameters(), head, weight])
    with pytest.warns(UnmarkedParameterWarning, match=r"got 1 other parameters, the first of shape \(3,\)"):
        optimizer.step()
    assert head.tolist() == pytest.approx([0.9] * 3)
    assert weight.tolist() == pytest.approx([1 - 0.1 * 0.41997] * 3, rel=1e-3)
    optimizer.state = defaultdict(dict)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        optimizer.step()
    assert {float(state["step"]) for state in optimizer.state.values()} == {1.0}


def test_where_eps_is_added_is_found_by_name():
    def moved(**options):
        weight = HiddenWeight(torch.tensor([1.0]))
        return displacement(weight, MetaplasticAdam([{"params": [weight]} | options], lr=0.1, eps=1.0))

    assert moved(eps_placement="after-correction") == moved(eps_placement=EpsPlacement.AFTER_CORRECTION)
    assert moved(eps_placement="before-correction") == moved() != moved(eps_placement="after-correction")
    with pytest.raises(ValueError, match="unknown eps_placement 'after'"):
        moved(eps_placement="after")


def test_an_added_group_is_damped_by_its_own_options():
    net = network()
    optimizer = MetaplasticSGD(param_groups(net, 1.0), lr=0.1)
    weight = HiddenWeight(torch.tensor([1.0]))
    optimizer.add_param_group({"params": [weight], "metaplasticity": 2.0})
    assert displacement(weight, optimizer) == pytest.approx(0.1 * 0.07065, rel=1e-3)
