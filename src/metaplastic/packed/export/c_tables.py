"""Tables of a packed network as C source, and what cannot be one."""

import numpy as np

from metaplastic.packed.bits import pack_bits
from metaplastic.packed.decisions import SampleMean, SampleReadout, Thresholds
from metaplastic.packed.export.bounds import bound, require_squares_fit
from metaplastic.packed.layers import ConvLayer, Input, Layer, Pooling
from metaplastic.packed.network import PackedNetwork

_SIDE_LIMIT = 2**16 - 1
"""Largest side of an image, and number of its channels."""

_KERNEL_LIMIT = 2**8 - 1

_A_LINE = 24
"""Numbers in a line of source."""

_POOLS = {Pooling.NONE: 0, Pooling.AVERAGE: 1, Pooling.MAX: 2}


class Tables:
    """Tables of constants as source.

    Attributes:
        text: The source, one entry a table.
        size: Bytes of all tables.
    """

    def __init__(self) -> None:
        self.text: list[str] = []
        self.size = 0

    def add(self, kind: str, name: str, numbers: np.ndarray) -> str:
        """Add a table.

        Args:
            kind: C's type of an entry.
            name: Its name, without what all begin with.
            numbers: Its entries.

        Returns:
            The name in the source.
        """
        self.text.append(table(kind, name, numbers))
        self.size += numbers.nbytes
        return f"bnn_{name}"


def table(kind: str, name: str, numbers: np.ndarray) -> str:
    """Write a table as source.

    Args:
        kind: C's type of an entry.
        name: Its name, without what all begin with.
        numbers: Its entries, integers or float32.

    Returns:
        The source, a line longer than 120 characters where rows of numbers are long.

    Example:
        >>> print(table("uint8_t", "weight_0", np.array([5, 3], np.uint8)))
        static const uint8_t bnn_weight_0[2] BNN_FLASH = {
        5,3
        };
        <BLANKLINE>
    """
    words = [f"{value.hex()}f" for value in map(float, numbers.flat)] if kind == "float" else _integers(numbers)
    lines = [",".join(words[start : start + _A_LINE]) for start in range(0, len(words), _A_LINE)]
    return f"static const {kind} bnn_{name}[{len(words)}] BNN_FLASH = {{\n" + ",\n".join(lines) + "\n};\n"


def _integers(numbers: np.ndarray) -> list[str]:
    return list(map(str, numbers.ravel().tolist()))


def layer_row(tables: Tables, network: PackedNetwork, index: int) -> str:
    """Write a layer as a row of the table of layers, and its own tables.

    Args:
        tables: What is added to.
        network: The network.
        index: Which layer, from 0.

    Returns:
        The row.
    """
    layer = network.layers[index]
    weight = tables.add("uint8_t", f"weight_{index}", layer.weight)
    threshold, flipped, wide = _decision(tables, index, layer)
    units, per_task = len(layer.weight), int(layer.after.tables > 1)
    fields = [weight, threshold, flipped, layer.fan_in, units, layer.out_features // units, wide, per_task]
    if any(isinstance(other, ConvLayer) for other in network.layers):
        fields += _geometry(layer)
    return f"    {{{', '.join(map(str, fields))}}},"


def _decision(tables: Tables, index: int, layer: Layer) -> tuple[str, str, int]:
    decision = layer.after
    if not isinstance(decision, Thresholds):
        return "0", "0", 0
    narrow = decision.threshold.astype(np.int16)
    wide = not np.array_equal(narrow, decision.threshold)
    numbers = decision.threshold if wide else narrow
    threshold = tables.add("int32_t" if wide else "int16_t", f"threshold_{index}", numbers)
    flipped = "0"
    if decision.flipped.any():
        flipped = tables.add("uint8_t", f"flipped_{index}", pack_bits(decision.flipped))
    return threshold, flipped, int(wide)


def _geometry(layer: Layer) -> list[int]:
    if not isinstance(layer, ConvLayer):
        return [0] * 7
    sides = [layer.in_channels, layer.height, layer.width]
    return [layer.kernel_size, layer.padding, _POOLS[layer.pool], *sides, layer.out_shape[2]]


def require_exportable(network: PackedNetwork) -> None:
    """Fail for a network that the runtime cannot compute in integers.

    Args:
        network: The network.

    Raises:
        ValueError: When it needs floating point before the last layer, or larger integers than there are.
    """
    if network.input is Input.REAL:
        raise ValueError(
            "expected a network of bytes or signs for C, got one of real features: its first layer would need floating "
            "point; train it on bytes, or with binarize_input, or export it to ONNX"
        )
    for index, layer in enumerate(network.layers):
        if isinstance(layer.after, SampleMean) and layer.after.gain is not None:
            raise ValueError(
                f"expected thresholds, or layer norm without gain and offset, for C, got both behind layer {index}: "
                "they would need floating point before the last layer; train with affine=False, or export it to ONNX"
            )
        if isinstance(layer.after, SampleReadout):
            require_squares_fit(index, layer.out_features, bound(network, index) or 0)
        if isinstance(layer, ConvLayer):
            _require_small(index, layer)


def _require_small(index: int, layer: ConvLayer) -> None:
    if max(layer.in_channels, layer.height, layer.width, layer.out_shape[2]) > _SIDE_LIMIT:
        raise ValueError(f"expected sides up to {_SIDE_LIMIT} for C, got more in layer {index}; use smaller images")
    if layer.kernel_size > _KERNEL_LIMIT:
        raise ValueError(f"expected kernels up to {_KERNEL_LIMIT} for C, got more in layer {index}; use smaller ones")
