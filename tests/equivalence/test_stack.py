"""A stack of networks trains its members to the same bits as each alone."""

import json
from dataclasses import replace

import pytest
import torch

import metaplastic as mp
from metaplastic.experiments import Config, Interrupted, Record, Stack, can_stack, run, run_seeds
from metaplastic.experiments.config import Network, Optimizer, Reset, Running
from metaplastic.experiments.scenario_config import Permuted, Split, Stream
from metaplastic.experiments.trial import Trial
from metaplastic.learners import Engine, Moment, NonFiniteLossError
from metaplastic.nn import GainInit, NormPolicy, Precision, Scope, StackedMLP, Statistics
from metaplastic.scenarios import Augmentation, stacked

SEEDS = (3, 0, 8)


EXACT = NormPolicy()


def config(norm=EXACT, engine=None, precision=None, **changes):
    return Config(
        scenario=Permuted("digits", tasks=2, boundaries=True, task_at_test=True),
        network=Network(hidden=(33, 24)),
        norm=norm,
        optimizer=Optimizer(metaplasticity=(8.0,), weight_decay=1e-7, reset_optimizer=Reset.TASK),
        epochs=2,
        batch_size=50,
        running=Running(engine=engine, precision=precision, threads=1),
        **changes,
    )


def same(left, right):
    left, right = left.network.state_dict(), right.network.state_dict()
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


NORMS = [
    EXACT,
    NormPolicy(scope=Scope.PER_TASK, gain_init=GainInit.UNIFORM),
    NormPolicy(statistics=Statistics.RUNNING, affine=False),
    NormPolicy(statistics=Statistics.LAYER),
]


@pytest.mark.parametrize("precision", Precision)
def test_every_member_ends_with_the_bits_it_has_alone(tmp_path, precision):
    whole = config(NormPolicy(statistics=Statistics.LAYER), Engine.FAST, precision)
    together = run_seeds(whole, SEEDS, tmp_path / "stack", stack=True)
    for seed, result in zip(SEEDS, together, strict=True):
        alone = run(replace(whole, seed=seed), tmp_path / f"alone{seed}")
        assert same(result, alone)
        assert result.matrix == alone.matrix
        for ours, theirs in zip(result.metrics, alone.metrics, strict=True):
            assert ours["event"] == theirs["event"]
            assert ours["correct"] == theirs["correct"]
            if "loss" in ours:
                assert ours["loss"] == pytest.approx(theirs["loss"], rel=1e-6)
        assert result.metrics[0]["engine"] == alone.metrics[0]["engine"] | {"members": 3}


def test_every_member_sees_its_own_augmented_images(tmp_path):
    whole = replace(
        config(NormPolicy(statistics=Statistics.LAYER), Engine.FAST, Precision.EXACT),
        scenario=Stream("digits", parts=2, augment=Augmentation.FLIP_AND_CROP),
        optimizer=Optimizer(metaplasticity=(8.0,)),
        epochs=1,
    )
    together = run_seeds(whole, SEEDS, tmp_path / "stack", stack=True)
    for seed, result in zip(SEEDS, together, strict=True):
        assert same(result, run(replace(whole, seed=seed), tmp_path / f"alone{seed}"))


def first_step(seed, norm, engine, members):
    """The weights after one step in the stack, and alone."""
    stack = Stack(
        [replace(config(norm, engine, Precision.EXACT if engine is Engine.FAST else None), seed=one) for one in members]
    )
    with stack.accelerated():
        next(stack.run())
    return [parameter.detach().clone() for parameter in stack.trials[members.index(seed)].network.parameters()]


@pytest.mark.parametrize("engine", Engine)
@pytest.mark.parametrize("norm", NORMS, ids=lambda norm: f"{norm.statistics}-{norm.scope}")
def test_one_step_moves_the_weights_of_a_member_as_alone(norm, engine):
    """Batch norm treats the last few features otherwise than those before them, so the bits need not be the same."""
    together, alone = (first_step(0, norm, engine, members) for members in ((3, 0, 8), (0,)))
    for ours, theirs in zip(together, alone, strict=True):
        assert (ours - theirs).abs().mean() < 1e-5


@pytest.mark.parametrize("engine", Engine)
@pytest.mark.parametrize("norm", NORMS, ids=lambda norm: f"{norm.statistics}-{norm.scope}")
def test_members_learn_as_well_as_alone(tmp_path, norm, engine):
    whole = replace(config(norm, engine), network=Network(hidden=(128,)), epochs=4)
    together = run_seeds(whole, SEEDS, tmp_path / "stack", stack=True)
    for seed, result in zip(SEEDS, together, strict=True):
        alone = run(replace(whole, seed=seed), tmp_path / f"alone{seed}")
        assert alone.accuracy[0, 0] > 0.8
        assert abs(result.accuracy - alone.accuracy).max() < 0.12
        kept = [layer.kept_tasks.tolist() for layer in mp.nn.normalizations(result.network)]
        assert kept == [layer.kept_tasks.tolist() for layer in mp.nn.normalizations(alone.network)]
        assert kept[0] == ([0, 1] if norm.scope is Scope.PER_TASK else [])


def test_a_stopped_stack_is_gone_on_with_one_by_one(tmp_path, monkeypatch):
    whole = config(NormPolicy(statistics=Statistics.LAYER))
    expected = run_seeds(whole, SEEDS, tmp_path / "expected", stack=True)
    genuine = Stack.run

    def stopped(stack):
        for count, happening in enumerate(genuine(stack)):
            yield happening
            if count == 100:  # beyond the checkpoint at the end of the first task
                raise KeyboardInterrupt

    monkeypatch.setattr(Stack, "run", stopped)
    with pytest.raises(Interrupted):
        run_seeds(whole, SEEDS, tmp_path / "stopped", stack=True)
    monkeypatch.undo()
    assert not any(Record(tmp_path / "stopped" / f"seed{seed}").complete for seed in SEEDS)
    results = run_seeds(whole, SEEDS, tmp_path / "stopped", stack=True)
    assert all(same(result, one) for result, one in zip(results, expected, strict=True))


