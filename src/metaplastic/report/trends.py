"""Comparisons along something that grows: the width of networks, the parts of a stream."""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float64

from metaplastic.evaluation import mean_interval, summary
from metaplastic.report.figures import Band, over_seeds, reach
from metaplastic.report.frame import Frame, place_legend
from metaplastic.report.groups import Comparison, Group
from metaplastic.report.style import capital, group_colour, group_marker, look, percent_axis

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Averages = Mapping[int, Float64[np.ndarray, " seed"]]
"""Width to average accuracy over the tests, in [0, 1], one per seed."""

_APART = 1.015  # factor between the widths of neighbouring kinds, so that whiskers do not hide each other


def averages(group: Group) -> Float64[np.ndarray, " seed"]:
    """Collect the average accuracy over the tasks after the last stage.

    Args:
        group: Runs that differ only in the seed.

    Returns:
        In [0, 1], one per run.
    """
    values = [summary(run.matrix)["average_accuracy"].value for run in group.runs]
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def by_width(comparison: Comparison) -> dict[str, dict[int, Group]]:
    """Sort groups by what they are and how wide their networks are.

    Args:
        comparison: Groups whose labels may end in their width, as `ewc-1024`.

    Returns:
        Label without the width, to width of the first hidden layer, to group; widths ascend.

    Raises:
        ValueError: When two groups of one label have one width.
    """
    kinds: dict[str, dict[int, Group]] = {}
    for group in sorted(comparison.groups, key=_width):
        kind = kinds.setdefault(re.sub(r"-\d+$", "", group.label), {})
        if kind.setdefault(_width(group), group) is not group:
            raise ValueError(
                f"expected one group per width, got {kind[_width(group)].label!r} and {group.label!r} of width "
                f"{_width(group)}; draw them with final_bars"
            )
    order = list(dict.fromkeys(re.sub(r"-\d+$", "", group.label) for group in comparison.groups))
    return {label: kinds[label] for label in order}


def width_lines(comparison: Comparison, anew: Mapping[str, Averages] | None = None) -> "Figure":
    """Draw the final accuracy, averaged over the tasks, against the width of the networks, one line per kind.

    Args:
        comparison: Groups whose labels may end in their width, as `ewc-1024`; what is before it is the kind.
        anew: Kind to width to averages in [0, 1] by statistics taken anew, one per seed, drawn dashed; None draws none.

    Returns:
        A figure; widths in octaves, accuracies in per cent.

    Raises:
        ValueError: When two groups of one kind have one width.

    References:
        Laborieux et al. 2021, Nature Communications 12:2549, Fig. 3.
    """
    kinds = by_width(comparison)
    widths = sorted({width for groups in kinds.values() for width in groups})
    with look():
        frame = Frame(1, width=4.4, height=3.0, legend=Frame.legend_width(list(kinds)), top=0.75)
        title = f"{capital(comparison.title)}: final average against width"
        note = over_seeds(comparison, "dot", f"whisker: {Band.INTERVAL}")
        if anew:
            note += " Dashed: statistics taken anew from images of each task."
        figure, (panel,) = frame.open(title, " · ".join(comparison.common().values()), note)
        panel.set_xscale("log", base=2)
        percent_axis(panel)
        middle = (len(kinds) - 1) / 2
        handles = [
            _draw_kind(panel, label, groups, place, _APART ** (place - middle))
            for place, (label, groups) in enumerate(kinds.items())
        ]
        for kind, found in (anew or {}).items():
            place = list(kinds).index(kind)
            means = [100 * float(np.mean(values)) for values in found.values()]
            panel.plot(
                list(found), means, "--", color=group_colour(place), marker=group_marker(place), fillstyle="none"
            )
        panel.set_xticks(widths, [str(width) for width in widths])
        panel.minorticks_off()
        panel.set_xlim(widths[0] / 1.2, widths[-1] * 1.2)
        panel.set_xlabel("width of the hidden layers")
        panel.set_ylabel("average test accuracy (%)")
        place_legend(figure, panel, handles, "")
    return figure


def stream_curves(comparison: Comparison) -> "Figure":
    """Draw the accuracy on the one test against the parts of a stream that were learned.

    Groups that learned everything at once are level lines.

    Args:
        comparison: Groups of runs.

    Returns:
        A figure, in per cent.

    References:
        Laborieux et al. 2021, Nature Communications 12:2549, Fig. 5.
    """
    names = [group.label for group in comparison.groups]
    with look():
        from matplotlib.ticker import MaxNLocator

        frame = Frame(1, width=5.2, height=3.0, legend=Frame.legend_width(names), top=0.75)
        title = f"{capital(comparison.groups[0].first.title)}: a stream"
        note = over_seeds(comparison, "line", f"band: {Band.INTERVAL}")
        if any(group.first.stages == 1 for group in comparison.groups):
            note += " Dashed: all parts at once."
        figure, (panel,) = frame.open(title, " · ".join(comparison.common().values()), note)
        longest = max(group.first.stages for group in comparison.groups)
        handles = [_draw_stream(panel, group, place, longest) for place, group in enumerate(comparison.groups)]
        percent_axis(panel)
        panel.set_xlim(1, max(longest, 2))
        panel.xaxis.set_major_locator(MaxNLocator(7, integer=True))
        panel.set_xlabel("parts learned")
        panel.set_ylabel("test accuracy (%)")
        place_legend(figure, panel, handles, "")
    return figure


def _width(group: Group) -> int:
    return group.first.config.network.hidden[0]


def _draw_kind(panel: "Axes", label: str, groups: dict[int, Group], place: int, shift: float) -> Any:
    found = [mean_interval(100 * averages(group)) for group in groups.values()]
    mean, half = (np.array([float(pair[part]) for pair in found]) for part in (0, 1))
    return panel.errorbar(
        np.array(list(groups)) * shift,
        mean,
        np.nan_to_num(half),
        fmt=f"{group_marker(place)}-",
        color=group_colour(place),
        markersize=5,
        linewidth=1.5,
        elinewidth=1.0,
        capsize=2.5,
        label=label,
    )


def _draw_stream(panel: "Axes", group: Group, place: int, longest: int) -> Any:
    shares = 100 * np.stack([run.matrix.accuracy.mean(axis=1) for run in group.runs])
    at, style = np.arange(1, shares.shape[1] + 1), "-"
    if group.first.stages == 1:
        shares, at, style = np.repeat(shares, 2, axis=1), np.array([1, max(longest, 2)]), "--"
    if len(shares) > 1:
        panel.fill_between(at, *reach(shares, Band.INTERVAL), color=group_colour(place), alpha=0.2, linewidth=0)
    (line,) = panel.plot(at, shares.mean(axis=0), style, color=group_colour(place), linewidth=1.7, label=group.label)
    return line
