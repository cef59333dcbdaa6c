"""Speeds, ranks and bins against scipy and against loops."""

import json
import math
import statistics
from dataclasses import replace

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from metaplastic.evaluation import LayerDivergence, divergence_report, divergence_speed, rank_correlation

NUMBERS = st.sampled_from([-1.0, -0.0, 0.0, 0.5, 2.0]) | st.floats(-3, 3)
PAIRS = st.lists(st.tuples(NUMBERS, NUMBERS), min_size=2, max_size=30)


def columns(pairs):
    return torch.tensor(pairs, dtype=torch.float64).T.contiguous()


@settings(deadline=None)
@given(PAIRS, st.integers(1, 1000))
def test_speed_is_the_distance_per_step(pairs, steps):
    before, after = columns(pairs)
    assert divergence_speed(before, after, steps).tolist() == [abs(end - start) / steps for start, end in pairs]


@settings(deadline=None)
@given(PAIRS)
def test_rank_correlation_equals_scipy(pairs):
    importance, speed = columns(pairs)
    constant = len({one for one, _ in pairs}) == 1 or len({other for _, other in pairs}) == 1
    found = rank_correlation(importance, speed)
    if constant:
        assert found is None
    else:
        assert found == pytest.approx(stats.spearmanr(importance, speed).statistic, abs=1e-9)
        assert -1 <= found <= 1


@settings(deadline=None)
@given(PAIRS)
def test_rank_correlation_looks_at_the_order_alone(pairs):
    importance, speed = columns(pairs)
    found = rank_correlation(importance, speed)
    assume(found is not None)
    assert rank_correlation(importance * 4, speed * 2) == pytest.approx(found, abs=1e-12)
    assert rank_correlation(-importance, speed) == pytest.approx(-found, abs=1e-12)
    assert rank_correlation(importance, importance) == pytest.approx(1)


