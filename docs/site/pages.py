"""Pages that lie elsewhere in the repository are taken in, and links lead to where the site has what they name.

A page of the site that is nothing but `<!-- taken in: PATH -->` shows that file. Links are written for the repository:
those to a page of the site lead to it, those to a file become a download, and in the place of those to a folder, or to
a page that the site does not show, stands its path.
"""

import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sphinx.application import Sphinx

_TAKEN_IN = re.compile(r"<!-- taken in: (\S+) -->\s*")
_FENCED = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(!?)\[([^\]]*)\]\((?!https?:|mailto:|#)([^)\s]+)\)")


def source_of(page: Path) -> Path:
    """Find the file that a page shows: the one that it takes in, or itself."""
    found = _TAKEN_IN.fullmatch(page.read_text())
    return (page.parent / found[1]).resolve() if found else page.resolve()


def with_links(text: str, source: Path, page: Path, pages: dict[Path, Path], root: Path) -> str:
    """Rewrite the links of a text outside its code.

    Args:
        text: The text of `source`.
        source: The file that links are relative to.
        page: The page of the site that shows it.
        pages: The page of the site that shows a file, for all that are shown.
        root: The folder of the repository.

    Returns:
        The text, its links relative to the page.
    """

    def lead(link: re.Match[str]) -> str:
        mark, label, target = link.groups()
        path, _, anchor = target.partition("#")
        file = (source.parent / path).resolve()
        if file.is_dir() or (file.suffix == ".md" and file not in pages):
            shown = f"`{file.relative_to(root)}`"
            return shown if label.strip("`") in shown else f"{label}, {shown}"
        leads_to = os.path.relpath(pages.get(file, file), page.parent)
        return f"{mark}[{label}]({leads_to}{'#' if anchor else ''}{anchor})"

    return _outside_code(text, lambda part: _LINK.sub(lead, part))


def _outside_code(text: str, change: Callable[[str], str]) -> str:
    return "".join(part if part.startswith("```") else change(part) for part in _FENCED.split(text))


def shown_by(pages: Iterable[Path]) -> dict[Path, Path]:
    """Map every file that the site shows, be it a page itself or taken in by one, to the page that shows it."""
    return {file: page.resolve() for page in pages for file in (page.resolve(), source_of(page))}


def _take_in(app: "Sphinx", docname: str, content: list[str]) -> None:
    page = Path(app.env.doc2path(docname)).resolve()
    source = source_of(page)
    app.env.note_dependency(source)
    text = source.read_text() if source != page else content[0]
    content[0] = with_links(text, source, page, shown_by(app.srcdir.rglob("*.md")), app.srcdir.parent.resolve())


def setup(app: "Sphinx") -> dict[str, bool]:
    app.connect("source-read", _take_in)
    return {"parallel_read_safe": True}
