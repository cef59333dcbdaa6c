"""Switched signs against losses computed by hand, one sample at a time; the network is left as it was."""

import copy
import json
import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from metaplastic.data import Samples, load
from metaplastic.evaluation import SignSwitch, TrainingLoss, switch_signs, switched, switching_cost
from metaplastic.learners import accelerated
from metaplastic.nn import BinaryMLP, NormPolicy, RealMLP, Scope, StackedMLP, Statistics, keep_task, recalibrate
from metaplastic.optim import MetaplasticAdam, param_groups
from metaplastic.scenarios import IndexView, Task, stream
from metaplastic.seeding import Purpose, generator

LAYER = "layers.0.weight"


def task(outputs=None):
    random = torch.Generator().manual_seed(3)
    inputs = torch.randn(17, 6, generator=random, dtype=torch.float64)
    labels = torch.randint(0, 3, (17,), generator=random)
    return Task("tiny", IndexView(Samples(inputs, labels), scale=None), outputs)


def network(norm="recalibrated"):
    """Six inputs, five hidden units and hidden weights of many magnitudes, one of them zero."""
    net = BinaryMLP([6, 5, 4], norm, generator=torch.Generator().manual_seed(2)).double()
    with torch.no_grad():
        net.layers[0].weight.copy_(torch.randn(5, 6, generator=torch.Generator().manual_seed(4)))
        net.layers[0].weight[1, 2] = 0.0
    recalibrate(net, task().view.batch(torch.arange(17))[0])
    return net


def loss_by_hand(net, binary, rows=range(17), outputs=range(4)):
    """Mean cross-entropy from the formulas of the layers, with given binary weights in the first one."""
    inputs, labels = task().view.batch(torch.arange(17))
    _, norm, second, last = net.layers
    total = 0.0
    for row in rows:
        h = normalised(norm, inputs[row] @ binary.T)
        signs = torch.tensor([1.0 if value >= 0 else -1.0 for value in h], dtype=torch.float64)
        logits = normalised(last, signs @ signs_of(second.weight).T)[list(outputs)]
        total += math.log(sum(math.exp(logit) for logit in logits)) - float(logits[labels[row]])
    return total / len(rows)


def normalised(norm, x):
    return norm.gain.detach() * (x - norm.mean) / (norm.variance + norm.policy.eps).sqrt() + norm.offset.detach()


def signs_of(weight):
    return torch.where(weight.detach() >= 0, 1.0, -1.0).to(torch.float64)


def state(net):
    return {name: value.clone() for name, value in net.state_dict().items()}, [m.training for m in net.modules()]


def assert_as_before(net, before):
    values, modes = before
    for name, value in net.state_dict().items():
        assert value.view(torch.int64).equal(values[name].view(torch.int64)), name  # bits: -0.0 is not 0.0
    assert [module.training for module in net.modules()] == modes


@pytest.mark.parametrize("batch_size", [1, 5, 1000])
def test_the_training_loss_is_the_mean_over_the_samples(batch_size):
    net = network()
    rows = torch.tensor([3, 11, 4])
    binary = signs_of(net.layers[0].weight)
    measured = TrainingLoss(net, task(), batch_size=batch_size).measure()
    assert measured == pytest.approx(loss_by_hand(net, binary), rel=1e-12)
    some = TrainingLoss(net, task(), rows, batch_size=batch_size)
    assert some.samples == 3
    assert some.measure() == pytest.approx(loss_by_hand(net, binary, [3, 11, 4]), rel=1e-12)
    restricted = TrainingLoss(net, task(outputs=(0, 2, 3)), batch_size=batch_size).measure()
    assert restricted == pytest.approx(loss_by_hand(net, binary, outputs=(0, 2, 3)), rel=1e-12)


def test_every_synapse_switched_alone_costs_what_a_computation_by_hand_says():
    net = network()
    binary = signs_of(net.layers[0].weight)
    before = loss_by_hand(net, binary)
    expected = []
    for row in range(5):
        for column in range(6):
            other = binary.clone()
            other[row, column] *= -1
            expected.append(loss_by_hand(net, other) - before)
    found = switching_cost(TrainingLoss(net, task()), LAYER, torch.arange(30))
    assert found.tolist() == pytest.approx(expected, abs=1e-12)
    assert len({round(cost, 9) for cost in expected}) > 10
    assert found[8] != 0  # the hidden weight that is zero: its binary weight is +1, and becomes -1


