"""The look of all figures: light, few lines, readable in grey and to the colour-blind."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from metaplastic.files import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK, SOFT, FAINT = "#222222", "#6b6b6b", "#d9d9d9"
"""Colours of text, of side remarks and of helping lines."""

GROUP_COLOURS = (
    *("#8c8c8c", "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00"),
    *("#332288", "#6b8e23"),
)
"""Colours that tell groups apart, after Okabe and Ito, and two of Tol's kind where there are more groups; told apart
from the colours of tasks, which are ordered."""

DPI = 150
"""Dots per inch of the files."""

_RC: Any = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": SOFT,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "legend.title_fontsize": 9,
}


Colour = tuple[float, float, float, float]
"""Red, green, blue and opacity, each in [0, 1]."""


@contextmanager
def look() -> Iterator[Any]:
    """Draw in the package's look within a `with` block; the settings of matplotlib are then as they were.

    Yields:
        The settings, which may be changed within the block.
    """
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_RC)
        yield matplotlib.rcParams


def task_colours(tasks: int) -> list[Colour]:
    """Choose one colour per task, in a perceptual order from the first to the last.

    Args:
        tasks: Number of tasks, at least 1.

    Returns:
        Red, green, blue and opacity in [0, 1] of each; plasma without its yellow end, which is lost on white.
    """
    import matplotlib

    colours = matplotlib.colormaps["plasma"](np.linspace(0.05, 0.82, tasks)).tolist()
    return [(red, green, blue, opacity) for red, green, blue, opacity in colours]


def width_colours(widths: int) -> list[Colour]:
    """Choose one colour per width of a network, from dark and narrow to light and wide.

    Args:
        widths: Number of widths, at least 1.

    Returns:
        Red, green, blue and opacity in [0, 1] of each; viridis without its ends, so that it is not taken for tasks.
    """
    import matplotlib

    colours = matplotlib.colormaps["viridis"](np.linspace(0.15, 0.75, widths)).tolist()
    return [(red, green, blue, opacity) for red, green, blue, opacity in colours]


def percent_axis(axes: "Axes") -> None:
    """Scale the upright axis from 0 to 100 %, with thin lines across.

    Args:
        axes: Axes whose data are in per cent.
    """
    axes.set_ylim(0, 100)
    axes.set_yticks(range(0, 101, 20))
    axes.grid(axis="y", color=FAINT, linewidth=0.6)
    axes.set_axisbelow(True)


def write_png(figure: Any, path: Path) -> None:
    """Write a figure as PNG, whole or not at all.

    Args:
        figure: A matplotlib figure.
        path: The file; its folder must exist.
    """
    data = io.BytesIO()
    # Without the version of matplotlib in the file, equal pictures are equal files.
    with look():
        figure.savefig(data, format="png", dpi=DPI, metadata={"Software": None})
    with replacing(path) as file:
        file.write(data.getvalue())
