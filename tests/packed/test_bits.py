"""Bits in bytes and in words, and back."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metaplastic.packed.bits import as_words, pack_bits, pack_words, signs_of, unpack_bits

MATRICES = st.tuples(st.integers(0, 5), st.integers(0, 200), st.integers(0, 2**32)).map(
    lambda drawn: np.random.default_rng(drawn[2]).random(drawn[:2]) < 0.5
)


def naive_bytes(bits):
    """Bit k of byte b is entry 8 b + k."""
    count = -(-bits.shape[1] // 8)
    return [[sum(int(bit) << k for k, bit in enumerate(row[8 * b : 8 * b + 8])) for b in range(count)] for row in bits]


@settings(deadline=None)
@given(MATRICES)
def test_unpacking_undoes_packing_at_every_length(bits):
    packed = pack_bits(bits)
    assert packed.dtype == np.uint8
    assert packed.tolist() == naive_bytes(bits)
    np.testing.assert_array_equal(unpack_bits(packed, bits.shape[1]), bits)


@settings(deadline=None)
@given(MATRICES)
def test_signs_are_plus_and_minus_one(bits):
    np.testing.assert_array_equal(signs_of(pack_bits(bits), bits.shape[1]), np.where(bits, 1, -1))


@settings(deadline=None)
@given(MATRICES)
def test_words_hold_the_same_bits_and_zeros_behind(bits):
    words = pack_words(bits)
    assert words.shape == (len(bits), -(-bits.shape[1] // 64))
    expected = [
        [sum(int(bit) << k for k, bit in enumerate(row[64 * w : 64 * w + 64])) for w in range(words.shape[1])]
        for row in bits
    ]
    assert words.tolist() == expected
    np.testing.assert_array_equal(as_words(pack_bits(bits)), words)


def test_a_wrong_number_of_bytes_is_told():
    with pytest.raises(ValueError, match="expected 2 bytes for 9 bits, got 1; count the bits anew"):
        unpack_bits(np.zeros((3, 1), np.uint8), 9)
