"""Steps that are replayed from graphs, with graphs of our own in the place of a GPU's: what is captured, and when."""

import contextlib
import copy
import functools
from dataclasses import replace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import metaplastic as mp
from metaplastic.evaluation import count_correct
from metaplastic.learners import EWC, FineTune, Moment, NonFiniteLossError, Schedule, accelerated, calibrate, learn
from metaplastic.learners.descent import CapturedDescent, PlainDescent, descent
from metaplastic.nn import StackedMLP
from metaplastic.nn.tensor_core_arithmetic import TensorCoreArithmetic
from metaplastic.optim import fused
from metaplastic.optim import metaplastic as optimizers
from metaplastic.scenarios import UnionView, stacked

WAITS = ("_local_scalar_dense", "nonzero", "lift_fresh")
"""Operations that a GPU cannot capture, because the processor waits for them or hands it what it has made."""


class Graph:
    """Repeats the operations that were called while it was captured, in the memory that they had then."""

    def __init__(self):
        self.calls = []

    def pool(self):
        return None

    @torch.no_grad()
    def replay(self):
        for operation, arguments, options, made in self.calls:
            again = operation(*arguments, **options)
            for old, new in zip(_tensors(made), _tensors(again), strict=True):
                old.copy_(new)


class Capture(TorchDispatchMode):
    """Notes operations, and undoes at the end what they did, for a GPU does nothing while it captures."""

    def __init__(self, graph):
        super().__init__()
        self.graph, self.before = graph, {}

    def __torch_dispatch__(self, operation, types, arguments=(), options=None):
        assert not any(name in str(operation) for name in WAITS), operation
        for argument in _tensors((arguments, tuple((options or {}).values()))):
            memory = argument.untyped_storage()
            self.before.setdefault(memory.data_ptr(), (memory, memory.clone()))
        made = operation(*arguments, **(options or {}))
        self.graph.calls.append((operation, arguments, options or {}, made))
        return made

    def __exit__(self, *error):
        super().__exit__(*error)
        for memory, before in self.before.values():
            memory.copy_(before)


def _tensors(found):
    if isinstance(found, torch.Tensor):
        return [found]
    return [tensor for one in found for tensor in _tensors(one)] if isinstance(found, tuple | list) else []


@pytest.fixture
def captured(monkeypatch):
    """Let the engine take the processor for a GPU, whose graphs are ours and whose pass is made of plain operations."""

    @contextlib.contextmanager
    def graph(captured, pool=None):
        with Capture(captured):
            yield

    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(torch.cuda, "graph", graph)
    monkeypatch.setattr(TensorCoreArithmetic, "serves", lambda weight: True)
    monkeypatch.setattr("metaplastic.learners.engine._can_capture", lambda optimizer, layers: True)
    for module in (fused, optimizers):
        monkeypatch.setattr(
            module, "fused_pass", lambda kind: functools.partial(fused.plain_pass, kind.rule, kind.consolidation)
        )


@pytest.fixture(scope="module")
def scenario():
    return mp.permuted(mp.load("digits"), tasks=2, seed=3)


def network(sizes=(64, 32, 10), norm="recalibrated", seed=1, frozen=False):
    net = mp.BinaryMLP(list(sizes), norm=norm, generator=torch.Generator().manual_seed(seed))
    for parameter in net.parameters():
        parameter.requires_grad_(not frozen or parameter.dim() == 1)
    return net


def adam(net):
    return mp.MetaplasticAdam(mp.param_groups(net, 5.0), lr=5e-3, weight_decay=1e-7)


@pytest.mark.usefixtures("captured")
@pytest.mark.parametrize("members", [1, 2])
@pytest.mark.parametrize(("norm", "frozen"), [("running", False), ("recalibrated", False), ("recalibrated", True)])
def test_graphs_learn_what_operations_do_one_by_one(scenario, members, norm, frozen):
    """Batches are of two sizes, rates change, and tests in between must see the weights that moved."""
    seen = []
    for replayed in (False, True):
        nets = [network(norm=norm, seed=seed, frozen=frozen) for seed in range(members)]
        net = StackedMLP(nets) if members > 1 else nets[0]
        shown = stacked([scenario] * members) if members > 1 else scenario
        optimizer = adam(net)
        seeds = tuple(range(members)) if members > 1 else 0
        losses, correct = [], []
        with accelerated(net, optimizer, shown) as chosen:
            assert chosen.captured
            assert "in graphs" in str(chosen)
            optimizer.captured = replayed
            there = chosen.shown(shown)
            assert isinstance(descent(net, there.tasks[0], optimizer, FineTune()), CapturedDescent) is replayed
            for event in learn(net, there, optimizer, schedule=Schedule(2, seed=seeds)):
                if event.moment is Moment.EPOCH:
                    optimizer.param_groups[0]["lr"] *= 0.5
                    calibrate(net, there.tasks[event.task], event.task, Schedule(2, seed=seeds))
                    correct.append([count_correct(one, scenario) for one in nets])
                losses += event.losses if event.moment is Moment.STEP else ()
        steps = [int(state["step"]) for state in optimizer.state.values() if state]
        seen.append((losses, correct, steps, [parameter.detach() for parameter in net.parameters()]))
    assert seen[0][0] == pytest.approx(seen[1][0], rel=1e-5)
    assert seen[0][1:3] == seen[1][1:3]
    for ours, theirs in zip(seen[0][3], seen[1][3], strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)  # gains and offsets are rounded elsewhere


