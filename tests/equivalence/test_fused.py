"""The fused update against the one in blocks: the same rule, compiled."""

import logging

import pytest
import torch

from metaplastic import native
from metaplastic.hidden_weight import HiddenWeight
from metaplastic.optim import CONSOLIDATION_FUNCTIONS, MetaplasticAdam, MetaplasticSGD, Tabulated, TanhSquared
from metaplastic.optim import fused as fusion
from metaplastic.storage import BinaryCopies

RULES = {
    "adam": lambda params, **options: MetaplasticAdam(params, lr=5e-3, weight_decay=1e-3, **options),
    "sgd": lambda params, **options: MetaplasticSGD(params, lr=0.1, momentum=0.9, **options),
    "sgd without momentum": lambda params, **options: MetaplasticSGD(params, lr=0.1, **options),
}


def weights(shape=(37, 5), dtype=torch.float64):
    return torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64).to(dtype)


def trained(build, steps=30, dtype=torch.float64, **options):
    weight = HiddenWeight(weights(dtype=dtype))
    optimizer = build([weight], **options)
    random = torch.Generator().manual_seed(2)
    for _ in range(steps):
        weight.grad = torch.randn(weight.shape, generator=random, dtype=torch.float64).to(dtype)
        optimizer.step()
    return weight.detach(), optimizer


