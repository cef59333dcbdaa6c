"""Random networks of every kind that there is, small and of awkward widths."""

import numpy as np
import pytest

from metaplastic.packed import (
    ConvLayer,
    DenseLayer,
    Input,
    PackedNetwork,
    Pooling,
    Readout,
    SampleMean,
    SampleReadout,
    Thresholds,
)
from metaplastic.packed.bits import pack_bits

TASKS = ("night", 'day */ " \n', "élan")


class Maker:
    """Draws the parts of networks from one stream."""

    def __init__(self, seed: int = 0, tables: int = 1) -> None:
        self.source, self.tables = np.random.default_rng(seed), tables

    def weight(self, out: int, fan_in: int) -> np.ndarray:
        return pack_bits(self.source.random((out, fan_in)) < 0.5)

    def thresholds(self, units: int, spread: float, flipped: float = 0.2, kind: type = np.int32) -> Thresholds:
        shape = (self.tables, units)
        numbers = np.rint(self.source.normal(0, spread, shape)).astype(kind)
        return Thresholds(numbers, self.source.random(shape) < flipped)

    def numbers(self, *shape: int) -> np.ndarray:
        return self.source.normal(size=shape).astype(np.float32)

    def readout(self, classes: int) -> Readout:
        return Readout(self.numbers(self.tables, classes), self.numbers(self.tables, classes))

    def dense(self, fan_in: int, out: int, after) -> DenseLayer:
        return DenseLayer(self.weight(out, fan_in), fan_in, after)

    def conv(self, shape: tuple[int, int, int], out: int, kernel: int, padding: int, pool: Pooling, after) -> ConvLayer:
        channels, height, width = shape
        weight = self.weight(out, channels * kernel**2)
        return ConvLayer(weight, channels, kernel, padding, pool, height, width, after)


def thresholds_per_task() -> PackedNetwork:
    make = Maker(1, tables=3)
    layers = (
        make.dense(37, 29, make.thresholds(29, 800)),
        make.dense(29, 21, make.thresholds(21, 4)),
        make.dense(21, 5, make.readout(5)),
    )
    return PackedNetwork(Input.BYTES, (37,), layers, TASKS)


def one_table() -> PackedNetwork:
    make = Maker(2)
    layers = (make.dense(784, 64, make.thresholds(64, 40_000, 0)), make.dense(64, 10, make.readout(10)))
    return PackedNetwork(Input.BYTES, (28, 28), layers)


def one_layer() -> PackedNetwork:
    make = Maker(3)
    return PackedNetwork(Input.BYTES, (20,), (make.dense(20, 3, make.readout(3)),))


def signs() -> PackedNetwork:
    make = Maker(4)
    layers = (
        make.dense(45, 33, make.thresholds(33, 5)),
        make.dense(33, 12, SampleMean(1.0, 1e-5)),
        make.dense(12, 4, make.readout(4)),
    )
    return PackedNetwork(Input.SIGNS, (45,), layers)


def layer_norm() -> PackedNetwork:
    make = Maker(5)
    layers = (
        make.dense(50, 31, SampleMean(1 / 256, 1e-5)),
        make.dense(31, 16, SampleMean(1.0, 1e-5)),
        make.dense(16, 5, SampleReadout(1.0, 1e-5)),
    )
    return PackedNetwork(Input.BYTES, (50,), layers)


def layer_norm_at_the_end() -> PackedNetwork:
    make = Maker(6)
    readout = SampleReadout(1.0, 1e-5, make.numbers(5), make.numbers(5))
    return PackedNetwork(Input.BYTES, (9,), (make.dense(9, 30, make.thresholds(30, 300)), make.dense(30, 5, readout)))


def convolutions() -> PackedNetwork:
    make = Maker(7, tables=3)
    layers = (
        make.conv((2, 11, 9), 5, 4, 1, Pooling.AVERAGE, make.thresholds(5, 3000)),
        make.conv((5, 5, 4), 6, 3, 1, Pooling.NONE, make.thresholds(6, 6)),
        make.conv((6, 5, 4), 7, 2, 1, Pooling.MAX, make.thresholds(7, 5)),
        make.dense(7 * 3 * 2, 4, make.readout(4)),
    )
    return PackedNetwork(Input.BYTES, (2, 11, 9), layers, TASKS)