def turned(net, optimizer):
    with torch.no_grad():
        net.layers[2].weight.neg_()


def frozen(net, optimizer):
    net.layers[2].weight.requires_grad_(False)
    net.layers[2].weight.grad = None


def betas(net, optimizer):
    optimizer.param_groups[0]["betas"] = (0.5, 0.9)


def no_metaplasticity(net, optimizer):
    optimizer.param_groups[0]["metaplasticity"] = 0.0


DISTURBANCES = {
    "moments dropped": lambda net, optimizer: optimizer.state.clear(),
    "moments put back": lambda net, optimizer: optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict())),
    "gradients dropped": lambda net, optimizer: optimizer.zero_grad(),
    "signs turned": turned,
    "a layer frozen": frozen,
    "betas changed": betas,
    "metaplasticity ended": no_metaplasticity,
}


def moved(scenario, replayed, disturb=lambda net, optimizer: None):
    """Parameters after eleven steps, with something done after the eighth."""
    net = network()
    optimizer = adam(net)
    with accelerated(net, optimizer, scenario) as chosen:
        optimizer.captured = replayed
        steps = learn(net, chosen.shown(scenario), optimizer, schedule=Schedule(3))
        for _ in range(8):
            next(steps)
        disturb(net, optimizer)
        for _ in range(3):
            next(steps)
        assert optimizer.captured is replayed
    return [parameter.detach() for parameter in net.parameters()]


@pytest.mark.usefixtures("captured")
@pytest.mark.parametrize("disturbance", DISTURBANCES)
def test_what_happens_between_steps_is_seen_by_those_that_follow(scenario, disturbance):
    plain, replayed = (moved(scenario, kind, DISTURBANCES[disturbance]) for kind in (False, True))
    for ours, theirs in zip(replayed, plain, strict=True):
        assert (ours - theirs).norm() <= 1e-3 * theirs.norm()


@pytest.mark.usefixtures("captured")
def test_large_gains_move_too(scenario, monkeypatch):
    monkeypatch.setattr(optimizers, "_SMALL", 8)
    for ours, theirs in zip(moved(scenario, True), moved(scenario, False), strict=True):
        assert (ours - theirs).norm() <= 1e-4 * theirs.norm()


def test_nothing_is_captured_where_nothing_moves_or_on_a_processor(scenario):
    for frozen_too in (False, True):
        net = network(frozen=True)
        if frozen_too:
            net.requires_grad_(False)
        with accelerated(net, adam(net), scenario) as chosen:
            assert not chosen.captured


@pytest.mark.usefixtures("captured")
def test_a_loss_that_is_not_finite_leaves_the_weights(scenario):
    net = network()
    optimizer = adam(net)
    with accelerated(net, optimizer, scenario) as chosen:
        steps = learn(net, chosen.shown(scenario), optimizer, schedule=Schedule(3))
        for _ in range(20):
            next(steps)
        with torch.no_grad():
            net.layers[-1].gain.fill_(torch.inf)
        before = [parameter.detach().clone() for parameter in net.parameters()]
        with pytest.raises(NonFiniteLossError):
            list(steps)
    assert all(torch.equal(old, new) for old, new in zip(before, net.parameters(), strict=True))


@pytest.mark.usefixtures("captured")
def test_a_label_without_an_output_is_an_error(scenario):
    net = network((64, 32, 9))
    optimizer = adam(net)
    with accelerated(net, optimizer, scenario) as chosen, pytest.raises(ValueError, match="labels below 9"):
        list(learn(net, chosen.shown(scenario), optimizer, schedule=Schedule(1)))


@pytest.mark.usefixtures("captured")
def test_what_is_decided_outside_a_gpu_is_not_captured(scenario):
    net = network()
    optimizer = adam(net)
    with accelerated(net, optimizer, scenario) as chosen:
        task = chosen.shown(scenario).tasks[0]
        assert isinstance(descent(net, task, optimizer, EWC(net, 1.0)), PlainDescent)
        assert isinstance(descent(torch.nn.Sequential(net), task, optimizer, FineTune()), PlainDescent)
        assert isinstance(descent(net, replace(task, outputs=(0, 1)), optimizer, FineTune()), PlainDescent)
        assert isinstance(
            descent(net, replace(task, view=UnionView((task.view,))), optimizer, FineTune()), PlainDescent
        )
        handle = net.layers[0].register_forward_hook(lambda *called: None)
        assert isinstance(descent(net, task, optimizer, FineTune()), PlainDescent)
        handle.remove()
        assert isinstance(descent(net, task, optimizer, FineTune()), CapturedDescent)
        other = torch.optim.Adam(net.parameters())
        assert isinstance(descent(net, task, other, FineTune()), PlainDescent)
    assert isinstance(descent(net, task, optimizer, FineTune()), PlainDescent), "no engine is at work"
