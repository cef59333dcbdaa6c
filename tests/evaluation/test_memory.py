"""Bytes that training keeps, against what can be counted by hand."""

import torch
from torch import nn

from metaplastic.evaluation import Memory, training_memory
from metaplastic.nn import BinaryMLP
from metaplastic.optim import MetaplasticAdam, param_groups

WEIGHTS = 6 * 5 + 5 * 3
"""Of a network 6-5-3."""


def test_every_part_is_counted_once_in_its_own_precision():
    net = BinaryMLP([6, 5, 3], norm="running").double()
    optimizer = MetaplasticAdam(param_groups(net, metaplasticity=1.0), lr=0.1)
    net(torch.ones(4, 6, dtype=torch.float64)).sum().backward()
    optimizer.step()
    found = training_memory(net, optimizer, {"importance": torch.ones(7, dtype=torch.int8)})
    gains = sum(parameter.numel() for parameter in net.parameters()) - WEIGHTS
    statistics = sum(buffer.numel() * buffer.element_size() for buffer in net.buffers())
    steps = 4 * len(list(net.parameters()))
    assert found == Memory(8 * WEIGHTS, 8 * gains, statistics, 2 * 8 * (WEIGHTS + gains) + steps, 7)
    assert found.total == 8 * 3 * (WEIGHTS + gains) + statistics + steps + 7


def test_a_network_with_real_weights_has_no_hidden_ones():
    net = nn.Linear(3, 2)
    assert training_memory(net, torch.optim.SGD(net.parameters()), {}) == Memory(0, 32, 0, 0, 0)
