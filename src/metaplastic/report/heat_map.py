"""The accuracy matrix as a heat map: what is known of each test after each task."""

from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float64

from metaplastic.report.figures import drawn_name, wrapped
from metaplastic.report.frame import Frame, place_legend
from metaplastic.report.groups import Comparison, Group
from metaplastic.report.page_figure import PageFigure, ends, mean_and_reach, shown_stages
from metaplastic.report.style import GROUP_COLOURS, INK, look
from metaplastic.report.table import short_names, told

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_BLUE = GROUP_COLOURS[1]
_DEEPEST = 0.8
"""Opacity of a cell at 100 %: letters in the ink of the page keep a contrast of 4.5 on it, in light and in dark."""
_MOST_NUMBERS = 10
"""Rows and columns up to which the cells hold their numbers."""
_LETTERS = 11.5  # letters of a title in an inch


def heat_map_figure(comparison: Comparison) -> PageFigure | None:
    """Show the accuracy matrix of each group that learned in more than one stage.

    Args:
        comparison: Groups of runs.

    Returns:
        The figure; None where every group learned everything at once.
    """
    groups = [group for group in comparison.groups if len(_mean(group)) > 1]
    if not groups:
        return None
    whole = Comparison(tuple(groups))
    at_once = [group.label for group in comparison.groups if group not in groups]
    left_out = (f"Not shown, because it learned everything at once: {', '.join(at_once)}.",) if at_once else ()
    return PageFigure(
        "matrix",
        "Accuracy matrix",
        "Heat maps of test accuracy, one panel per group: a row for every stage of training, a column for every test; "
        f"the diagonal is what was just learned, below it is what is left of it. {ends(whole)}",
        accuracy_heat_map(whole),
        [["", "after", *comparison.tests], *(row for group in groups for row in _rows(group))],
        ("Accuracy in %, mean over the seeds and half its 95 % interval.", *told(whole), *left_out),
    )


def accuracy_heat_map(comparison: Comparison) -> "Figure":
    """Draw the accuracy matrix, mean over the seeds: a row for every stage, a column for every test.

    The tests of the task that a stage trained are framed.

    Args:
        comparison: Groups of runs.

    Returns:
        A figure, one panel per group.
    """
    stages = max(len(_mean(group)) for group in comparison.groups)
    numbered = stages <= _MOST_NUMBERS and len(comparison.tests) <= _MOST_NUMBERS
    with look():
        width, height = (min(max(0.36 * count + 0.2, 1.7), 2.9) for count in (len(comparison.tests), stages))
        frame = Frame(
            len(comparison.groups), width=width, height=min(height, 2.6), legend=Frame.legend_width(["accuracy"])
        )
        foot = "Mean over the seeds. Frame: the task that was just learned."
        figure, panels = frame.open("Accuracy matrix", " · ".join(comparison.common().values()), foot)
        for panel, group in zip(panels, comparison.groups, strict=True):
            _draw(panel, group, numbered, int(_LETTERS * width))
            panel.set_ylim(stages - 0.5, -0.5)
            panel.set_xlabel("tested on")
        for panel in panels[:: frame.across]:
            panel.set_ylabel("after stage")
        place_legend(figure, panels[0], _scale(), "accuracy")
    return figure


def _draw(panel: "Axes", group: Group, numbered: bool, letters: int) -> None:
    from matplotlib.patches import Rectangle

    mean = _mean(group)
    rows, columns = mean.shape
    panel.imshow(_cells(mean), interpolation="none", aspect="auto")  # kept as it is, one dot a cell, in an SVG
    panel.set_title(wrapped(group.label, letters))
    panel.spines[:].set_visible(False)
    panel.tick_params(length=0)
    _name_axes(panel, list(map(drawn_name, short_names(group.first.matrix.tests))), rows)
    for stage, trained in enumerate(group.first.matrix.trained_on[:rows]):
        for test in trained:
            panel.add_patch(Rectangle((test - 0.5, stage - 0.5), 1, 1, fill=False, edgecolor=INK, linewidth=0.9))
    if numbered:
        for stage, test in np.ndindex(rows, columns):
            share = f"{100 * mean[stage, test]:.0f}"
            panel.text(test, stage, share, ha="center", va="center", fontsize=8)


def _name_axes(panel: "Axes", tests: list[str], stages: int) -> None:
    """Mark rows by their number; columns by name where names are short, else by number, and not all where many."""
    names = tests if max(map(len, tests)) <= 3 or len(tests) <= 3 else [str(place + 1) for place in range(len(tests))]
    columns, rows = (range(0, count, max(1, -(-count // _MOST_NUMBERS))) for count in (len(tests), stages))
    panel.set_xticks(list(columns), [names[place] for place in columns])
    panel.set_yticks(list(rows), [str(place + 1) for place in rows])


def _cells(mean: Float64[np.ndarray, "stage test"]) -> Float64[np.ndarray, "stage test 4"]:
    """Colour a matrix: the deeper the higher, and where it is low the page shows, be it light or dark."""
    from matplotlib.colors import to_rgb

    colours = np.empty((*mean.shape, 4))
    colours[..., :3] = to_rgb(_BLUE)
    colours[..., 3] = _DEEPEST * mean
    return colours


def _scale() -> list[Any]:
    from matplotlib.colors import to_rgb
    from matplotlib.patches import Patch

    red, green, blue = to_rgb(_BLUE)
    shares = (0.0, 0.25, 0.5, 0.75, 1.0)
    return [
        Patch(
            facecolor=(red, green, blue, _DEEPEST * share), edgecolor=INK, linewidth=0.4, label=f"{100 * share:.0f} %"
        )
        for share in shares
    ]


def _mean(group: Group) -> Float64[np.ndarray, "stage test"]:
    return np.mean([run.matrix.accuracy for run in group.runs], axis=0)


def _rows(group: Group) -> list[list[str]]:
    accuracy = 100 * np.stack([run.matrix.accuracy for run in group.runs])
    tests = group.first.matrix.tests
    names = [" and ".join(tests[test] for test in trained) for trained in group.first.matrix.trained_on]
    shown = shown_stages(accuracy.shape[1], 10)
    return [[group.label, names[stage], *map(mean_and_reach, accuracy[:, stage].T)] for stage in shown]
