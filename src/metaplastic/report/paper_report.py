"""The paper's figures as files: one page, and a picture for each."""

from collections.abc import Callable, Iterable
from pathlib import Path

from metaplastic.files import require_room, write_text
from metaplastic.report.page_figure import shown
from metaplastic.report.paper import paper_figures
from metaplastic.report.paper_page import paper_page
from metaplastic.report.studies import read_studies
from metaplastic.report.style import write_png


def paper_report(
    folders: Iterable[Path | str], out: Path, tell: Callable[[Path], None] = lambda path: None
) -> list[Path]:
    """Draw the figures of the paper from studies, and write a page with all of them.

    Args:
        folders: Folders that `metaplastic run STUDY` wrote, or that hold such folders; `LABEL=FOLDER` where two are of
            one study and size.
        out: Folder to write to; it is made if it does not exist. What it holds under the same names is replaced.
        tell: Called with each file when it is written.

    Returns:
        The files, each whole: a PNG per figure, then `paper.html`, which holds its pictures itself.

    Raises:
        ValueError: When the studies cannot be shown on one page; see `read_studies`. Nothing is written then.
        OSError: When nothing can be written to `out`, before anything is read.
    """
    require_room(out)
    studies = [(study, paper_figures(study)) for study in read_studies(folders)]
    out.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    drawn = []

    def note(path: Path) -> None:
        written.append(path)
        tell(path)

    for study, figures in studies:
        for figure in figures:
            path = out / f"{study.key}-{figure.name}.png"
            write_png(figure.figure, path)
            note(path)
        drawn.append((study, [shown(f"{study.key}-{figure.name}", figure) for figure in figures]))
    write_text(out / "paper.html", paper_page(drawn))
    note(out / "paper.html")
    return written
