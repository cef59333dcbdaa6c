"""The frame of a figure: rows of panels with room for title, legend and footnote, measured in inches."""

import math
import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from metaplastic.report.style import SOFT

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LEFT, _RIGHT, _BOTTOM, _GAP_X, _GAP_Y = 0.65, 0.2, 0.75, 0.3, 0.8
_LETTER = 0.072  # width of a letter of the side remarks
_NARROWEST = 6.0
_OWN_SCALE = 0.45  # more room between panels, for the numbers of an upright axis of their own


@dataclass(frozen=True)
class Frame:
    """Sizes of a figure.

    Args:
        panels: Number of panels, >= 1.
        width: Width of a panel, inches.
        height: Height of a panel, inches.
        columns: Panels in a row at most.
        legend: Width kept free at the right, inches.
        top: Height kept free above the panels' titles, inches.
        one_scale: Whether all panels have one upright axis.
    """

    panels: int
    width: float = 3.1
    height: float = 2.5
    columns: int = 3
    legend: float = 0.0
    top: float = 0.95
    one_scale: bool = True

    @property
    def across(self) -> int:
        """Panels in a row, so that the rows are as even as can be."""
        return math.ceil(self.panels / math.ceil(self.panels / self.columns))

    def open(self, title: str, remark: str, footnote: str) -> "tuple[Figure, list[Axes]]":
        """Make the figure with its empty panels.

        Args:
            title: In large letters above.
            remark: In small letters below it; broken into lines where it is too long.
            footnote: In small letters at the foot.

        Returns:
            The figure, and its panels row by row.
        """
        from matplotlib.figure import Figure

        columns = self.across
        rows = math.ceil(self.panels / columns)
        gap = _GAP_X if self.one_scale else _GAP_X + _OWN_SCALE
        inner = columns * self.width + (columns - 1) * gap
        wide = max(_LEFT + inner + _RIGHT + self.legend, _NARROWEST)
        remarks, footnotes = (textwrap.wrap(text, int((wide - 0.3) / _LETTER)) for text in (remark, footnote))
        top = self.top + 0.16 * max(len(remarks) - 1, 0)
        bottom = _BOTTOM + 0.16 * max(len(footnotes) - 1, 0)
        high = top + rows * self.height + (rows - 1) * _GAP_Y + bottom
        figure = Figure(figsize=(wide, high))
        grid: Any = figure.subplots(
            rows,
            columns,
            sharey=self.one_scale,
            squeeze=False,
            gridspec_kw={
                "left": _LEFT / wide,
                "right": 1 - (_RIGHT + self.legend) / wide,
                "bottom": bottom / high,
                "top": 1 - top / high,
                "wspace": gap / self.width,
                "hspace": _GAP_Y / self.height,
            },
        )
        figure.text(0.12 / wide, 1 - 0.12 / high, title, fontsize=12, weight="bold", va="top")
        figure.text(0.12 / wide, 1 - 0.38 / high, "\n".join(remarks), fontsize=8.5, color=SOFT, va="top")
        figure.text(0.12 / wide, 0.1 / high, "\n".join(footnotes), fontsize=8, color=SOFT, va="bottom")
        axes = list(grid.flat)
        for spare in axes[self.panels :]:
            spare.remove()
        return figure, axes[: self.panels]

    @staticmethod
    def legend_width(labels: list[str]) -> float:
        """Tell how wide a legend at the right must be.

        Args:
            labels: Its lines.

        Returns:
            Inches.
        """
        return 0.45 + 0.075 * max(map(len, labels))


def place_legend(figure: "Figure", panel: "Axes", handles: list[Any], title: str) -> None:
    """Put the one legend of a figure at the right of its panels, level with the first row.

    Args:
        figure: The figure.
        panel: A panel of the first row.
        handles: What the legend explains, each with its label.
        title: Its heading.
    """
    box = panel.get_subplotspec().get_gridspec().get_subplot_params(figure)  # type: ignore[union-attr]
    figure.legend(
        handles=handles,
        title=title,
        loc="upper left",
        bbox_to_anchor=(box.right, box.top),
        borderaxespad=0.3,
        handlelength=1.3,
        labelspacing=0.45,
        alignment="left",
    )
