"""Comparisons as figures: accuracy while tasks are learned, and at the end."""

import enum
import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np

from metaplastic.evaluation import mean_interval
from metaplastic.report.chance import chance
from metaplastic.report.frame import Frame, place_legend
from metaplastic.report.groups import Comparison, Group
from metaplastic.report.style import (
    INK,
    MANY_STAGES,
    SOFT,
    Colour,
    capital,
    draw_boundaries,
    group_colour,
    look,
    percent_axis,
    task_colours,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LONGEST_NAME = 40  # letters of a test, of which there may be fifty classes

_CHANCE: Any = {"color": SOFT, "linewidth": 0.9, "linestyle": (0, (4, 3))}  # how the line of chance looks


class Band(enum.StrEnum):
    """What the band around a mean shows."""

    RANGE = "smallest to largest"
    """All seeds."""
    INTERVAL = "95 % interval of the mean"
    """Student's interval, cut off at 0 and at 100 %."""


def accuracy_curves(comparison: Comparison, band: Band = Band.RANGE) -> "Figure":
    """Draw the accuracy on each test against the epochs of the whole sequence.

    One panel per group whose runs say their accuracy on the way; the others are named at the foot. A line is the mean
    over the seeds, with a band around it where there are several. The strip on top of a panel shows which task is being
    learned; thin upright lines are the boundaries between tasks.

    Args:
        comparison: Groups of runs.
        band: What the band shows.

    Returns:
        A figure, in per cent from 0 to 100.

    Raises:
        ValueError: When no group says its accuracy on the way.
    """
    tests = list(map(drawn_name, comparison.tests))
    level = _chance(comparison)
    groups, without = with_curves(comparison)
    with look():
        from matplotlib.lines import Line2D

        colours = task_colours(len(tests))
        handles: list[Any] = [
            Line2D([], [], color=colour, linewidth=2, label=test) for test, colour in zip(tests, colours, strict=True)
        ]
        handles += _chance_handles(level)
        frame = Frame(len(groups), legend=Frame.legend_width([*tests, "test accuracy on"]))
        title = f"{capital(comparison.title)}: accuracy during training"
        foot = _footnote(comparison, "line", band) + without
        figure, panels = frame.open(title, _remark(comparison), foot)
        for panel, group in zip(panels, groups, strict=True):
            _draw_group(panel, group, colours, level, band)
            panel.set_xlim(0, _longest(comparison, group))
        for panel in panels[:: frame.across]:
            panel.set_ylabel("test accuracy (%)")
        place_legend(figure, panels[0], handles, "test accuracy on")
    return figure


def with_curves(comparison: Comparison) -> tuple[tuple[Group, ...], str]:
    """Find the groups whose runs say their accuracy during training.

    Args:
        comparison: Groups of runs.

    Returns:
        The groups, and a sentence that names the others for the foot of a figure, with a space before it.

    Raises:
        ValueError: When there is no such group.
    """
    groups = tuple(group for group in comparison.groups if group.has_curves)
    if not groups:
        raise ValueError(
            "expected accuracy during training in the metrics.jsonl of a group's runs, got none in "
            f"{comparison.groups[0].first.folder} and the others; put the files back, or draw the end with final_bars"
        )
    silent = [group.label for group in comparison.groups if not group.has_curves]
    return groups, f" Without curves: {'; '.join(silent)}." if silent else ""


def final_bars(comparison: Comparison) -> "Figure":
    """Draw the accuracy on each test after the last stage.

    One bar per group and test: the mean over the seeds, with the standard deviation between seeds (n - 1) and a dot
    per seed; with several tests, also the mean over the tests.

    Args:
        comparison: Groups of runs.

    Returns:
        A figure, in per cent from 0 to 100.
    """
    groups, tests = comparison.groups, list(map(drawn_name, comparison.tests))
    places = np.arange(len(tests) + (len(tests) > 1), dtype=np.float64)
    places[-1] += 0.35 if len(tests) > 1 else 0.0
    level = _chance(comparison)
    with look():
        labels = [wrapped(group.label) for group in groups]
        across = max(0.3 * (len(groups) + 1), 0.9)  # of the bars of a test, and of its name
        width = min(max(2.6, across * len(places)), 11.0)
        longest = [line for label in labels for line in label.split("\n")]
        frame = Frame(1, width=width, height=2.7, legend=Frame.legend_width([*longest, "chance"]), top=0.75)
        title = f"{capital(comparison.title)}: accuracy at the end"
        figure, (panel,) = frame.open(title, _remark(comparison), _footnote(comparison, "bar"))
        handles: list[Any] = [
            _draw_bars(panel, group, index, places, len(groups)) for index, group in enumerate(groups)
        ]
        for handle, label in zip(handles, labels, strict=True):
            handle.set_label(label)
        if level is not None:
            _draw_chance(panel, level)
        handles += _chance_handles(level)
        names = [*tests, "mean over\nthe tasks"][: len(places)]
        panel.set_xticks(places, [wrapped(name, 12) for name in names])
        panel.tick_params(axis="x", length=0)
        panel.set_xlim(places[0] - 0.6, places[-1] + 0.6)
        percent_axis(panel)
        panel.set_ylabel("test accuracy (%)")
        place_legend(figure, panel, handles, "")
    return figure


def drawn_name(test: str) -> str:
    r"""Name a test in a picture: of many classes the first and the last, and no formula between two dollars.

    Args:
        test: Its name.

    Returns:
        The same, or something shorter.

    Example:
        >>> drawn_name("airplane automobile bird cat deer dog frog horse ship truck")
        'airplane ... truck'
    """
    words = test.split()
    short = f"{words[0]} ... {words[-1]}" if len(test) > _LONGEST_NAME and len(words) > 2 else test
    return short.replace("$", r"\$")


def _draw_group(panel: "Axes", group: Group, colours: list[Colour], level: float | None, band: Band) -> None:
    percent_axis(panel)
    panel.set_title(wrapped(group.label, 36), pad=14)
    panel.set_xlabel("epochs" if len(group.first.matrix.trained_on[0]) == 1 else "epochs, each over all tasks")
    epochs, stages = group.first.config.epochs, group.first.stages
    draw_boundaries(panel, epochs, stages)
    if level is not None:
        _draw_chance(panel, level)
    points, accuracy = group.curves()
    shares = 100 * accuracy
    marker = "o" if len(points) < 3 or np.diff(points).max() > 1 else None
    for test, colour in enumerate(colours):
        if len(group.runs) > 1:
            panel.fill_between(points, *reach(shares[:, :, test], band), color=colour, alpha=0.2, linewidth=0)
        mean = shares[:, :, test].mean(axis=0)
        panel.plot(points, mean, color=colour, linewidth=1.7, marker=marker, markersize=3, clip_on=False, zorder=3)
    _draw_strip(panel, group, colours)
    _set_ticks(panel, epochs, stages)


def reach(shares: np.ndarray, band: Band) -> tuple[np.ndarray, np.ndarray]:
    """Compute the edges of a band.

    Args:
        shares: `[seed, point]`, in per cent; at least two seeds.
        band: What it shows.

    Returns:
        Lower and upper edge, from 0 to 100.
    """
    if band is Band.RANGE:
        return shares.min(axis=0), shares.max(axis=0)
    mean, half = mean_interval(shares)
    return np.clip(mean - half, 0, 100), np.clip(mean + half, 0, 100)


def _draw_strip(panel: "Axes", group: Group, colours: list[Colour]) -> None:
    """Show above the panel which task is learned when; all colours on top of each other when all are."""
    epochs = group.first.config.epochs
    gap = 0.004 * epochs * group.first.stages if group.first.stages <= MANY_STAGES else 0.0
    for stage, trained in enumerate(group.first.matrix.trained_on):
        for layer, test in enumerate(trained):
            low = 1.02 + 0.03 * layer / len(trained)
            panel.axvspan(
                stage * epochs + gap,
                (stage + 1) * epochs - gap,
                ymin=low,
                ymax=low + 0.03 / len(trained),
                color=colours[test],
                linewidth=0,
                clip_on=False,
            )


def _set_ticks(panel: "Axes", epochs: int, stages: int) -> None:
    from matplotlib.ticker import MaxNLocator

    if 1 < stages <= 8:
        panel.set_xticks([stage * epochs for stage in range(stages + 1)])
    else:
        panel.xaxis.set_major_locator(MaxNLocator(6, integer=True))


def _draw_bars(panel: "Axes", group: Group, index: int, places: np.ndarray, groups: int) -> Any:
    final = 100 * group.final()
    shares = np.column_stack([final, final.mean(axis=1)]) if len(places) > 1 else final
    width = 0.82 / max(groups, 3)
    x = places + (index - (groups - 1) / 2) * width
    bars = panel.bar(x, shares.mean(axis=0), width * 0.9, color=group_colour(index), linewidth=0)
    if len(shares) > 1:
        spread = shares.std(axis=0, ddof=1)
        panel.errorbar(x, shares.mean(axis=0), spread, fmt="none", ecolor=INK, elinewidth=1.0, capsize=2.5, zorder=4)
    for row, shift in zip(shares, _shifts(len(shares), width), strict=True):
        panel.plot(
            x + shift, row, "o", color="white", markeredgecolor=INK, markeredgewidth=0.7, markersize=3.4, zorder=3
        )
    return bars


def _shifts(seeds: int, width: float) -> np.ndarray:
    """Dots side by side, so that equal seeds do not hide each other."""
    return np.linspace(-0.25, 0.25, seeds) * width if seeds > 1 else np.zeros(1)


def _draw_chance(panel: "Axes", level: float) -> None:
    panel.axhline(100 * level, **_CHANCE, zorder=2)


def _chance_handles(level: float | None) -> list[Any]:
    """Name the line of chance in a legend, where there is one."""
    from matplotlib.lines import Line2D

    return [] if level is None else [Line2D([], [], **_CHANCE, label="chance")]


def _chance(comparison: Comparison) -> float | None:
    levels = {chance(group.first.config) for group in comparison.groups}
    return levels.pop() if len(levels) == 1 else None


def _longest(comparison: Comparison, group: Group) -> int:
    """Epochs that the panels of all groups with as many stages have room for."""
    alike = (other.first for other in comparison.groups if other.first.stages == group.first.stages)
    return max(run.stages * run.config.epochs for run in alike)


def _remark(comparison: Comparison) -> str:
    return " · ".join(comparison.common().values())


def _footnote(comparison: Comparison, middle: str, band: Band | None = None) -> str:
    strip = " Strip above: the task that is learned." if band else ""
    spread = f"band: {band}" if band else "whisker: standard deviation; dot: one seed"
    return f"{over_seeds(comparison, middle, spread)}{strip}"


def over_seeds(comparison: Comparison, middle: str, spread: str) -> str:
    """Say what is drawn of several seeds.

    Args:
        comparison: Groups of runs.
        middle: What shows the mean.
        spread: What shows how far seeds lie apart, and what that is.

    Returns:
        A sentence.
    """
    seeds = sorted({len(group.runs) for group in comparison.groups})
    if seeds == [1]:
        return "One seed each."
    count = str(seeds[0]) if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
    return f"{middle.capitalize()}: mean of {count} seeds; {spread}."


def wrapped(text: str, width: int = 26) -> str:
    """Break a label into lines.

    Args:
        text: The label.
        width: Letters in a line at most; that of a legend by default.

    Returns:
        Its lines.
    """
    return textwrap.fill(text, width)
