"""EWC against a loop over the terms of past tasks."""

import copy

import pytest
import torch

from metaplastic.data import Dataset, Samples
from metaplastic.experiments.trial import Trial
from metaplastic.learners import (
    EWC,
    Engine,
    Fisher,
    FisherKind,
    Moment,
    Schedule,
    SynapticIntelligence,
    Weights,
    accelerated,
    learn,
    random_consolidation,
)
from metaplastic.learners.engine import multiplies_integers_fast
from metaplastic.nn import BinaryMLP, Precision
from metaplastic.optim import MetaplasticAdam, param_groups
from metaplastic.scenarios import Announced, permuted


def scenario(tasks=3):
    random = torch.Generator().manual_seed(3)
    inputs = torch.randint(0, 256, (40, 6), generator=random, dtype=torch.uint8)
    part = Samples(inputs, torch.arange(40) % 3)
    dataset = Dataset("tiny", part, part, ("a", "b", "c"), 1 / 256)
    return permuted(dataset, tasks=tasks, announced=Announced(True, True))


def network():
    return BinaryMLP([6, 7, 3], generator=torch.Generator().manual_seed(1))


def face(net, weights):
    named = ((name, value.detach()) for name, value in net.named_parameters() if "weight" in name)
    return {
        name: torch.where(value >= 0, 1.0, -1.0) if weights is Weights.BINARY else value.clone()
        for name, value in named
    }


def learned(build, tasks=3):
    """Train, and keep a copy of the network at the end of each task."""
    net = network()
    learner, ends = build(net), []
    optimizer = MetaplasticAdam(param_groups(net, 0.5), lr=0.02)
    for event in learn(net, scenario(tasks), optimizer, learner, schedule=Schedule(epochs=4, batch_size=10)):
        if event.moment is Moment.TASK:
            ends.append(copy.deepcopy(net))
    return net, learner, ends


@pytest.mark.parametrize("weights", Weights)
def test_the_penalty_is_the_sum_of_the_terms_of_all_past_tasks(weights):
    net, learner, ends = learned(lambda net: EWC(net, 0.5, Fisher(samples=20), weights))
    expected = 0.0
    for index, end in enumerate(ends):
        parameters = {name: value for name, value in end.named_parameters() if "weight" in name}
        information = Fisher(samples=20)(end, parameters, scenario().tasks[index], index)
        anchors, now = face(end, weights), face(net, weights)
        expected += 0.25 * sum((information[name] * (now[name] - anchors[name]) ** 2).sum().item() for name in now)
    assert expected > 0
    assert learner.penalty().item() == pytest.approx(expected, rel=1e-4)


def test_online_it_is_one_term_at_the_last_weights():
    net, learner, ends = learned(lambda net: EWC(net, 8.0, Fisher(samples=20), Weights.HIDDEN, decay=0.25))
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.1)
    total = {}
    for index, end in enumerate(ends):
        parameters = {name: value for name, value in end.named_parameters() if "weight" in name}
        for name, value in Fisher(samples=20)(end, parameters, scenario().tasks[index], index).items():
            total[name] = 0.25 * total.get(name, 0.0) + value
    expected = 4.0 * sum(float(value.sum()) * 0.1**2 for value in total.values())
    assert learner.penalty().item() == pytest.approx(expected, rel=1e-3)


def test_random_consolidation_has_as_much_importance_on_other_synapses():
    _, own, _ = learned(lambda net: EWC(net, 1e-12), tasks=1)
    _, random, _ = learned(lambda net: random_consolidation(net, 1e-12, seed=5), tasks=1)
    for name, curvature in own.quadratic.curvature.items():
        other = random.quadratic.curvature[name]
        torch.testing.assert_close(curvature.flatten().sort()[0], other.flatten().sort()[0])
        assert not torch.equal(curvature, other)


def test_a_strong_penalty_keeps_the_signs_of_important_synapses():
    _, _, plain = learned(lambda net: EWC(net, 0.0), tasks=2)
    _, _, held = learned(lambda net: EWC(net, 1e4, weights=Weights.BINARY), tasks=2)

    def flipped(ends):
        first, last = (face(end, Weights.BINARY) for end in ends)
        return sum(int((first[name] != last[name]).sum()) for name in first)

    assert flipped(held) < flipped(plain)


def test_which_weights_are_held_is_found_by_name():
    net = network()
    for kind in Weights:
        by_name, expected = EWC(net, 1.0, weights=kind.value).weights.values(), EWC(net, 1.0, weights=kind)
        assert all(torch.equal(by_name[name], value) for name, value in expected.weights.values().items())
    with pytest.raises(ValueError, match="unknown weights 'signs'"):
        EWC(net, 1.0, weights="signs")


@pytest.mark.parametrize("decay", [-0.1, 1.1, float("nan")])
def test_a_decay_out_of_range_is_refused(decay):
    with pytest.raises(ValueError, match=r"expected a decay in \[0, 1\], got"):
        EWC(network(), 1.0, decay=decay)


def test_statistics_of_the_batch_under_test_are_refused_before_training():
    with pytest.raises(
        ValueError, match=r"expected statistics that do not depend on the batch, got those of the batch"
    ):
        EWC(BinaryMLP([6, 7, 3], "batch"), 1.0)


@pytest.mark.skipif(not multiplies_integers_fast(), reason="no fast products of bytes here")
@pytest.mark.parametrize("kind", [FisherKind.EXACT, FisherKind.EMPIRICAL])
@pytest.mark.parametrize("build", [EWC, SynapticIntelligence], ids=["ewc", "si"])
def test_the_fast_engine_gives_the_same_penalty(build, kind):
    """Within it the learner is shown bytes, and gradients go into buffers that are used again."""
    found = []
    for engine in (Engine.PLAIN, None):
        net = network()
        learner = EWC(net, 50.0, Fisher(kind, samples=20)) if build is EWC else build(net, 50.0)
        optimizer = MetaplasticAdam(param_groups(net, 0.5), lr=0.02)
        tasks = scenario(2)
        with accelerated(net, optimizer, tasks, engine, Precision.EXACT, quiet=True) as chosen:
            assert (chosen.bytes, chosen.integer_layers) == ((False, 0) if engine else (True, 2))
            shown = chosen.shown(tasks)
            losses = [
                event.loss
                for event in learn(net, shown, optimizer, learner, schedule=Schedule(epochs=4, batch_size=10))
                if event.moment is Moment.STEP
            ]
        found.append((losses, learner.state()))
    (plain, state), (fast, other) = found
    assert plain[:16] == pytest.approx(fast[:16], rel=1e-4)
    assert plain[16:] == pytest.approx(fast[16:], rel=1e-2)
    for name, value in state.items():
        torch.testing.assert_close(value, other[name], rtol=1e-2, atol=1e-3)


def test_a_learner_that_reads_gradients_is_given_them_in_float32():
    """In bfloat16 the rounding of a strong penalty would count as importance."""
    net = network()
    optimizer = MetaplasticAdam(param_groups(net, 0.5), lr=0.02)
    trial = Trial(net, scenario(2), optimizer, SynapticIntelligence(net, 1.0), Schedule(epochs=1))
    with trial.accelerated(None, None, quiet=True) as chosen:
        assert chosen.gradients == "float32"
    refused = trial.accelerated(None, Precision.FAST, quiet=True)
    with pytest.raises(ValueError, match=r"expected precision 'exact' for SynapticIntelligence, which reads"):
        refused.__enter__()
