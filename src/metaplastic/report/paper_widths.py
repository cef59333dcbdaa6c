"""The figures of studies that compare widths of networks."""

from collections.abc import Mapping, Sequence

import numpy as np

from metaplastic.report.groups import Comparison, Group
from metaplastic.report.page import Table
from metaplastic.report.page_figure import PageFigure, mean_and_reach, shown_stages
from metaplastic.report.paper_tasks import numbered
from metaplastic.report.studies import StudyRecord
from metaplastic.report.table import NOTHING, told
from metaplastic.report.trends import Averages, averages, by_width, width_lines
from metaplastic.report.width_panels import capacity_curves, so_far, width_curves

PANELS = {
    "metaplastic": "a: metaplastic, in sequence",
    "ewc": "b: EWC, in sequence",
    "interleaved": "c: plain, interleaved",
    "interleaved-metaplastic": "d: metaplastic, interleaved",
    "frozen": "frozen synapses, in sequence",
}
"""Kinds of runs of the study `fig3`, and their panels in the paper; the last is a control of ours."""


def width_figures(study: StudyRecord) -> list[PageFigure]:
    """Accuracy during training and at its end, by the width of the networks.

    Args:
        study: What was carried out.

    Returns:
        Its figures, per set of tests; no curves where no record holds them.
    """
    figures = []
    for one, end in numbered(study):
        curves = _curves(one, end)
        figures += [*curves, _width(one, end, _anew(study, one), [] if curves else one.without_curves())]
    return figures


def capacity_figures(study: StudyRecord) -> list[PageFigure]:
    """Accuracy along the tasks in the panels of the paper's Fig. 3, and at the end, by the width of the networks.

    Args:
        study: What was carried out.

    Returns:
        Its figures, per set of tests.
    """
    return [figure for one, end in numbered(study) for figure in (_capacity(one, end), _width(one, end))]


def _curves(comparison: Comparison, end: str) -> list[PageFigure]:
    """The figure of accuracy during training; none where no record holds it."""
    groups = [group for group in comparison.groups if group.has_curves]
    if not groups:
        return []
    body = [[group.label, *map(mean_and_reach, ends_of_first_and_last(group))] for group in groups]
    said = "; ".join(f"{label}: {learned}, {left}" for label, learned, left, _ in body)
    figure = PageFigure(
        f"curves{end}",
        "Accuracy on the first and the last task while the tasks are learned",
        "Lines of test accuracy against epochs, one panel per kind of network and a colour per width. On the first "
        f"task in %, just learned and at the end: {said}.",
        width_curves(comparison),
        [["panel", "first task, just learned", "first task, at the end", "last task"], *body],
        (
            "Accuracy in %, mean over the seeds and half its 95 % interval.",
            *told(comparison),
            *comparison.without_curves(),
        ),
    )
    return [figure]


def ends_of_first_and_last(group: Group) -> list[np.ndarray]:
    """Collect what is learned of the first and the last task, and what is left of the first.

    Args:
        group: Runs that differ only in the seed.

    Returns:
        Accuracies in per cent, one per seed: on the first task after its own stage and at the end, and on the last.
    """
    accuracy = 100 * np.stack([run.matrix.accuracy for run in group.runs])
    trained = group.first.matrix.trained_on
    first, last = trained[0][0], trained[-1][-1]
    return [accuracy[:, 0, first], accuracy[:, -1, first], accuracy[:, -1, last]]


def _capacity(comparison: Comparison, end: str) -> PageFigure:
    kinds = by_width(comparison)
    widths = sorted({width for groups in kinds.values() for width in groups})
    order = [*(kind for kind in PANELS if kind in kinds), *(kind for kind in kinds if kind not in PANELS)]
    body = [row for kind in order for row in _along(PANELS.get(kind, kind), kinds[kind], widths)]
    said = "; ".join(f"{row[0]}, {row[1]} tasks: {', '.join(row[2:])}" for row in _last_of_each(body))
    return PageFigure(
        f"tasks{end}",
        "Accuracy over the tasks learned so far",
        "Lines of test accuracy, mean over the tasks learned so far, against their number; one panel per kind of "
        f"training, a colour per width {', '.join(map(str, widths))}. At the end in %: {said}.",
        capacity_curves(comparison, PANELS),
        [["panel", "tasks learned", *(f"width {width}" for width in widths)], *body],
        ("Accuracy in %, mean over the seeds and half its 95 % interval.", *told(comparison)),
    )


def _along(title: str, groups: dict[int, Group], widths: list[int]) -> Table:
    """Rows of a kind: the number of tasks learned, and the accuracy at every width."""
    found = {width: 100 * so_far(group) for width, group in groups.items()}
    trained = next(iter(groups.values())).first.matrix.trained_on
    stages = min(shares.shape[1] for shares in found.values())
    return [
        [
            title,
            str(len({test for tests in trained[: stage + 1] for test in tests})),
            *(mean_and_reach(found[width][:, stage]) if width in found else NOTHING for width in widths),
        ]
        for stage in shown_stages(stages, 5)
    ]


def _last_of_each(body: Table) -> Table:
    """The last row of every panel."""
    return list({row[0]: row for row in body}.values())


def _anew(study: StudyRecord, comparison: Comparison) -> dict[str, Averages]:
    """Averages over the tests with statistics taken anew, of the kinds and widths where that was measured."""
    found = {
        panel.title: np.array([np.mean(probes.fresh) for probes in panel.probes.values() if probes.fresh])
        for panel in study.done
    }
    kinds = {
        kind: {width: found[group.label] for width, group in groups.items() if len(found[group.label])}
        for kind, groups in by_width(comparison).items()
    }
    return {kind: groups for kind, groups in kinds.items() if groups}


def _fewer(kinds: Mapping[str, Mapping[int, Group]], anew: Mapping[str, Averages]) -> list[str]:
    """Say where a mean by statistics taken anew is of fewer seeds than that by kept ones."""
    few = [
        f"{groups[width].label} ({len(anew[kind][width])} of {len(groups[width].runs)} seeds)"
        for kind, groups in kinds.items()
        for width in anew.get(kind, {})
        if len(anew[kind][width]) < len(groups[width].runs)
    ]
    return [f"Statistics were taken anew of some seeds only: {', '.join(few)}."] if few else []


def _width(
    comparison: Comparison, end: str, anew: dict[str, Averages] | None = None, silent: Sequence[str] = ()
) -> PageFigure:
    kinds, anew = by_width(comparison), anew or {}
    widths = sorted({width for groups in kinds.values() for width in groups})
    lines: dict[str, Averages]
    lines = {kind: {width: averages(group) for width, group in groups.items()} for kind, groups in kinds.items()}
    lines |= {f"{kind}, statistics taken anew": groups for kind, groups in anew.items()}
    body = [
        [kind, *(mean_and_reach(100 * found[width]) if width in found else NOTHING for width in widths)]
        for kind, found in lines.items()
    ]
    said = "; ".join(f"{row[0]}: {', '.join(row[1:])}" for row in body)
    said_of_numbers = "Average accuracy over the tasks in %, mean over the seeds and half its 95 % interval."
    return PageFigure(
        f"width{end}",
        "Final average against the width of the networks",
        f"Lines of average test accuracy after the last task against width {', '.join(map(str, widths))}. {said}.",
        width_lines(comparison, anew),
        [["", *(f"width {width}" for width in widths)], *body],
        (said_of_numbers, *told(comparison), *_fewer(kinds, anew), *silent),
    )