def convolutions_of_signs() -> PackedNetwork:
    make = Maker(8)
    layers = (
        make.conv((1, 8, 8), 3, 3, 2, Pooling.MAX, make.thresholds(3, 3)),
        make.conv((3, 5, 5), 4, 3, 1, Pooling.AVERAGE, SampleMean(0.25, 1e-5)),
        make.dense(4 * 2 * 2, 3, make.readout(3)),
    )
    return PackedNetwork(Input.SIGNS, (1, 8, 8), layers)


def affine_layer_norm() -> PackedNetwork:
    make = Maker(9)
    layers = (
        make.dense(50, 31, SampleMean(1 / 256, 1e-5, make.numbers(31), make.numbers(31))),
        make.dense(31, 5, SampleReadout(1.0, 1e-5, make.numbers(5), make.numbers(5))),
    )
    return PackedNetwork(Input.BYTES, (50,), layers)


def affine_layer_norm_of_convolutions() -> PackedNetwork:
    make = Maker(10)
    layers = (
        make.conv((1, 6, 6), 4, 3, 1, Pooling.AVERAGE, SampleMean(1 / 1024, 1e-5, make.numbers(4), make.numbers(4))),
        make.dense(36, 5, make.readout(5)),
    )
    return PackedNetwork(Input.BYTES, (1, 6, 6), layers)


def real() -> PackedNetwork:
    make = Maker(11)
    layers = (
        make.dense(30, 19, make.thresholds(19, 4, kind=np.float64)),
        make.dense(19, 5, make.readout(5)),
    )
    return PackedNetwork(Input.REAL, (30,), layers)


def real_layer_norm() -> PackedNetwork:
    make = Maker(12)
    layers = (make.dense(30, 19, SampleMean(1.0, 1e-5)), make.dense(19, 5, SampleReadout(1.0, 1e-5)))
    return PackedNetwork(Input.REAL, (30,), layers)


INTEGER_THRESHOLDS = (thresholds_per_task, one_table, one_layer, convolutions)
INTEGER = (*INTEGER_THRESHOLDS, signs, layer_norm, layer_norm_at_the_end, convolutions_of_signs)
ALL = (*INTEGER, affine_layer_norm, affine_layer_norm_of_convolutions, real, real_layer_norm)


@pytest.fixture(params=ALL, ids=lambda make: make.__name__)
def network(request) -> PackedNetwork:
    return request.param()


@pytest.fixture(params=INTEGER, ids=lambda make: make.__name__)
def integer_network(request) -> PackedNetwork:
    return request.param()


@pytest.fixture(params=INTEGER_THRESHOLDS, ids=lambda make: make.__name__)
def threshold_network(request) -> PackedNetwork:
    return request.param()


@pytest.fixture
def task_network() -> PackedNetwork:
    return thresholds_per_task()


@pytest.fixture
def real_network() -> PackedNetwork:
    return real()


@pytest.fixture
def affine_network() -> PackedNetwork:
    return affine_layer_norm()


@pytest.fixture
def conv_network() -> PackedNetwork:
    return convolutions()


@pytest.fixture
def microcontroller_network() -> PackedNetwork:
    """784-512-512-10, whose sums are of the size that images of digits give."""
    make = Maker(13)
    layers = (
        make.dense(784, 512, make.thresholds(512, 4000)),
        make.dense(512, 512, make.thresholds(512, 20)),
        make.dense(512, 10, make.readout(10)),
    )
    return PackedNetwork(Input.BYTES, (784,), layers)


@pytest.fixture
def draw_inputs():
    """Draw inputs as an export of a network takes them."""

    def draw(network: PackedNetwork, count: int, seed: int = 0) -> np.ndarray:
        source = np.random.default_rng(seed)
        shape = (count, *network.input_shape)
        if network.input is Input.REAL:
            return source.normal(size=shape).astype(np.float32)
        fill = source.random((count,) + (1,) * len(network.input_shape))
        pixels = source.integers(1, 256, shape) * (source.random(shape) < fill)
        return pixels.astype(np.uint8)

    return draw
