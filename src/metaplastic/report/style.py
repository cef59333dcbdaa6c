"""The look of all figures: light, few lines, readable in grey and to the colour-blind."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from metaplastic.files import write_bytes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK, SOFT, FAINT = "#222222", "#6b6b6b", "#d9d9d9"
"""Colours of text, of side remarks and of helping lines."""

GROUP_COLOURS = (
    *("#8c8c8c", "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00"),
    *("#332288", "#6b8e23", "#882255"),
)
"""Colours that tell groups apart, after Okabe and Ito, and three of Tol's kind where there are more groups; told apart
from the colours of tasks, which are ordered."""

_MARKERS = "osD^vPX"

MANY_STAGES = 12
"""Stages up to which boundaries between them are drawn; of more they would be a grey wall."""

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


def group_colour(place: int) -> str:
    """Choose the colour of a group.

    Args:
        place: Its place among the groups, from 0.

    Returns:
        One of `GROUP_COLOURS`, which begin again where there are more groups.

    Example:
        >>> group_colour(1), group_colour(len(GROUP_COLOURS) + 1)
        ('#0072b2', '#0072b2')
    """
    return GROUP_COLOURS[place % len(GROUP_COLOURS)]


def group_marker(place: int) -> str:
    """Choose the shape of a group's points, which tells it from others beside the colour.

    Args:
        place: Its place among the groups, from 0.

    Returns:
        A marker of matplotlib; they begin again where there are more groups.

    Example:
        >>> group_marker(0), group_marker(8)
        ('o', 's')
    """
    return _MARKERS[place % len(_MARKERS)]


def capital(text: str) -> str:
    """Begin a text with a capital letter and leave the others as they are, as `str.capitalize` does not.

    Args:
        text: Words.

    Returns:
        The same words.

    Example:
        >>> capital("permuted MNIST"), capital("")
        ('Permuted MNIST', '')
    """
    return text[:1].upper() + text[1:]


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


def draw_boundaries(axes: "Axes", epochs: int, stages: int) -> None:
    """Draw a thin upright line between any two stages, unless there are too many of them.

    Args:
        axes: Axes along the epochs of the whole sequence.
        epochs: Epochs of a stage.
        stages: Number of stages.
    """
    for boundary in range(1, stages) if stages <= MANY_STAGES else ():
        axes.axvline(boundary * epochs, color=SOFT, linewidth=0.5, zorder=1)


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
    write_bytes(path, data.getvalue())
