"""What a conversion to binary layers changed, as a value and as a table."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ConvertedLayer:
    """What became of one layer.

    Args:
        name: Its dotted name in the model.
        kind: Its class before the conversion.
        shape: Shape of its weight; empty where there is none, or it is not known yet.
        converted: Whether it was made binary.
        one_bit: Parameters that are computed with as one bit, the sign of a hidden weight.
        real: Parameters that stay real numbers, those that were put behind it among them.
        signs: Whether it computes with the signs of its input.
        remark: Why it was left alone, or what became of its bias.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    converted: bool
    one_bit: int = 0
    real: int = 0
    signs: bool = False
    remark: str = ""


@dataclass(frozen=True)
class ConversionReport:
    """What a conversion changed; `str` and `print` show it as a table.

    Args:
        layers: Every layer with weights, in the order of their first use as far as that is known.
        others: Parameters of everything else, gains and offsets of normalisations mostly: real numbers.
        removed: Activations that were taken out, as asked.
        cautions: What to look at before training, each with what to do.

    Example:
        >>> print(ConversionReport((ConvertedLayer("fc", "Linear", (10, 64), True, one_bit=640),), others=20))
        layer       kind    shape    1-bit parameters  real parameters  input  remark
        fc          Linear  10 x 64               640                0  real
        all others                                                  20
        total                                     640               20
    """

    layers: tuple[ConvertedLayer, ...]
    others: int
    removed: tuple[str, ...] = ()
    cautions: tuple[str, ...] = ()

    @property
    def converted(self) -> tuple[ConvertedLayer, ...]:
        """The layers that were made binary."""
        return tuple(layer for layer in self.layers if layer.converted)

    @property
    def left_alone(self) -> tuple[ConvertedLayer, ...]:
        """The layers that were left as they are, each with the reason."""
        return tuple(layer for layer in self.layers if not layer.converted)

    @property
    def one_bit(self) -> int:
        """Parameters that are computed with as one bit."""
        return sum(layer.one_bit for layer in self.layers)

    @property
    def real(self) -> int:
        """Parameters that stay real numbers."""
        return sum(layer.real for layer in self.layers) + self.others

    def __str__(self) -> str:
        ends = (
            ("all others", "", "", "", f"{self.others:,}", "", ""),
            ("total", "", "", f"{self.one_bit:,}", f"{self.real:,}", "", ""),
        )
        cells = [_HEADINGS, *map(_cells, self.layers), *ends]
        widths = [max(len(row[column]) for row in cells) for column in range(len(_HEADINGS))]
        removed = [f"taken out: {', '.join(self.removed)}"] if self.removed else []
        return "\n".join([*(_line(row, widths) for row in cells), *removed, *(f"! {text}" for text in self.cautions)])


_HEADINGS = ("layer", "kind", "shape", "1-bit parameters", "real parameters", "input", "remark")
_NUMBERS = (3, 4)
"""Columns of numbers, which end at the same place."""


def _cells(layer: ConvertedLayer) -> tuple[str, ...]:
    counts = f"{layer.one_bit:,}" if layer.one_bit else "", f"{layer.real:,}"
    inputs = ("signs" if layer.signs else "real") if layer.converted else ""
    remark = layer.remark if layer.converted else f"left alone: {layer.remark}"
    return layer.name, layer.kind, " x ".join(map(str, layer.shape)), *counts, inputs, remark


def _line(row: tuple[str, ...], widths: list[int]) -> str:
    aligned = (
        cell.rjust(width) if column in _NUMBERS else cell.ljust(width)
        for column, (cell, width) in enumerate(zip(row, widths, strict=True))
    )
    return "  ".join(aligned).rstrip()
