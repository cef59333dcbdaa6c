"""The figures of the paper from the records of studies: which study gives which figures."""

from collections.abc import Callable

from metaplastic.report.page_figure import PageFigure
from metaplastic.report.paper_probes import hidden_weight_figures, quadratic_figures, switching_figures
from metaplastic.report.paper_tasks import method_figures, stream_figures, task_figures
from metaplastic.report.paper_widths import capacity_figures, width_figures
from metaplastic.report.studies import StudyRecord

FIGURES: dict[str, Callable[[StudyRecord], list[PageFigure]]] = {
    "fig2": hidden_weight_figures,
    "table1": method_figures,
    "fig3": capacity_figures,
    "fig5-fashion": stream_figures,
    "fig5-cifar": stream_figures,
    "fig6ab": quadratic_figures,
    "fig6ce": switching_figures,
    "width": width_figures,
    "width-decay": width_figures,
}
"""Studies whose figures are others than accuracy along tasks, by their name."""


def paper_figures(study: StudyRecord) -> list[PageFigure]:
    """Draw the figures of a study.

    Args:
        study: What was carried out.

    Returns:
        Its figures, in the order of the paper; none where no panel has anything to show.
    """
    return FIGURES.get(study.name, task_figures)(study)
