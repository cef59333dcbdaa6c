"""What a GPU is asked to compute, computed on the CPU: against the products of torch, and through the fast engine."""

import pytest
import torch

import metaplastic as mp
from metaplastic import native
from metaplastic.hidden_weight import HiddenWeight
from metaplastic.learners import Engine, Schedule, accelerated, learn
from metaplastic.nn import Precision, StackedMLP
from metaplastic.nn.arithmetic import TorchArithmetic
from metaplastic.nn.native_arithmetic import NativeArithmetic
from metaplastic.nn.tensor_core_arithmetic import TensorCoreArithmetic
from metaplastic.scenarios import stacked
from metaplastic.storage import BinaryCopies

SHAPES = [(None, 100, 784, 64), (None, 1, 65, 33), (3, 33, 70, 17)]  # members, batch, in, out


def drawn(members, batch, fan_in, fan_out, seed=0):
    source = torch.Generator().manual_seed(seed)
    shape = (fan_out, fan_in) if members is None else (members, fan_out, fan_in)
    weight = HiddenWeight(torch.randn(shape, generator=source))
    x = torch.randn(batch, (members or 1) * fan_in, generator=source)
    return weight, x, torch.randn(batch, (members or 1) * fan_out, generator=source)


def both(weight, dtype=torch.float32, unit=None):
    ours = TensorCoreArithmetic(BinaryCopies(weight, integer=False, half=True), dtype, unit)
    return ours, TorchArithmetic(BinaryCopies(weight, half=True), dtype, unit)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("zero", [None, torch.zeros(())])
def test_forward_products_are_the_same_bits(shape, zero):
    weight, x, _ = drawn(*shape)
    pixels = x.mul(100).to(torch.int32).remainder(256).to(torch.uint8)
    for given, unit in ((x, None), (pixels, 0.5)):
        ours, theirs = both(weight, unit=unit)
        assert torch.equal(ours.forward(given, zero)[0], theirs.forward(given, zero)[0])


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("dtype", "error"), [(torch.float32, 1e-6), (torch.bfloat16, 4e-3)])
@pytest.mark.parametrize("unit", [None, 0.5])
def test_gradients_are_those_of_float32(shape, dtype, error, unit):
    """Only the result for the weights is rounded to the type that it is kept in."""
    weight, x, gradient = drawn(*shape)
    x = x if unit is None else x.mul(100).to(torch.int32).remainder(256).to(torch.uint8)
    results, passed = [], []
    for arithmetic, kept_in in zip(
        both(weight, dtype, unit)[:1] + both(weight, torch.float32, unit)[1:], (dtype, torch.float32), strict=True
    ):
        _, kept = arithmetic.forward(x, torch.zeros(()))
        prepared = arithmetic.prepared(gradient)
        results.append(torch.empty(len(weight) if shape[0] else 1, *weight.shape[-2:], dtype=kept_in))
        arithmetic.weight_gradient(prepared, kept, results[-1])
        passed.append(arithmetic.input_gradient(prepared))
    assert (results[0].double() - results[1].double()).norm() <= error * results[1].double().norm()
    assert (passed[0].double() - passed[1].double()).norm() <= 1e-6 * passed[1].double().norm()


@pytest.mark.parametrize("kind", [TensorCoreArithmetic, TorchArithmetic, NativeArithmetic])
def test_gradients_that_add_up_to_zero_give_a_constant_input_none(kind):
    """As they do behind a normalisation; rounded before they are multiplied they would not, and units would die."""
    if kind is NativeArithmetic and native.products is None:
        pytest.skip("not compiled, or a processor without AVX-512")
    weight, x, gradient = drawn(None, 100, 70, 17)
    x[:, 3] = 1.0
    gradient = gradient - gradient.mean(0)
    copies = BinaryCopies(weight, integer=kind is not TensorCoreArithmetic, half=kind is TensorCoreArithmetic)
    arithmetic = kind(copies, torch.bfloat16, None)
    result = torch.empty(1, 17, 70, dtype=torch.bfloat16)
    _, kept = arithmetic.forward(x, torch.zeros(()))
    arithmetic.weight_gradient(arithmetic.prepared(gradient), kept, result)
    assert result[0, :, 3].abs().max() <= 1e-6 * result.abs().max()


def test_what_is_not_finite_reaches_the_loss():
    weight, x, _ = drawn(*SHAPES[1])
    x[0, 0] = torch.inf
    ours, _ = both(weight)
    assert ours.forward(x, torch.zeros(()))[0].isnan().all()
    assert ours.forward(x, None)[0].isfinite().all()


def test_the_copies_are_in_bfloat16_only():
    copies = BinaryCopies(HiddenWeight(torch.tensor([0.5, -0.5, 0.0])), integer=False, half=True)
    assert copies.half().tolist() == [1, -1, 1]
    assert [copy.dtype for copy in copies.tensors()] == [torch.bfloat16]
    with pytest.raises(RuntimeError, match="integer=True"):
        copies.integer()


@pytest.fixture
def served(monkeypatch):
    """Let the engine take the CPU for a GPU."""
    monkeypatch.setattr(TensorCoreArithmetic, "serves", lambda weight: True)


@pytest.mark.usefixtures("served")
@pytest.mark.parametrize("members", [1, 2])
@pytest.mark.parametrize("precision", Precision)
def test_the_engine_trains_with_them_as_with_plain_products(members, precision):
    scenario = mp.permuted(mp.load("digits"), tasks=1, seed=3)
    losses = {}
    for engine in Engine:
        nets = [
            mp.BinaryMLP([64, 48, 33, 10], norm="recalibrated", generator=torch.Generator().manual_seed(seed))
            for seed in range(members)
        ]
        net = StackedMLP(nets) if members > 1 else nets[0]
        shown = stacked([scenario] * members) if members > 1 else scenario
        optimizer = mp.MetaplasticAdam(mp.param_groups(net, 5.0), lr=5e-3)
        seeds = tuple(range(members)) if members > 1 else 0
        with accelerated(net, optimizer, shown, engine, precision if engine is Engine.FAST else None) as chosen:
            if engine is Engine.FAST:
                assert (chosen.integer_layers, chosen.products, chosen.bytes) == (3, "tensor cores", True)
                assert "by tensor cores" in str(chosen)
            events = list(learn(net, chosen.shown(shown), optimizer, schedule=Schedule(epochs=2, seed=seeds)))
        losses[engine] = [event.losses for event in events]
    assert losses[Engine.FAST][0] == losses[Engine.PLAIN][0], "the first loss, before any rounding of gradients"
    last = [torch.tensor(losses[engine][-2]) for engine in Engine]
    torch.testing.assert_close(*last, rtol=0.1, atol=0.02)
