"""Packed networks: what they predict, and what they refuse."""

import copy
import dataclasses
import pickle

import numpy as np
import pytest
import torch

import metaplastic
from metaplastic.nn import BinaryMLP
from metaplastic.packed import ConvLayer, DenseLayer, Input, PackedNetwork, Pooling, Readout, Thresholds, pack
from metaplastic.packed.golden import golden_inputs

SPLITS = [1, 7, 30]


@pytest.mark.parametrize("kind", ["dense", "conv"])
@pytest.mark.parametrize("statistics", ["running", "layer"])
@pytest.mark.parametrize("source", ["bytes", "signs", "real"])
def test_predictions_do_not_depend_on_how_the_batch_is_split(build, images, kind, statistics, source, backend):
    network = build(kind, statistics, signs=source == "signs")
    packed = pack(network, input=source)
    x = images(network, 30).numpy()
    if source == "real":
        x = np.random.default_rng(0).standard_normal(x.shape).astype(np.float32)
    whole = packed.logits(x)
    for size in SPLITS:
        parts = [packed.logits(x[start : start + size], backend=backend) for start in range(0, len(x), size)]
        np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_large_batches_are_computed_in_chunks(build, images, monkeypatch):
    network = build("conv")
    x = images(network, 50)
    whole = pack(network).logits(x, backend="numpy")
    monkeypatch.setattr("metaplastic.packed.engine._CHUNK", 2**13)
    chunked = pack(network)
    assert chunked._engine("numpy", 1).chunk_size < 10
    np.testing.assert_array_equal(chunked.logits(x, backend="numpy", threads=1), whole)


def test_the_class_is_that_of_the_largest_logit_and_probabilities_are_their_softmax(build, images):
    network = build("dense")
    packed, x = pack(network), images(network)
    logits = packed.logits(x)
    assert packed.predict(x).tolist() == logits.argmax(1).tolist()
    probabilities = packed.predict_proba(x)
    np.testing.assert_allclose(probabilities, torch.from_numpy(logits).double().softmax(1), rtol=1e-12)
    assert packed.classes == 4


def test_no_samples_give_no_predictions(build, backend):
    for kind, shape in (("dense", (77,)), ("conv", (2, 9, 8))):
        packed = pack(build(kind))
        assert packed.predict(np.zeros((0, *shape), np.uint8), backend=backend).shape == (0,)
        assert packed.logits(np.zeros((0, *shape), np.uint8), backend=backend).shape == (0, 4)


def test_the_trace_ends_with_what_the_logits_are_made_of(build, images):
    network = build("conv", tasks=2)
    packed, x = pack(network), images(network)
    sums, bits = packed.trace(x, 1)[-1]
    assert bits is None
    np.testing.assert_array_equal(packed.layers[-1].after(sums, 1), packed.logits(x, 1))


def test_images_may_be_flat_or_not_and_tensors_or_not(build, images):
    network = build("conv")
    packed, x = pack(network), images(network)
    for same in (x, x.flatten(1), x.numpy(), x / 256, (x / 256).double().numpy()):
        np.testing.assert_array_equal(packed.logits(same), packed.logits(x))


