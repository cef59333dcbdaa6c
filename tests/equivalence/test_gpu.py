"""A GPU against the processor: the same products, the same steps, and training that is as good. Skipped without one."""

import json
from dataclasses import replace

import pytest
import torch

import metaplastic as mp
from metaplastic.evaluation import count_correct
from metaplastic.experiments import Size, preset, resume, run, run_seeds, run_study, study
from metaplastic.experiments.record import Record
from metaplastic.hidden_weight import HiddenWeight
from metaplastic.learners import Engine, Moment, NonFiniteLossError, Schedule, accelerated, calibrate, learn
from metaplastic.nn import Precision, StackedMLP
from metaplastic.nn.tensor_core_arithmetic import TensorCoreArithmetic
from metaplastic.optim import MetaplasticAdam
from metaplastic.scenarios import stacked
from metaplastic.storage import BinaryCopies

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no GPU")

GPU = torch.device("cuda")
RANDOM = torch.Generator().manual_seed(5)


def network(sizes=(64, 48, 33, 10), norm="recalibrated", seed=1):
    return mp.BinaryMLP(list(sizes), norm=norm, generator=torch.Generator().manual_seed(seed))


def adam(net, **options):
    return mp.MetaplasticAdam(mp.param_groups(net, 5.0), lr=5e-3, **options)


@pytest.fixture(scope="module")
def scenario():
    return mp.permuted(mp.load("digits"), tasks=2, seed=3)


@pytest.fixture(scope="module")
def tiny():
    small = replace(preset("permuted-digits"), epochs=2)
    return replace(small, network=replace(small.network, hidden=(32, 24)))


@pytest.mark.parametrize(("members", "batch", "inner", "out"), [(1, 100, 4096, 64), (1, 7, 33, 10), (5, 100, 784, 48)])
@pytest.mark.parametrize("unit", [None, 0.5])
def test_products_are_exact(members, batch, inner, out, unit):
    shape = (members, out, inner) if members > 1 else (out, inner)
    weight = HiddenWeight(torch.randn(shape, generator=RANDOM).to(GPU))
    x = torch.randn(batch, members * inner, generator=RANDOM)
    x = x if unit is None else x.mul(100).to(torch.int32).remainder(256).to(torch.uint8)
    given = x.sign().add(0.5).sign().double() if unit is None else x.double() * unit
    arithmetic = TensorCoreArithmetic(BinaryCopies(weight, integer=False, half=True), torch.bfloat16, unit)
    y, _ = arithmetic.forward(x.to(GPU), None)
    signs = torch.where(weight.cpu() >= 0, 1.0, -1.0).double().reshape(members, out, inner)
    expected = torch.einsum("bmi,moi->bmo", given.unflatten(1, (members, inner)), signs).flatten(1)
    assert y.dtype is torch.float32
    assert torch.equal(y.cpu().double(), expected)


@pytest.mark.parametrize("gradient_dtype", [torch.float32, torch.bfloat16])
def test_the_compiled_pass_moves_as_plain_operations_do(gradient_dtype):
    moved = []
    for fused in (False, True):
        weight = HiddenWeight(torch.randn(1000, 300, generator=torch.Generator().manual_seed(1)).to(GPU))
        weight.grad_dtype = gradient_dtype
        copies = BinaryCopies(weight, integer=False, half=True)
        optimizer = MetaplasticAdam([weight], lr=5e-2, weight_decay=1e-3, metaplasticity=1.35, fused=fused)
        optimizer.copies = {weight: copies}
        source = torch.Generator().manual_seed(2)
        for _ in range(20):
            weight.grad = torch.randn(weight.shape, generator=source).to(GPU, gradient_dtype)
            optimizer.step()
        assert optimizer.compile()
        assert torch.equal(copies.half().float(), torch.where(weight >= 0, 1.0, -1.0))
        assert not fused or copies._written == copies.state
        moved.append(weight.detach())
    torch.testing.assert_close(moved[1], moved[0], rtol=0, atol=1e-4)


@pytest.mark.parametrize("norm", ["layer", "running", "recalibrated"])
@pytest.mark.parametrize(("precision", "error"), [(Precision.EXACT, 1e-5), (Precision.FAST, 1e-2)])
def test_both_engines_give_the_same_loss_and_gradients(scenario, norm, precision, error):
    there = scenario.to(GPU)
    plain, fast = network(norm=norm).to(GPU), network(norm=norm).to(GPU)
    first = next(learn(plain, there, adam(plain), schedule=Schedule(epochs=1)))
    optimizer = adam(fast)
    with accelerated(fast, optimizer, there, Engine.FAST, precision) as chosen:
        assert (chosen.integer_layers, chosen.products) == (3, "tensor cores")
        assert (chosen.update, chosen.bytes) == ("fused", True)
        second = next(learn(fast, chosen.shown(there), optimizer, schedule=Schedule(epochs=1)))
        assert second.loss == pytest.approx(first.loss, rel=1e-6)
        for ours, theirs in zip(fast.parameters(), plain.parameters(), strict=True):
            assert (ours.grad.double() - theirs.grad.double()).norm() <= error * theirs.grad.double().norm()


