"""The update rules: their special cases, and what they refuse."""

import copy
import math

import pytest
import torch
from torch import nn

from metaplastic.hidden_weight import HiddenWeight
from metaplastic.optim import (
    CONSOLIDATION_FUNCTIONS,
    EpsPlacement,
    Exponential,
    MetaplasticAdam,
    MetaplasticSGD,
    PowerLaw,
    TanhSquared,
)
from metaplastic.optim.update import bias_correction


def gradients(steps, shape=(7, 5), dtype=torch.float64):
    """Gradients of sizes over many decades, some of them 0, never only zeros at one place."""
    random = torch.Generator().manual_seed(3)
    scales = 10.0 ** torch.linspace(-6, 2, shape[0], dtype=torch.float64)[:, None]
    drawn = torch.randn(steps, *shape, generator=random, dtype=torch.float64) * scales
    return drawn.to(dtype)


def trained(build, steps=50):
    weight = HiddenWeight(torch.randn(7, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64))
    optimizer = build([weight])
    for gradient in gradients(steps):
        weight.grad = gradient.clone()
        optimizer.step()
    return weight.detach()


@pytest.mark.parametrize("weight_decay", [0.0, 1e-2])
def test_without_metaplasticity_and_eps_it_is_adam(weight_decay):
    options = {"lr": 5e-3, "eps": 0.0, "weight_decay": weight_decay}
    ours = trained(lambda params: MetaplasticAdam(params, metaplasticity=0.0, **options))
    theirs = trained(lambda params: torch.optim.Adam(params, **options))
    torch.testing.assert_close(ours, theirs, rtol=0, atol=2e-15)


@pytest.mark.parametrize("eps", [1e-8, 1e-3, 1.0])
@pytest.mark.parametrize("weight_decay", [0.0, 1e-2])
def test_eps_after_correction_is_todays_adam(eps, weight_decay):
    options = {"lr": 5e-3, "betas": (0.8, 0.99), "eps": eps, "weight_decay": weight_decay}
    ours = trained(
        lambda params: MetaplasticAdam(
            params, metaplasticity=0.0, eps_placement=EpsPlacement.AFTER_CORRECTION, **options
        )
    )
    theirs = trained(lambda params: torch.optim.Adam(params, **options))
    torch.testing.assert_close(ours, theirs, rtol=0, atol=2e-15)


def test_eps_before_correction_differs_from_todays_adam():
    ours = trained(lambda params: MetaplasticAdam(params, metaplasticity=0.0, eps=1e-3))
    theirs = trained(lambda params: torch.optim.Adam(params, lr=5e-3, eps=1e-3))
    assert (ours - theirs).abs().max() > 1e-3


def test_eps_before_correction_is_stronger_by_31_6_at_the_first_step():
    scale, before = bias_correction(1, (0.9, 0.999), 1e-8, EpsPlacement.BEFORE_CORRECTION)
    same_scale, after = bias_correction(1, (0.9, 0.999), 1e-8, EpsPlacement.AFTER_CORRECTION)
    assert scale == same_scale
    assert before / after == pytest.approx(31.6, abs=0.05)
    late = bias_correction(100_000, (0.9, 0.999), 1e-8, EpsPlacement.AFTER_CORRECTION)
    assert late == pytest.approx((1.0, 1e-8))


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("weight_decay", [0.0, 1e-2])
def test_without_metaplasticity_it_is_sgd(momentum, weight_decay):
    options = {"lr": 1e-4, "momentum": momentum, "weight_decay": weight_decay}
    ours = trained(lambda params: MetaplasticSGD(params, metaplasticity=0.0, **options))
    theirs = trained(lambda params: torch.optim.SGD(params, **options))
    torch.testing.assert_close(ours, theirs, rtol=1e-15, atol=1e-15)


def test_aligned_steps_to_half_attenuation_take_about_as_long_as_the_method_says():
    for lr, metaplasticity, expected in ((5e-3, 1.35, 130), (1e-4, 13.0, 680)):
        weight = HiddenWeight(torch.zeros(1, dtype=torch.float64))
        optimizer = MetaplasticAdam([weight], lr=lr, metaplasticity=metaplasticity)
        steps = 0
        while TanhSquared()(weight.detach(), metaplasticity) > 0.5:
            weight.grad = -torch.ones_like(weight)
            optimizer.step()
            steps += 1
        assert steps == pytest.approx(expected, rel=0.02)


def test_the_moments_are_never_damped():
    built = [HiddenWeight(torch.full((3,), 2.0)) for _ in range(2)]
    damped, free = (MetaplasticAdam([w], metaplasticity=m) for w, m in zip(built, (5.0, 0.0), strict=True))
    for _ in range(3):
        for weight, optimizer in zip(built, (damped, free), strict=True):
            weight.grad = torch.ones(3)
            optimizer.step()
    for name in ("first_moment", "second_moment"):
        assert torch.equal(damped.state[built[0]][name], free.state[built[1]][name])
    assert (built[0] > built[1]).all()


def test_the_sign_tested_is_that_of_the_first_moment():
    """One gradient of the other sign does not turn the moment, so the step still weakens and is still damped."""
    weight = HiddenWeight(torch.tensor([1.0], dtype=torch.float64))
    optimizer = MetaplasticAdam([weight], lr=1e-3, metaplasticity=3.0)
    for gradient in (1.0, 1.0, 1.0, -0.1):
        before = weight.item()
        weight.grad = torch.tensor([gradient], dtype=torch.float64)
        optimizer.step()
        assert 0 < before - weight.item() < 1e-3 * 0.011


