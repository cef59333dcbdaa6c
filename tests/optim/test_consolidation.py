"""Consolidation functions and the damping they are used in."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from metaplastic.optim import (
    CONSOLIDATION_FUNCTIONS,
    Exponential,
    HardThreshold,
    Logistic,
    PowerLaw,
    Tabulated,
    TanhSquared,
    consolidate,
)
from metaplastic.testing import CONSOLIDATION_RULES

FUNCTIONS = {**CONSOLIDATION_FUNCTIONS, "tabulated": Tabulated((0.0, 0.5, 2.0), (1.0, 0.7, 0.1))}
SMOOTH = sorted(set(FUNCTIONS) - {"hard-threshold"})
every_function = pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS.keys())
numbers = st.floats(-1e3, 1e3).filter(lambda x: x == 0 or abs(x) > 1e-100)
strengths = st.floats(0, 20)
vectors = st.lists(st.tuples(numbers, numbers), min_size=1, max_size=8)


def tensor(values):
    return torch.tensor(values, dtype=torch.float64)


def test_every_named_function_is_known():
    assert sorted(CONSOLIDATION_FUNCTIONS) == [
        "exponential",
        "hard-threshold",
        "logistic",
        "power-law",
        "tanh-squared",
    ]


@every_function
@given(hidden=st.lists(numbers, min_size=1, max_size=8), metaplasticity=strengths)
@settings(deadline=None)
def test_factors_are_even_between_0_and_1_and_fall_with_the_hidden_weight(function, hidden, metaplasticity):
    hidden = tensor(sorted(hidden, key=abs))
    factors = function(hidden, metaplasticity)
    assert factors.dtype == hidden.dtype
    assert factors.shape == hidden.shape
    assert torch.equal(factors, function(-hidden, metaplasticity))
    assert ((factors >= 0) & (factors <= 1)).all()
    assert (factors.diff() <= 1e-15).all()


@every_function
@pytest.mark.parametrize("rule", CONSOLIDATION_RULES, ids=lambda rule: rule.__name__)
def test_the_contract_is_kept(function, rule):
    rule(function)


@pytest.mark.parametrize("name", SMOOTH)
def test_the_factor_can_be_differentiated(name):
    hidden = tensor([-1.5, -0.3, 0.2, 1.1]).requires_grad_()
    assert torch.autograd.gradcheck(lambda weight: FUNCTIONS[name](weight, 1.2), (hidden,))


@pytest.mark.parametrize(
    ("metaplasticity", "hidden"),
    [(0.5, 1.76), (1.0, 0.88), (1.2, 0.73), (1.35, 0.65), (1.5, 0.59), (1.8, 0.49), (2.5, 0.35), (13.0, 0.068)],
)
def test_the_published_function_halves_where_the_method_says(metaplasticity, hidden):
    assert TanhSquared()(tensor(hidden), metaplasticity).item() == pytest.approx(0.5, abs=0.008)


@pytest.mark.parametrize(
    ("function", "state"),
    [
        (TanhSquared(), math.atanh(math.sqrt(0.5))),
        (Exponential(), math.log(2)),
        (Logistic(), math.log(3)),
        (PowerLaw(), math.sqrt(2) - 1),
        (PowerLaw(1.0), 1.0),
    ],
)
def test_half_attenuation_is_where_the_formula_puts_it(function, state):
    assert function(tensor(state / 1.35), 1.35).item() == pytest.approx(0.5, abs=1e-14)


def test_the_published_function_ends_in_an_exponential():
    assert TanhSquared()(tensor(5.0), 1.0).item() == pytest.approx(4 * math.exp(-10), rel=1e-4)


def test_the_hard_threshold_lies_at_one_over_m():
    hidden = tensor([0.49, 0.5, 0.51])
    assert HardThreshold()(hidden, 2.0).tolist() == [1.0, 1.0, 0.0]


@pytest.mark.parametrize("exponent", [0.0, -1.0, math.inf, math.nan])
def test_a_power_law_needs_a_positive_exponent(exponent):
    with pytest.raises(ValueError, match=r"expected a finite exponent above 0, got .*; for no damping set"):
        PowerLaw(exponent)


@every_function
@given(pairs=vectors, metaplasticity=strengths)
@settings(deadline=None)
def test_consolidate_agrees_with_a_loop_over_synapses(function, pairs, metaplasticity):
    update, hidden = tensor([u for u, _ in pairs]), tensor([w for _, w in pairs])
    expected = []
    for u, w in pairs:
        sign = 1 if w > 0 else -1
        expected.append(u * function(tensor([w]), metaplasticity).item() if u * sign > 0 else u)
    torch.testing.assert_close(consolidate(update, hidden, metaplasticity, function), tensor(expected))


@every_function
@given(pairs=vectors, metaplasticity=strengths)
@settings(deadline=None)
def test_consolidate_is_odd_never_lengthens_and_leaves_steps_away_from_zero_alone(function, pairs, metaplasticity):
    update, hidden = tensor([u for u, _ in pairs]), tensor([w for _, w in pairs])
    before = update.clone(), hidden.clone()
    damped = consolidate(update, hidden, metaplasticity, function)
    assert torch.equal(damped, -consolidate(-update, -hidden, metaplasticity, function))
    assert (damped.abs() <= update.abs()).all()
    away = update * hidden <= 0
    assert torch.equal(damped[away], update[away])
    assert torch.equal(update, before[0])
    assert torch.equal(hidden, before[1])


def test_consolidate_damps_with_the_published_function_unless_told_otherwise():
    update, hidden = torch.randn(50), torch.randn(50)
    assert torch.equal(consolidate(update, hidden, 1.35), consolidate(update, hidden, 1.35, TanhSquared()))


@every_function
def test_consolidate_can_be_vectorised_over_networks(function):
    update, hidden = torch.randn(3, 4, 5), torch.randn(3, 4, 5)
    together = torch.func.vmap(lambda u, w: consolidate(u, w, 1.35, function))(update, hidden)
    assert torch.equal(together, consolidate(update, hidden, 1.35, function))


@pytest.mark.parametrize("name", sorted(CONSOLIDATION_FUNCTIONS))
def test_consolidate_can_be_traced(name):
    update, hidden = torch.randn(4, 5), torch.randn(4, 5)
    graph = torch.fx.experimental.proxy_tensor.make_fx(
        lambda u, w: consolidate(u, w, 1.35, CONSOLIDATION_FUNCTIONS[name])
    )(update, hidden)
    assert torch.equal(graph(-update, hidden), consolidate(-update, hidden, 1.35, CONSOLIDATION_FUNCTIONS[name]))
