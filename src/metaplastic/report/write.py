"""Reports as files."""

from collections.abc import Iterable
from pathlib import Path

from metaplastic.files import require_room, write_text
from metaplastic.report.figures import accuracy_curves, final_bars
from metaplastic.report.groups import Comparison, compare, compare_each
from metaplastic.report.runs_page import runs_page
from metaplastic.report.style import write_png
from metaplastic.report.table import markdown

PAGE = "report.html"
"""File of the page."""


def report(folders: Iterable[Path | str], out: Path, against: str | None = None) -> list[Path]:
    """Compare runs and write what came out: a page, pictures and a table.

    Args:
        folders: Folders of runs, or folders that hold such folders.
        out: Folder to write to; it is made if it does not exist. What it holds under the same names is replaced.
        against: Label of the group that the others are tested against on the page; None takes the plain
            network, or else the first that learns one task after the other.

    Returns:
        The files, each whole: `accuracy-curves.png`, which is left out where no record holds curves, and
        `final-accuracy.png`, numbered where runs were tested on several sets of tests, `report.md`, and `report.html`,
        which holds its pictures itself.

    Raises:
        ValueError: When the folders hold no run with a complete task, a record is damaged, records were made by
            different versions of the package or of torch, or no group has the label. Nothing is written then.
        OSError: When nothing can be written to `out`, before anything is read.
    """
    require_room(out)
    given = list(folders)
    comparisons = compare_each(given) or [compare(given)]  # which says why there is none
    text, page = "\n".join(map(markdown, comparisons)), runs_page(comparisons, against)
    out.mkdir(parents=True, exist_ok=True)
    written = []
    for place, comparison in enumerate(comparisons, 1):
        written += _pictures(comparison, out, f"-{place}" if len(comparisons) > 1 else "")
    write_text(out / "report.md", text)
    write_text(out / PAGE, page)
    return [*written, out / "report.md", out / PAGE]


def _pictures(comparison: Comparison, out: Path, end: str) -> list[Path]:
    curves = any(group.has_curves for group in comparison.groups)
    pictures = {f"accuracy-curves{end}.png": accuracy_curves(comparison)} if curves else {}
    pictures |= {f"final-accuracy{end}.png": final_bars(comparison)}
    for name, figure in pictures.items():
        write_png(figure, out / name)
    return [out / name for name in pictures]
