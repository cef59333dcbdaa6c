"""Fisher information against loops over samples and labels."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional

import metaplastic.learners.sample_gradients as module
from metaplastic.data import Dataset, Samples
from metaplastic.learners import ConsolidatedWeights, Fisher, FisherKind, Shuffled, Weights
from metaplastic.learners.sample_gradients import SampleGradients
from metaplastic.nn import (
    BinaryConvNet,
    BinaryMLP,
    NormPolicy,
    RealMLP,
    Statistics,
    mnist_usps_blocks,
    recalibrate,
)
from metaplastic.scenarios import Task, permuted

PER_SAMPLE = (FisherKind.EXACT, FisherKind.SAMPLED, FisherKind.EMPIRICAL, FisherKind.PREDICTED)


def task(outputs=None, shape=(6,)):
    random = torch.Generator().manual_seed(3)
    inputs = torch.randint(0, 256, (30, *shape), generator=random, dtype=torch.uint8)
    part = Samples(inputs, torch.arange(30) % (3 if outputs is None else len(outputs)))
    view = permuted(Dataset("tiny", part, part, ("a", "b", "c"), 1 / 256), tasks=1, permute_first=False).tasks[0].view
    return Task("tiny", view, outputs, tests=(0,))


def network(kind=BinaryMLP, statistics=Statistics.RECALIBRATED):
    net = kind([6, 7, 3], NormPolicy(statistics=statistics), generator=torch.Generator().manual_seed(1))
    recalibrate(net, task().view.batch(torch.arange(30))[0])
    return net


def squared_gradients(net, inputs, labels, outputs=None):
    """Gradient of one sample's loss, squared, by a plain backward pass."""
    net = copy.deepcopy(net).eval()
    logits = net(inputs[None])
    logits = logits if outputs is None else logits[:, list(outputs)]
    functional.cross_entropy(logits, labels[None]).backward()
    return {name: parameter.grad.square() for name, parameter in net.named_parameters()}, logits.softmax(1)[0]


def by_loop(net, kind, part, outputs=None):
    """The definition: over all samples, and for each over the labels of the kind."""
    inputs, labels = part.view.batch(torch.arange(30))
    total = {name: torch.zeros_like(parameter) for name, parameter in net.named_parameters()}
    for sample, label in zip(inputs, labels, strict=True):
        squares, probabilities = squared_gradients(net, sample, label, outputs)
        pairs = {
            FisherKind.EMPIRICAL: [(label, 1.0)],
            FisherKind.PREDICTED: [(probabilities.argmax(), 1.0)],
            FisherKind.EXACT: list(enumerate(probabilities)),
        }[kind]
        for chosen, weight in pairs:
            squares, _ = squared_gradients(net, sample, torch.as_tensor(chosen), outputs)
            for name, square in squares.items():
                total[name] += weight * square / 30
    return {name: value.detach() for name, value in total.items()}


def same(found, expected):
    """Whether two informations agree in every number, and are not nothing."""
    close = [torch.allclose(found[name], value, rtol=1e-4, atol=1e-7) for name, value in expected.items()]
    return found.keys() == expected.keys() and all(close) and max(value.max() for value in expected.values()) > 1e-4


@pytest.mark.parametrize("kind", [FisherKind.EXACT, FisherKind.EMPIRICAL, FisherKind.PREDICTED])
@pytest.mark.parametrize("outputs", [None, (0, 2)])
@pytest.mark.parametrize("family", [BinaryMLP, RealMLP])
def test_it_is_the_mean_of_squared_gradients_of_single_samples(kind, outputs, family):
    net, part = network(family), task(outputs)
    assert same(Fisher(kind)(net, dict(net.named_parameters()), part, 0), by_loop(net, kind, part, outputs))


@pytest.mark.parametrize("held", ["weights", "all"])
@pytest.mark.parametrize("kind", PER_SAMPLE)
def test_it_does_not_depend_on_how_samples_are_cut_into_chunks(kind, held, monkeypatch):
    """Weights alone, as EWC holds them, are squared by outer products, all parameters one gradient at a time."""
    net = network().eval()
    every = dict(net.named_parameters())
    parameters = ConsolidatedWeights(net, Weights.HIDDEN).parameters if held == "weights" else every
    found, chunks = [], []
    for samples in (1, 7, 1000):  # chunks of 1, of a few and of all samples
        monkeypatch.setattr(module, "_ELEMENTS", samples * 100)
        monkeypatch.setattr(module, "_SAMPLES", samples)
        gradients = SampleGradients(net, parameters, None, task().view.batch(torch.arange(2))[0])
        assert gradients.written_out == (held == "all")
        chunks.append(gradients.chunk)
        found.append(Fisher(kind)(net, parameters, task(), 0))
    assert chunks[0] < chunks[1] < chunks[2]
    assert same(found[0], found[1])
    assert same(found[0], found[2])


