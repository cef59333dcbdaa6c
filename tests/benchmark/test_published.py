"""The transcription of the published code trains as ours does, so that the two are compared at the same work."""

import pytest
import torch
from torch.nn import functional

import metaplastic as mp
from metaplastic.benchmark.published import (
    PermutedImages,
    PublishedAdam,
    PublishedNetwork,
    keep_hidden,
    published_batches,
    published_test,
    swap_in_hidden,
)
from metaplastic.benchmark.subjects import synthetic

SIZES = [784, 48, 10]
"""One hidden layer, which sees numbers: sums of signs meet their batch mean exactly now and then, where a unit has no
sign in the published code and +1 in ours."""


@pytest.fixture
def twins():
    """The two networks with the same weights, in float64."""
    theirs = PublishedNetwork(SIZES).double()
    ours = mp.BinaryMLP(SIZES, generator=torch.Generator().manual_seed(1)).double()
    layers = [layer for layer in ours.layers if isinstance(layer, mp.BinaryLinear)]
    with torch.no_grad():
        for layer, twin in zip(layers, theirs.linear, strict=True):
            twin.weight.copy_(layer.weight)
    return theirs, ours, layers


def test_it_makes_the_same_steps(twins):
    theirs, ours, layers = twins
    published = PublishedAdam(theirs.parameters(), lr=5e-3, meta=1.35, weight_decay=1e-7)
    optimizer = mp.MetaplasticAdam(mp.param_groups(ours, 1.35), lr=5e-3, weight_decay=1e-7)
    random = torch.Generator().manual_seed(1)
    for _ in range(40):
        x = torch.rand(64, 784, generator=random, dtype=torch.float64)
        labels = torch.randint(0, 10, (64,), generator=random)
        published.zero_grad()
        functional.cross_entropy(theirs(x), labels).backward()
        swap_in_hidden(theirs)
        published.step()
        keep_hidden(theirs)
        optimizer.zero_grad()
        functional.cross_entropy(ours(x), labels).backward()
        optimizer.step()
    for layer, twin in zip(layers, theirs.linear, strict=True):
        torch.testing.assert_close(layer.weight.detach(), twin.weight.org, rtol=0, atol=1e-9)


def test_its_loader_permutes_every_image_and_its_test_counts_right_predictions():
    data = synthetic(train=30, test=10)
    order = torch.randperm(784, generator=torch.Generator().manual_seed(2))
    images = PermutedImages(data.train.inputs, data.train.labels, order)
    batches = list(published_batches(images, 20, shuffle=False))
    assert [len(labels) for _, labels in batches] == [20, 10]
    expected = data.train.inputs.flatten(1)[:, order].float() / 255
    assert torch.equal(torch.cat([inputs for inputs, _ in batches]).flatten(1), expected)
    network = PublishedNetwork(SIZES)
    predicted = torch.cat([network.eval()(inputs).argmax(1) for inputs, _ in batches])
    assert published_test(network, iter(batches)) == int((predicted == data.train.labels).sum())