def test_bins_are_closed_at_the_end_and_hold_every_weight():
    net = network()
    relative = [abs(value) / max(map(abs, flat(net))) for value in flat(net)]
    probe = switch_signs(TrainingLoss(net, task()), LAYER, count=1, generator=random(), draws=2, bins=4)
    assert probe.edges == (0, 0.25, 0.5, 0.75, 1)
    members = [
        [value for value in relative if low <= value < high or value == high == 1]
        for low, high in zip(probe.edges, probe.edges[1:], strict=False)
    ]
    assert sum(probe.weights) == 30
    assert list(probe.weights) == list(map(len, members))
    assert probe.magnitude == pytest.approx([sum(values) / len(values) for values in members])


def test_a_weight_on_a_border_is_in_the_bin_above_but_the_largest_is_in_the_last():
    net = network()
    with torch.no_grad():
        net.layers[0].weight.fill_(0.1)
        net.layers[0].weight[0] = torch.tensor([0.5, -0.5, 1.0, 1.5, -2.0, 2.0])
    probe = switch_signs(TrainingLoss(net, task()), LAYER, count=1, generator=random(), draws=2, bins=4)
    assert probe.weights == (24, 2, 1, 3)
    assert probe.magnitude == pytest.approx((0.05, 0.25, 0.5, (0.75 + 1 + 1) / 3))


@pytest.mark.parametrize("count", [1, 3])
def test_the_increase_is_the_mean_over_draws_of_the_increase_per_switched_weight(count):
    net = network()
    binary, values = signs_of(net.layers[0].weight), torch.tensor(flat(net)).abs()
    probe = switch_signs(TrainingLoss(net, task()), LAYER, count=count, generator=random(), draws=6, bins=3)
    before, again = loss_by_hand(net, binary), random()
    assert probe.loss == pytest.approx(before, rel=1e-12)
    assert (probe.count, probe.draws, probe.samples) == (count, 6, 17)
    measured = 0
    for position, weights in enumerate(probe.weights):
        members = [i for i in range(30) if min(int(3 * values[i] / values.max()), 2) == position]
        assert len(members) == weights
        if weights < count:
            assert probe.increase[position] is None
            continue
        increases = []
        for _ in range(6):
            chosen = [members[i] for i in torch.randperm(weights, generator=again)[:count]]
            assert len(set(chosen)) == count
            other = binary.flatten().clone()
            other[chosen] *= -1
            increases.append((loss_by_hand(net, other.view(5, 6)) - before) / count)
        mean = sum(increases) / 6
        assert probe.increase[position] == pytest.approx(mean, abs=1e-12)
        spread = math.sqrt(sum((increase - mean) ** 2 for increase in increases) / 5)
        assert probe.deviation[position] == pytest.approx(spread, abs=1e-12)
        measured += spread > 0
    assert measured >= 2


def test_bins_with_too_few_weights_have_no_increase_but_are_counted():
    net = network()
    probe = switch_signs(TrainingLoss(net, task()), LAYER, count=8, generator=random(), draws=2, bins=4)
    few = [weights < 8 for weights in probe.weights]
    assert any(few)
    assert not all(few)
    assert [increase is None for increase in probe.increase] == few
    assert [deviation is None for deviation in probe.deviation] == few
    assert sum(probe.weights) == 30


def test_an_empty_bin_has_no_magnitude():
    net = network()
    with torch.no_grad():
        net.layers[0].weight.copy_(torch.where(net.layers[0].weight >= 0, 1.0, -0.1))
    probe = switch_signs(TrainingLoss(net, task()), LAYER, count=1, generator=random(), draws=2, bins=3)
    assert probe.weights[1] == 0
    assert probe.magnitude[1] is None
    assert probe.increase[1] is None
    assert probe.magnitude[0] == pytest.approx(0.1)


