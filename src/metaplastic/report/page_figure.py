"""A figure of a page, with all that is needed to read it without seeing it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from metaplastic.evaluation import mean_interval
from metaplastic.report.groups import Comparison
from metaplastic.report.narrow import narrow
from metaplastic.report.page import Shown, Table, identifier
from metaplastic.report.svg import svg
from metaplastic.report.table import NOTHING

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class PageFigure:
    """A figure that records give.

    Args:
        name: Stem of its file, and its name on the page.
        title: What it shows.
        alternative: The same with its main numbers, in words.
        figure: The picture.
        table: Its numbers, a header first.
        notes: What the numbers are of, as sentences.
    """

    name: str
    title: str
    alternative: str
    figure: "Figure"
    table: Table
    notes: tuple[str, ...] = ()


def shown(key: str, figure: PageFigure) -> Shown:
    """Draw a figure for a page, for wide and for narrow screens.

    Args:
        key: Its name on the page.
        figure: The figure; it is laid out anew, so write its wide form before.

    Returns:
        What the page shows.
    """
    key = identifier(key)
    wide = svg(figure.figure, f"{key}-wide", figure.alternative)
    narrow(figure.figure)
    slim = svg(figure.figure, f"{key}-narrow", figure.alternative)
    return Shown(key, figure.title, wide, slim, figure.table, figure.notes)


def ends(comparison: Comparison) -> str:
    """Say where groups end.

    Args:
        comparison: Groups of runs.

    Returns:
        A sentence with the final accuracy of each group on each test.
    """
    said = []
    for group in comparison.groups:
        final = group.final().mean(axis=0)
        shown = [percent(share) for share in (final if len(final) <= 10 else [final.mean()])]
        said.append(f"{group.label} ends at {', '.join(shown)} %")
    on = f"on {', '.join(comparison.tests)}" if len(comparison.tests) <= 10 else "on average"
    return f"Mean over the seeds, {on}: {'; '.join(said)}."


def with_settings(table: Table, settings: Mapping[str, str]) -> Table:
    """Say beside each label what its configuration differs in, where the labels do not say it themselves.

    Args:
        table: A header, then rows that begin with a label.
        settings: Label to what it differs in.

    Returns:
        The table, with a second column if one is needed.
    """
    if all(settings[label] in label for label, *_ in table[1:]):
        return table
    header, *body = table
    return [[header[0], "settings", *header[1:]], *([row[0], settings[row[0]], *row[1:]] for row in body)]


def shown_stages(count: int, most: int) -> list[int]:
    """Choose stages for a table, evenly and the last one included.

    Args:
        count: Number of stages.
        most: How many there may be.

    Returns:
        Their indices.

    Example:
        >>> shown_stages(3, 5), shown_stages(60, 4)
        ([0, 1, 2], [14, 29, 44, 59])
    """
    step = -(-count // most)
    return [stage for stage in range(count) if (count - 1 - stage) % step == 0]


def percent(share: float) -> str:
    """Write a share in per cent.

    Args:
        share: In [0, 1].

    Returns:
        With one decimal.
    """
    return f"{100 * share:.1f}"


def number(value: float | None) -> str:
    """Write a number that may be missing.

    Args:
        value: Any number, or None.

    Returns:
        With four digits.
    """
    return NOTHING if value is None else f"{value:.4g}"


def mean_and_reach(values: Sequence[float] | np.ndarray) -> str:
    """Write a mean over seeds with half its interval.

    Args:
        values: One per seed.

    Returns:
        Both with one decimal; one seed has no interval.

    Example:
        >>> mean_and_reach([1.0, 2.0, 3.0]), mean_and_reach([1.0])
        ('2.0 ± 2.5', '1.0')
    """
    mean, half = mean_interval(np.asarray(values, dtype=np.float64))
    return f"{mean:.1f}" if len(values) < 2 else f"{mean:.1f} ± {half:.1f}"
