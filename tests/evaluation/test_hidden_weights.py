import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from metaplastic.evaluation.hidden_weights import (
    MagnitudeHistogram,
    consolidated_fraction,
    flip_rate,
    hidden_weight_histogram,
    layer_report,
    magnitude_range,
)
from metaplastic.hidden_weight import HiddenWeight

NUMBERS = st.sampled_from([-2.0, -0.5, -0.0, 0.0, 0.25, 0.5, 1.0]) | st.floats(-3, 3, width=32)
LISTS = st.lists(NUMBERS, min_size=1, max_size=20)


def sign(value: float) -> int:
    return 1 if value >= 0 else -1


@given(st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=20))
def test_flip_rate_counts_changed_signs(pairs):
    before, after = torch.tensor(pairs).T
    flips = sum(sign(first) != sign(second) for first, second in pairs)
    assert flip_rate(before, after) == flips / len(pairs)
    assert flip_rate(after, before) == flip_rate(before, after)
    assert flip_rate(before, before) == 0


def test_zero_is_positive_whatever_its_sign_bit():
    assert flip_rate(torch.tensor([0.0, -0.0]), torch.tensor([-0.0, 1.0])) == 0
    assert flip_rate(torch.tensor([0.0, -0.0]), torch.tensor([-1.0, -1.0])) == 1


@given(st.lists(st.sampled_from([0.0, 0.25, math.nextafter(0.5, 0), 0.5, 0.75, 1.0]), min_size=1, max_size=20))
def test_consolidated_fraction_counts_values_below_a_half(values):
    expected = sum(value < 0.5 for value in values) / len(values)
    assert consolidated_fraction(torch.tensor(values, dtype=torch.float64)) == expected


@given(LISTS, st.integers(1, 8), st.sampled_from([(0.0, 1.0), (0.25, 0.5), (0.0, 4.0)]))
def test_histogram_equals_numpy_and_counts_every_weight(values, bins, limits):
    found = hidden_weight_histogram(torch.tensor(values), bins, limits)
    magnitudes = np.abs(np.array(values))
    assert len(found.edges) == bins + 1
    assert found.edges == pytest.approx(np.linspace(*limits, bins + 1).tolist())
    # numpy closes only the last bin on the right, and so does the definition here
    inside = [
        sum(low <= m < high or m == high == limits[1] for m in magnitudes)
        for low, high in zip(found.edges, found.edges[1:], strict=False)
    ]
    if bins & (bins - 1) == 0:  # borders are exact, so that a weight on a border has one right bin
        assert list(found.counts) == inside == np.histogram(magnitudes, bins, limits)[0].tolist()
    assert found.below == sum(m < limits[0] for m in magnitudes)
    assert found.above == sum(m > limits[1] for m in magnitudes)
    assert sum(found.counts) + found.below + found.above == len(values)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_any_float_type_and_a_parameter_with_gradient(dtype):
    hidden = HiddenWeight(torch.tensor([[0.25, -0.75], [0.0, math.inf]], dtype=dtype))
    assert hidden_weight_histogram(hidden, 2).counts == (2, 1)
    assert hidden_weight_histogram(hidden, 2).above == 1
    assert flip_rate(hidden, -hidden) == 0.75
    assert layer_report({"w": hidden}, {"w": hidden}, {"w": torch.ones_like(hidden)})["w"]["mean_magnitude"] == math.inf


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_the_range_of_several_moments_leaves_no_weight_of_any_out(dtype):
    random = torch.Generator().manual_seed(0)
    moments = [scale * torch.randn(4, 25, generator=random).to(dtype) for scale in (0.1, 7.0, 1.0)]
    limits = magnitude_range(*moments)
    assert limits == (0, max(abs(value) for moment in moments for value in moment.flatten().tolist()))
    histograms = [hidden_weight_histogram(moment, 9, limits) for moment in moments]
    assert {histogram.edges for histogram in histograms} == {histograms[0].edges}
    assert [sum(histogram.counts) for histogram in histograms] == [100, 100, 100]
    assert histograms[1].counts[-1] >= 1