NETWORKS = {
    "binary": network(),
    "real": network(RealMLP),
    "without normalisation": network(RealMLP, Statistics.NONE),
    "torch's own": nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3)),
    "in place": nn.Sequential(
        nn.Linear(6, 5), nn.ReLU(inplace=True), nn.Linear(5, 5), nn.ReLU(inplace=True), nn.Linear(5, 3)
    ),
}


@pytest.mark.parametrize("outputs", [None, (0, 2)])
@pytest.mark.parametrize("net", NETWORKS.values(), ids=NETWORKS)
@torch.no_grad()
def test_outer_products_give_what_written_out_gradients_give(net, outputs):
    net.eval()
    parameters = ConsolidatedWeights(net, Weights.HIDDEN).parameters
    inputs, labels = task(outputs).view.batch(torch.arange(30))
    weights = torch.rand(30, generator=torch.Generator().manual_seed(1))
    gradients = SampleGradients(net, parameters, outputs, inputs)
    assert not gradients.written_out
    factored = gradients.squares(inputs, labels, weights)
    gradients.written_out = True
    assert same(factored, gradients.squares(inputs, labels, weights))
    assert not any(layer._forward_hooks for layer in net.modules())


class Residual(nn.Module):
    """Adds to what a layer was given, in place or not."""

    def __init__(self, in_place):
        super().__init__()
        self.first, self.second, self.third = nn.Linear(6, 5), nn.Linear(5, 5), nn.Linear(5, 3)
        self.in_place = in_place

    def forward(self, x):
        x = self.first(x)
        return self.third(x.add_(self.second(x)) if self.in_place else x + self.second(x))


def test_what_is_added_to_an_input_in_place_changes_nothing():
    net, other = Residual(in_place=True), Residual(in_place=False)
    other.load_state_dict(net.state_dict())
    found, expected = (Fisher()(one, dict(one.named_parameters()), task(), 0) for one in (net, other))
    assert same(found, expected)