@pytest.mark.parametrize("function", CONSOLIDATION_FUNCTIONS)
@pytest.mark.parametrize("rule", RULES)
def test_fused_steps_are_the_steps_in_blocks(rule, function):
    plain, _ = trained(RULES[rule], consolidation=function)
    fused, optimizer = trained(RULES[rule], consolidation=function, fused=True)
    assert optimizer.compile()
    torch.testing.assert_close(fused, plain, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("whose", ["native", "compiled"])
def test_in_float32_they_differ_by_rounding_only(whose, monkeypatch):
    if whose == "compiled":
        monkeypatch.setattr(native, "update", None)
    plain, _ = trained(RULES["adam"], dtype=torch.float32)
    fused, _ = trained(RULES["adam"], dtype=torch.float32, fused=True)
    torch.testing.assert_close(fused, plain, rtol=0, atol=1e-6)


def test_a_large_parameter_is_moved_from_end_to_end():
    """Beyond the size that is split among threads, and no multiple of what a vector holds."""
    ones = [HiddenWeight(torch.ones(2**21 + 3)) for _ in range(2)]
    for weight, is_fused in zip(ones, (False, True), strict=True):
        weight.grad = torch.linspace(-1, 1, weight.numel())
        MetaplasticAdam([weight], fused=is_fused).step()
    torch.testing.assert_close(ones[0], ones[1], rtol=0, atol=1e-6)


def test_nothing_is_compiled_anew_when_sizes_rates_and_strengths_change():
    shapes = [(64, 64), (3, 7), (129,), (1000, 300)]
    params = [HiddenWeight(weights(shape, torch.float32)) for shape in shapes]
    optimizer = MetaplasticAdam(params, fused=True)
    assert optimizer.compile()
    with torch.compiler.set_stance("fail_on_recompile"):
        for step in range(12):
            for weight in params:
                weight.grad = torch.randn(weight.shape)
            optimizer.param_groups[0].update(lr=1e-3 * (step + 1), metaplasticity=0.5 + step, weight_decay=1e-7 * step)
            optimizer.step()


def test_the_pass_writes_the_binary_copies_and_says_so():
    weight = HiddenWeight(weights(dtype=torch.float32))
    copies = BinaryCopies(weight, half=True)
    copies.integer()
    optimizer = MetaplasticSGD([weight], lr=3.0, fused=True)
    optimizer.copies = {weight: copies}
    weight.grad = weights((37, 5), torch.float32).flip(0)
    before = copies.integer().clone()
    optimizer.step()
    assert copies._written == (weight._version, weight.data_ptr()), "they are up to date without being written again"
    signs = torch.where(weight >= 0, 1.0, -1.0)
    assert torch.equal(copies.integer().float(), signs)
    assert torch.equal(copies.half().float(), signs)
    assert not torch.equal(copies.integer(), before)


@pytest.mark.skipif(native.update is None, reason="not compiled, or a processor without AVX-512")
@pytest.mark.parametrize("gradient_dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("metaplasticity", [0.0, 1.35, 50.0])
@pytest.mark.parametrize("function", ["tanh-squared", "exponential", "power-law"])
def test_the_native_pass_is_the_compiled_one_and_needs_no_compiler(
    gradient_dtype, metaplasticity, function, monkeypatch
):
    def moved(update):
        monkeypatch.setattr(native, "update", update)
        weight = HiddenWeight(weights((45, 7), torch.float32))
        weight.grad_dtype = gradient_dtype
        copies = BinaryCopies(weight, half=gradient_dtype is torch.bfloat16)
        options = {"weight_decay": 1e-3, "metaplasticity": metaplasticity, "consolidation": function, "fused": True}
        optimizer = MetaplasticAdam([weight], lr=5e-2, **options)
        optimizer.copies = {weight: copies}
        random = torch.Generator().manual_seed(2)
        for _ in range(20):
            weight.grad = torch.randn(weight.shape, generator=random).to(gradient_dtype)
            optimizer.step()
        return [weight.detach(), *(optimizer.state[weight][name] for name in ("first_moment", "second_moment"))], copies

    ours, copies = moved(native.update)
    assert torch.equal(copies.integer(), torch.where(ours[0] >= 0, 1, -1))
    assert copies._written == copies.state
    compiled, _ = moved(None)
    torch.testing.assert_close(ours, compiled, rtol=0, atol=1e-4)  # steps are 5e-2, and roundings add up
    monkeypatch.undo()
    monkeypatch.setattr(torch, "compile", lambda *arguments, **options: pytest.fail("it was compiled"))
    fusion._compiled.cache_clear()
    moved(native.update)


@pytest.mark.parametrize("half", [False, True])
def test_copies_follow_whatever_changes_the_weight(half):
    layer = torch.nn.Module()
    layer.weight = HiddenWeight(weights())
    copies = BinaryCopies(layer.weight, half=half)
    for change in (
        lambda: layer.load_state_dict({"weight": -layer.weight.detach()}),
        lambda: layer.weight.detach().neg_(),
        lambda: torch.optim.SGD([layer.weight], lr=10.0).step(),
    ):
        layer.weight.grad = weights().flip(0)
        change()
        assert torch.equal(copies.integer(), torch.where(layer.weight >= 0, 1, -1))


def test_without_a_compiler_steps_are_made_in_blocks_and_it_is_said_once(monkeypatch, caplog):
    def broken(*arguments, **options):
        raise RuntimeError("no C++ compiler")

    monkeypatch.setattr(torch, "compile", lambda *arguments, **options: broken)
    fusion._compiled.cache_clear()
    with caplog.at_level(logging.WARNING, logger="metaplastic"):
        plain, _ = trained(RULES["adam"])
        fallen, optimizer = trained(RULES["adam"], fused=True)
        assert not optimizer.compile()
    fusion._compiled.cache_clear()
    assert torch.equal(plain, fallen)
    said = [record.getMessage() for record in caplog.records if record.name == "metaplastic"]
    assert said == ["the update is not compiled but made in blocks, more slowly: RuntimeError: no C++ compiler"]


def test_a_function_that_cannot_be_compiled_is_no_error(caplog):
    def branching(hidden, metaplasticity):
        return TanhSquared()(hidden, metaplasticity) if float(hidden.max()) > 0 else torch.ones_like(hidden)

    with caplog.at_level(logging.WARNING, logger="metaplastic"):
        weight, optimizer = trained(RULES["adam"], consolidation=branching, fused=True)
    assert not optimizer.compile()
    assert torch.equal(weight, trained(RULES["adam"])[0])
    assert "made in blocks" in caplog.text


def test_a_function_without_a_hash_is_no_error(caplog):
    class Listed:
        __hash__ = None

        def __call__(self, hidden, metaplasticity):
            return TanhSquared()(hidden, metaplasticity)

    with caplog.at_level(logging.WARNING, logger="metaplastic"):
        weight, optimizer = trained(RULES["adam"], consolidation=Listed(), fused=True)
    assert not optimizer.compile()
    assert torch.equal(weight, trained(RULES["adam"])[0])
    assert caplog.text.count("Listed has no hash") == 1


def test_a_measured_curve_is_fused_or_made_in_blocks():
    curve = Tabulated(states=(0.0, 1.0, 3.0), relative_steps=(1.0, 0.5, 0.0))
    plain, _ = trained(RULES["adam"], consolidation=curve)
    fused, _ = trained(RULES["adam"], consolidation=curve, fused=True)
    torch.testing.assert_close(fused, plain, rtol=1e-12, atol=1e-12)


def test_another_number_of_threads_is_no_error():
    weight = HiddenWeight(torch.ones(100))
    optimizer = MetaplasticAdam([weight], fused=True)
    before = torch.get_num_threads()
    try:
        for threads in (before, before + 1, before):
            torch.set_num_threads(threads)
            weight.grad = torch.ones(100)
            optimizer.step()
    finally:
        torch.set_num_threads(before)
    assert optimizer.state[weight]["step"] == 3


def test_a_parameter_that_does_not_lie_in_one_piece_is_moved_all_the_same():
    ours, theirs = (HiddenWeight(weights().t()) for _ in range(2))
    for weight, is_fused in ((ours, True), (theirs, False)):
        weight.grad = weights((5, 37))
        MetaplasticAdam([weight], fused=is_fused).step()
    assert torch.equal(ours, theirs)