def test_switching_all_weights_of_a_bin_does_not_vary():
    net = network()
    with torch.no_grad():
        net.layers[0].weight.copy_(net.layers[0].weight.sign())
        net.layers[0].weight[1, 2] = 1.0
    probe = switch_signs(TrainingLoss(net, task()), LAYER, count=30, generator=random(), draws=3, bins=15)
    assert probe.weights == (0,) * 14 + (30,)
    assert probe.deviation[-1] == pytest.approx(0, abs=1e-15)
    expected = (loss_by_hand(net, -signs_of(net.layers[0].weight)) - probe.loss) / 30
    assert probe.increase[-1] == pytest.approx(expected, abs=1e-12)


def test_the_same_seed_gives_the_same_numbers_and_another_seed_others():
    def probe(seed):
        loss = TrainingLoss(network(), task())
        return switch_signs(loss, LAYER, count=2, generator=generator(seed, Purpose.PROBE), draws=3, bins=3)

    assert probe(0) == probe(0)
    assert probe(0).increase != probe(1).increase


@pytest.mark.parametrize("training", [True, False])
def test_weights_and_modes_are_as_before_bit_for_bit(training):
    net = network().train(training)
    net.layers[1].train(not training)
    with torch.no_grad():
        net.layers[0].weight[0, :2] = torch.tensor([0.0, -0.0])
    before = state(net)
    loss = TrainingLoss(net, task())
    switch_signs(loss, LAYER, count=3, generator=random(), draws=4, bins=2)
    switching_cost(loss, "layers.2.weight", torch.arange(5))
    assert_as_before(net, before)
    assert net.layers[0].weight.requires_grad
    assert net.layers[0].weight.grad is None


def test_weights_and_modes_are_as_before_when_the_loss_raises():
    net = network()
    before, seen = state(net), []

    def fail(module, *_):
        seen.append((net.layers[0].weight.equal(before[0][LAYER]), module.training, torch.is_grad_enabled()))
        if len(seen) == 3:
            raise RuntimeError("the third pass fails")

    handle = net.register_forward_hook(fail)
    with pytest.raises(RuntimeError, match="the third pass fails"):
        switch_signs(TrainingLoss(net, task()), LAYER, count=3, generator=random(), draws=2, bins=1)
    handle.remove()
    assert seen == [(True, False, False), (False, False, False), (False, False, False)]
    assert_as_before(net, before)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_switching_negates_the_binary_weight_of_every_kind_of_number(dtype):
    hidden = torch.tensor([[0.0, -0.0, 1.5], [-2.0, 1e-7, -1e-7]], dtype=dtype).t()  # not contiguous either
    bits = hidden.clone()
    for synapses in (torch.arange(6), torch.tensor([4]), torch.tensor([], dtype=torch.int64)):
        expected = signs_of(bits).flatten()
        expected[synapses] *= -1
        with switched(hidden, synapses):
            assert signs_of(hidden).flatten().tolist() == expected.tolist()
        assert hidden.equal(bits)
        assert torch.signbit(hidden).equal(torch.signbit(bits))


def test_the_state_kept_for_a_task_is_used_where_the_task_is_named():
    net = network(NormPolicy(Statistics.RECALIBRATED, Scope.PER_TASK))
    keep_task(net, 0)
    first = TrainingLoss(net, task(), index=0).measure()
    with torch.no_grad():
        net.layers[-1].gain.mul_(-1)
    assert TrainingLoss(net, task(), index=0).measure() == first
    assert TrainingLoss(net, task()).measure() != pytest.approx(first)


def test_a_real_valued_network_is_probed_too():
    net = RealMLP([6, 5, 4], "layer", generator=torch.Generator().manual_seed(2)).double()
    before = state(net)
    probe = switch_signs(TrainingLoss(net, task()), LAYER, count=2, generator=random(), draws=2, bins=3)
    assert all(increase != 0 for increase in probe.increase if increase is not None)
    assert_as_before(net, before)


def test_progress_is_told_after_every_bin():
    told = []
    loss = TrainingLoss(network(), task())
    switch_signs(loss, LAYER, count=9, generator=random(), draws=2, bins=4, after_bin=told.append)
    assert told == [0, 1, 2, 3]