@pytest.mark.parametrize("norm", ["running", "recalibrated"])
@pytest.mark.parametrize("members", [1, 2])
@pytest.mark.parametrize("frozen", [False, True])
def test_graphs_learn_what_operations_do_one_by_one(scenario, norm, members, frozen):
    """Batches are of two sizes, rates change, and tests in between must see the weights that moved."""
    there = scenario.to(GPU)
    seen = []
    for captured in (False, True):
        nets = [network(norm=norm, seed=seed).to(GPU) for seed in range(members)]
        for parameter in (one for net in nets for one in net.parameters()):
            parameter.requires_grad_(not frozen or parameter.dim() == 1)
        net = StackedMLP(nets) if members > 1 else nets[0]
        shown = stacked([there] * members) if members > 1 else there
        optimizer = adam(net)
        schedule = Schedule(2, seed=tuple(range(members)) if members > 1 else 0, reset_optimizer=False, lr_division=1.0)
        events, correct = [], []
        with accelerated(net, optimizer, shown) as chosen:
            assert chosen.captured
            optimizer.captured = captured
            for event in learn(net, chosen.shown(shown), optimizer, schedule=schedule):
                events += event.losses if event.moment is Moment.STEP else ()
                if event.moment is Moment.EPOCH:
                    optimizer.param_groups[0]["lr"] *= 0.5
                    calibrate(net, chosen.shown(shown).tasks[event.task], event.task, schedule)
                    correct.append([count_correct(one, there) for one in nets])
        seen.append((events, correct, [parameter.detach().cpu() for parameter in net.parameters()]))
    assert seen[0][0] == pytest.approx(seen[1][0], rel=1e-2)
    assert torch.tensor(seen[0][1]).sub(torch.tensor(seen[1][1])).abs().max() <= 4
    for ours, theirs in zip(seen[0][2], seen[1][2], strict=True):
        assert (ours - theirs).norm() <= 1e-2 * theirs.norm()  # gains and offsets are rounded elsewhere


def test_a_loss_that_is_not_finite_leaves_the_weights(scenario):
    there = scenario.to(GPU)
    net = network().to(GPU)
    optimizer = adam(net)
    with accelerated(net, optimizer, there) as chosen:
        steps = learn(net, chosen.shown(there), optimizer, schedule=Schedule(epochs=3))
        for _ in range(20):
            next(steps)
        with torch.no_grad():
            net.layers[-1].gain.fill_(torch.inf)
        before = [parameter.detach().clone() for parameter in net.parameters()]
        with pytest.raises(NonFiniteLossError):
            list(steps)
        assert all(torch.equal(old, new) for old, new in zip(before, net.parameters(), strict=True))


def test_a_label_without_an_output_is_an_error(scenario):
    there = scenario.to(GPU)
    net = network((64, 48, 9)).to(GPU)
    optimizer = adam(net)
    with accelerated(net, optimizer, there) as chosen, pytest.raises(ValueError, match="labels below 9"):
        list(learn(net, chosen.shown(there), optimizer, schedule=Schedule(epochs=1)))


def test_a_stack_learns_what_its_members_learn_alone(scenario):
    there = scenario.to(GPU)
    alone = [network(seed=seed).to(GPU) for seed in (1, 2)]
    members = [network(seed=seed).to(GPU) for seed in (1, 2)]
    stack = StackedMLP(members)
    both = stacked([there, there])
    optimizer = adam(stack)
    with accelerated(stack, optimizer, both) as chosen:
        event = next(learn(stack, chosen.shown(both), optimizer, schedule=Schedule(epochs=1, seed=(0, 0))))
    for net, loss in zip(alone, event.losses, strict=True):
        own = adam(net)
        with accelerated(net, own, there) as chosen:
            assert next(learn(net, chosen.shown(there), own, schedule=Schedule(epochs=1))).loss == pytest.approx(loss)


def test_what_is_learned_is_as_good_as_on_the_processor(tiny, tmp_path):
    config = replace(tiny, epochs=5, network=replace(tiny.network, hidden=(256,)))
    here, there = run(config, tmp_path / "cpu"), run(config.on("cuda"), tmp_path / "cuda")
    assert here.accuracy[0, 0] > 0.85
    assert abs(here.accuracy[0, 0] - there.accuracy[0, 0]) < 0.05
    assert json.loads((tmp_path / "cuda" / "environment.json").read_text())["cuda"]
    assert json.loads((tmp_path / "cpu" / "environment.json").read_text())["cuda"] is None


def test_a_run_that_was_stopped_goes_on(tiny, tmp_path, monkeypatch):
    whole = run(tiny.on("cuda"), tmp_path / "whole")
    append = Record.append

    def stopping(record, line):
        append(record, line)
        if line["event"] == "epoch" and line["task"] == 1:
            raise RuntimeError("stopped")

    monkeypatch.setattr(Record, "append", stopping)
    with pytest.raises(RuntimeError, match="stopped"):
        run(tiny.on("cuda"), tmp_path / "stopped")
    monkeypatch.undo()
    assert abs(resume(tmp_path / "stopped").accuracy - whole.accuracy).max() < 0.05


def test_seeds_are_trained_at_once_whatever_the_width(tiny, tmp_path):
    wide = replace(tiny, network=replace(tiny.network, hidden=(1100,))).on("cuda")
    results = run_seeds(wide, (0, 1), tmp_path)
    begun = json.loads((tmp_path / "seed0" / "metrics.jsonl").read_text().splitlines()[0])
    assert begun["engine"]["members"] == 2
    assert min(result.accuracy[0, 0] for result in results) > 0.5


def test_a_study_with_fresh_statistics_is_carried_out(tmp_path):
    panel = study("width-decay", Size.LAPTOP).only(["decay-512"]).on("cuda").panels["decay-512"]
    config = panel.config
    small = replace(
        config,
        epochs=1,
        network=replace(config.network, hidden=(64, 64)),
        scenario=replace(config.scenario, tasks=2, data="digits"),
    )
    mine = replace(study("width-decay", Size.LAPTOP), panels={"decay-512": replace(panel, config=small)})
    run_study(mine, (0, 1), tmp_path / "study", progress=False)
    assert (tmp_path / "study" / "decay-512" / "seed1" / "fresh_statistics.json").exists()
