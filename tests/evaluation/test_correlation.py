"""Pearson's correlation is that of the standard library, and is none where there is nothing to correlate."""

import statistics

import pytest
import torch

from metaplastic.evaluation.correlation import correlation

RISING = torch.arange(3, dtype=torch.float64)


@pytest.mark.parametrize("scale", [1.0, 1e-150, 1e60])
def test_it_is_that_of_the_standard_library(scale):
    generator = torch.Generator().manual_seed(0)
    first, noise = (torch.randn(50, generator=generator, dtype=torch.float64) for _ in range(2))
    second = first + noise
    found = correlation(scale * first, second)
    assert found == pytest.approx(statistics.correlation(first.tolist(), second.tolist()), abs=1e-12)
    assert correlation(first, -scale * first) == pytest.approx(-1)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (RISING[:0], RISING[:0]),
        (RISING[:1], RISING[:1]),
        # The mean of three times 0.1 is not 0.1 in float64.
        (torch.full_like(RISING, 0.1), RISING),
        (RISING, torch.full_like(RISING, 0.1)),
    ],
    ids=["no point", "one point", "equal first", "equal second"],
)
def test_values_that_do_not_differ_have_none(first, second):
    assert correlation(first, second) is None