def test_seeds_that_are_there_are_kept_and_others_are_added(tmp_path):
    first = run_seeds(config(), (1,), tmp_path)[0]
    before = (tmp_path / "seed1" / "metrics.jsonl").read_text()
    results = run_seeds(config(), (1, 2), tmp_path)
    assert same(results[0], first)
    assert (tmp_path / "seed1" / "metrics.jsonl").read_text() == before
    assert json.loads((tmp_path / "seed2" / "config.json").read_text())["seed"] == 2


def test_a_record_of_another_configuration_is_not_taken_for_ones_own(tmp_path):
    run_seeds(config(), (1,), tmp_path)
    with pytest.raises(ValueError, match="of another configuration"):
        run_seeds(replace(config(), epochs=5), (1, 2), tmp_path)
    assert not (tmp_path / "seed2").exists()


@pytest.mark.parametrize("stack", [True, False])
def test_a_seed_that_diverges_does_not_keep_the_others_from_running(tmp_path, monkeypatch, stack):
    genuine = Trial.observe

    def poisoned(trial, event):
        """Spoil the weights of one seed at the end of its first task, whether it learns alone or with others."""
        line = genuine(trial, event)
        if trial.schedule.seed == 1 and event.moment is Moment.TASK:
            with torch.no_grad():
                next(trial.network.parameters()).fill_(torch.nan)
        return line

    monkeypatch.setattr(Trial, "observe", poisoned)
    with pytest.raises(NonFiniteLossError):
        run_seeds(config(), (1, 2, 3), tmp_path, stack=stack)
    assert [Record(tmp_path / f"seed{seed}").complete for seed in (1, 2, 3)] == [False, True, True]


def test_members_are_views_of_the_stack():
    members = [mp.BinaryMLP([64, 16, 10], norm="running") for _ in range(3)]
    before = [[parameter.detach().clone() for parameter in member.parameters()] for member in members]
    stack = StackedMLP(members)
    for old, member in zip(before, members, strict=True):
        assert all(torch.equal(one, other) for one, other in zip(old, member.parameters(), strict=True))
    with torch.no_grad():
        for parameter in stack.parameters():
            parameter.mul_(2)
    for index, (old, member) in enumerate(zip(before, members, strict=True)):
        for one, other, whole in zip(old, member.parameters(), stack.parameters(), strict=True):
            assert torch.equal(2 * one, other)
            assert torch.equal(stack.part(whole, index), other)
    stack.train()(torch.randn(20, 3 * 64))
    for index, member in enumerate(members):
        assert torch.equal(member.layers[1].mean, stack.layers[1].mean.chunk(3)[index])


def test_what_cannot_be_stacked_is_refused():
    with pytest.raises(ValueError, match="got none"):
        StackedMLP([])
    with pytest.raises(ValueError, match="expected layers of one shape"):
        StackedMLP([mp.BinaryMLP([64, 16, 10]), mp.BinaryMLP([64, 17, 10])])
    with pytest.raises(ValueError, match="one policy"):
        StackedMLP([mp.BinaryMLP([64, 16, 10]), mp.BinaryMLP([64, 16, 10], norm="layer")])
    with pytest.raises(ValueError, match="got BinaryLinear, SignDropout at one depth"):
        StackedMLP([mp.BinaryMLP([64, 16, 10]), mp.BinaryMLP([64, 16, 10], dropout=0.5)])
    kept = mp.BinaryMLP([64, 16, 10], norm=NormPolicy(scope=Scope.PER_TASK))
    mp.keep_task(kept, 0)
    with pytest.raises(ValueError, match="expected networks to stack that kept no state for a task, got one that did"):
        StackedMLP([kept])
    data = mp.load("digits")
    with pytest.raises(ValueError, match="expected scenarios of one shape"):
        stacked([mp.stream(data, 2), mp.stream(data, 3)])
    with pytest.raises(ValueError, match="differ in their seeds only"):
        Stack([config(), replace(config(), epochs=7)])
    assert can_stack(config())
    assert can_stack(replace(config(), scenario=Stream("digits", 3), optimizer=Optimizer()))
    assert not can_stack(replace(config(), scenario=Split("digits", 5), optimizer=Optimizer()))
    assert not can_stack(replace(config(), network=Network(hidden=(8,), dropout=0.5)))


@pytest.mark.parametrize("seeds", [(), (1, 1)])
def test_seeds_are_different_and_at_least_one(tmp_path, seeds):
    with pytest.raises(ValueError, match="expected different seeds, at least one"):
        run_seeds(config(), seeds, tmp_path)


def test_the_command_line_runs_seeds(tmp_path, capsys):
    from metaplastic import cli

    words = [
        "--tasks",
        "2",
        "--epochs",
        "1",
        "--hidden",
        "16",
        "--seeds",
        "2",
        "--seed",
        "4",
        "--out",
        str(tmp_path / "runs"),
    ]
    cli.main(["run", "permuted-digits", *words])
    assert Record(tmp_path / "runs" / "seed4").metrics()[0]["engine"]["members"] == 2
    shown = capsys.readouterr()
    assert "permuted digits: accuracy" in shown.out
    assert shown.err.count("2 networks at once") == 1
