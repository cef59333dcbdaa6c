"""The native products against those of torch, and against products in float64."""

import pytest
import torch

from metaplastic import native
from metaplastic.hidden_weight import HiddenWeight
from metaplastic.nn.arithmetic import TorchArithmetic
from metaplastic.nn.native_arithmetic import NativeArithmetic
from metaplastic.storage import BinaryCopies

pytestmark = pytest.mark.skipif(native.products is None, reason="not compiled, or a processor without AVX-512")

SHAPES = [  # members, batch, in, out
    (None, 100, 784, 64),
    (None, 1, 65, 33),
    (None, 300, 40, 10),
    (3, 33, 70, 17),
]


def drawn(members, batch, fan_in, fan_out, seed=0):
    source = torch.Generator().manual_seed(seed)
    shape = (fan_out, fan_in) if members is None else (members, fan_out, fan_in)
    weight = HiddenWeight(torch.randn(shape, generator=source))
    x = torch.randn(batch, (members or 1) * fan_in, generator=source)
    gradient = torch.randn(batch, (members or 1) * fan_out, generator=source)
    return weight, x, gradient


def both(weight, unit=None):
    return (kind(BinaryCopies(weight), torch.float32, unit) for kind in (NativeArithmetic, TorchArithmetic))


@pytest.mark.parametrize("shape", SHAPES)
def test_forward_products_are_the_same_bits(shape):
    weight, x, _ = drawn(*shape)
    ours, theirs = both(weight)
    assert torch.equal(ours.forward(x, torch.zeros(()))[0], theirs.forward(x, torch.zeros(()))[0])


@pytest.mark.parametrize("shape", SHAPES)
def test_forward_products_of_bytes_are_the_same_bits(shape):
    weight, x, _ = drawn(*shape)
    pixels = x.mul(100).to(torch.int32).remainder(256).to(torch.uint8)
    ours, theirs = both(weight, unit=0.5)
    assert torch.equal(ours.forward(pixels, None)[0], theirs.forward(pixels, None)[0])


@pytest.mark.parametrize("shape", SHAPES)
def test_gradients_are_those_of_float64_up_to_the_rounding_of_float32(shape):
    weight, x, gradient = drawn(*shape)
    ours, _ = both(weight)
    _, kept = ours.forward(x, torch.zeros(()))
    members = weight.detach().double() if weight.dim() == 3 else weight.detach().double()[None]
    results = torch.empty(members.shape)
    ours.weight_gradient(gradient, kept, results)
    passed = ours.input_gradient(gradient)
    signs = torch.where(x >= 0, 1.0, -1.0).double().chunk(len(members), 1)
    above = gradient.double().chunk(len(members), 1)
    for result, left, right in zip(results, above, signs, strict=True):
        torch.testing.assert_close(result.double(), left.t() @ right, rtol=1e-5, atol=1e-5)
    expected = [left @ torch.where(one >= 0, 1.0, -1.0).double() for left, one in zip(above, members, strict=True)]
    torch.testing.assert_close(passed.double(), torch.cat(expected, 1), rtol=1e-5, atol=1e-5)


def test_a_gradient_in_bfloat16_is_that_of_float32_rounded():
    weight, x, gradient = drawn(None, 50, 96, 24)
    ours, _ = both(weight)
    _, kept = ours.forward(x, torch.zeros(()))
    exact, rounded = torch.empty(1, 24, 96), torch.empty(1, 24, 96, dtype=torch.bfloat16)
    ours.weight_gradient(gradient, kept, exact)
    ours.weight_gradient(gradient, kept, rounded)
    assert torch.equal(rounded, exact.to(torch.bfloat16))


def test_the_number_of_threads_changes_nothing():
    weight, x, gradient = drawn(None, 100, 1500, 300)
    threads, found = torch.get_num_threads(), []
    try:
        for count in (1, 3):
            torch.set_num_threads(count)
            ours, _ = both(weight)
            y, kept = ours.forward(x, torch.zeros(()))
            result = torch.empty(1, 300, 1500)
            ours.weight_gradient(gradient, kept, result)
            found.append((y, result, ours.input_gradient(gradient)))
    finally:
        torch.set_num_threads(threads)
    assert all(map(torch.equal, *found))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_is_not_finite_reaches_the_result_in_training(value):
    weight, x, _ = drawn(None, 5, 70, 9)
    x[3, 68] = value
    ours, _ = both(weight)
    assert ours.forward(x, torch.zeros(()))[0].isnan().all()
    assert ours.forward(x, None)[0].isfinite().all()
    assert ours.forward(drawn(None, 5, 70, 9)[1], torch.tensor(float("nan")))[0].isnan().all()


def test_signs_are_packed_anew_when_the_weight_changes():
    weight, x, gradient = drawn(None, 4, 70, 9)
    ours, _ = both(weight)
    before, passed = ours.forward(x, None)[0], ours.input_gradient(gradient)
    weight.detach().neg_()
    assert torch.equal(ours.input_gradient(gradient), -passed)
    assert torch.equal(ours.forward(x, None)[0], -before)


def test_an_empty_batch_gives_a_gradient_of_zeros():
    weight, x, gradient = drawn(None, 0, 70, 9)
    ours, _ = both(weight)
    y, kept = ours.forward(x, torch.zeros(()))
    result = torch.full((1, 9, 70), 5.0)
    ours.weight_gradient(gradient, kept, result)
    assert y.shape == (0, 9)
    assert ours.input_gradient(gradient).shape == (0, 70)
    assert not result.any()
