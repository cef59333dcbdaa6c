"""The sign and its pseudo-gradients, forward and backward together."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.func import grad, vmap

from metaplastic.nn import binary_sign, clipped_straight_through, straight_through

BEYOND = math.nextafter(1.0, 2.0)
numbers = st.sampled_from([0.0, -0.0, 1.0, -1.0, BEYOND, -BEYOND, 5e-324, -5e-324]) | st.floats(-3, 3)

CASES = [  # x, sign(x), whether the clipped pseudo-gradient passes
    (-BEYOND, -1, False),
    (-1.0, -1, True),
    (-5e-324, -1, True),
    (-0.0, 1, True),
    (0.0, 1, True),
    (5e-324, 1, True),
    (1.0, 1, True),
    (BEYOND, 1, False),
]


def upstream(count):
    return torch.arange(2.0, 2 + count, dtype=torch.float64)


@pytest.mark.parametrize(
    ("arguments", "passes"),
    [((), None), ((clipped_straight_through,), None), ((straight_through,), True)],
    ids=["default", "clipped", "straight"],
)
def test_forward_and_pseudo_gradient_at_zero_and_at_the_clip_edge(arguments, passes):
    x = torch.tensor([case[0] for case in CASES], dtype=torch.float64, requires_grad=True)
    signs = binary_sign(x, *arguments)
    assert signs.tolist() == [case[1] for case in CASES]
    gradient = upstream(len(CASES))
    signs.backward(gradient)
    expected = [g * (case[2] if passes is None else passes) for g, case in zip(gradient.tolist(), CASES, strict=True)]
    assert x.grad.tolist() == expected


@given(st.lists(numbers, min_size=1, max_size=8))
def test_forward_and_pseudo_gradient_equal_a_loop(values):
    x = torch.tensor(values, dtype=torch.float64, requires_grad=True)
    before = x.detach().clone()
    signs = binary_sign(x)
    signs.backward(upstream(len(values)))
    assert signs.tolist() == [1.0 if value >= 0 else -1.0 for value in values]
    assert x.grad.tolist() == [2.0 + i if abs(value) <= 1 else 0.0 for i, value in enumerate(values)]
    assert torch.equal(x.detach(), before)


def test_a_pseudo_gradient_of_ones_own_gets_gradient_and_input():
    x = torch.tensor([-2.0, 0.5, 3.0], dtype=torch.float64, requires_grad=True)
    binary_sign(x, lambda gradient, at: gradient / (1 + at**2)).backward(torch.tensor([5.0, 10.0, 20.0]).double())
    torch.testing.assert_close(x.grad, torch.tensor([1.0, 8.0, 2.0]).double(), rtol=1e-15, atol=0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_type_and_shape_are_kept(dtype):
    x = torch.tensor([[0.0, -0.25], [0.5, -2.0]], dtype=dtype)
    signs = binary_sign(x)
    assert (signs.dtype, signs.tolist()) == (dtype, [[1.0, -1.0], [1.0, -1.0]])
    assert x.tolist() == [[0.0, -0.25], [0.5, -2.0]]


def test_what_is_infinite_or_not_a_number_stays_visible():
    values = torch.tensor([math.nan, math.inf, -math.inf, -1.0, 1.0, 3e38])
    assert binary_sign(values).isnan().tolist() == [True, True, True, False, False, False]


@pytest.mark.parametrize("pseudo_gradient", [straight_through, clipped_straight_through])
def test_per_sample_gradients_equal_a_loop(pseudo_gradient):
    random = torch.Generator().manual_seed(0)
    weight = torch.randn(3, 4, generator=random, dtype=torch.float64)
    inputs = torch.randn(5, 4, generator=random, dtype=torch.float64)

    def loss(weight, x):
        return (binary_sign(binary_sign(x) @ binary_sign(weight, pseudo_gradient).T / 3) + weight.sum(1)).square().sum()

    together = vmap(grad(loss), in_dims=(None, 0))(weight, inputs)
    for x, found in zip(inputs, together, strict=True):
        alone = weight.clone().requires_grad_()
        loss(alone, x).backward()
        torch.testing.assert_close(found, alone.grad, rtol=1e-12, atol=1e-12)
    assert not torch.allclose(together[0], together[1])


def test_a_vmapped_input_gradient_equals_a_loop():
    inputs = torch.tensor([[-2.0, 0.5], [0.0, 1.0], [1.5, -1.0]], dtype=torch.float64)

    def loss(x):
        return (binary_sign(x) * torch.tensor([2.0, 3.0], dtype=torch.float64)).sum()

    assert vmap(grad(loss))(inputs).tolist() == [[0.0, 3.0], [2.0, 3.0], [0.0, 3.0]]
