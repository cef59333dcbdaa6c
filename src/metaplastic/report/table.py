"""A comparison as a table: for the terminal, and as Markdown."""

import itertools
from collections.abc import Sequence

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from metaplastic.evaluation import Metric, summary
from metaplastic.report.groups import Comparison, Group
from metaplastic.report.style import capital

NOTHING = "-"
"""Stands where there is no number."""

_MOST_TESTS = 6  # a column each fits into a terminal of 80 letters

_METRICS = {"average": "average_accuracy", "forgetting": "forgetting", "bwt": "bwt"}


def table(comparison: Comparison) -> Table:
    """Lay out a comparison for a terminal.

    Args:
        comparison: Groups of runs.

    Returns:
        A rich table of what `rows` gives, with what was announced and the cautions under it; without the single tests
        where these are more than six.
    """
    caption = Text("\n".join([*notes(comparison), *(f"Caution: {said}." for said in comparison.cautions())]))
    shared = _shared_words(comparison.tests)
    short = [name.removeprefix(shared) for name in comparison.tests]
    on = f" on {shared}{short[0]} to {short[-1]}" if shared else ""
    title = Text(f"{comparison.title}: accuracy in %{on} after the last stage")
    laid = Table(title=title, caption=caption, box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    laid.title_justify = laid.caption_justify = "left"
    few = len(short) <= _MOST_TESTS
    laid.add_column("", min_width=min(16, max(len(group.label) for group in comparison.groups)))
    laid.add_column("seeds", justify="right", no_wrap=True)
    for name in short if few else []:
        laid.add_column(Text(name), justify="right", min_width=len("95.0"), overflow="fold")
    for name in _METRICS:
        laid.add_column(name, justify="right", no_wrap=True)
    for row in rows(comparison)[1:]:
        laid.add_row(*map(Text, row if few else [*row[:2], *row[-len(_METRICS) :]]))
    return laid


def markdown(comparison: Comparison) -> str:
    """Write a comparison as Markdown, for a README or a page.

    Args:
        comparison: Groups of runs.

    Returns:
        A table of what `rows` gives, then what was announced, then the cautions.
    """
    header, *body = rows(comparison)
    lines = [f"**{comparison.title}**: accuracy in % after the last stage", "", _row(header)]
    lines += [_row(["---", *["---:"] * (len(header) - 1)]), *map(_row, body), ""]
    lines += [f"- {note}" for note in notes(comparison)]
    lines += [f"- Caution: {said}." for said in comparison.cautions()]
    return "\n".join(lines) + "\n"


def rows(comparison: Comparison) -> list[list[str]]:
    """Compute the cells of the table.

    Accuracies are means over the seeds in per cent; forgetting and bwt are in percentage points. The average is over
    the tasks trained, with the standard deviation between seeds (n - 1 in its denominator).

    Args:
        comparison: Groups of runs.

    Returns:
        The header, then a row per group; `-` where a number does not exist.
    """
    header = ["", "seeds", *comparison.tests, *_METRICS]
    return [header, *map(_cells, comparison.groups)]


def notes(comparison: Comparison) -> list[str]:
    """Say what the numbers are of: what was announced, how the networks normalised, why a number is missing.

    Args:
        comparison: Groups of runs.

    Returns:
        Sentences.
    """
    common = comparison.common()
    said = [_sentence(list(common.values()))] if common else []
    for group in comparison.groups:
        own = [words for aspect, words in group.first.announced().items() if aspect not in common]
        said += [f"{group.label}: {_sentence(own)}"] if own else []
    return said + missing(comparison)


def missing(comparison: Comparison) -> list[str]:
    """Say why numbers are missing.

    Args:
        comparison: Groups of runs.

    Returns:
        Sentences.
    """
    reasons: dict[str, list[str]] = {}
    for group in comparison.groups:
        if reason := _metric(group, "forgetting")[0].reason:
            reasons.setdefault(reason, []).append(group.label)
    return [f"No forgetting and bwt for {', '.join(who)}: {reason}." for reason, who in reasons.items()]


def told(comparison: Comparison) -> list[str]:
    """Say what was announced and how the networks normalised, once for all groups of which it is true.

    Args:
        comparison: Groups of runs.

    Returns:
        Sentences.
    """
    common = comparison.common()
    by_text: dict[str, list[str]] = {}
    for group in comparison.groups:
        own = [words for aspect, words in group.first.announced().items() if aspect not in common]
        by_text.setdefault(_sentence(own) if own else "", []).append(group.label)
    said = [_sentence(list(common.values()))] if common else []
    return said + [f"{'; '.join(who)}: {text}" for text, who in by_text.items() if text]


def short_names(names: Sequence[str]) -> list[str]:
    """Leave out the words that several names all begin with.

    Args:
        names: Names of tests.

    Returns:
        What tells them apart.

    Example:
        >>> short_names(["permutation 1", "permutation 2"]), short_names(["mnist", "fashion"])
        (['1', '2'], ['mnist', 'fashion'])
    """
    shared = _shared_words(names)
    return [name.removeprefix(shared) for name in names]


def _shared_words(names: Sequence[str]) -> str:
    """Find the words that several names all begin with: permutation 1, permutation 2, ..."""
    columns = zip(*(name.split(" ")[:-1] for name in names), strict=False)
    words = [column[0] for column in itertools.takewhile(lambda column: len(set(column)) == 1, columns)]
    return "".join(f"{word} " for word in words if len(names) > 1)


def _cells(group: Group) -> list[str]:
    average, *others = (_metric(group, name) for name in _METRICS.values())
    spread = NOTHING if len(average) < 2 else _percent(np.std(_values(average), ddof=1))
    cells = [group.label, str(len(group.runs)), *map(_percent, group.final().mean(axis=0))]
    cells.append(f"{_percent(np.mean(_values(average)))} ± {spread}")
    return cells + [NOTHING if metric[0].value is None else _percent(np.mean(_values(metric))) for metric in others]


def _metric(group: Group, name: str) -> list[Metric]:
    return [summary(run.matrix)[name] for run in group.runs]


def _values(metrics: Sequence[Metric]) -> list[float]:
    return [metric.value for metric in metrics if metric.value is not None]


def _percent(share: float | np.floating) -> str:
    text = f"{100 * share:.1f}"
    return "0.0" if text == "-0.0" else text


def _sentence(words: list[str]) -> str:
    return capital(", ".join(words) + ".")


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
