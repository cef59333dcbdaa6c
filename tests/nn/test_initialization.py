"""Where hidden weights start: bounds, deviations, errors."""

import math

import pytest
import torch

from metaplastic.nn import Distribution, Initialization


def draw(initialization, shape=(300, 200), seed=0):
    return initialization.draw(shape, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("width", [0.1, 4.0])
def test_uniform_weights_fill_the_interval_of_that_width(width):
    weight = draw(Initialization(Distribution.UNIFORM, width))
    assert weight.abs().max() <= width / 2
    assert weight.max() > 0.499 * width
    assert weight.min() < -0.499 * width
    assert weight.std().item() == pytest.approx(width / math.sqrt(12), rel=0.02)


def test_the_published_default():
    assert Initialization() == Initialization(Distribution.UNIFORM, 0.1)


def test_gaussian_weights_have_the_width_as_deviation():
    weight = draw(Initialization(Distribution.GAUSS, 0.007))
    assert weight.std().item() == pytest.approx(0.007, rel=0.02)
    assert abs(weight.mean().item()) < 0.0002
    assert weight.abs().max() > 3 * 0.007  # a bounded distribution has no such tails


@pytest.mark.parametrize("shape", [(300, 200), (100, 20, 5, 3)])
def test_xavier_equals_torch(shape):
    expected = torch.nn.init.xavier_normal_(torch.empty(shape), generator=torch.Generator().manual_seed(3))
    found = draw(Initialization(Distribution.XAVIER, width=123.0), shape, seed=3)
    assert found.std().item() == pytest.approx(expected.std().item(), rel=0.03)
    assert found.abs().max() > 3 * found.std()  # a bounded distribution has no such tails
    receptive = math.prod(shape[2:])
    assert found.std().item() == pytest.approx(math.sqrt(2 / (sum(shape[:2]) * receptive)), rel=0.02)


def test_the_generator_is_the_only_source():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    for distribution in Distribution:
        first, second, third = (draw(Initialization(distribution), seed=seed) for seed in (5, 5, 6))
        assert torch.equal(first, second)
        assert not torch.equal(first, third)
        assert first.dtype == torch.float32
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("width", [0.0, -0.1, math.nan, math.inf])
def test_a_width_that_is_not_positive_is_refused(width):
    with pytest.raises(ValueError, match=f"expected a width > 0 for the hidden weights, got {width}; the paper's"):
        Initialization(width=width)