def test_the_pull_of_weight_decay_is_damped():
    weight = HiddenWeight(torch.tensor([2.0], dtype=torch.float64))
    optimizer = MetaplasticSGD([weight], lr=0.1, weight_decay=0.5, metaplasticity=1.0, consolidation=Exponential())
    weight.grad = torch.zeros_like(weight)
    optimizer.step()
    assert weight.item() == pytest.approx(2 - 0.1 * 0.5 * 2 * math.exp(-2))


@pytest.mark.parametrize("name", sorted(CONSOLIDATION_FUNCTIONS))
def test_groups_may_differ_in_consolidation(name):
    weights = [HiddenWeight(torch.tensor([0.7])) for _ in range(2)]
    function = CONSOLIDATION_FUNCTIONS[name]
    groups = [{"params": [weights[0]]}, {"params": [weights[1]], "consolidation": function}]
    optimizer = MetaplasticSGD(groups, lr=0.1, metaplasticity=1.0)
    for weight in weights:
        weight.grad = torch.ones(1)
    optimizer.step()
    for weight, used in zip(weights, (TanhSquared(), function), strict=True):
        torch.testing.assert_close(weight.detach(), 0.7 - 0.1 * used(torch.tensor([0.7]), 1.0))


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("lr", -1.0, "expected lr to be a finite number from 0, got -1.0; the published runs use 0.005"),
        ("lr", math.nan, "expected lr to be a finite number from 0, got nan"),
        ("eps", -1e-8, "expected eps to be a finite number from 0, got -1e-08"),
        ("weight_decay", math.inf, "expected weight_decay to be a finite number from 0, got inf"),
        ("metaplasticity", -1.0, "expected metaplasticity to be a finite number from 0, got -1.0; use 0 for no"),
        ("metaplasticity", math.nan, "expected metaplasticity to be a finite number from 0, got nan"),
        ("metaplasticity", math.inf, "expected metaplasticity to be a finite number from 0, got inf"),
        ("betas", (1.0, 0.9), r"expected two betas in \[0, 1\), got \(1.0, 0.9\)"),
        ("betas", (0.9, math.nan), r"expected two betas in \[0, 1\), got \(0.9, nan\)"),
        ("betas", (0.9,), r"expected two betas in \[0, 1\), got \(0.9,\)"),
        ("betas", 0.9, r"expected two betas in \[0, 1\), got 0.9; the usual values are"),
    ],
)
def test_options_out_of_range_are_refused(option, value, message):
    with pytest.raises(ValueError, match=message):
        MetaplasticAdam([HiddenWeight(torch.zeros(2))], **{option: value})
    optimizer = MetaplasticAdam([HiddenWeight(torch.zeros(2))])
    with pytest.raises(ValueError, match=message):
        optimizer.add_param_group({"params": [HiddenWeight(torch.zeros(2))], option: value})
    assert len(optimizer.param_groups) == 1


def test_a_momentum_out_of_range_is_refused():
    with pytest.raises(ValueError, match=r"expected momentum in \[0, 1\), got 1.0; use 0 for none"):
        MetaplasticSGD([HiddenWeight(torch.zeros(2))], lr=0.1, momentum=1.0)


def test_a_class_is_not_a_consolidation_function():
    optimizer = MetaplasticAdam([HiddenWeight(torch.zeros(2))])
    with pytest.raises(ValueError, match=r"expected a consolidation function, got .*; pass a value such as Tanh"):
        optimizer.add_param_group({"params": [HiddenWeight(torch.zeros(2))], "consolidation": TanhSquared})


def test_sparse_gradients_are_refused():
    table = nn.Embedding(4, 2, sparse=True)
    optimizer = MetaplasticAdam([{"params": table.parameters(), "all_hidden": True}], metaplasticity=0.0)
    table(torch.tensor([1])).sum().backward()
    with pytest.raises(TypeError, match=r"expected a dense real gradient, got layout torch\.sparse_coo"):
        optimizer.step()


def test_a_network_and_its_optimizer_can_be_copied_together():
    weight = HiddenWeight(torch.ones(3))
    optimizer = MetaplasticAdam([weight], metaplasticity=1.0)
    weight.grad = torch.ones(3)
    optimizer.step()
    twin_weight, twin = copy.deepcopy((weight, optimizer))
    for parameter, each in ((weight, optimizer), (twin_weight, twin)):
        parameter.grad = torch.full((3,), -2.0)
        each.step()
    assert twin_weight is not weight
    assert torch.equal(twin_weight, weight)


def test_a_learning_rate_schedule_is_followed():
    weight = HiddenWeight(torch.zeros(1))
    optimizer = MetaplasticSGD([weight], lr=1.0, metaplasticity=0.0)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.5)
    for _ in range(2):
        weight.grad = -torch.ones(1)
        optimizer.step()
        schedule.step()
    assert weight.item() == 1.5


def test_a_consolidation_function_may_be_named():
    weight = HiddenWeight(torch.zeros(2))
    optimizer = MetaplasticAdam([weight], consolidation="power-law")
    optimizer.add_param_group({"params": [HiddenWeight(torch.zeros(2))], "consolidation": "exponential"})
    assert [group["consolidation"] for group in optimizer.param_groups] == [PowerLaw(), Exponential()]
    with pytest.raises(ValueError, match="unknown consolidation function 'power-lw'; did you mean 'power-law'"):
        MetaplasticAdam([weight], consolidation="power-lw")
