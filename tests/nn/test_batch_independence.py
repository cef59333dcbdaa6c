"""A prediction must not depend on the samples it is tested with: not even in the last bit of a logit."""

import functools

import pytest
import torch
from torch.nn import functional

from metaplastic.nn import BinaryConvNet, BinaryMLP, ConvBlock, Pool, evaluating, recalibrate
from metaplastic.optim import MetaplasticAdam, param_groups

SAMPLES = 1000
CUTS = [(25, 1), (140, 7), (SAMPLES, 100)]  # samples, and batch size
SHAPES = {"mlp": (48,), "conv": (2, 7, 7)}
INDEPENDENT = ["running", "recalibrated", "layer"]


def pictures(network):
    """Five patterns under noise, in bytes / 256."""
    random = torch.Generator().manual_seed(4)
    labels = torch.randint(0, 5, (SAMPLES,), generator=random)
    patterns = torch.randint(0, 256, (5, *SHAPES[network]), generator=random)
    noise = torch.randint(-60, 61, (SAMPLES, *SHAPES[network]), generator=random)
    return (patterns[labels] + noise).clamp(0, 255).to(torch.uint8).float() / 256, labels


def build(network, norm):
    random = torch.Generator().manual_seed(1)
    if network == "mlp":
        return BinaryMLP([48, 33, 25, 5], norm, generator=random)
    blocks = (ConvBlock(6, 3, 1, Pool.AVERAGE), ConvBlock(5, 2, 0, Pool.MAX))
    return BinaryConvNet((2, 7, 7), blocks, (25,), 5, norm, generator=random)


@functools.cache
def trained(network, norm):
    inputs, labels = pictures(network)
    net = build(network, norm)
    optimizer = MetaplasticAdam(param_groups(net, 1.0), lr=0.005)
    for rows in torch.arange(SAMPLES).split(50):
        optimizer.zero_grad()
        functional.cross_entropy(net(inputs[rows]), labels[rows]).backward()
        optimizer.step()
    recalibrate(net, inputs[:500])
    return net, inputs, labels


def logits(net, inputs, parts):
    """Logits of the samples in `parts`, computed part by part, in the order of `inputs`; NaN for the others."""
    found = torch.full((SAMPLES, 5), torch.nan)
    with torch.no_grad(), evaluating(net):
        for rows in parts:
            found[rows] = net(inputs[rows])
    return found


def divisions(labels):
    """Ways to cut the test set; by one and by seven only some of it, for time."""
    in_order, sorted_by_class = torch.arange(SAMPLES), labels.argsort(stable=True)
    yield from ((rows[:count].split(size)) for rows in (in_order, sorted_by_class) for count, size in CUTS)
    yield (sorted_by_class,)


@pytest.mark.parametrize("network", SHAPES)
@pytest.mark.parametrize("norm", INDEPENDENT)
def test_logits_are_the_same_bits_however_the_test_set_is_divided(network, norm):
    net, inputs, labels = trained(network, norm)
    whole = logits(net, inputs, [torch.arange(SAMPLES)])
    assert whole.isfinite().all()
    assert len(whole.argmax(1).unique()) > 1
    for parts in divisions(labels):
        rows = torch.cat(parts)
        assert torch.equal(logits(net, inputs, parts)[rows], whole[rows])
    torch.set_num_threads(2)
    assert torch.equal(logits(net, inputs, [torch.arange(SAMPLES)]), whole)


@pytest.mark.parametrize("network", SHAPES)
def test_with_batch_statistics_they_are_not(network):
    """The reason why these statistics are for reproduction only; and the proof that the test above can fail."""
    net, inputs, labels = trained(network, "batch")
    whole = logits(net, inputs, [torch.arange(SAMPLES)])
    by_seven, by_class = torch.arange(SAMPLES).split(7), labels.argsort(stable=True).split(100)
    for parts in (by_seven, by_class):
        other = logits(net, inputs, parts)
        assert not torch.equal(other, whole)
        assert not torch.equal(other.argmax(1), whole.argmax(1))


@pytest.mark.parametrize("norm", INDEPENDENT)
def test_the_networks_under_test_are_trained(norm):
    """Training left no trivial state: gains and offsets moved, statistics are not those of the start."""
    net, _, _ = trained("mlp", norm)
    for layer in (net.layers[1], net.layers[3]):
        assert not torch.allclose(layer.gain, torch.ones_like(layer.gain), atol=1e-3)
        assert not torch.allclose(layer.offset, torch.zeros_like(layer.offset), atol=1e-3)
        if norm != "layer":
            assert not torch.allclose(layer.mean, torch.zeros_like(layer.mean), atol=1e-3)
