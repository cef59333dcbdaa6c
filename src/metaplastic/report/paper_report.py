"""The paper's figures as files: one page, and a picture for each."""

from collections.abc import Iterable
from pathlib import Path

from metaplastic.files import write_text
from metaplastic.report.narrow import narrow
from metaplastic.report.page import Shown, page
from metaplastic.report.paper import paper_figures
from metaplastic.report.paper_figure import PaperFigure
from metaplastic.report.studies import read_studies
from metaplastic.report.style import write_png
from metaplastic.report.svg import svg


def paper_report(folders: Iterable[Path | str], out: Path) -> list[Path]:
    """Draw the figures of the paper from studies, and write a page with all of them.

    Args:
        folders: Folders that `metaplastic run STUDY` wrote; `LABEL=FOLDER` where two are of one study and size.
        out: Folder to write to; it is made if it does not exist. What it holds under the same names is replaced.

    Returns:
        The files, each whole: a PNG per figure, then `paper.html`, which holds its pictures itself.

    Raises:
        ValueError: When the studies cannot be shown on one page; see `read_studies`. Nothing is written then.
    """
    studies = [(study, paper_figures(study)) for study in read_studies(folders)]
    out.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    shown = []
    for study, figures in studies:
        for figure in figures:
            written.append(out / f"{study.key}-{figure.name}.png")
            write_png(figure.figure, written[-1])
        shown.append((study, [_shown(f"{study.key}-{figure.name}", figure) for figure in figures]))
    write_text(out / "paper.html", page(shown))
    return [*written, out / "paper.html"]


def _shown(key: str, figure: PaperFigure) -> Shown:
    wide = svg(figure.figure, f"{key}-wide", figure.alternative)
    narrow(figure.figure)
    slim = svg(figure.figure, f"{key}-narrow", figure.alternative)
    return Shown(key, figure.title, wide, slim, figure.table, figure.notes)