def test_json_gives_back_the_result():
    probe = switch_signs(TrainingLoss(network(), task()), LAYER, count=8, generator=random(), draws=2, bins=4)
    plain = json.loads(json.dumps(probe.as_json(), allow_nan=False))
    assert plain == probe.as_json()
    assert None in plain["increase"]
    assert SignSwitch.from_json(plain) == probe


def random():
    return torch.Generator().manual_seed(9)


def flat(net):
    return net.layers[0].weight.detach().flatten().tolist()


def with_weights(value):
    net = network()
    with torch.no_grad():
        net.layers[0].weight.fill_(value)
    return TrainingLoss(net, task())


def probed(loss=None, layer=LAYER, **changes):
    return switch_signs(loss or TrainingLoss(network(), task()), layer, generator=random(), **{"count": 1} | changes)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: TrainingLoss(BinaryMLP([6, 4], "batch"), task()),
            "batch under test, but every batch would normalise",
        ),
        (lambda: TrainingLoss(BinaryMLP([6, 4], "batch"), task()), r"recalibrate\(network, inputs\)"),
        (lambda: TrainingLoss(StackedMLP([BinaryMLP([6, 4])] * 2), task()), "expected one network, got a stack of 2"),
        (
            lambda: TrainingLoss(network(), task(), torch.arange(0)),
            "expected at least one sample and one per batch, got 0",
        ),
        (lambda: TrainingLoss(network(), task(), batch_size=0), "got 17 and 0; leave rows out"),
        (lambda: TrainingLoss(BinaryMLP([6, 4]).double(), task()).measure(), "never calibrated"),
        (lambda: probed(layer="layers.0"), r"got 'layers.0'; the network has \['layers.0.weight', 'layers.2.weight'\]"),
        (lambda: probed(layer="layers.1.gain"), "expected the name of a hidden weight, got 'layers.1.gain'"),
        (lambda: probed(TrainingLoss(nn.Linear(6, 4), task())), r"the network has \[\]"),
        (lambda: probed(count=0), "expected count >= 1, got 0"),
        (lambda: probed(draws=1), "expected draws >= 2, got 1"),
        (lambda: probed(bins=0), "expected bins >= 1, got 0"),
        (lambda: probed(with_weights(0.0)), "finite and not all 0, got a largest magnitude of 0.0"),
        (lambda: probed(with_weights(math.nan)), "got a largest magnitude of nan"),
        (lambda: probed(with_weights(math.inf)), "got a largest magnitude of inf"),
        (lambda: SignSwitch.from_json({"count": 1}), r"of a SignSwitch, got \['count'\]; give what as_json returned"),
        (
            lambda: replace(probed(draws=2), weights=(1,)),
            r"one value per bin, of which there are 15, got \[1, 15, 15, 15\]",
        ),
    ],
)
def test_errors_say_what_is_wrong(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_copy_of_the_network_gives_the_same_numbers():
    """Or else the probe would hang on something beside the state."""
    net = network()
    loss, other = TrainingLoss(net, task()), TrainingLoss(copy.deepcopy(net), task())
    assert probed(loss, draws=2) == probed(other, draws=2)


def test_the_fast_engine_sees_what_is_switched():
    scenario = stream(load("digits"), 1)
    net = BinaryMLP([64, 32, 32, 10], generator=generator(0, Purpose.INITIALIZATION))
    recalibrate(net, scenario.tasks[0].view.batch(torch.arange(500))[0])
    optimizer = MetaplasticAdam(param_groups(net, 1.35))

    def probed(shown):
        loss = TrainingLoss(net, shown.tasks[0], torch.arange(300))
        source = generator(0, Purpose.PROBE)
        return [
            switch_signs(loss, f"layers.{layer}.weight", count=20, generator=source, draws=3, bins=4)
            for layer in (0, 2, 4)
        ]

    with accelerated(net, optimizer, scenario) as chosen:
        assert (chosen.integer_layers, chosen.bytes) == (3, True)
        fast = probed(chosen.shown(scenario))
    assert fast == probed(scenario)
    assert all(any(probe.increase) for probe in fast)
