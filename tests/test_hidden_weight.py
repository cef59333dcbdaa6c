"""The mark of a hidden weight survives whatever is done to a network."""

import copy
import io
import pickle

import pytest
import torch
from torch import nn
from torch.func import functional_call

from metaplastic.hidden_weight import HiddenWeight, is_hidden_weight


class Net(nn.Module):
    def __init__(self, start=1.0):
        super().__init__()
        self.hidden = HiddenWeight(torch.tensor([[start, -2.0], [0.5, 3.0]]))
        self.bias = nn.Parameter(torch.zeros(2))

    def forward(self, x):
        return x @ self.hidden.T + self.bias


def same(net):
    return net


def moved_to_double_and_back(net):
    return net.double().float()


def loaded(net):
    other = Net(start=7.0)
    other.load_state_dict(copy.deepcopy(net.state_dict()))
    return other


def saved_whole(net):
    file = io.BytesIO()
    torch.save(net, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


def pickled(net):
    return pickle.loads(pickle.dumps(net))  # noqa: S301


def in_a_container(net):
    return nn.Sequential(net)[0]


@pytest.mark.parametrize(
    "treat", [same, copy.deepcopy, copy.copy, moved_to_double_and_back, loaded, pickled, saved_whole, in_a_container]
)
def test_the_mark_and_the_values_survive(treat):
    net = treat(Net())
    assert type(net.hidden) is HiddenWeight
    assert net.hidden.requires_grad
    assert net.hidden.is_leaf
    assert torch.equal(net.hidden, Net().hidden)
    assert [is_hidden_weight(parameter) for parameter in net.parameters()] == [True, False]
    net(torch.ones(1, 2)).sum().backward()
    assert net.hidden.grad.tolist() == [[1.0, 1.0], [1.0, 1.0]]


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_another_type_keeps_the_mark(dtype):
    net = Net().to(dtype)
    assert is_hidden_weight(net.hidden)
    assert net.hidden.dtype == dtype


@pytest.mark.parametrize("treat", [copy.deepcopy, pickled])
def test_copies_share_nothing(treat):
    net = Net()
    other = treat(net)
    with torch.no_grad():
        other.hidden.zero_()
    assert torch.equal(net.hidden, Net().hidden)


@pytest.mark.parametrize("treat", [copy.deepcopy, pickled])
def test_a_frozen_weight_stays_frozen(treat):
    assert not treat(HiddenWeight(torch.ones(2), requires_grad=False)).requires_grad


def test_it_can_be_swapped_in_a_functional_call():
    net, x = Net(), torch.ones(1, 2)
    other = {"hidden": torch.full((2, 2), 10.0, requires_grad=True)}
    out = functional_call(net, other, x)
    assert out.tolist() == [[20.0, 20.0]]
    out.sum().backward()
    assert other["hidden"].grad.tolist() == [[1.0, 1.0], [1.0, 1.0]]
    assert net.hidden.grad is None
    assert is_hidden_weight(net.hidden)


def test_it_wraps_without_copying():
    data = torch.zeros(3)
    assert HiddenWeight(data).data_ptr() == data.data_ptr()


@pytest.mark.parametrize(
    "other", [torch.zeros(2), nn.Parameter(torch.zeros(2)), HiddenWeight(torch.zeros(2)) + 1, torch.zeros(2, 2)]
)
def test_nothing_else_is_marked(other):
    assert not is_hidden_weight(other)
