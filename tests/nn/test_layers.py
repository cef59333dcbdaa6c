"""Binary and real-valued layers against loops over their definition."""

import copy
import itertools

import pytest
import torch
from torch.func import functional_call

from metaplastic.hidden_weight import HiddenWeight
from metaplastic.nn import BinaryConv2d, BinaryLinear, Initialization, RealConv2d, RealLinear


def random(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(*shape):
    return torch.randn(shape, generator=random(), dtype=torch.float64)


def sign(value):
    return 1.0 if value >= 0 else -1.0


def naive_linear(inputs, weight):
    return [[sum(x * w for x, w in zip(row, unit, strict=True)) for unit in weight] for row in inputs]


def naive_conv(images, kernels, padding, stride=(1, 1), dilation=(1, 1), groups=1):
    """Cross-correlation with zeros around the image, entry by entry."""
    batch, _, height, width = images.shape
    count, channels, *size = kernels.shape
    above, left = padding if isinstance(padding, tuple) else (padding, padding)
    reach = [step * (side - 1) for step, side in zip(dilation, size, strict=True)]
    rows = (height + 2 * above - reach[0] - 1) // stride[0] + 1
    columns = (width + 2 * left - reach[1] - 1) // stride[1] + 1
    result = torch.zeros(batch, count, rows, columns, dtype=images.dtype)
    for b, out, i, j in itertools.product(range(batch), range(count), range(rows), range(columns)):
        first = out // (count // groups) * channels
        for c, di, dj in itertools.product(range(channels), range(size[0]), range(size[1])):
            y, x = i * stride[0] + di * dilation[0] - above, j * stride[1] + dj * dilation[1] - left
            if 0 <= y < height and 0 <= x < width:
                result[b, out, i, j] += images[b, first + c, y, x] * kernels[out, c, di, dj]
    return result


def signs(tensor):
    return torch.tensor([sign(value) for value in tensor.flatten().tolist()], dtype=tensor.dtype).reshape(tensor.shape)


@pytest.mark.parametrize("binarize_input", [False, True])
def test_binary_linear_multiplies_by_the_signs_of_its_weights(binarize_input):
    layer = BinaryLinear(5, 3, binarize_input=binarize_input, generator=random()).double()
    with torch.no_grad():
        layer.weight[0, 0] = 0.0
    x = normal(4, 5)
    x[0, 0] = 0.0
    seen = signs(x) if binarize_input else x
    expected = naive_linear(seen.tolist(), signs(layer.weight).tolist())
    torch.testing.assert_close(layer(x), torch.tensor(expected, dtype=torch.float64), rtol=1e-13, atol=1e-13)
    assert torch.equal(layer(x.reshape(2, 2, 5)), layer(x).reshape(2, 2, 3))


@pytest.mark.parametrize("binarize_input", [False, True])
@pytest.mark.parametrize("padding", [0, 1, 2])
def test_binary_conv_convolves_with_the_signs_of_its_weights(binarize_input, padding):
    layer = BinaryConv2d(2, 3, 3, binarize_input=binarize_input, padding=padding, generator=random()).double()
    with torch.no_grad():
        layer.weight[0, 0, 0, 0] = 0.0
    x = normal(2, 2, 4, 5)
    x[0, 0, 0, 0] = 0.0
    expected = naive_conv(signs(x) if binarize_input else x, signs(layer.weight), padding)
    torch.testing.assert_close(layer(x), expected, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize(
    "options",
    [
        {"stride": (2, 2)},
        {"stride": (1, 2), "padding": (0, 1)},
        {"dilation": (2, 1), "padding": (1, 1)},
        {"groups": 2},
        {"groups": 4, "stride": (2, 1), "dilation": (1, 2), "padding": (2, 0)},
    ],
    ids=str,
)
def test_binary_conv_strides_dilates_and_groups(options):
    layer = BinaryConv2d(4, 8, (2, 3), binarize_input=True, generator=random(), **options).double()
    x = normal(2, 4, 5, 6)
    expected = naive_conv(signs(x), signs(layer.weight), **{"padding": 0, **options})
    torch.testing.assert_close(layer(x), expected, rtol=1e-13, atol=1e-13)


def test_padding_named_same_keeps_height_and_width():
    layer = BinaryConv2d(2, 3, (3, 5), binarize_input=True, padding="same", generator=random()).double()
    x = normal(2, 2, 4, 5)
    torch.testing.assert_close(layer(x), naive_conv(signs(x), signs(layer.weight), (1, 2)), rtol=1e-13, atol=1e-13)


def test_two_equal_sides_are_known_as_one_number():
    layer = BinaryConv2d(2, 3, (3, 3), binarize_input=True, padding=(1, 1), stride=(2, 2), dilation=(1, 1))
    assert (layer.kernel_size, layer.padding, layer.stride, layer.dilation) == (3, 1, 2, 1)
    assert repr(layer) == "BinaryConv2d(2, 3, kernel_size=3, padding=1, stride=2, binarize_input=True)"
    assert BinaryConv2d(2, 3, (1, 3), binarize_input=True).kernel_size == (1, 3)


@pytest.mark.parametrize(("channels", "out"), [(3, 4), (4, 3)])
def test_groups_must_divide_the_channels(channels, out):
    with pytest.raises(
        ValueError, match=rf"expected groups that divide {channels} input and {out} output .*, got 2; use"
    ):
        BinaryConv2d(channels, out, 3, binarize_input=True, groups=2)


def test_real_layers_compute_with_the_weights_themselves():
    linear, conv = RealLinear(5, 3, generator=random()).double(), RealConv2d(2, 3, 3, padding=1).double()
    x, images = normal(4, 5), normal(2, 2, 4, 4)
    expected = torch.tensor(naive_linear(x.tolist(), linear.weight.tolist()), dtype=torch.float64)
    torch.testing.assert_close(linear(x), expected, rtol=1e-13, atol=1e-13)
    torch.testing.assert_close(conv(images), naive_conv(images, conv.weight.detach(), 1), rtol=1e-13, atol=1e-13)


LAYERS = {
    "binary linear": (lambda **options: BinaryLinear(4, 3, binarize_input=True, **options), (6, 4)),
    "binary conv": (lambda **options: BinaryConv2d(2, 3, 2, binarize_input=True, padding=1, **options), (6, 2, 4, 4)),
    "real linear": (lambda **options: RealLinear(4, 3, **options), (6, 4)),
    "real conv": (lambda **options: RealConv2d(2, 3, 2, padding=1, **options), (6, 2, 4, 4)),
}
every_layer = pytest.mark.parametrize(("build", "shape"), LAYERS.values(), ids=LAYERS.keys())


@every_layer
def test_the_parameter_is_the_hidden_weight_after_forward_and_backward(build, shape):
    layer = build(generator=random()).double()
    before = layer.weight.detach().clone()
    assert len(before.unique()) > 2
    x = normal(*shape).requires_grad_()
    inputs = x.detach().clone()
    layer(x).square().sum().backward()
    assert isinstance(layer.weight, HiddenWeight)
    assert list(layer.state_dict()) == ["weight"]
    assert torch.equal(layer.state_dict()["weight"], before)
    assert torch.equal(x.detach(), inputs)
    assert layer.weight.grad.shape == before.shape
    assert bool((layer.weight.grad != 0).any())
    assert bool((x.grad != 0).any())


@every_layer
def test_a_generator_decides_the_weights(build, shape):
    assert torch.equal(build(generator=random(1)).weight, build(generator=random(1)).weight)
    assert not torch.equal(build(generator=random(1)).weight, build(generator=random(2)).weight)
    wide = build(generator=random(1), initialization=Initialization(width=1.0)).weight
    torch.testing.assert_close(wide.detach(), build(generator=random(1)).weight.detach() * 10)


@every_layer
def test_weights_can_be_swapped_from_outside(build, shape):
    layer, other = build(generator=random(1)).double(), build(generator=random(2)).double()
    x = normal(*shape)
    assert torch.equal(functional_call(layer, {"weight": other.weight}, x), other(x))
    assert torch.equal(functional_call(layer, dict(copy.deepcopy(layer).named_parameters()), x), layer(x))


@pytest.mark.parametrize("layer", [BinaryLinear(4, 3, binarize_input=False), BinaryLinear(4, 3, binarize_input=True)])
def test_the_weight_gradient_is_that_of_the_signs(layer):
    """Straight through: the hidden weight gets the gradient of its sign, however large it is."""
    layer = copy.deepcopy(layer).double()
    with torch.no_grad():
        layer.weight.mul_(1000)
    x = normal(6, 4)
    binary = signs(layer.weight.detach()).requires_grad_()
    seen = signs(x) if layer.binarize_input else x
    (seen @ binary.T).pow(3).sum().backward()
    layer(x).pow(3).sum().backward()
    torch.testing.assert_close(layer.weight.grad, binary.grad, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("name", ["binary linear", "binary conv"])
def test_pseudo_gradients_can_be_replaced(name):
    build, shape = LAYERS[name]
    usual = build(generator=random()).double()
    other = build(
        generator=random(),
        weight_pseudo_gradient=lambda gradient, _: 2 * gradient,
        input_pseudo_gradient=lambda gradient, _: 3 * gradient,
    ).double()
    small = normal(*shape).div(10).requires_grad_()  # within the clip of the usual pseudo-gradient
    again = small.detach().clone().requires_grad_()
    usual(small).square().sum().backward()
    other(again).square().sum().backward()
    assert torch.equal(other.weight.grad, 2 * usual.weight.grad)
    assert torch.equal(again.grad, 3 * small.grad)


def test_a_wrong_shape_is_refused_with_what_was_expected():
    with pytest.raises(ValueError, match=r"expected an input of 4 features, got shape \(2, 5\); flatten images"):
        BinaryLinear(4, 3, binarize_input=False)(torch.zeros(2, 5))
    message = r"expected images of 3 channels as .*, got shape \(2, 1, 4, 4\); .* build the layer for 1 channels"
    with pytest.raises(ValueError, match=message):
        BinaryConv2d(3, 2, 3, binarize_input=False)(torch.zeros(2, 1, 4, 4))


def test_layers_say_what_they_do():
    assert repr(BinaryLinear(4, 3, binarize_input=True)) == "BinaryLinear(4, 3, binarize_input=True)"
    assert "2, 3, kernel_size=2, padding=1, binarize_input=False" in repr(
        BinaryConv2d(2, 3, 2, binarize_input=False, padding=1)
    )
    assert repr(RealLinear(4, 3)) == "RealLinear(4, 3)"
    assert repr(RealConv2d(2, 3, 2, padding=1)) == "RealConv2d((3, 2, 2, 2), padding=1)"
