"""The compiled kernel: the same integers on every path, and nothing but clear errors for wrong buffers."""

import itertools
import multiprocessing
import os
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metaplastic.packed.layers import ConvLayer, DenseLayer, Input, Pooling, Readout, SampleMean, Thresholds

reason = "the kernel was not compiled: pip install -e . where there is a compiler"
compiled = pytest.importorskip("metaplastic.packed._kernel", reason=reason, exc_type=ImportError)

from metaplastic.packed import kernel  # noqa: E402
from metaplastic.packed.kernel import Chain  # noqa: E402

everywhere = pytest.mark.parametrize("path", kernel.paths())

widths = st.integers(1, 20) | st.integers(1, 700) | st.sampled_from([63, 64, 65, 127, 128, 256, 512])
batches = st.integers(0, 13) | st.sampled_from([31, 32, 33, 64, 65, 130])
seeds = st.integers(0, 2**32 - 1)


def bits(generator, rows, features):
    """Signs `[rows, features]` and their bits."""
    positive = generator.integers(0, 2, (rows, features), dtype=np.uint8)
    return positive * 2.0 - 1, np.packbits(positive, axis=1, bitorder="little")


def thresholds(generator, tables, units):
    return Thresholds(
        generator.integers(-30, 30, (tables, units), dtype=np.int32), generator.integers(0, 2, (tables, units)) > 0
    )


def network(generator, sizes, tables):
    """Weights and decisions of a chain, and its last sums by definition, exact in float64."""
    pairs = [bits(generator, units, features) for features, units in itertools.pairwise(sizes)]
    decisions = [thresholds(generator, tables, units) for units in sizes[1:-1]]

    def naive(values, table):
        for (signs, _), decision in zip(pairs[:-1], decisions, strict=True):
            reached = values @ signs.T >= decision.threshold[table]
            values = np.where(reached != decision.flipped[table], 1.0, -1.0)
        return values @ pairs[-1][0].T

    return [weight for _, weight in pairs], decisions, naive


def layers_of(weights, decisions, features):
    ones = np.ones((1, len(weights[-1])), np.float32)
    widths = [features, *map(len, weights)]
    return tuple(map(DenseLayer, weights, widths, [*decisions, Readout(ones, ones)]))


def samples(generator, source, rows, features):
    """Values, and what a chain is given for them."""
    if source is Input.SIGNS:
        return bits(generator, rows, features)
    pixels = generator.integers(0, 256, (rows, features), dtype=np.uint8)
    return pixels.astype(np.float64), pixels


def multiply(path, weight, features, rows, source):
    return Chain([weight], [], features, source, path)(rows)


@everywhere
@settings(deadline=None, max_examples=60)
@given(seed=seeds, rows=batches, features=widths, units=widths)
def test_products_are_those_of_the_signs(path, seed, rows, features, units):
    generator = np.random.default_rng(seed)
    signs, weight = bits(generator, units, features)
    for source in (Input.SIGNS, Input.BYTES):
        values, x = samples(generator, source, rows, features)
        result = multiply(path, weight, features, x, source)
        assert result.dtype == np.int32
        assert np.array_equal(result, values @ signs.T)


@everywhere
@settings(deadline=None, max_examples=40)
@given(
    seed=seeds,
    source=st.sampled_from([Input.BYTES, Input.SIGNS]),
    rows=batches,
    sizes=st.lists(widths, min_size=2, max_size=5),
    tables=st.integers(1, 3),
)
def test_a_chain_gives_the_sums_of_its_last_layer_for_each_task(path, seed, source, rows, sizes, tables):
    generator = np.random.default_rng(seed)
    weights, decisions, naive = network(generator, sizes, tables)
    chain = Chain(weights, decisions, sizes[0], source, path)
    values, x = samples(generator, source, rows, sizes[0])
    for table in range(chain.tables):
        assert np.array_equal(chain(x, table), naive(values, table))