class Twice(nn.Module):
    """Uses its layer twice."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(6, 6)

    def forward(self, x):
        return self.layer(self.layer(x).relu())


def test_other_gradients_are_written_out():
    """Those of gains and convolutions, of layers used twice, along a sequence, on parts of samples, or sharing one."""
    convolutional = BinaryConvNet((1, 28, 28), mnist_usps_blocks((2, 2, 2)), (), 3, "layer")
    along = nn.Sequential(nn.Unflatten(1, (3, 2)), nn.Linear(2, 1), nn.Flatten())
    parts = nn.Sequential(
        nn.Unflatten(1, (3, 2)), nn.Flatten(0, 1), nn.Linear(2, 1), nn.Unflatten(0, (-1, 3)), nn.Flatten()
    )
    tied = nn.Sequential(nn.Linear(6, 6), nn.Linear(6, 6))
    tied[1].weight = tied[0].weight
    for net, width in ((network().eval(), 6), (convolutional, 784), (Twice(), 6), (along, 6), (parts, 6), (tied, 6)):
        assert SampleGradients(net, dict(net.named_parameters()), None, torch.rand(2, width)).written_out
    found = Fisher(batch_size=4)(parts, dict(parts.named_parameters()), task(), 0)
    naive = by_loop(parts, FisherKind.EMPIRICAL, task())
    assert same(found, naive)


def test_sampled_labels_give_the_exact_kind_on_average():
    net, part = network(), task()
    parameters = dict(net.named_parameters())
    drawn = [Fisher(FisherKind.SAMPLED, seed=seed)(net, parameters, part, 0) for seed in range(60)]
    exact = Fisher(FisherKind.EXACT)(net, parameters, part, 0)
    for name, expected in exact.items():
        values = torch.stack([one[name] for one in drawn])
        error = values.std(0) / len(drawn) ** 0.5
        assert ((values.mean(0) - expected).abs() <= 5 * error + 1e-6).all()
        assert values.std(0).max() > 0


def test_the_batched_kind_is_another_and_smaller_thing():
    """The mean over batches of the squared gradient of their mean loss; it shrinks as batches grow."""
    net, part = network(), task()
    parameters = dict(net.named_parameters())
    traces = {
        size: sum(
            float(value.sum())
            for value in Fisher(FisherKind.BATCHED, batch_size=size)(net, parameters, part, 0).values()
        )
        for size in (1, 5, 30)
    }
    empirical = Fisher()(net, parameters, part, 0)
    assert traces[1] == pytest.approx(sum(float(value.sum()) for value in empirical.values()), rel=1e-4)
    assert traces[30] < 0.5 * traces[5] < 0.5 * traces[1]
    inputs, labels = part.view.batch(torch.arange(30))
    other = copy.deepcopy(net).eval()
    functional.cross_entropy(other(inputs), labels).backward()
    whole = Fisher(FisherKind.BATCHED, batch_size=30)(net, parameters, part, 0)
    assert same(whole, {name: parameter.grad.square() for name, parameter in other.named_parameters()})


def test_it_is_taken_from_as_many_samples_as_asked_drawn_by_the_seed():
    net, part = network(), task()
    parameters = dict(net.named_parameters())
    first, again, other = (Fisher(samples=4, seed=seed)(net, parameters, part, 0) for seed in (0, 0, 1))
    assert same(first, again)
    assert not torch.equal(first["layers.0.weight"], other["layers.0.weight"])
    later = Fisher(samples=4)(net, parameters, part, 1)
    assert not torch.equal(first["layers.0.weight"], later["layers.0.weight"])


def test_convolutional_networks_have_one_too():
    part = task(shape=(28, 28))
    net = BinaryConvNet((1, 28, 28), mnist_usps_blocks((2, 2, 2)), (), 3, "layer")
    found = Fisher(samples=3)(net, dict(net.named_parameters()), part, 0)
    assert all(
        value.shape == parameter.shape for value, parameter in zip(found.values(), net.parameters(), strict=True)
    )
    assert found["convolutions.0.weight"].max() > 0


@pytest.mark.parametrize("training", [True, False])
def test_it_leaves_no_trace_in_the_network(training):
    net = network(statistics=Statistics.RUNNING).train(training)
    before = copy.deepcopy(net.state_dict())
    Fisher(FisherKind.EXACT)(net, dict(net.named_parameters()), task(), 0)
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    assert all(parameter.grad is None for parameter in net.parameters())
    assert net.training is training


def test_statistics_of_the_batch_under_test_are_refused():
    net = BinaryMLP([6, 7, 3], "batch")
    with pytest.raises(
        ValueError, match=r"expected statistics that do not depend on the batch, got those of .*recalib"
    ):
        Fisher()(net, dict(net.named_parameters()), task(), 0)


def test_torchs_own_batch_norm_is_refused_where_it_keeps_no_statistics():
    net = nn.Sequential(nn.Linear(6, 3), nn.BatchNorm1d(3, track_running_stats=False))
    with pytest.raises(ValueError, match=r"expected statistics that do not depend on the batch"):
        Fisher()(net, dict(net.named_parameters()), task(), 0)


@pytest.mark.parametrize("name", ["samples", "batch_size"])
def test_counts_below_one_are_refused(name):
    with pytest.raises(ValueError, match=rf"expected {name} of a Fisher information >= 1, got 0"):
        Fisher(**{name: 0})


def test_a_kind_is_found_by_its_name():
    assert Fisher("exact").kind is FisherKind.EXACT
    with pytest.raises(ValueError, match="unknown kind 'empirica'; did you mean 'empirical'"):
        Fisher("empirica")


def test_shuffling_keeps_the_numbers_of_each_tensor_and_moves_them():
    net, part = nn.Sequential(nn.Linear(6, 7), nn.ReLU(), nn.Linear(7, 3)), task()
    parameters = dict(net.named_parameters())
    plain = Fisher()(net, parameters, part, 0)
    first, again, later = (Shuffled(Fisher(), seed=2)(net, parameters, part, index) for index in (0, 0, 1))
    for name, value in plain.items():
        torch.testing.assert_close(first[name].flatten().sort()[0], value.flatten().sort()[0])
        assert torch.equal(first[name], again[name])
    assert not torch.equal(first["0.weight"], plain["0.weight"])
    assert not torch.equal(first["0.weight"].flatten().argsort(), later["0.weight"].flatten().argsort())
