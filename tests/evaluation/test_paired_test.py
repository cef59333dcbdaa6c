"""The paired test and Student's interval, against loops and against scipy."""

import itertools

import numpy as np
import pytest
from scipy import stats

from metaplastic.evaluation import mean_interval, paired_permutation_test, student_quantile


def by_brute_force(first, second):
    differences = [a - b for a, b in zip(first, second, strict=True)]
    flipped = [
        abs(sum(sign * value for sign, value in zip(signs, differences, strict=True)))
        for signs in itertools.product((-1, 1), repeat=len(differences))
    ]
    return sum(value >= abs(sum(differences)) - 1e-12 for value in flipped) / len(flipped)


def pairs(seed, count):
    random = np.random.default_rng(seed)
    return random.normal(0.4, 1.0, count), random.normal(0.0, 1.0, count)


@pytest.mark.parametrize("count", range(1, 9))
def test_the_p_value_counts_all_sign_flips(count):
    for seed in range(5):
        first, second = pairs(seed, count)
        assert paired_permutation_test(first.tolist(), second.tolist()).p_value == by_brute_force(first, second)


@pytest.mark.parametrize("count", [3, 5, 8])
def test_the_p_value_is_that_of_scipy(count):
    for seed in range(3):
        first, second = pairs(seed, count)
        theirs = stats.permutation_test(
            (first, second), lambda a, b: np.mean(a - b), permutation_type="samples", n_resamples=np.inf
        )
        ours = paired_permutation_test(first.tolist(), second.tolist())
        assert ours.p_value == pytest.approx(theirs.pvalue, abs=1e-15)
        assert ours.difference == pytest.approx(theirs.statistic, rel=1e-12)


def test_five_differences_of_one_sign_give_the_smallest_p_of_five_pairs():
    found = paired_permutation_test([5.0, 4.0, 3.0, 2.0, 1.0], [0.0] * 5)
    assert found.p_value == found.smallest_p == 1 / 16


def test_equal_values_are_no_evidence():
    assert paired_permutation_test([0.1, 0.2], [0.1, 0.2]).p_value == 1.0


def test_ties_count_whatever_the_order_of_the_terms():
    # 0.1 + 0.2 - 0.3 is not 0 in floating point.
    assert paired_permutation_test([0.1, 0.2, -0.3], [0.0] * 3).p_value == 1.0


def test_values_that_are_no_pairs_are_refused():
    with pytest.raises(ValueError, match=r"expected as many values of both, from 1 to 20, got 2 and 1; pair them"):
        paired_permutation_test([1.0, 2.0], [1.0])
    with pytest.raises(ValueError, match=r"expected as many values of both, from 1 to 20, got 21 and 21"):
        paired_permutation_test([1.0] * 21, [1.0] * 21)
    with pytest.raises(ValueError, match=r"expected finite values, got \[nan\] and \[1.0\]; leave out"):
        paired_permutation_test([float("nan")], [1.0])


@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.999])
@pytest.mark.parametrize("degrees", [1, 2, 3, 4, 5, 10, 29, 30, 101])
def test_quantiles_are_those_of_scipy(degrees, confidence):
    theirs = stats.t.ppf((1 + confidence) / 2, degrees)
    assert student_quantile(degrees, confidence) == pytest.approx(theirs, rel=1e-9)


def test_intervals_are_those_of_scipy():
    values = np.random.default_rng(1).normal(size=(5, 3, 2))
    mean, half = mean_interval(values)
    low, high = stats.t.interval(0.95, 4, loc=values.mean(axis=0), scale=stats.sem(values, axis=0))
    assert np.allclose(mean - half, low, atol=1e-12)
    assert np.allclose(mean + half, high, atol=1e-12)


def test_one_seed_has_a_mean_and_no_interval():
    mean, half = mean_interval(np.array([3.0]))
    assert mean == 3.0
    assert np.isnan(half)


def test_a_quantile_without_freedom_is_refused():
    with pytest.raises(ValueError, match=r"expected at least one degree of freedom .* got 0 and 0.95"):
        student_quantile(0)
