"""All test images of two real sets, against integers computed in another way."""

import os

import numpy as np
import pytest
import torch
from torch.nn import functional

from metaplastic.data import load
from metaplastic.nn import (
    BinaryConvNet,
    BinaryMLP,
    NormPolicy,
    Scope,
    evaluating,
    keep_task,
    mnist_usps_blocks,
    recalibrate,
)
from metaplastic.optim import MetaplasticAdam, param_groups
from metaplastic.packed import PackedNetwork, pack
from metaplastic.packed.products import kernel

pytestmark = [
    pytest.mark.large_data,
    pytest.mark.slow,
    pytest.mark.skipif(not os.environ.get("METAPLASTIC_DATA"), reason="METAPLASTIC_DATA names no data folder"),
]

NAMES = ("mnist", "fashion-mnist")
BACKENDS = ["numpy", "matrix", "best", *(["kernel"] if kernel() else [])]
SOME = 150


@pytest.fixture(scope="module", params=["dense", "conv"])
def learned(request, tmp_path_factory):
    """A network that learned both sets in turn, its file read back, and the test images of both."""
    data = [load(name) for name in NAMES]
    random = torch.Generator().manual_seed(0)
    policy = NormPolicy(scope=Scope.PER_TASK)
    if request.param == "dense":
        network = BinaryMLP([784, 200, 150, 10], policy, generator=random)
    else:
        network = BinaryConvNet((1, 28, 28), mnist_usps_blocks((8, 12, 16)), (), 10, policy, generator=random)
    optimizer = MetaplasticAdam(param_groups(network, metaplasticity=0.5), lr=0.005)
    for step in range(300):
        learn(network, optimizer, data[step % 2], random)
    for task, dataset in enumerate(data):
        recalibrate(network, dataset.train.inputs[:2000].float() * dataset.scale)
        keep_task(network, task)
    path = tmp_path_factory.mktemp("packed") / "net.safetensors"
    return network, PackedNetwork.load(pack(network, tasks=NAMES).save(path)), [dataset.test for dataset in data]


def learn(network, optimizer, dataset, random):
    drawn = torch.randint(len(dataset.train), (100,), generator=random)
    logits = network(dataset.train.inputs[drawn].float() * dataset.scale)
    optimizer.zero_grad()
    functional.cross_entropy(logits, dataset.train.labels[drawn]).backward()
    optimizer.step()


@torch.no_grad()
def integers(network, pixels, task):
    """Compute the logits in integers, by the textbook formula for each threshold."""
    if isinstance(network, BinaryConvNet):
        kernels, dense = network.convolutions, network.layers
        chain = [(kernels[place].weight, kernels[place + 2], 4) for place in range(0, len(kernels), 3)]
        chain += [(dense[place].weight, dense[place + 1], 1) for place in range(0, len(dense), 2)]
        x = pixels.reshape(-1, 1, 28, 28).to(torch.int64)
    else:
        chain = [(network.layers[place].weight, network.layers[place + 1], 1) for place in range(0, 6, 2)]
        x = pixels.flatten(1).to(torch.int64)
    for depth, (weight, normalization, parts) in enumerate(chain):
        unit = (1 / 256 if depth == 0 else 1) / parts
        x = sums(x, (weight >= 0).to(torch.int64) * 2 - 1)
        place = normalization.kept_tasks.tolist().index(task)
        gain, offset, mean, variance = normalization.kept[place].double()
        deviation = (variance + normalization.policy.eps).sqrt()
        shape = (1, -1, *[1] * (x.dim() - 2))
        if depth == len(chain) - 1:
            scale, offset = (unit * gain / deviation).float(), (offset - mean * gain / deviation).float()
            return (x.float() * scale + offset).numpy()
        theta = (mean - offset * deviation / gain) / unit
        above, below = x >= theta.ceil().long().view(shape), x <= theta.floor().long().view(shape)
        bits = torch.where(gain.view(shape) > 0, above, below)
        assert bool((gain != 0).all())
        x = bits.to(torch.int64) * 2 - 1
    raise AssertionError("a chain ends in logits")


def sums(x, signs):
    """Add integers up; float64 holds them exactly, and multiplies them in a reasonable time."""
    if signs.dim() == 2:
        return (x.flatten(1).double() @ signs.double().T).long()
    full = functional.conv2d(x.double(), signs.double(), padding=1)
    return functional.avg_pool2d(full, 2).mul(4).long()


@pytest.mark.parametrize("task", [0, 1])
@pytest.mark.parametrize("backend", BACKENDS)
def test_every_test_image_has_the_class_of_the_integer_reference(learned, task, backend):
    network, packed, tests = learned
    pixels = tests[task].inputs
    assert len(pixels) == 10_000
    expected = integers(network, pixels, task)
    logits = packed.logits(pixels, task, backend=backend)
    np.testing.assert_array_equal(logits, expected)
    for size, count in ((1, SOME), (7, len(pixels)), (1000, len(pixels))):
        starts = range(0, count, size)
        parts = [packed.predict(pixels[start : min(start + size, count)], task, backend=backend) for start in starts]
        np.testing.assert_array_equal(np.concatenate(parts), expected.argmax(1)[:count])


@pytest.mark.parametrize("task", [0, 1])
def test_one_set_of_weights_and_two_tables_are_as_accurate_as_the_trained_network(learned, task):
    network, packed, tests = learned
    with evaluating(network, task), torch.no_grad():
        trained = network(tests[task].inputs.float() / 256).argmax(1)
    classes = torch.from_numpy(packed.predict(tests[task].inputs, NAMES[task]))
    accuracy, reference = ((one == tests[task].labels).double().mean().item() for one in (classes, trained))
    # Float32 and integers part where a sum is within a rounding of its threshold, which is next to never.
    assert (classes == trained).double().mean() >= 0.9998
    assert abs(accuracy - reference) <= 2e-4
    assert accuracy > 0.5
