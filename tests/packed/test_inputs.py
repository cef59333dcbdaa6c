"""What a caller may give, and what is made of it."""

import numpy as np
import pytest
import torch

from metaplastic.data import Dataset, Samples
from metaplastic.nn import BinaryMLP
from metaplastic.packed import Input, pack
from metaplastic.packed.inputs import encode

PIXELS = np.arange(256, dtype=np.uint8).reshape(64, 4)


@pytest.mark.parametrize("unit", [1 / 256, 1 / 255, 1.0])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_byte_is_found_again_in_its_unit(unit, dtype):
    shown = (PIXELS * unit).astype(dtype)
    np.testing.assert_array_equal(encode(shown, Input.BYTES, unit, (4,)), PIXELS)


def test_bytes_are_taken_as_they_are():
    np.testing.assert_array_equal(encode(PIXELS, Input.BYTES, 1 / 256, (4,)), PIXELS)
    np.testing.assert_array_equal(encode(PIXELS, Input.BYTES, 1 / 256, (2, 2)), PIXELS)


def test_signs_of_bytes_are_those_that_a_data_set_shows():
    part = Samples(torch.from_numpy(PIXELS), torch.zeros(64, dtype=torch.int64))
    data = Dataset("bytes", part, part, ("a",), scale=1 / 256).two_signed()
    shown = part.inputs * data.scale + data.offset
    np.testing.assert_array_equal(encode(PIXELS, Input.SIGNS, 1.0, (4,)), shown.numpy() >= 0)
    np.testing.assert_array_equal(encode(shown, Input.SIGNS, 1.0, (4,)), shown.numpy() >= 0)


def test_zero_is_positive_and_bits_are_signs():
    assert encode(np.array([[0.0, -0.0, -1e-30]]), Input.SIGNS, 1.0, (3,)).tolist() == [[True, True, False]]
    assert encode(np.array([[True, False]]), Input.SIGNS, 1.0, (2,)).tolist() == [[True, False]]


def test_real_features_are_rounded_to_what_sums_exactly():
    x = np.array([[1 / 3, 1e-9, 5.0]])
    encoded = encode(x, Input.REAL, 1.0, (3,))
    assert (encoded * 2**24 % 1 == 0).all()
    np.testing.assert_allclose(encoded, x, atol=2**-25)


REFUSED = {
    "no batch": (
        np.zeros(4, np.uint8),
        Input.BYTES,
        r"expected samples of shape \(4,\) as \[batch, ...\], got .*\(4,\)",
    ),
    "another width": (np.zeros((1, 5), np.uint8), Input.BYTES, r"got shape \(1, 5\)"),
    "another width and no samples": (np.zeros((0, 5), np.uint8), Input.BYTES, r"got shape \(0, 5\)"),
    "pixels between bytes": (np.full((1, 4), 0.3), Input.BYTES, r"expected pixels k \* 0.00390625 .* got 0.3"),
    "pixels above 255": (
        np.full((1, 4), 1.0),
        Input.BYTES,
        "got 1.0; give uint8 pixels, or pack the network again with",
    ),
    "pixels below 0": (np.full((1, 4), -1 / 256), Input.BYTES, "got -0.00390625; give uint8 pixels"),
    "integers": (np.zeros((1, 4), np.int64), Input.BYTES, "expected uint8 pixels, or floats .*, got int64"),
    "integers for signs": (
        np.zeros((1, 4), np.int64),
        Input.SIGNS,
        "expected bits, uint8 pixels or floats .* got int64",
    ),
    "bytes for features": (
        np.zeros((1, 4), np.uint8),
        Input.REAL,
        "expected floats as the network was trained on, got",
    ),
    "what is no number": (np.full((1, 4), np.nan), Input.SIGNS, "expected finite numbers, got NaN or infinity"),
    "infinity": (np.full((1, 4), np.inf), Input.REAL, "expected finite numbers"),
    "huge features": (np.full((1, 4), 1e9), Input.REAL, r"less than 2\^27 in a sample, got 4e\+09; scale them"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_the_network_did_not_learn_from_is_refused(name):
    x, kind, message = REFUSED[name]
    with pytest.raises(ValueError, match=message):
        encode(x, kind, 1 / 256, (4,))


def test_pixels_in_another_unit_than_the_networks_are_refused_by_it():
    packed = pack(BinaryMLP([4, 3, 2], "running"))
    shown = torch.from_numpy(PIXELS) / 255
    with pytest.raises(ValueError, match="or pack the network again with the unit of yours"):
        packed.predict(shown)
    pack(BinaryMLP([4, 3, 2], "running"), unit=1 / 255).predict(shown)
