"""The figures of studies that are trainings: accuracy along tasks, methods and parts of a stream."""

import numpy as np

from metaplastic.report.figures import Band, accuracy_curves, final_bars
from metaplastic.report.groups import Comparison, Group
from metaplastic.report.page import Table
from metaplastic.report.page_figure import (
    PageFigure,
    ends,
    mean_and_reach,
    percent,
    shown_stages,
    with_settings,
)
from metaplastic.report.paired import paired_notes, paired_rows
from metaplastic.report.studies import StudyRecord
from metaplastic.report.table import missing, rows, told
from metaplastic.report.trends import stream_curves


def task_figures(study: StudyRecord) -> list[PageFigure]:
    """Accuracy on each task while and after the tasks are learned.

    Args:
        study: What was carried out.

    Returns:
        Its figures, per set of tests.
    """
    found = numbered(study)
    return [figure for one, end in found for figure in (*_curves(one, end), _bars(study, one, end))]


def numbered(study: StudyRecord) -> list[tuple[Comparison, str]]:
    """Put the panels of a study side by side.

    Args:
        study: What was carried out.

    Returns:
        A comparison per set of tests, with what tells the names of its files apart from the others'.
    """
    found = study.comparisons()
    return [(one, f"-{place}" if len(found) > 1 else "") for place, one in enumerate(found, 1)]


def _curves(comparison: Comparison, end: str) -> list[PageFigure]:
    """The figure of accuracy during training; none where no record holds it."""
    if not any(group.has_curves for group in comparison.groups):
        return []
    header = ["panel", "after", *comparison.tests]
    body = [row for group in comparison.groups for row in stage_rows(group)]
    said = "Accuracy in %, mean over the seeds, where training on a task had ended."
    figure = PageFigure(
        f"curves{end}",
        "Accuracy on each test while the tasks are learned",
        f"Lines of test accuracy against epochs, one panel per run. {ends(comparison)}",
        accuracy_curves(comparison, Band.INTERVAL),
        [header, *body],
        (said, *told(comparison), *comparison.without_curves()),
    )
    return [figure]


def _silent(comparison: Comparison) -> list[str]:
    """Say that there is no figure of curves, where there is none."""
    return [] if any(group.has_curves for group in comparison.groups) else comparison.without_curves()


def stage_rows(group: Group, most: int = 10) -> Table:
    """Write accuracy after each stage, mean over the seeds.

    Args:
        group: Runs that differ only in the seed.
        most: Number of stages that are shown at most, the last included.

    Returns:
        Rows of label, what was learned, and accuracies in per cent.
    """
    accuracy = np.mean([run.matrix.accuracy for run in group.runs], axis=0)
    tests = group.first.matrix.tests
    names = [" and ".join(tests[test] for test in trained) for trained in group.first.matrix.trained_on]
    names = ["all tasks" if len(names) == 1 and len(tests) > 1 else name for name in names]
    return [[group.label, names[stage], *map(percent, accuracy[stage])] for stage in shown_stages(len(accuracy), most)]


def _bars(study: StudyRecord, comparison: Comparison, end: str) -> PageFigure:
    return PageFigure(
        f"final{end}",
        "Accuracy on each test at the end",
        f"Bars of test accuracy after the last task. {ends(comparison)}",
        final_bars(comparison),
        _final(study, comparison),
        (
            "Accuracy in %, mean over the seeds; average over the tasks with its standard deviation between seeds; "
            "forgetting and bwt in percentage points.",
            *told(comparison),
            *missing(comparison),
            *_silent(comparison),
        ),
    )


def _final(study: StudyRecord, comparison: Comparison) -> Table:
    header, *body = rows(comparison)
    settings = {panel.title: panel.differs for panel in study.panels}
    return with_settings([["panel", *header[1:]], *body], settings)


def method_figures(study: StudyRecord) -> list[PageFigure]:
    """Methods side by side, each against EWC over the same seeds.

    Args:
        study: What was carried out.

    Returns:
        Its figures, per set of tests.
    """
    figures = []
    for comparison, end in numbered(study):
        table = PageFigure(
            f"methods{end}",
            "Methods side by side",
            f"Bars of test accuracy after the last task, one colour per method. {ends(comparison)}",
            final_bars(comparison),
            with_settings(paired_rows(comparison, "ewc"), {panel.title: panel.differs for panel in study.panels}),
            (*paired_notes(comparison, "ewc"), *told(comparison), *missing(comparison), *_silent(comparison)),
        )
        figures += [table, *_curves(comparison, end)]
    return figures


def stream_figures(study: StudyRecord) -> list[PageFigure]:
    """Accuracy against the parts of a stream.

    Args:
        study: What was carried out.

    Returns:
        Its figures, per set of tests.
    """
    figures = []
    for comparison, end in numbered(study):
        header = ["panel", "parts learned", "accuracy"]
        body = [row for group in comparison.groups for row in _parts(group)]
        figures.append(
            PageFigure(
                f"stream{end}",
                "Accuracy against the parts that were learned",
                f"Lines of test accuracy against parts of the stream. {ends(comparison)}",
                stream_curves(comparison),
                [header, *body],
                ("Accuracy in %, mean over the seeds and half its 95 % interval.", *told(comparison)),
            )
        )
    return figures


def _parts(group: Group, most: int = 6) -> Table:
    shares = 100 * np.stack([run.matrix.accuracy.mean(axis=1) for run in group.runs])
    count = shares.shape[1]
    shown = shown_stages(count, most)
    return [[group.label, f"{stage + 1} of {count}", mean_and_reach(shares[:, stage])] for stage in shown]
