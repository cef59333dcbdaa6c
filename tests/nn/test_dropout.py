"""Dropout on signs: values, gradients, and a state that can be resumed."""

import copy
import io

import pytest
import torch

from metaplastic.nn import SignDropout


def normal(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("p", [0.1, 0.3, 0.5, 0.9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_units_are_signs_or_silent(p, dtype):
    x = normal(100, 100).to(dtype)
    y = SignDropout(p, seed=3)(x)
    assert y.dtype == dtype
    assert y.unique().tolist() == [-1.0, 0.0, 1.0]
    kept = y != 0
    assert kept.double().mean().item() == pytest.approx(1 - p, abs=0.02)
    assert torch.equal(y[kept] > 0, x[kept] >= 0)


@pytest.mark.parametrize("rescale", [False, True])
def test_kept_gradients_are_scaled_whether_or_not_values_are(rescale):
    x = normal(50, 20).requires_grad_()
    y = SignDropout(0.75, rescale=rescale, seed=3)(x)
    upstream = normal(50, 20) + 5
    y.backward(upstream)
    kept = (y != 0).double()
    torch.testing.assert_close(x.grad, upstream * kept * (x.abs() <= 1) * 4.0, rtol=1e-12, atol=1e-12)
    assert set(y.unique().tolist()) == ({-4.0, 0.0, 4.0} if rescale else {-1.0, 0.0, 1.0})


@pytest.mark.parametrize("rescale", [False, True])
def test_nothing_is_silenced_in_evaluation_or_without_probability(rescale):
    x = normal(30, 30)
    signs = torch.where(x >= 0, 1.0, -1.0).double()
    evaluated, without = SignDropout(0.5, rescale=rescale).eval(), SignDropout(0.0, rescale=rescale)
    state = evaluated.generator.get_state()
    assert torch.equal(evaluated(x), signs)
    assert torch.equal(without(x), signs)
    assert torch.equal(evaluated.generator.get_state(), state)


def test_masks_change_from_call_to_call_and_the_global_generator_is_not_used():
    x, dropout = normal(30, 30), SignDropout(0.5, seed=1)
    before = torch.get_rng_state()
    first, second = dropout(x), dropout(x)
    assert not torch.equal(first, second)
    assert torch.equal(first, SignDropout(0.5, seed=1)(x))
    assert not torch.equal(first, SignDropout(0.5, seed=2)(x))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_reloaded_layer_drops_the_same_units():
    x, dropout = normal(30, 30), SignDropout(0.5, seed=1)
    dropout(x)
    file = io.BytesIO()
    torch.save(dropout.state_dict(), file)
    file.seek(0)
    twin = copy.deepcopy(dropout)
    expected = dropout(x)
    other = SignDropout(0.5, seed=99)
    other.load_state_dict(torch.load(file))
    assert torch.equal(other(x), expected)
    assert torch.equal(twin(x), expected)
    assert not torch.equal(dropout(x), expected)


@pytest.mark.parametrize("p", [-0.1, 1.0, 1.5])
def test_a_probability_out_of_range_is_refused(p):
    with pytest.raises(ValueError, match=rf"expected a dropout probability in \[0, 1\), got {p}; 0 switches it off"):
        SignDropout(p)


def test_the_layer_says_what_it_does():
    assert repr(SignDropout(0.5, rescale=True)) == "SignDropout(p=0.5, rescale=True)"