@everywhere
@pytest.mark.parametrize("rows", [1, 2, 31, 32, 100])
def test_the_number_of_threads_changes_nothing(path, rows):
    generator = np.random.default_rng(rows)
    weights, decisions, naive = network(generator, [784, 1500, 700, 10], 2)
    values, pixels = samples(generator, Input.BYTES, rows, 784)
    chain = Chain(weights, decisions, 784, Input.BYTES, path)
    expected = naive(values, 1)
    for threads in (1, 2, 3):
        assert np.array_equal(chain(pixels, 1, threads), expected)


@everywhere
@pytest.mark.parametrize("features", [4104, 2**19, 2**19 + 8])
def test_extreme_sums_are_exact(path, features):
    full = {sign: np.full((9, features // 8), byte, np.uint8) for sign, byte in ((1, 255), (-1, 0))}
    pixels = np.full((9, features), 255, np.uint8)
    for sign, weight in full.items():
        assert (multiply(path, weight, features, pixels, Input.BYTES) == sign * 255 * features).all()
        for other, x in full.items():
            assert (multiply(path, weight, features, x, Input.SIGNS) == sign * other * features).all()


@pytest.mark.parametrize("source", [Input.BYTES, Input.SIGNS])
@pytest.mark.parametrize("tables", [1, 3])
def test_the_layers_of_a_packed_network_make_a_chain(source, tables):
    generator = np.random.default_rng(tables)
    weights, decisions, naive = network(generator, [30, 20, 70, 5], tables)
    chain = Chain.of(layers_of(weights, decisions, 30), source)
    values, x = samples(generator, source, 9, 30)
    for table in range(3):
        assert np.array_equal(chain(x, table), naive(values, min(table, tables - 1)))


def test_convolutions_layer_norm_and_real_features_are_left_to_others():
    generator = np.random.default_rng(0)
    weights, decisions, _ = network(generator, [9, 4, 2], 1)
    first, last = layers_of(weights, decisions, 9)
    always = Thresholds(np.zeros((1, 1), np.int32), np.zeros((1, 1), bool))
    convolution = ConvLayer(np.zeros((1, 1), np.uint8), 1, 2, 0, Pooling.NONE, 3, 3, always)
    normalised = DenseLayer(first.weight, 9, SampleMean(1.0, 1e-5))
    others = [([first, last], Input.REAL), ([convolution, last], Input.SIGNS), ([normalised, last], Input.SIGNS)]
    assert kernel.serves([first, last], Input.SIGNS)
    for layers, source in others:
        assert not kernel.serves(layers, source)
        with pytest.raises(ValueError, match="expected dense layers with thresholds between them; use another backend"):
            Chain.of(layers, source)


@everywhere
@pytest.mark.parametrize("limit", [-(2**31), 2**31 - 1])
def test_thresholds_beyond_every_sum_make_constant_bits(path, limit):
    flipped = np.array([[False, True] * 33])
    constant = Thresholds(np.full((1, 66), limit, np.int32), flipped)
    weights = [np.full((66, 1), 1, np.uint8), np.full((1, 9), 255, np.uint8) >> np.array([0] * 8 + [6], np.uint8)]
    sums = Chain(weights, [constant], 1, Input.SIGNS, path)(np.array([[0], [1]], np.uint8))
    assert sums.tolist() == [[0], [0]]
    weights[1] = np.packbits(flipped, axis=1, bitorder="little")
    sums = Chain(weights, [constant], 1, Input.SIGNS, path)(np.array([[0], [1]], np.uint8))
    assert sums.tolist() == [[66 if limit > 0 else -66]] * 2


@everywhere
def test_bits_behind_the_last_feature_are_not_looked_at(path):
    for stray in (0, 0b1000, 0b11111000):
        chain = Chain([np.array([[0b101 | stray]], np.uint8)], [], 3, Input.SIGNS, path)
        assert chain(np.array([[0b111 | 0b11111000 - stray]], np.uint8)) == 1


def test_a_layer_with_one_table_serves_every_task():
    generator = np.random.default_rng(0)
    first, second, last = (bits(generator, 7, 7)[1] for _ in range(3))
    shared, own = thresholds(generator, 1, 7), thresholds(generator, 4, 7)
    x = bits(generator, 5, 7)[1]
    spread = Thresholds(np.repeat(shared.threshold, 4, 0), np.repeat(shared.flipped, 4, 0))
    mixed, full = (Chain([first, second, last], [one, own], 7, Input.SIGNS) for one in (shared, spread))
    assert all(np.array_equal(mixed(x, table), full(x, table)) for table in range(4))
    with pytest.raises(ValueError, match="expected a table from 0 to 3, got 4"):
        mixed(x, 4)
    with pytest.raises(ValueError, match="as many tables in every layer, got 4 and 3"):
        Chain([first, second, last], [own, thresholds(generator, 3, 7)], 7, Input.SIGNS)


def test_sums_are_written_where_one_wants_them():
    chain = Chain([np.array([[1], [0]], np.uint8)], [], 1, Input.BYTES)
    out = np.empty((2, 2), np.int32)
    assert chain(np.array([[5], [9]], np.uint8), out=out) is out
    assert out.tolist() == [[5, -5], [9, -9]]


def chain_of_nine():
    return Chain([np.zeros((3, 2), np.uint8)], [], 9, Input.SIGNS)


RIGHT = np.zeros((4, 2), np.uint8)
WRONG_CALLS = [
    ({"x": RIGHT.astype(np.int8)}, "expected x as an array of uint8, got int8"),
    ({"x": [[0, 0]]}, "expected x as an array of uint8, got list"),
    ({"x": RIGHT[:, :1].copy()}, r"expected x of shape \[any, 2\], got \[4, 1\]"),
    ({"x": RIGHT[0]}, r"expected x of shape \[any, 2\], got \[2\]"),
    ({"x": np.zeros((4, 4), np.uint8)[:, ::2]}, "expected x to be contiguous, .* use numpy.ascontiguousarray"),
    ({"x": np.zeros((8, 2), np.uint8)[::2]}, "expected x to be contiguous"),
    ({"x": RIGHT, "table": -1}, "expected a table from 0 to 0, got -1"),
    ({"x": RIGHT, "threads": 0}, "expected at least one thread, got 0"),
    ({"x": RIGHT, "out": np.zeros((4, 3), np.int64)}, "expected out as an array of int32, got int64"),
    ({"x": RIGHT, "out": np.zeros((3, 3), np.int32)}, r"expected out of shape \[4, 3\], got \[3, 3\]"),
    ({"x": RIGHT, "out": np.zeros((4, 6), np.int32)[:, ::2]}, "expected out to be contiguous"),
    ({"x": RIGHT, "out": np.frombuffer(b"\0" * 48, np.int32).reshape(4, 3)}, "expected out to be writeable"),
    ({"x": RIGHT, "out": np.zeros(49, np.uint8)[1:].view(np.int32).reshape(4, 3)}, "expected an aligned output"),
]


@pytest.mark.parametrize(("arguments", "message"), WRONG_CALLS)
def test_wrong_buffers_are_refused_by_a_call(arguments, message):
    with pytest.raises(ValueError, match=message):
        chain_of_nine()(**arguments)


WEIGHT = np.zeros((3, 2), np.uint8)
BEHIND = Thresholds(np.zeros((1, 3), np.int32), np.zeros((1, 3), bool))
WRONG_CHAINS = [
    (([], [], 9, Input.SIGNS), "expected thresholds between the 0 layers"),
    (([WEIGHT], [BEHIND], 9, Input.SIGNS), "expected thresholds between the 1 layers, got 1"),
    (([WEIGHT], [], 9, Input.REAL), "expected an input of bytes or signs"),
    (([WEIGHT], [], 17, Input.SIGNS), r"expected weight of shape \[any, 3\], got \[3, 2\]"),
    (([WEIGHT], [], 0, Input.SIGNS), "expected from 1 to 8421504 inputs, .* got 0"),
    (([WEIGHT], [], 8421505, Input.BYTES), "expected from 1 to 8421504 inputs"),
    (([WEIGHT[:0]], [], 9, Input.SIGNS), "expected from 1 to 8421504 inputs and units, got 9 and 0"),
    (([WEIGHT.astype(bool)], [], 9, Input.SIGNS), "expected weight as an array of uint8, got bool"),
    (([np.zeros((3, 4), np.uint8)[:, ::2]], [], 9, Input.SIGNS), "expected weight to be contiguous"),
    (([WEIGHT, WEIGHT], [BEHIND], 9, Input.SIGNS), r"expected weight of shape \[any, 1\], got \[3, 2\]"),
    (([WEIGHT[:2], WEIGHT[:, :1].copy()], [BEHIND], 9, Input.SIGNS), r"expected thresholds of shape \[1, 2\]"),
    (
        ([WEIGHT, WEIGHT[:, :1].copy()], [Thresholds(np.zeros((1, 3)), np.zeros((1, 3), bool))], 9, Input.SIGNS),
        "expected thresholds as an array of int32, got float64",
    ),
    (([WEIGHT], [], 9, Input.SIGNS, "sse"), "expected a path of this machine, one of .*plain, got 'sse'"),
]


@pytest.mark.parametrize(("arguments", "message"), WRONG_CHAINS)
def test_wrong_layers_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Chain(*arguments)


WRONG_ENTRIES = [  # what the compiled type itself makes of what does not come through the face
    (("plain", True, 9, ((3, b"12345", 0, b"", b""),)), "expected 6 bytes of weights, got 5"),
    (("plain", True, 9, ()), "expected at least one layer"),
    (("plain", True, -1, ((3, b"123456", 0, b"", b""),)), "expected at least one layer and one input"),
    (("plain", True, 9, ((-3, b"123456", 0, b"", b""),)), "expected from 1 to 8421504 inputs and units, got 9 and -3"),
    (("plain", True, 9, ((2**62, b"123456", 0, b"", b""),)), "expected from 1 to 8421504 inputs and units"),
    (("plain", True, 9, ((3, b"123456", 1, b"", b"123"),)), "behind every layer but the last"),
    (("plain", True, 9, ((3, b"123456", -1, b"", b""),)), "expected from 1 to 8421504"),
    (
        ("plain", True, 9, ((3, b"123456", 1, b"123", b"123"), (1, b"1", 0, b"", b""))),
        "expected 12 bytes of thresholds",
    ),
    (("plain", True, 9, ((3, b"123456", 1, b"1" * 12, b"12"), (1, b"1", 0, b"", b""))), "expected 3 bytes of flips"),
    (("vax", True, 9, ((3, b"123456", 0, b"", b""),)), "path 'vax' is not among those of this machine"),
]


@pytest.mark.parametrize(("arguments", "message"), WRONG_ENTRIES)
def test_the_compiled_type_checks_every_length_itself(arguments, message):
    with pytest.raises(ValueError, match=message):
        compiled.Chain(*arguments)


def test_the_compiled_call_checks_every_length_itself():
    chain = compiled.Chain("plain", True, 9, ((3, b"123456", 0, b"", b""),))
    with pytest.raises(ValueError, match="expected rows of 9 bytes, got 10 bytes"):
        chain.forward(b"0" * 10, bytearray(12), 0, 1)
    with pytest.raises(ValueError, match="expected 24 bytes of output, got 12"):
        chain.forward(b"0" * 18, bytearray(12), 0, 1)
    with pytest.raises(TypeError, match="read-write bytes-like"):
        chain.forward(b"0" * 9, b"0" * 12, 0, 1)


def predict_in_child(chain, x, expected):
    sys.exit(0 if np.array_equal(chain(x, 0, 2), expected) else 3)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork")
def test_a_forked_process_computes_although_the_threads_of_its_parent_are_gone():
    generator = np.random.default_rng(0)
    chain = Chain([bits(generator, 2048, 1024)[1]], [], 1024, Input.BYTES)
    x = generator.integers(0, 256, (64, 1024), dtype=np.uint8)
    child = multiprocessing.get_context("fork").Process(target=predict_in_child, args=(chain, x, chain(x, 0, 2)))
    child.start()
    child.join(60)
    assert child.exitcode == 0