def test_json_gives_back_the_histogram():
    histogram = hidden_weight_histogram(torch.tensor([0.1, -0.7, 3.0]), 3)
    plain = json.loads(json.dumps(histogram.as_json()))
    assert plain == histogram.as_json()
    assert MagnitudeHistogram.from_json(plain) == histogram


def test_layer_report_is_plain_and_leaves_its_arguments_alone():
    torch.manual_seed(0)
    before = {"first": nn.Parameter(torch.randn(4, 3)), "second": torch.randn(2, 4, dtype=torch.float64)}
    after = {"second": torch.randn(2, 4, dtype=torch.float64), "first": nn.Parameter(torch.randn(4, 3))}
    attenuation = {name: torch.rand_like(weight) for name, weight in before.items()}
    copies = {name: weight.detach().clone() for name, weight in after.items()}
    report = layer_report(before, after, attenuation)
    assert list(report) == ["second", "first"]
    for name, numbers in report.items():
        flat = after[name].flatten().tolist()
        flips = sum(sign(b) != sign(a) for b, a in zip(before[name].flatten().tolist(), flat, strict=True))
        low = sum(value < 0.5 for value in attenuation[name].flatten().tolist())
        assert numbers["flip_rate"] == flips / len(flat)
        assert numbers["consolidated_fraction"] == low / len(flat)
        assert numbers["mean_magnitude"] == pytest.approx(sum(map(abs, flat)) / len(flat), rel=1e-12)
        assert torch.equal(after[name], copies[name])
    assert json.loads(json.dumps(report)) == report
    assert {type(number) for numbers in report.values() for number in numbers.values()} == {float}


ONE, TWO, NONE, NAN = torch.ones(1), torch.ones(2), torch.ones(0, 3), torch.tensor([1.0, math.nan])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: flip_rate(ONE, TWO), r"one shape, got \(1,\) and \(2,\); take both from the same synapses"),
        (lambda: flip_rate(NONE, NONE), r"expected hidden weights, got an empty tensor of shape \(0, 3\)"),
        (lambda: flip_rate(TWO, NAN), "got NaN; training has diverged"),
        (lambda: flip_rate(NAN, TWO), "got NaN; training has diverged"),
        (lambda: consolidated_fraction(NONE), "expected attenuations, got an empty tensor"),
        (lambda: consolidated_fraction(NAN), "expected attenuations that are numbers, got NaN"),
        (lambda: hidden_weight_histogram(NONE), "expected hidden weights, got an empty tensor"),
        (lambda: hidden_weight_histogram(NAN), "got NaN"),
        (lambda: hidden_weight_histogram(ONE, 0), "expected at least 1 bin and 0 <= first < last, got 0 bins"),
        (lambda: hidden_weight_histogram(ONE, 5, (1.0, 1.0)), "got 5 bins from 1.0 to 1.0"),
        (lambda: hidden_weight_histogram(ONE, 5, (-1.0, 1.0)), "got 5 bins from -1.0 to 1.0"),
        (lambda: magnitude_range(), "finite and not all 0, got a largest magnitude of 0.0"),
        (lambda: magnitude_range(0 * ONE), "finite and not all 0, got a largest magnitude of 0.0"),
        (lambda: magnitude_range(ONE, math.inf * ONE), "got a largest magnitude of inf"),
        (lambda: magnitude_range(ONE, NAN), "got NaN; training has diverged"),
        (lambda: magnitude_range(ONE, NONE), "expected hidden weights, got an empty tensor"),
        (lambda: MagnitudeHistogram.from_json({"a": 1}), r"of a MagnitudeHistogram, got \['a'\]; give what as_json"),
        (lambda: layer_report({"a": ONE}, {"b": ONE}, {"b": ONE}), r"expected the layers \['b'\] in before"),
        (lambda: layer_report({"a": ONE}, {"a": ONE}, {}), r"layers \['a'\] in attenuation, got \[\]; take both"),
        (lambda: layer_report({"a": ONE}, {"a": ONE}, {"a": TWO}), "attenuation of 'a' of one shape"),
        (lambda: layer_report({"a": ONE}, {"a": TWO}, {"a": TWO}), "in layer 'a': expected hidden weights before"),
    ],
)
def test_errors_say_what_is_wrong(call, message):
    with pytest.raises(ValueError, match=message):
        call()