def test_networks_are_equal_where_every_number_is(build):
    packed = pack(build("dense"))
    assert packed == pack(build("dense"))
    assert packed != pack(build("dense", seed=1))
    assert packed != pack(build("conv"))
    assert packed != pack(build("dense"), dataset="other")
    assert packed != "a network"
    after = packed.layers[0].after
    changed = dataclasses.replace(after, threshold=after.threshold // 2)
    layers = (dataclasses.replace(packed.layers[0], after=changed), *packed.layers[1:])
    assert packed != dataclasses.replace(packed, layers=layers)


def test_networks_can_be_copied_and_sent(build, images):
    network = build("dense")
    packed, x = pack(network), images(network)
    logits = packed.logits(x)
    for other in (copy.deepcopy(packed), pickle.loads(pickle.dumps(packed))):  # noqa: S301
        assert other == packed
        np.testing.assert_array_equal(other.logits(x), logits)


def test_networks_cannot_be_changed(build):
    packed = pack(build("dense"))
    with pytest.raises(dataclasses.FrozenInstanceError):
        packed.unit = 1.0
    for layer in packed.layers:
        with pytest.raises(ValueError, match="read-only"):
            layer.weight[0, 0] = 1
    with pytest.raises(ValueError, match="read-only"):
        packed.layers[0].after.threshold[0, 0] = 1


def test_an_array_that_is_given_may_be_changed_later_without_harm():
    weight = np.array([[3]], np.uint8)
    layer = DenseLayer(weight, 3, Readout(np.ones((1, 1), np.float32), np.zeros((1, 1), np.float32)))
    weight[0, 0] = 0
    assert layer.weight.tolist() == [[3]]


def test_a_task_is_found_by_name_or_index(build):
    packed = pack(build("dense", tasks=3), tasks=["mnist", "fashion", "letters"])
    assert [packed.table(task) for task in ("mnist", "fashion", 2)] == [0, 1, 2]


@pytest.mark.parametrize(
    ("task", "message"),
    [
        (None, "expected a task, since each has its own thresholds, got none; give one of mnist, fashion"),
        ("mnits", "unknown task 'mnits'; did you mean 'mnist'"),
        (2, "expected a task from 0 to 1, got 2; or give its name"),
        (-1, "expected a task from 0 to 1, got -1"),
    ],
)
def test_a_task_that_is_not_there_is_told(build, images, task, message):
    network = build("dense", tasks=2)
    packed = pack(network, tasks=["mnist", "fashion"])
    with pytest.raises(ValueError, match=message):
        packed.predict(images(network), task)


def test_a_task_is_refused_where_all_share_one_table(build, images):
    network = build("dense")
    with pytest.raises(ValueError, match="expected no task, got 0: this network has one table for all"):
        pack(network).predict(images(network), 0)


@pytest.mark.parametrize("threads", [0, -1])
def test_threads_are_at_least_one(build, images, threads):
    network = build("dense")
    with pytest.raises(ValueError, match=f"expected threads >= 1, got {threads}"):
        pack(network).predict(images(network), threads=threads)


def test_golden_inputs_are_the_same_everywhere(build):
    drawn = golden_inputs(pack(build("dense")))
    assert drawn.shape == (64, 77)
    assert drawn[0, :5].tolist() == [154, 124, 178, 223, 11]
    np.testing.assert_array_equal(golden_inputs(pack(build("dense", signs=True))), drawn > 127)
    real = golden_inputs(pack(build("dense"), input="real"))
    assert real[0, :2].tolist() == [(154 - 127.5) / 64, (124 - 127.5) / 64]


def test_the_package_offers_pack_and_packed_networks():
    assert metaplastic.pack is pack
    assert metaplastic.PackedNetwork is PackedNetwork


def test_a_network_shows_its_shapes(build):
    assert repr(pack(build("dense"))) == "PackedNetwork(bytes 77 -> 70 -> 13 -> 4)"
    assert repr(pack(build("conv", tasks=1), input="real")).startswith("PackedNetwork(real 2x9x8 -> 5x5x5 -> ")
    assert "tasks=['0']" in repr(pack(build("conv", tasks=1)))


def readout(classes=2, tables=1):
    return Readout(np.ones((tables, classes), np.float32), np.zeros((tables, classes), np.float32))


def thresholds(units, tables=1, value=0, dtype=np.int32):
    return Thresholds(np.full((tables, units), value, dtype), np.zeros((tables, units), bool))


def dense(fan_in, out, after):
    return DenseLayer(np.zeros((out, -(-fan_in // 8)), np.uint8), fan_in, after)


LAST = dense(3, 2, readout())
FIRST = dense(4, 3, thresholds(3))
CONV = ConvLayer(np.zeros((2, 2), np.uint8), 1, 3, 0, Pooling.NONE, 4, 4, thresholds(2))
MISFITS = {
    "no layers": (((4,), ()), "expected layers that end in a dense one with a readout, got none"),
    "bits at the end": (((4,), (FIRST,)), "layer 0: expected logits here, got Thresholds"),
    "logits in the middle": (((3,), (LAST, LAST)), "layer 0: expected bits here, got Readout"),
    "another input": (((5,), (FIRST, LAST)), r"layer 0: expected a layer that takes \(5,\), got one that takes \(4,\)"),
    "another image": (
        ((1, 5, 4), (CONV, LAST)),
        r"layer 0: expected a layer that takes \(1, 5, 4\), got .*\(1, 4, 4\)",
    ),
    "widths": (((4,), (FIRST, dense(5, 2, readout()))), r"layer 1: expected a layer that takes \(3,\)"),
    "an empty input": (((0,), (FIRST, LAST)), "expected an input shape of integers > 0"),
    "two tables for no tasks": (
        ((4,), (dense(4, 3, thresholds(3, 2)), LAST)),
        "layer 0: expected one table, or one for each of 0 tasks, got 2",
    ),
    "thresholds out of reach": (
        ((4,), (dense(4, 3, thresholds(3, value=5000)), LAST)),
        "layer 0: expected thresholds from -1020 to 1021, got others",
    ),
    "thresholds of floats": (
        ((4,), (dense(4, 3, thresholds(3, dtype=np.float64)), LAST)),
        "layer 0: expected int32 thresholds, got float64",
    ),
}


@pytest.mark.parametrize("name", MISFITS)
def test_parts_that_do_not_fit_each_other_are_refused(name):
    (shape, layers), message = MISFITS[name]
    with pytest.raises(ValueError, match=message):
        PackedNetwork(Input.BYTES, shape, layers)


LAYERS = {
    "too few bytes": (
        lambda: DenseLayer(np.zeros((2, 1), np.uint8), 9, readout()),
        r"as \[out, 2\] bytes, got \(2, 1\)",
    ),
    "bits behind the last": (
        lambda: DenseLayer(np.full((2, 1), 8, np.uint8), 3, readout()),
        "expected the bits behind the last of 3 inputs to be 0",
    ),
    "weights of another type": (
        lambda: DenseLayer(np.zeros((2, 1), np.int8), 3, readout()),
        "expected weight as an array of uint8, got int8; convert it with numpy's astype",
    ),
    "weights that are no array": (lambda: DenseLayer([[0]], 3, readout()), "expected weight as an array .* got list"),
    "no inputs": (lambda: dense(0, 2, readout()), "expected in_features as an integer >= 1, got 0"),
    "another number of units": (lambda: dense(3, 2, readout(3)), "expected what follows to have the 2 units .* got 3"),
    "sums beyond 32 bits": (lambda: dense(2**24, 1, readout(1)), "expected sums that fit into 32 bits"),
    "thresholds of other shapes": (
        lambda: Thresholds(np.zeros((1, 2), np.int32), np.zeros((1, 3), bool)),
        r"expected threshold and flipped as \[tables, units\], got \(1, 2\) and \(1, 3\)",
    ),
    "thresholds that are no numbers": (lambda: thresholds(2, value=np.nan, dtype=np.float64), "got NaN; calibrate"),
    "logits that are infinite": (
        lambda: Readout(np.full((1, 2), np.inf, np.float32), np.zeros((1, 2), np.float32)),
        r"expected numbers of at most 2\^90 in scale",
    ),
    "an image that is too small": (
        lambda: ConvLayer(np.zeros((2, 2), np.uint8), 1, 3, 0, Pooling.MAX, 3, 3, thresholds(2)),
        "expected images large enough for kernel 3 and pooling 'max', got 3 x 3",
    ),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers_that_cannot_be_are_refused(name):
    make, message = LAYERS[name]
    with pytest.raises(ValueError, match=message):
        make()


def test_padding_counts_for_nothing_at_every_border():
    random = np.random.default_rng(0)
    weight = random.integers(0, 2, (3, 2, 4, 4), dtype=np.uint8)
    packed = np.packbits(weight.reshape(3, -1), axis=1, bitorder="little")
    layer = ConvLayer(packed, 2, 4, 3, Pooling.NONE, 5, 6, thresholds(3))
    x = random.integers(0, 2, (2, 5, 6)) * 2 - 1
    padded = np.pad(x, ((0, 0), (3, 3), (3, 3)))
    as_minus = np.where(padded == 0, -1, padded)
    for row, column in np.ndindex(layer.sum_shape[1:]):
        signs = weight.astype(int) * 2 - 1
        window = np.s_[:, row : row + 4, column : column + 4]
        wanted = (signs * padded[window]).sum((1, 2, 3))
        computed = (signs * as_minus[window]).sum((1, 2, 3)) + layer.border[:, row, column]
        assert computed.tolist() == wanted.tolist()


def test_the_default_net_of_the_readme_is_packed_after_training():
    torch.manual_seed(0)
    network = BinaryMLP([16, 8, 3])
    x = torch.randint(0, 256, (1000, 16)) / 256
    metaplastic.recalibrate(network, x)
    with torch.no_grad():
        expected = network.eval()(x).argmax(1)
    assert (pack(network).predict(x) == expected.numpy()).mean() > 0.995
