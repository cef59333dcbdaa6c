"""Every backend gives the same integers."""

import types

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metaplastic.packed import popcount
from metaplastic.packed.bits import pack_bits
from metaplastic.packed.products import Backend, MatrixProduct, backend_of, kernel, product, require_kernel

BACKENDS = ["numpy", "matrix", "best", *(["kernel"] if kernel() else [])]
SIZES = st.tuples(st.integers(1, 40), st.integers(1, 300), st.integers(1, 90), st.integers(0, 2**32))


def draw(rows, features, out, seed):
    random = np.random.default_rng(seed)
    weight = random.random((out, features)) < 0.5
    return random, weight, np.where(weight, 1, -1).astype(np.int64)


@given(SIZES, st.sampled_from([1, 3]))
@settings(deadline=None, max_examples=60)
def test_products_of_signs_are_those_of_integers(sizes, threads):
    random, weight, signs = draw(*sizes)
    rows = random.random((sizes[0], sizes[1])) < 0.5
    expected = np.where(rows, 1, -1) @ signs.T
    for backend in BACKENDS:
        sums = product(pack_bits(weight), sizes[1], backend, threads).signs(rows)
        assert sums.dtype == np.int32
        np.testing.assert_array_equal(sums, expected)


@given(SIZES, st.sampled_from([1, 3]))
@settings(deadline=None, max_examples=60)
def test_products_of_bytes_are_those_of_integers(sizes, threads):
    random, weight, signs = draw(*sizes)
    rows = random.integers(0, 256, (sizes[0], sizes[1]), dtype=np.uint8)
    for backend in BACKENDS:
        sums = product(pack_bits(weight), sizes[1], backend, threads).bytes(rows)
        assert sums.dtype == np.int32
        np.testing.assert_array_equal(sums, rows.astype(np.int64) @ signs.T)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("features", [66_000, 131_072])
def test_wide_layers_overflow_nothing(backend, features):
    weight = pack_bits(np.ones((2, features), bool))
    multiply = product(weight, features, backend)
    np.testing.assert_array_equal(multiply.signs(np.zeros((1, features), bool)), [[-features] * 2])
    np.testing.assert_array_equal(multiply.bytes(np.full((1, features), 255, np.uint8)), [[255 * features] * 2])
    odd = np.full((1, features), 255, np.uint8)
    odd[0, 0] = 254  # one that float32 could not tell from its neighbours
    np.testing.assert_array_equal(multiply.bytes(odd), [[255 * features - 1] * 2])


@pytest.mark.parametrize("backend", BACKENDS)
def test_no_rows_give_no_sums(backend):
    multiply = product(pack_bits(np.ones((3, 9), bool)), 9, backend)
    assert multiply.signs(np.zeros((0, 9), bool)).shape == (0, 3)
    assert multiply.bytes(np.zeros((0, 9), np.uint8)).shape == (0, 3)


@given(SIZES)
@settings(deadline=None, max_examples=40)
def test_blocks_and_threads_change_no_count(sizes):
    random, weight, signs = draw(*sizes)
    rows = random.random((sizes[0], sizes[1])) < 0.5
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(popcount, "_BLOCK_WORDS", 40)
        patch.setattr(popcount, "_THREAD_WORDS", 1)
        multiply = popcount.WordProduct(pack_bits(weight), sizes[1], 3)
        np.testing.assert_array_equal(multiply.signs(rows), np.where(rows, 1, -1) @ signs.T)
    assert len(multiply._blocks) >= min(2, sizes[2])


def test_bits_are_counted_without_numpy_2(monkeypatch):
    random = np.random.default_rng(0)
    words = random.integers(0, 2**64, 1000, dtype=np.uint64)
    words[:2] = 0, 2**64 - 1
    counts = popcount._count_by_halves(words)
    assert counts.dtype == np.uint8
    assert counts.tolist() == [bin(word).count("1") for word in words.tolist()]


def test_few_rows_are_counted_and_many_multiplied(monkeypatch):
    """Few bytes too, where torch would have to be imported for them."""
    monkeypatch.setattr("metaplastic.packed.products.kernel", lambda: None)
    assert (backend_of(1), backend_of(1000)) == (Backend.NUMPY, Backend.MATRIX)
    row, rows, used = np.zeros((1, 9)), np.zeros((1000, 9)), []
    begin = MatrixProduct.__init__
    monkeypatch.setattr(MatrixProduct, "__init__", lambda *of: used.append("matrices") or begin(*of))

    multiply = product(pack_bits(np.ones((3, 9), bool)), 9)
    with monkeypatch.context() as without_torch:
        without_torch.setattr("metaplastic.packed.products.sys", types.SimpleNamespace(modules={}))
        np.testing.assert_array_equal(multiply.signs(row.astype(bool)), np.full((1, 3), -9))
        np.testing.assert_array_equal(multiply.bytes(row.astype(np.uint8)), np.zeros((1, 3)))
        assert not used
    np.testing.assert_array_equal(multiply.bytes(row.astype(np.uint8)), np.zeros((1, 3)))
    np.testing.assert_array_equal(multiply.signs(rows.astype(bool)), np.full((1000, 3), -9))
    assert used == ["matrices"]


def test_without_a_kernel_its_backend_says_what_to_do(monkeypatch):
    monkeypatch.setattr("metaplastic.packed.products.kernel", lambda: None)
    with pytest.raises(ValueError, match=r"expected a compiled kernel for backend 'kernel', got none here; install"):
        product(pack_bits(np.ones((3, 9), bool)), 9, "kernel")
    with pytest.raises(ValueError, match="expected a compiled kernel"):
        require_kernel()


def test_an_unknown_backend_is_told():
    with pytest.raises(ValueError, match="unknown backend 'nunpy'; did you mean 'numpy'"):
        product(pack_bits(np.ones((3, 9), bool)), 9, "nunpy")
