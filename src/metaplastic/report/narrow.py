"""A figure laid out anew for a narrow screen: its panels in one column, its legend above them."""

import textwrap
from typing import TYPE_CHECKING, Any

from metaplastic.report.style import look

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 3.85
"""Width of a narrow figure, inches: that of a page of 400 pixels without its margins."""

_LEFT, _RIGHT, _EDGE = 0.74, 0.12, 0.08
_ABOVE, _BELOW = 0.25, 0.5  # room of a panel above its strip or whiskers, and for its axis
_LINE, _HEADING, _KEY, _PANEL_TITLE, _LETTER = 0.16, 0.21, 0.2, 0.17, 0.075


def narrow(figure: "Figure") -> None:
    """Lay a figure out anew, in place: write its wide form before.

    Args:
        figure: A figure that a function of this room drew: a title, a remark and a footnote as its texts, panels, and
            at most one legend.
    """
    panels = list(figure.axes)
    title, remark, foot = figure.texts
    inner = WIDTH - _LEFT - _RIGHT
    with look():
        heights = [min(panel.get_position().height * figure.get_figheight(), inner) for panel in panels]
        head = _EDGE + _HEADING * _rewrap(title, 0.1)
        key = head + _LINE * _rewrap(remark, 0.068) + _EDGE
        top = key + sum(_KEY * _lines(legend) for legend in figure.legends)
        above = [_ABOVE + _PANEL_TITLE * _rewrap_title(panel, inner) for panel in panels]
        below = [_BELOW + _turn_labels(panel, inner) for panel in panels]
        bottom = _LINE * _rewrap(foot, 0.064) + 2 * _EDGE
        high = top + sum(heights) + sum(above) + sum(below) + bottom
        figure.set_size_inches(WIDTH, high)
        _stack(panels, heights, above, below, top / high, high)
        for text, at in ((title, _EDGE), (remark, head), (foot, high - _EDGE)):
            text.set_position((_EDGE / WIDTH, 1 - at / high))
        for legend in figure.legends:
            legend.set_bbox_to_anchor((_EDGE / WIDTH, 1 - key / high), figure.transFigure)


def _stack(
    panels: "list[Axes]", heights: list[float], above: list[float], below: list[float], top: float, high: float
) -> None:
    """Put panels under each other, each with an upright axis of its own; `top` is a share, the rest inches."""
    upright = next((panel.get_ylabel() for panel in panels if panel.get_ylabel()), "")
    at = 1 - top
    for panel, height, over, under in zip(panels, heights, above, below, strict=True):
        at -= (over + height) / high
        panel.set_position((_LEFT / WIDTH, at, 1 - (_LEFT + _RIGHT) / WIDTH, height / high))
        at -= under / high
        panel.tick_params(labelleft=True)
        panel.set_ylabel(panel.get_ylabel() or upright)


def _rewrap(text: Any, letter: float) -> int:
    """Break a text into lines of letters of a width in inches; tell how many."""
    lines = textwrap.wrap(" ".join(text.get_text().split()), int((WIDTH - 2 * _EDGE) / letter))
    text.set_text("\n".join(lines))
    return len(lines)


def _rewrap_title(panel: "Axes", inner: float) -> int:
    from matplotlib.text import Text

    found = panel.get_title(loc="left")
    lines = [part for line in found.split("\n") for part in textwrap.wrap(line, int(inner / 0.08))]
    for child in panel.get_children():
        if isinstance(child, Text) and found and child.get_text() == found:
            child.set_text("\n".join(lines))  # in place, so that its distance to the panel is kept
    return len(lines)


def _turn_labels(panel: "Axes", inner: float) -> float:
    """Break names below a panel, or turn them where that does not do; tell how much room it takes."""
    names = [label.get_text().replace("\n", " ") for label in panel.get_xticklabels()]
    if not any(name.strip("0123456789.-\u2212") for name in names):
        return 0.0  # numbers, which are short
    fitting = max(1, int(inner / (len(names) + 0.6) / _LETTER))
    wrapped = [textwrap.wrap(name, fitting, break_long_words=False) for name in names]
    upright = max(len(line) for lines in wrapped for line in lines) > fitting
    shown = names if upright else ["\n".join(lines) for lines in wrapped]
    panel.set_xticks(panel.get_xticks(), shown, rotation=90 if upright else 0)
    return max(map(len, names)) * _LETTER - _LINE if upright else (max(map(len, wrapped)) - 1) * _LINE


def _lines(legend: Any) -> float:
    """Lines of a legend, with its heading."""
    heading = legend.get_title().get_text()
    return sum(text.get_text().count("\n") + 1 for text in legend.get_texts()) + bool(heading) + 0.4
