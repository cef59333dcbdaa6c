"""How the site reads docstrings and leads links; that it builds without a warning is a step of `.ci/run`."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

SITE = Path(__file__).parents[2] / "docs" / "site"


def extension(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"site_{name}", SITE / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def as_rest(text: str) -> str:
    return "\n".join(extension("docstrings").to_rest(text.splitlines()))


def test_what_is_indented_behind_a_blank_line_is_shown_as_it_is():
    assert as_rest("The rule.\n\n    W <- W - lr U |W|\n\nThat is all.") == (
        "The rule.\n\n.. code-block:: text\n\n    W <- W - lr U |W|\n\nThat is all."
    )


def test_formulas_in_tex_are_left_alone():
    formula = "A norm.\n\n.. math:: |x|\n    + |y|\n\n.. math::\n\n    |z|\n"
    assert as_rest(formula) == formula.rstrip("\n")


def test_absolute_values_are_no_markup_but_code_is_left_alone():
    assert as_rest("Where |W| is large, `a | b` and :math:`|x|`.") == r"Where \|W\| is large, `a | b` and :math:`|x|`."
    assert as_rest(">>> a | b") == ">>> a | b"


def test_what_is_returned_is_not_taken_for_a_type():
    assert as_rest("Returns:\n    The levels, as they are: a step changes them.") == (
        "Returns:\n    : The levels, as they are: a step changes them."
    )


def test_a_table_of_pipes_keeps_its_cells():
    rest = as_rest("| file | holds |\n|---|---|\n| `a.json` | numbers |\n")
    assert [line.strip() for line in rest.splitlines() if line.strip()] == [
        ".. list-table::", ":header-rows: 1", "* - file", "- holds", "* - `a.json`", "- numbers",
    ]  # fmt: skip


def test_links_lead_to_pages_files_and_the_paths_of_folders(tmp_path):
    pages = extension("pages")
    docs, ledger = tmp_path / "docs", tmp_path / "LEDGER.md"
    (docs / "project").mkdir(parents=True)
    (tmp_path / "results").mkdir()
    taken_in, own = docs / "project" / "ledger.md", docs / "own.md"
    taken_in.write_text("<!-- taken in: ../../LEDGER.md -->\n")
    own.write_text("# Own")
    ledger.write_text(
        "See [own](docs/own.md#part), ![it](results/a.png), [all](results) of [results](results), [web](https://a.b).\n"
    )
    shown = pages.shown_by([taken_in, own])
    assert shown == {taken_in: taken_in, ledger: taken_in, own: own}
    assert pages.with_links(ledger.read_text(), ledger, taken_in, shown, tmp_path) == (
        "See [own](../own.md#part), ![it](../../results/a.png), all, `results` of `results`, [web](https://a.b).\n"
    )
    code = "```python\na[0](b)\n```"
    assert pages.with_links(code, ledger, taken_in, shown, tmp_path) == code
    assert (
        pages.with_links("[the ledger](../LEDGER.md)", own, own, shown, tmp_path) == "[the ledger](project/ledger.md)"
    )


def test_a_formula_that_cannot_be_converted_is_an_error_and_not_letters():
    pytest.importorskip("latex2mathml", reason="formulas need latex2mathml, which comes with metaplastic[docs]")
    pytest.importorskip("docutils", reason="formulas need docutils, which comes with metaplastic[docs]")
    mathml = extension("mathml").mathml
    assert "<mfrac>" in mathml(r"\frac{1}{|x|}", "inline")
    with pytest.raises(ValueError, match="expected environments that latex2mathml knows"):
        mathml(r"\begin{aligned} a &= b \end{aligned}", "block")
