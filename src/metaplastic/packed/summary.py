"""What a packed network takes: parameters, bytes and operations."""

import math
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING

from metaplastic.packed.description import layer_tensors
from metaplastic.packed.file import layout
from metaplastic.packed.golden import operations
from metaplastic.packed.layers import ConvLayer, Input, Layer

if TYPE_CHECKING:
    from metaplastic.packed.network import PackedNetwork

_INPUT_BITS = {Input.SIGNS: 1, Input.BYTES: 8, Input.REAL: 64}


@dataclass(frozen=True)
class Row:
    """What one layer takes, or the header of the file, or all together.

    Args:
        name: What it is.
        shape: Shape of its sums, pooled.
        one_bit: Weights, of one bit each.
        numbers: Other parameters: thresholds, scales and offsets, of all tasks, of up to 32 bits each (64 behind real
            features).
        file_bytes: Bytes in the file.
        working_bytes: Bytes of its input and its output, for one sample: bits, but of the first layer's input what the
            network takes, and of the last layer's output 4 bytes a sum.
        operations: Products of a bit with a bit, for one sample; a byte is 8 bits, a real feature 64.
    """

    name: str
    shape: str
    one_bit: int
    numbers: int
    file_bytes: int
    working_bytes: int
    operations: int


@dataclass(frozen=True)
class Summary:
    """A table of what a network takes; `str` and `print` show it.

    Args:
        rows: One row a layer, and one for the header of the file.
    """

    rows: tuple[Row, ...]

    @property
    def total(self) -> Row:
        """All together: sums, but the largest of the working bytes, since layers are computed one after the other."""
        sums = {name: sum(getattr(row, name) for row in self.rows) for name in _SUMMED}
        return Row(name="total", shape="", working_bytes=max(row.working_bytes for row in self.rows), **sums)

    def __str__(self) -> str:
        cells = [_HEADINGS, *(_cells(row) for row in (*self.rows, self.total))]
        widths = [max(len(row[column]) for row in cells) for column in range(len(_HEADINGS))]
        return "\n".join(_line(row, widths) for row in cells)


_HEADINGS = ("layer", "output", "1-bit weights", "other numbers", "bytes in file", "working bytes", "bit operations")
_SUMMED = ("one_bit", "numbers", "file_bytes", "operations")
_TEXTS = 2
"""Columns that are no numbers."""


def summarise(network: "PackedNetwork") -> Summary:
    """Count what a network takes.

    Args:
        network: The network.

    Returns:
        A row a layer and one for the header; their bytes add up to the size of the file.
    """
    last = len(network.layers) - 1
    rows = [
        _row(depth, layer, _INPUT_BITS[network.input] if depth == 0 else 1, 32 if depth == last else 1)
        for depth, layer in enumerate(network.layers)
    ]
    header = Row("header", "", 0, 0, layout(network).header, 0, 0)
    return Summary((*rows, header))


def _row(depth: int, layer: Layer, bits_in: int, bits_out: int) -> Row:
    arrays = layer_tensors(layer)
    return Row(
        name=f"{depth} {'conv' if isinstance(layer, ConvLayer) else 'dense'}",
        shape=" x ".join(map(str, layer.out_shape)),
        one_bit=len(layer.weight) * layer.fan_in,
        numbers=sum(array.size for name, array in arrays.items() if name not in ("weight", "flipped")),
        file_bytes=sum(array.nbytes for array in arrays.values()),
        working_bytes=math.ceil(layer.in_features * bits_in / 8) + math.ceil(layer.out_features * bits_out / 8),
        operations=operations(layer) * bits_in,
    )


def _cells(row: Row) -> tuple[str, ...]:
    return tuple(value if isinstance(value, str) else f"{value:,}" for value in astuple(row))


def _line(row: tuple[str, ...], widths: list[int]) -> str:
    aligned = (
        cell.ljust(width) if column < _TEXTS else cell.rjust(width)
        for column, (cell, width) in enumerate(zip(row, widths, strict=True))
    )
    return "  ".join(aligned).rstrip()
