"""Accuracy by the width of networks, one panel per kind and one colour per width: in training, and along tasks."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float64

from metaplastic.report.figures import Band, over_seeds, reach, with_curves, wrapped
from metaplastic.report.frame import Frame, place_legend
from metaplastic.report.groups import Comparison, Group
from metaplastic.report.style import MANY_STAGES, Colour, capital, draw_boundaries, look, percent_axis, width_colours
from metaplastic.report.trends import by_width

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Drawn = Callable[["Axes", Group, Colour], None]
"""Draws a group into the panel of its kind, in the colour of its width."""

_AT_ONCE, _LAST = (0, (4, 2)), (0, (1, 1.2))  # dashes and dots
_BAND = f"band: {Band.INTERVAL}"


def width_curves(comparison: Comparison) -> "Figure":
    """Draw accuracy on the first task against the epochs of the whole sequence, and on the last from where it begins.

    One panel per kind, one colour per width: a solid line is what is left of the first task, a dotted one what is
    learned of the last. Groups without accuracy during training are left out.

    Args:
        comparison: Groups whose labels may end in their width, as `running-512`; what is before it is the kind.

    Returns:
        A figure, in per cent.

    Raises:
        ValueError: When no group has curves, or two groups of one kind have one width.
    """
    groups, without = with_curves(comparison)
    foot = f"Solid: the first task; dotted: the last, from where it begins. {over_seeds(comparison, 'line', _BAND)}"
    return _open(Comparison(groups), "the first task and the last, by width", foot + without, _draw_ends, {})


def capacity_curves(comparison: Comparison, titles: Mapping[str, str] | None = None) -> "Figure":
    """Draw mean accuracy over the tasks learned so far against their number.

    One panel per kind, one colour per width. Groups that learned all tasks at once are level dashed lines, of the mean
    over all tasks.

    Args:
        comparison: Groups whose labels may end in their width, as `ewc-1024`; what is before it is the kind.
        titles: Kind to the title of its panel; those that are named in it come in its order. None takes the kinds.

    Returns:
        A figure, in per cent.

    Raises:
        ValueError: When two groups of one kind have one width.

    References:
        Laborieux et al. 2021, Nature Communications 12:2549, Fig. 3.
    """
    at_once = any(group.first.stages == 1 for group in comparison.groups)
    foot = over_seeds(comparison, "line", _BAND) + (" Dashed: all tasks at once, their mean." if at_once else "")
    return _open(comparison, "tasks held, by width", foot, _draw_capacity, titles or {})


def so_far(group: Group) -> Float64[np.ndarray, "seed stage"]:
    """Compute the mean accuracy over the tasks learned so far.

    Args:
        group: Runs that differ only in the seed.

    Returns:
        In [0, 1], after each stage: the mean over the tests whose tasks this stage or an earlier one trained.
    """
    learned: set[int] = set()
    columns = []
    accuracy = np.stack([run.matrix.accuracy for run in group.runs])
    for stage, trained in enumerate(group.first.matrix.trained_on):
        learned |= set(trained)
        columns.append(accuracy[:, stage, sorted(learned)].mean(axis=1))
    return np.stack(columns, axis=1)


def _open(comparison: Comparison, what: str, foot: str, draw: Drawn, titles: Mapping[str, str]) -> "Figure":
    """Draw a panel per kind with a line per width."""
    kinds = by_width(comparison)
    order = [*(kind for kind in titles if kind in kinds), *(kind for kind in kinds if kind not in titles)]
    widths = sorted({width for groups in kinds.values() for width in groups})
    with look():
        from matplotlib.lines import Line2D

        colours = dict(zip(widths, width_colours(len(widths)), strict=True))
        handles = [Line2D([], [], color=colours[width], linewidth=2, label=str(width)) for width in widths]
        frame = Frame(len(order), width=2.4, height=2.0, legend=Frame.legend_width(["hidden units"]))
        title = f"{capital(comparison.title)}: {what}"
        figure, panels = frame.open(title, " · ".join(comparison.common().values()), foot)
        for panel, kind in zip(panels, order, strict=True):
            percent_axis(panel)
            panel.set_title(wrapped(titles.get(kind, kind), 30))
            for width, group in kinds[kind].items():
                draw(panel, group, colours[width])
        for panel in panels[:: frame.across]:
            panel.set_ylabel("test accuracy (%)")
        place_legend(figure, panels[0], handles, "width")
    return figure


def _draw_ends(panel: "Axes", group: Group, colour: Colour) -> None:
    points, accuracy = group.curves()
    trained, epochs, stages = group.first.matrix.trained_on, group.first.config.epochs, group.first.stages
    _draw_line(panel, points, 100 * accuracy[:, :, trained[0][0]], colour, "-")
    if len(trained) > 1:
        begun = points >= (len(trained) - 1) * epochs
        _draw_line(panel, points[begun], 100 * accuracy[:, begun, trained[-1][-1]], colour, _LAST)
    draw_boundaries(panel, epochs, stages)
    panel.set_xlabel("epochs")
    panel.set_xlim(0, epochs * stages)
    panel.set_xticks([epochs * stage for stage in range(stages + 1)] if stages <= 6 else [0, epochs * stages])


def _draw_capacity(panel: "Axes", group: Group, colour: Colour) -> None:
    from matplotlib.ticker import MaxNLocator

    shares, stages = 100 * so_far(group), group.first.stages
    if stages == 1:
        _draw_line(panel, np.array([0.0, 1.0]), np.repeat(shares, 2, axis=1), colour, _AT_ONCE)
        panel.set_xlabel(f"all {len(group.first.matrix.trained_on[0])} tasks at once")
        panel.set_xticks([])
        panel.set_xlim(0, 1)
    else:
        _draw_line(panel, np.arange(1.0, shares.shape[1] + 1), shares, colour, "-")
        panel.set_xlabel("tasks learned")
        panel.xaxis.set_major_locator(MaxNLocator(min(stages, MANY_STAGES), integer=True))
        panel.set_xlim(1, stages)


def _draw_line(panel: "Axes", at: np.ndarray, shares: np.ndarray, colour: Colour, style: Any) -> None:
    """Draw a mean over seeds, `[seed, point]` in per cent, with its interval."""
    if len(shares) > 1:
        panel.fill_between(at, *reach(shares, Band.INTERVAL), color=colour, alpha=0.2, linewidth=0)
    marker = "o" if style != _AT_ONCE and np.diff(at).max(initial=0) > 1 else None  # where it was tested
    mean = shares.mean(axis=0)
    (line,) = panel.plot(at, mean, color=colour, linestyle=style, linewidth=1.7, marker=marker, markersize=2.6)
    line.set(clip_on=False, zorder=3)
