"""What every learner promises."""

import copy
from dataclasses import replace

import pytest
import torch
from torch.nn import functional

import metaplastic.learners
from metaplastic.learners import (
    EWC,
    FineTune,
    Fisher,
    FisherKind,
    Joint,
    Learner,
    Moment,
    NeedsBoundaries,
    Schedule,
    Shuffled,
    SynapticIntelligence,
    Weights,
    WithoutHooks,
    learn,
    random_consolidation,
)
from metaplastic.nn import BinaryMLP
from metaplastic.optim import MetaplasticAdam, param_groups
from metaplastic.scenarios import Announced, Task
from metaplastic.testing import LEARNER_RULES
from metaplastic.testing.learners import SCHEDULE, same_state, train
from metaplastic.testing.learners import tiny_network as network
from metaplastic.testing.learners import tiny_scenario as scenario

LEARNERS = {
    "finetune": lambda net, strength: FineTune(),
    "joint": lambda net, strength: Joint(),
    "ewc": lambda net, strength: EWC(net, strength),
    "ewc on hidden weights": lambda net, strength: EWC(net, strength, weights=Weights.HIDDEN),
    "online ewc": lambda net, strength: EWC(net, strength, Fisher(FisherKind.EXACT), decay=0.5),
    "random consolidation": random_consolidation,
    "si": SynapticIntelligence,
    "si along binary weights": lambda net, strength: SynapticIntelligence(net, strength, path=Weights.BINARY),
}
"""Makers of learners from a network and a strength, which those without a penalty do not have."""

WITHOUT_PENALTY = ("finetune", "joint")
NEEDS_BOUNDARIES = {
    "ewc": "EWC",
    "ewc on hidden weights": "EWC",
    "online ewc": "online EWC",
    "random consolidation": "random consolidation",
    "si": "SynapticIntelligence",
    "si along binary weights": "SynapticIntelligence",
}
"""What errors call the learners that need boundaries."""

every_learner = pytest.mark.parametrize("build", LEARNERS.values(), ids=LEARNERS.keys())
every_penalty = pytest.mark.parametrize(
    "build",
    [pytest.param(build, id=name) for name, build in LEARNERS.items() if name not in WITHOUT_PENALTY],
)


class Pull:
    """Pulls the hidden weights to where they were at the start; strength 0 adds nothing."""

    exact_gradients = False

    def __init__(self, net, strength):
        self.net, self.strength = net, strength
        self.anchors = [parameter.detach().clone() for parameter in net.parameters()]
        self.calls = []

    def curriculum(self, tasks):
        return tasks

    def penalty(self):
        self.calls.append("penalty")
        if self.strength == 0:
            return None
        pairs = zip(self.net.parameters(), self.anchors, strict=True)
        return self.strength * sum((parameter - anchor).square().sum() for parameter, anchor in pairs)

    def after_step(self):
        self.calls.append("after_step")
        assert self.net.training
        assert all(parameter.grad is not None for parameter in self.net.parameters())

    def end_task(self, task, index):
        self.calls.append(f"end_task {task.name}")

    def state(self):
        return {str(index): anchor for index, anchor in enumerate(self.anchors)}

    def load_state(self, state):
        self.anchors = [state[str(index)] for index in range(len(state))]


def test_every_learner_of_the_package_is_under_contract():
    protocol = ("curriculum", "penalty", "after_step", "end_task", "state", "load_state")
    exported = {
        value
        for value in (getattr(metaplastic.learners, name) for name in metaplastic.learners.__all__)
        if isinstance(value, type)
        and value not in (Learner, NeedsBoundaries, WithoutHooks)
        and all(hasattr(value, hook) for hook in protocol)
    }
    assert {type(build(network(), 1.0)) for build in LEARNERS.values()} == exported
    assert len(exported) == 4
    assert NEEDS_BOUNDARIES.keys() == LEARNERS.keys() - set(WITHOUT_PENALTY)


@every_learner
@pytest.mark.parametrize("rule", LEARNER_RULES, ids=lambda rule: rule.__name__)
def test_the_contract_is_kept(build, rule):
    rule(build)


def test_the_protocol_tells_learners_from_other_objects():
    assert isinstance(Pull(network(), 1.0), Learner)
    assert not isinstance(object(), Learner)


@every_penalty
def test_a_penalty_is_positive_after_the_first_task_and_changes_what_is_learned(build):
    net, plain = network(), network()
    learner = build(net, 0.1)
    optimizer = MetaplasticAdam(param_groups(net, 1.3), lr=0.05)
    penalties = []
    for event in learn(net, scenario(), optimizer, learner, schedule=Schedule(epochs=10, batch_size=8)):
        if event.moment is Moment.STEP:
            penalties.append(learner.penalty())
    half = len(penalties) // 2
    assert all(penalty is None for penalty in penalties[:half])
    assert all(penalty >= 0 for penalty in penalties[half:])
    assert max(penalties[half:]) > 0
    optimizer = MetaplasticAdam(param_groups(plain, 1.3), lr=0.05)
    list(learn(plain, scenario(), optimizer, schedule=Schedule(epochs=10, batch_size=8)))
    assert not same_state(net, plain)


