"""What a data set can be turned into before a scenario is made of it."""

import pytest
import torch

from metaplastic.data import Dataset, Samples


def dataset(shape=(2, 3), train=5, test=4, scale=1 / 256):
    random = torch.Generator().manual_seed(3)

    def part(count):
        inputs = torch.randint(1, 256, (count, *shape), generator=random, dtype=torch.uint8)
        return Samples(inputs, torch.arange(count) % 2)

    return Dataset("tiny", part(train), part(test), ("a", "b"), scale)


@pytest.mark.parametrize(
    ("shape", "side", "top", "left"),
    [((2, 3), 7, 2, 2), ((16, 16), 28, 6, 6), ((3, 4, 4), 6, 1, 1), ((3, 4, 2), 5, 0, 1), ((4, 1), 4, 0, 1)],
)
def test_padding_puts_each_image_in_the_middle_of_zeros(shape, side, top, left):
    data = dataset(shape)
    padded = data.padded(side)
    assert padded.input_shape == (*shape[:-2], side, side)
    assert (padded.name, padded.scale, padded.class_names) == (data.name, data.scale, data.class_names)
    for part, before in ((padded.train, data.train), (padded.test, data.test)):
        height, width = shape[-2:]
        assert part.inputs.dtype is torch.uint8
        assert torch.equal(part.inputs[..., top : top + height, left : left + width], before.inputs)
        assert int((part.inputs > 0).sum()) == before.inputs.numel()  # and nothing else
        assert part.labels is before.labels


def test_images_of_the_size_asked_for_are_left_as_they_are():
    data = dataset((3, 3))
    assert data.padded(3) is data


@pytest.mark.parametrize(("shape", "side"), [((4, 3), 3), ((3, 4), 3), ((9,), 28)])
def test_what_cannot_be_padded_is_refused(shape, side):
    with pytest.raises(ValueError, match=f"expected images of at most {side} x {side} pixels to pad, got inputs of sh"):
        dataset(shape).padded(side)


def shown(data):
    return data.train.inputs * data.scale + data.offset


@pytest.mark.parametrize("scale", [1 / 256, 1 / 16, 1.0])
def test_a_byte_of_0_becomes_negative_and_every_other_positive(scale):
    pixels = Samples(torch.arange(256, dtype=torch.uint8)[None], torch.tensor([0]))
    plain = Dataset("bytes", pixels, pixels, ("a",), scale)
    data = plain.two_signed()
    assert shown(plain).min() == 0
    assert shown(data).sign().tolist() == [[-1.0] + [1.0] * 255]
    assert torch.equal(shown(data) * 2 / scale, torch.arange(-1, 511, 2)[None])  # exact, so sums of them are
    assert data.train is pixels
    assert data.two_signed() == data


def test_the_offset_outlives_padding_and_padded_pixels_count_as_0():
    data = dataset((2, 2)).two_signed().padded(4)
    assert int((shown(data) < 0).sum()) == 5 * 12
    assert torch.equal(shown(data), shown(dataset((2, 2)).padded(4).two_signed()))


def test_numbers_keep_the_signs_that_they_have():
    numbers = Samples(torch.tensor([[-1.5, 0.0, 2.0]]), torch.tensor([0]))
    data = Dataset("numbers", numbers, numbers, ("a",))
    assert data.two_signed() is data


def test_numbers_of_one_sign_are_refused():
    numbers = Samples(torch.tensor([[0.0, 0.5, 1.0]]), torch.tensor([0]))
    with pytest.raises(
        ValueError, match=r"expected inputs of two signs, or bytes, for a network that .* in 'numbers';"
    ):
        Dataset("numbers", numbers, numbers, ("a",)).two_signed()
