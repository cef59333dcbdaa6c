"""Reports as files."""

from collections.abc import Iterable
from pathlib import Path

from metaplastic.files import write_text
from metaplastic.report.figures import accuracy_curves, final_bars
from metaplastic.report.groups import compare
from metaplastic.report.style import write_png
from metaplastic.report.table import markdown


def report(folders: Iterable[Path | str], out: Path) -> list[Path]:
    """Compare runs and write what came out: two pictures and a table.

    Args:
        folders: Folders of runs, or folders that hold such folders.
        out: Folder to write to; it is made if it does not exist. What it holds under the same names is replaced.

    Returns:
        The files: `accuracy-curves.png`, `final-accuracy.png` and `report.md`, each whole.

    Raises:
        ValueError: When the runs cannot be compared; see `compare`. Nothing is written then.
    """
    comparison = compare(folders)
    pictures = {"accuracy-curves.png": accuracy_curves(comparison), "final-accuracy.png": final_bars(comparison)}
    text = markdown(comparison)
    out.mkdir(parents=True, exist_ok=True)
    for name, figure in pictures.items():
        write_png(figure, out / name)
    write_text(out / "report.md", text)
    return [*(out / name for name in pictures), out / "report.md"]