@pytest.mark.parametrize(("learner", "called"), NEEDS_BOUNDARIES.items())
def test_a_method_that_needs_boundaries_is_refused_where_none_are_announced(learner, called):
    silent, net = replace(scenario(), announced=Announced()), network()
    message = f"expected announced task boundaries for {called}, got scenario 'permuted tiny' that announces none"
    method = LEARNERS[learner](net, 1.0)
    with pytest.raises(ValueError, match=f"^{message}"):
        method.curriculum(silent)
    with pytest.raises(ValueError, match=f"^{message}"):
        train(net, method, tasks=silent)
    assert same_state(net, network())


def test_a_random_control_with_one_term_that_moves_on_is_called_so():
    method = EWC(network(), 1.0, Shuffled(Fisher()), decay=0.5)
    with pytest.raises(ValueError, match="expected announced task boundaries for online random consolidation, got"):
        method.curriculum(replace(scenario(), announced=Announced()))


@every_penalty
@pytest.mark.parametrize("strength", [-1.0, float("inf"), float("nan")])
def test_a_strength_out_of_range_is_refused(build, strength):
    with pytest.raises(ValueError, match=r"expected a strength >= 0 and finite, got .*; 0 switches"):
        build(network(), strength)


def test_curricula():
    tasks = scenario()
    assert FineTune().curriculum(tasks) is tasks
    joint = Joint().curriculum(tasks)
    assert [task.name for task in joint.tasks] == ["all tasks"]
    assert [len(task.view) for task in joint.tasks] == [40]
    assert joint.tasks[0].tests == (0, 1)
    assert joint.tests == tasks.tests


def test_a_penalty_of_no_strength_equals_fine_tuning_bit_for_bit():
    net, plain, pulled = network(), network(), network()
    without = train(net, Pull(net, 0.0))
    assert list(map(repr, without)) == list(map(repr, train(plain, FineTune())))
    assert same_state(net, plain)
    train(pulled, Pull(pulled, 0.5))
    assert not same_state(pulled, plain)


def test_hooks_are_called_in_the_documented_order():
    net = network()
    learner = Pull(net, 0.5)
    train(net, learner)
    task = ["penalty", "after_step"] * (2 * 3)
    assert learner.calls == [*task, "end_task permutation 1", *task, "end_task permutation 2"]


def test_hooks_run_around_the_step_and_after_the_statistics_of_a_task():
    """after_step sees the step's weights before anybody else; end_task sees the statistics of its task."""
    net = BinaryMLP([6, 7, 3], generator=torch.Generator().manual_seed(1))
    seen = []

    class Watch(Pull):
        def penalty(self):
            seen.append(("penalty", net.layers[0].weight.detach().clone()))

        def after_step(self):
            seen.append(("after", net.layers[0].weight.detach().clone()))

        def end_task(self, task, index):
            seen.append(("end", net.layers[1].variance.clone()))

    train(net, Watch(net, 0.0), Schedule(epochs=1, batch_size=20))
    first, second, end, _, fourth, _ = (value for _, value in seen)
    assert [name for name, _ in seen] == ["penalty", "after", "end"] * 2
    assert not torch.equal(first, second)
    assert torch.equal(seen[3][1], second)
    assert not end.isnan().any()
    assert not torch.equal(end, seen[5][1])
    assert not torch.equal(second, fourth)
    assert not seen[5][1].isnan().any()


def test_the_penalty_is_added_to_the_loss_and_its_gradient():
    """One SGD step by hand."""
    net = network()
    learner = Pull(net, 3.0)
    with torch.no_grad():
        net.layers[0].weight.add_(0.01)
    expected, tasks = copy.deepcopy(net), scenario()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)

    view = tasks.tasks[0].view
    single = replace(tasks, tasks=(Task("first", view, tests=(0,)),))
    (event, *_) = learn(net, single, optimizer, learner, schedule=Schedule(epochs=1))
    inputs, labels = view.batch(torch.arange(20))
    penalty = 3.0 * sum((p - a).square().sum() for p, a in zip(expected.parameters(), learner.anchors, strict=True))
    loss = functional.cross_entropy(expected(inputs), labels) + penalty
    loss.backward()
    assert event.loss == pytest.approx(loss.item(), rel=1e-6)
    for moved, start in zip(net.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(moved.detach(), (start - 0.1 * start.grad).detach(), rtol=1e-5, atol=1e-6)


def test_the_end_of_a_task_comes_before_its_event():
    net = network()
    learner = Pull(net, 0.5)
    optimizer = MetaplasticAdam(param_groups(net, 1.3), lr=0.01)
    for event in learn(net, scenario(), optimizer, learner, schedule=SCHEDULE):
        assert learner.calls[-1].startswith("end_task") == (event.moment is Moment.TASK)
