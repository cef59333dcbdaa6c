"""Docstrings as they are written here, to the reStructuredText that Sphinx reads.

What is indented behind a blank line is a formula or a file to be shown as it is, tables have pipes, and |W| is an
absolute value. Formulas in TeX and sections such as `Args` are understood already.
"""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx


def to_rest(lines: list[str]) -> list[str]:
    """Mark what is to be shown as it is, lay out tables, and spare bars from being read as markup."""
    found: list[str] = []
    while lines:
        block, lines = _first_block(lines)
        found.extend(_translated(block, found))
    return found


def _first_block(lines: list[str]) -> tuple[list[str], list[str]]:
    """Split off the lines up to the next blank one, and the blank one itself."""
    end = next((i for i, line in enumerate(lines) if not line.strip()), len(lines) - 1)
    return lines[: end + 1], lines[end + 1 :]


def _translated(block: list[str], before: list[str]) -> Iterator[str]:
    first = block[0]
    above = next((line for line in reversed(before) if line.strip()), "")
    if first.lstrip().startswith(".. math::") or _is_in_math(first, before):
        yield from block
    elif first.lstrip().startswith("|"):
        yield from _table(block)
    elif above and _indent(first) >= _indent(above) + 4:
        yield from (f"{' ' * _indent(above)}.. code-block:: text", "", *block)
    else:
        yield from map(_without_bars, _without_types(block))


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _is_in_math(first: str, before: list[str]) -> bool:
    above = next((line for line in reversed(before) if line.strip() and _indent(line) < _indent(first)), "")
    return above.lstrip().startswith(".. math::")


def _without_types(block: list[str]) -> Iterator[str]:
    """Put a colon before what is returned, where another would make a type of what stands before it."""
    above = ""
    for line in block:
        after = above.strip() in ("Returns:", "Yields:")
        yield f"{' ' * _indent(line)}: {line.strip()}" if after else line
        above = line


def _without_bars(line: str) -> str:
    if line.lstrip().startswith((">>>", "...")):
        return line
    parts = re.split(r"(`[^`]*`)", line)
    return "".join(part if part.startswith("`") else part.replace("|", r"\|") for part in parts)


def _table(block: list[str]) -> Iterator[str]:
    margin = " " * _indent(block[0])
    yield from (f"{margin}.. list-table::", f"{margin}   :header-rows: 1", "")
    for line in block:
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if line.strip() and not all(set(cell) <= set("-: ") for cell in cells):
            bullets = ("   * - ", *["     - "] * (len(cells) - 1))
            yield from (f"{margin}{bullet}{cell}" for bullet, cell in zip(bullets, cells, strict=True))
    yield ""


def _translate(app: "Sphinx", what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    lines[:] = to_rest(lines)


def setup(app: "Sphinx") -> dict[str, bool]:
    app.connect("autodoc-process-docstring", _translate, priority=400)  # before napoleon, at 500
    return {"parallel_read_safe": True}
