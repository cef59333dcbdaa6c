"""Records to tables and figures; the only room that draws, and it loads matplotlib only when it does."""

from metaplastic.report.consolidation import consolidation_curves
from metaplastic.report.figures import Band, accuracy_curves, final_bars
from metaplastic.report.groups import Comparison, Group, compare, compare_each
from metaplastic.report.heat_map import accuracy_heat_map
from metaplastic.report.page_figure import PageFigure
from metaplastic.report.paper import paper_figures
from metaplastic.report.paper_report import paper_report
from metaplastic.report.probes import divergence_curves, magnitude_curves, sign_switch_curves
from metaplastic.report.quadratic import quadratic_path, switch_scatter
from metaplastic.report.run_records import Run
from metaplastic.report.runs_page import run_figures, runs_page
from metaplastic.report.seed_means import divergence_means, sign_switch_means
from metaplastic.report.studies import PanelRecord, StudyRecord, read_studies
from metaplastic.report.style import write_png
from metaplastic.report.table import markdown, table
from metaplastic.report.trends import stream_curves, width_lines
from metaplastic.report.width_panels import capacity_curves, width_curves
from metaplastic.report.write import report

__all__ = [
    "Band",
    "Comparison",
    "Group",
    "PageFigure",
    "PanelRecord",
    "Run",
    "StudyRecord",
    "accuracy_curves",
    "accuracy_heat_map",
    "capacity_curves",
    "compare",
    "compare_each",
    "consolidation_curves",
    "divergence_curves",
    "divergence_means",
    "final_bars",
    "magnitude_curves",
    "markdown",
    "paper_figures",
    "paper_report",
    "quadratic_path",
    "read_studies",
    "report",
    "run_figures",
    "runs_page",
    "sign_switch_curves",
    "sign_switch_means",
    "stream_curves",
    "switch_scatter",
    "table",
    "width_curves",
    "width_lines",
    "write_png",
]