def layers(count=60, zeros=20):
    random = torch.Generator().manual_seed(1)
    importance = torch.rand(count // 2, 2, generator=random, dtype=torch.float64)
    importance.view(-1)[:zeros] = 0
    before = torch.rand(count // 2, 2, generator=random, dtype=torch.float64)
    after = before + importance + 0.3 * torch.rand(count // 2, 2, generator=random, dtype=torch.float64)
    return {"a": importance}, {"a": before}, {"a": after}


def test_bins_hold_equal_numbers_and_their_means_are_those_of_a_loop():
    importance, before, after = layers(zeros=0)
    found = divergence_report(importance, before, after, steps=10, bins=6)["a"]
    speeds = ((after["a"] - before["a"]).abs() / 10).flatten().tolist()
    synapses = sorted(zip(importance["a"].flatten().tolist(), speeds, strict=True))
    assert found.weights == (10,) * 6
    for position in range(6):
        inside = synapses[10 * position : 10 * position + 10]
        assert found.importance[position] == pytest.approx(statistics.mean(one for one, _ in inside), rel=1e-12)
        assert found.speed[position] == pytest.approx(statistics.mean(speed for _, speed in inside), rel=1e-12)
        assert found.deviation[position] == pytest.approx(statistics.stdev(speed for _, speed in inside), rel=1e-9)
    expected = stats.spearmanr(importance["a"].flatten(), speeds).statistic
    assert found.rank_correlation == pytest.approx(expected, abs=1e-12)
    assert 0.5 < found.rank_correlation < 1
    assert found.speed[5] > found.speed[0]


def test_synapses_of_equal_importance_are_in_one_bin():
    found = divergence_report(*layers(zeros=20), steps=10, bins=6)["a"]
    assert found.weights == (0, 20, 10, 10, 10, 10)
    assert found.importance[:2] == (None, 0)
    assert (found.speed[0], found.deviation[0]) == (None, None)


def test_a_layer_of_one_importance_has_speeds_but_no_correlation():
    importance, before, after = layers(zeros=60)
    found = divergence_report(importance, before, after, steps=1, bins=3)["a"]
    assert found.rank_correlation is None
    assert found.weights == (0, 60, 0)
    assert found.speed[1] == pytest.approx(float((after["a"] - before["a"]).abs().mean()))


def test_synapses_without_importance_are_left_out_of_the_second_correlation():
    importance, before, after = layers(zeros=20)
    found = divergence_report(importance, before, after, steps=10)["a"]
    values, speed = importance["a"].flatten().numpy(), (after["a"] - before["a"]).abs().flatten().numpy()
    expected = stats.spearmanr(values[values > 0], speed[values > 0]).statistic
    assert found.correlation_above_zero == pytest.approx(expected, abs=1e-12)
    assert found.correlation_above_zero != pytest.approx(found.rank_correlation, abs=1e-4)
    assert divergence_report(*layers(zeros=60), steps=10)["a"].correlation_above_zero is None


def test_one_synapse_in_a_bin_has_no_deviation():
    one = torch.tensor([1.0, 2.0])
    found = divergence_report({"a": one}, {"a": 0 * one}, {"a": one}, steps=1, bins=2)["a"]
    assert (found.weights, found.speed, found.deviation) == ((1, 1), (1.0, 2.0), (None, None))


def test_some_synapses_of_a_layer_can_be_looked_at_alone():
    importance, before, after = layers()
    chosen = torch.tensor([40, 3, 58, 21])
    some = [{"a": parts["a"].flatten()[chosen]} for parts in (importance, before, after)]
    found = divergence_report(*some, steps=7, bins=1)["a"]
    speeds = [abs(float(after["a"].flatten()[i] - before["a"].flatten()[i])) / 7 for i in chosen]
    assert found.weights == (4,)
    assert found.speed[0] == pytest.approx(statistics.mean(speeds))


def test_the_report_keeps_the_order_of_the_layers_and_survives_json():
    importance, before, after = ({"b": parts["a"], "a": parts["a"].float()} for parts in layers())
    after = dict(sorted(after.items()))
    report = divergence_report(importance, before, after, steps=3, bins=6)
    assert list(report) == ["b", "a"]
    plain = json.loads(json.dumps(report["b"].as_json(), allow_nan=False))
    assert plain == report["b"].as_json()
    assert None in plain["speed"]
    assert LayerDivergence.from_json(plain) == report["b"]


def test_a_component_that_drifts_costs_twice_its_speed_over_the_learning_rate_and_its_curvature():
    """The published theory on two uncoupled components: W* beyond the unit interval drifts, within it hovers."""
    curvature, optimum = torch.tensor([2.0, 0.5], dtype=torch.float64), torch.tensor([3.0, 0.25], dtype=torch.float64)
    rate, steps = 0.1, 400
    start = hidden = torch.tensor([0.01, 0.02], dtype=torch.float64)
    for _ in range(steps):
        hidden = hidden - rate * curvature * (hidden.sign() - optimum)
    speed = divergence_speed(start, hidden, steps)
    binary = hidden.sign()
    cost = 0.5 * curvature * ((-binary - optimum) ** 2 - (binary - optimum) ** 2)
    assert float(cost[0]) == pytest.approx(float(2 * speed[0] / rate + 2 * curvature[0]), rel=1e-9)
    assert speed[1] < 0.01 * speed[0]


ONE, TWO, NONE, NAN = torch.ones(1), torch.ones(2), torch.ones(0), torch.tensor([1.0, math.nan])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: divergence_speed(ONE, ONE, 0), "expected steps >= 1 between the two moments, got 0"),
        (lambda: divergence_speed(ONE, TWO, 1), r"one shape, got \(1,\) and \(2,\); take both from the same synapses"),
        (lambda: divergence_speed(TWO, NAN, 1), "expected finite hidden weights after, got infinity or NaN"),
        (lambda: divergence_speed(NONE, NONE, 1), r"hidden weights before, got an empty tensor of shape \(0,\)"),
        (lambda: rank_correlation(ONE, TWO), r"importance and speed of one shape, got \(1,\) and \(2,\)"),
        (lambda: rank_correlation(NAN, TWO), "expected finite importances"),
        (lambda: divergence_report({"a": ONE}, {"b": ONE}, {"a": ONE}, 1), r"layers \['a'\] in before, got \['b'\]"),
        (lambda: divergence_report({"a": ONE}, {"a": ONE}, {}, 1), r"layers \['a'\] in after, got \[\]"),
        (lambda: divergence_report({"a": TWO}, {"a": ONE}, {"a": ONE}, 1), "in layer 'a': expected importance and"),
        (lambda: divergence_report({"a": NAN}, {"a": TWO}, {"a": TWO}, 1), "in layer 'a': expected finite importances"),
        (lambda: divergence_report({}, {}, {}, 1, bins=0), "expected bins >= 1, got 0"),
        (lambda: LayerDivergence.from_json({}), r"of a LayerDivergence, got \[\]; give what as_json returned"),
        (
            lambda: replace(divergence_report(*layers(), steps=1, bins=3)["a"], weights=(1,)),
            r"expected one value per bin in each field, got \[1, 3, 3, 3\]",
        ),
    ],
)
def test_errors_say_what_is_wrong(call, message):
    with pytest.raises(ValueError, match=message):
        call()
