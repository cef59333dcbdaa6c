"""The published update on a tiny net, against an independent transcription with gradients written out by hand."""

import itertools

import numpy as np
import pytest
import torch
from torch.nn import functional

from metaplastic.hidden_weight import HiddenWeight
from metaplastic.nn import BinaryLinear, BinaryMLP, normalizations
from metaplastic.optim import MetaplasticAdam, param_groups

WIDTHS = (784, 64, 64, 10)
STEPS, BATCH = 200, 64
LR, METAPLASTICITY, DECAY = 0.005, 1.35, 1e-7
NORM_EPS = 1e-5


def initial_weights():
    random = np.random.default_rng(0)
    return [random.uniform(-0.05, 0.05, (after, before)) for before, after in itertools.pairwise(WIDTHS)]


def batches():
    random = np.random.default_rng(1)
    for _ in range(STEPS):
        yield random.uniform(0, 1, (BATCH, WIDTHS[0])), random.integers(0, WIDTHS[-1], BATCH)


# --- the package's side ---


def ours():
    """Train the package's net, and give hidden weights, gains and offsets in this order."""
    net = BinaryMLP(WIDTHS).double()
    linears = [layer for layer in net.layers if isinstance(layer, BinaryLinear)]
    for layer, weight in zip(linears, initial_weights(), strict=True):
        with torch.no_grad():
            layer.weight.copy_(torch.tensor(weight))
    optimizer = MetaplasticAdam(param_groups(net, METAPLASTICITY, weight_decay=DECAY), lr=LR)
    for inputs, labels in batches():
        optimizer.zero_grad()
        functional.cross_entropy(net(torch.tensor(inputs)), torch.tensor(labels)).backward()
        optimizer.step()
    norms = normalizations(net)
    tensors = [*(layer.weight for layer in linears), *(norm.gain for norm in norms), *(norm.offset for norm in norms)]
    return [tensor.detach().numpy() for tensor in tensors]


# --- the transcription: numpy, every gradient by hand, nothing of the package ---


def sign(values):
    return np.where(values >= 0, 1.0, -1.0)


def loss_gradients(weights, gains, offsets, inputs, labels):
    """Gradients of the mean cross-entropy, of the same three lists as the arguments."""
    kept, values = [], inputs
    for layer, (weight, gain, offset) in enumerate(zip(weights, gains, offsets, strict=True)):
        entering = values if layer == 0 else sign(values)
        sums = entering @ sign(weight).T
        deviation = np.sqrt(sums.var(axis=0) + NORM_EPS)
        normalised = (sums - sums.mean(axis=0)) / deviation
        kept.append((values, entering, deviation, normalised))
        values = gain * normalised + offset
    shifted = np.exp(values - values.max(axis=1, keepdims=True))
    backward = shifted / shifted.sum(axis=1, keepdims=True)
    backward[np.arange(len(labels)), labels] -= 1
    backward /= len(labels)

    of_weights, of_gains, of_offsets = [], [], []
    for layer in reversed(range(len(weights))):
        values, entering, deviation, normalised = kept[layer]
        of_offsets.insert(0, backward.sum(axis=0))
        of_gains.insert(0, (backward * normalised).sum(axis=0))
        scaled = backward * gains[layer]
        centred = scaled - scaled.mean(axis=0) - normalised * (scaled * normalised).mean(axis=0)
        backward = centred / deviation
        of_weights.insert(0, backward.T @ entering)
        backward = (backward @ sign(weights[layer])) * (np.abs(values) <= 1)
    return of_weights, of_gains, of_offsets


def published_step(weight, gradient, a, v, t, metaplasticity, lr=LR, decay=DECAY, b1=0.9, b2=0.999, eps=1e-8):
    """One step for one tensor, in place on the weight and its two moments."""
    g = gradient + decay * weight
    a[...] = b1 * a + (1 - b1) * g
    v[...] = b2 * v + (1 - b2) * g**2
    s = lr * np.sqrt(1 - b2**t) / (1 - b1**t)
    d = -s * a / (np.sqrt(v) + eps)
    f = 1 - np.tanh(metaplasticity * weight) ** 2
    weight += np.where(a * sign(weight) > 0, f * d, d)


def transcription():
    weights = initial_weights()
    gains, offsets = [np.ones(width) for width in WIDTHS[1:]], [np.zeros(width) for width in WIDTHS[1:]]
    tensors = [*weights, *gains, *offsets]
    strengths = [METAPLASTICITY] * len(weights) + [0.0] * (len(gains) + len(offsets))
    first, second = [np.zeros_like(x) for x in tensors], [np.zeros_like(x) for x in tensors]
    for t, (inputs, labels) in enumerate(batches(), start=1):
        parts = loss_gradients(weights, gains, offsets, inputs, labels)
        gradients = [gradient for part in parts for gradient in part]
        for weight, gradient, a, v, strength in zip(tensors, gradients, first, second, strengths, strict=True):
            published_step(weight, gradient, a, v, t, strength)
    return tensors


@pytest.fixture
def one_thread():
    """Matrices this small are slower on several threads, by far on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("one_thread")
def test_the_net_trained_by_the_package_is_the_published_one():
    found, expected = ours(), transcription()
    assert len(found) == 9
    for start, ours_now, theirs in zip(initial_weights(), found, expected, strict=False):
        assert np.mean(sign(start) != sign(theirs)) > 0.05, "the run is too short to test anything"
        assert np.array_equal(sign(ours_now), sign(theirs))
    for ours_now, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours_now, theirs, rtol=0, atol=1e-6)


@pytest.mark.parametrize("metaplasticity", [0.0, 1.35, 13.0])
def test_the_update_alone_agrees_in_float32(metaplasticity):
    """Fed with the same gradients, so that only rounding within the update can tell the two apart."""
    random = np.random.default_rng(2)
    expected = random.uniform(-0.05, 0.05, (40, 30)).astype(np.float32).astype(np.float64)
    weight = HiddenWeight(torch.tensor(expected, dtype=torch.float32))
    drift = random.normal(size=expected.shape)
    optimizer = MetaplasticAdam([weight], lr=LR, weight_decay=DECAY, metaplasticity=metaplasticity)
    a, v = np.zeros_like(expected), np.zeros_like(expected)
    for t in range(1, STEPS + 1):
        gradient = (1e-3 * (drift + random.normal(size=expected.shape))).astype(np.float32)
        weight.grad = torch.tensor(gradient)
        optimizer.step()
        published_step(expected, gradient.astype(np.float64), a, v, t, metaplasticity)
    np.testing.assert_allclose(weight.detach().numpy(), expected, rtol=0, atol=2e-6)
