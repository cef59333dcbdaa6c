"""Trained-looking networks, and a reference for them that shares no code with the room under test."""

import itertools

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from metaplastic.nn import (
    BinaryConv2d,
    BinaryConvNet,
    BinaryLinear,
    BinaryMLP,
    ConvBlock,
    NormPolicy,
    Pool,
    Scope,
    Statistics,
    keep_task,
    normalizations,
)
from metaplastic.packed.products import kernel

BLOCKS = (ConvBlock(5, 3, 2, Pool.MAX), ConvBlock(4, 2, 1, Pool.AVERAGE), ConvBlock(3, 2, 1))
BACKENDS = ["numpy", "matrix", "best", *(["kernel"] if kernel() else [])]


@pytest.fixture(params=BACKENDS)
def backend(request):
    """Everything that computes products here."""
    return request.param


def randomize(network, seed=0):
    """Give every normalisation a state as after training, some gains negative and some zero."""
    generator = torch.Generator().manual_seed(seed)
    for layer in normalizations(network):
        with torch.no_grad():
            if layer.gain is not None:
                gain = torch.randn(layer.features, generator=generator)
                gain[torch.rand(layer.features, generator=generator) < 0.2] = 0
                layer.gain.copy_(gain)
                layer.offset.copy_(torch.randn(layer.features, generator=generator))
            layer.mean.copy_(2 * torch.randn(layer.features, generator=generator))
            layer.variance.copy_(4 * torch.rand(layer.features, generator=generator) + 0.5)
    return network


def build(kind, statistics="recalibrated", *, signs=False, affine=True, tasks=0, seed=0):
    """Make a small network; with tasks, each of them has a state of its own."""
    scope = Scope.PER_TASK if tasks else Scope.SHARED
    policy = NormPolicy(statistics=Statistics(statistics), scope=scope, affine=affine)
    options = {"binarize_input": signs, "generator": torch.Generator().manual_seed(seed)}
    if kind == "dense":
        network = BinaryMLP([77, 70, 13, 4], policy, **options)
    else:
        network = BinaryConvNet((2, 9, 8), BLOCKS, (17,), 4, policy, **options)
    for task in range(tasks):
        keep_task(randomize(network, seed + task), task)
    return randomize(network, seed + 100)


@pytest.fixture(name="build")
def build_fixture():
    """The maker of networks."""
    return build


@torch.no_grad()
def naive(network, x, unit, task=None):
    """Compute a network layer by layer in float64: for each, the normalised sums; behind it their signs."""
    chain = [*getattr(network, "convolutions", []), *network.layers]
    x = x.reshape(len(x), *getattr(network, "input_shape", (-1,))).to(torch.float64) * unit
    outputs = []
    for layer in chain:
        signs = torch.where(layer.weight >= 0, 1.0, -1.0).to(torch.float64) if hasattr(layer, "weight") else None
        if isinstance(layer, BinaryConv2d | BinaryLinear) and (outputs or layer.binarize_input):
            x = torch.where(x >= 0, 1.0, -1.0).to(torch.float64)
        if isinstance(layer, BinaryConv2d):
            x = functional.conv2d(x, signs, padding=layer.padding)
        elif isinstance(layer, BinaryLinear):
            x = x.flatten(1) @ signs.T
        elif isinstance(layer, nn.AvgPool2d):
            x = functional.avg_pool2d(x, 2)
        elif isinstance(layer, nn.MaxPool2d):
            x = functional.max_pool2d(x, 2)
        else:
            x = normalised(layer, x, task)
            outputs.append(x)
    return outputs


def normalised(layer, x, task):
    """Normalise in float64, with the state kept for a task where there is one."""
    gain, offset, mean, variance = (None if row is None else row.double() for row in state(layer, task))
    if layer.policy.statistics is not Statistics.LAYER:
        return functional.batch_norm(x, mean, variance, gain, offset, training=False, eps=layer.policy.eps)
    flat = x.flatten(1)
    centred = (len(flat[0]) * flat - flat.sum(1, keepdim=True)) / len(flat[0])  # zero where it is, exactly
    scaled = centred / (flat.var(1, correction=0, keepdim=True) + layer.policy.eps).sqrt()
    shape = (1, -1, *[1] * (x.dim() - 2))
    scaled = scaled.reshape(x.shape)
    return scaled if gain is None else scaled * gain.view(shape) + offset.view(shape)


def state(layer, task):
    """Read a state without the method that the room under test reads it with."""
    if task is not None:
        return layer.kept[layer.kept_tasks.tolist().index(task)]
    return layer.gain, layer.offset, layer.mean, layer.variance


@pytest.fixture(name="naive")
def naive_fixture():
    """The reference."""
    return naive


def assert_traces_agree(trace, outputs):
    """Bits must be the signs of the reference's outputs, layer by layer."""
    assert len(trace) == len(outputs)
    for (_, bits), output in itertools.islice(zip(trace, outputs, strict=True), len(outputs) - 1):
        np.testing.assert_array_equal(bits, output.numpy() >= 0)


@pytest.fixture(name="assert_traces_agree")
def assert_traces_agree_fixture():
    """The comparison with the reference."""
    return assert_traces_agree


def images(network, count=32, seed=0):
    """Bytes for one of the small networks, dark and bright ones among them."""
    shape = getattr(network, "input_shape", (77,))
    drawn = torch.randint(0, 256, (count, *shape), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)
    return torch.where(torch.rand(drawn.shape, generator=torch.Generator().manual_seed(seed)) < 0.3, 0, drawn)


@pytest.fixture(name="images")
def images_fixture():
    """The maker of inputs."""
    return images
