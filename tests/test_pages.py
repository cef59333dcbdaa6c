"""What the README and the pages of docs/ promise: two commands, code that runs, links and figures that exist."""

import re
import shlex
import sys
import tomllib
import types
from pathlib import Path

import pytest

import metaplastic.experiments
import metaplastic.testing
from metaplastic.cli import main
from metaplastic.experiments import STUDIES
from metaplastic.experiments.method_config import Method

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").rglob("*.md"))]
CODE = re.compile(r"```(python|bash)\n(.*?)```", re.DOTALL)
RUN = [page for page in PAGES if CODE.search(page.read_text())]
OTHERS = ("REPRODUCTION.md", "CONTRIBUTING.md", "CHANGELOG.md", "benchmarks/README.md")
LINKED = [*PAGES, *(ROOT / name for name in OTHERS)]
METHODS = re.findall(r"\| `(--.*)` \|$", (ROOT / "docs" / "methods" / "index.md").read_text(), re.MULTILINE)
QUOTED = re.findall(r"`metaplastic (run permuted-[^`]*)`", README.read_text())
QUOTED += [f"run permuted-mnist {words}" for words in METHODS]
LINKS = [(page, link) for page in LINKED for link in re.findall(r"\]\((?!http)([^)]+)\)", page.read_text())]


def test_there_are_exactly_two_commands():
    commands = [line for line in README.read_text().splitlines() if line.startswith("python3 -m venv")]
    assert len(commands) == 2
    assert commands[0].endswith("metaplastic demo")
    assert commands[1].endswith("pytest")


@pytest.mark.parametrize("page", RUN, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_code_and_the_commands_run(page, tmp_path, monkeypatch):
    """In the order of the page and in one folder; of the README's shell blocks only what starts with our command."""
    monkeypatch.chdir(tmp_path)
    text = page.read_text()
    for package in re.findall(r"^(?:import|from) (onnxruntime|avalanche)\b", text, re.MULTILINE):
        extra = {"onnxruntime": "export", "avalanche": "avalanche"}[package]
        pytest.importorskip(package, reason=f"the page shows {package}, which comes with metaplastic[{extra}]")
    # A module like that of a reader, so that what the page defines can be pickled.
    module = types.ModuleType(f"page_{page.stem}")  # `statistics` alone would hide the one that Python has
    monkeypatch.setitem(sys.modules, module.__name__, module)
    for kind, block in re.findall(CODE, text):
        if kind == "python":
            exec(compile(block, str(page), "exec"), module.__dict__)
            continue
        for line in block.splitlines():
            program, *words = shlex.split(line)
            if program == "metaplastic":
                main(words)
    if page.parent != ROOT / "docs" / "methods" and hasattr(module, "result"):
        assert module.result.accuracy.shape[0] > 1


@pytest.mark.parametrize("words", QUOTED)
def test_a_quoted_command_is_a_run_that_can_be_had(words, monkeypatch):
    """It is not carried out; a method in it stands alone, without metaplasticity beside it."""
    begun = []

    def note(config, *_, **__):
        begun.append(config)
        sys.exit()

    monkeypatch.setattr(metaplastic.experiments, "run", note)
    monkeypatch.setattr(metaplastic.experiments, "run_seeds", note)
    with pytest.raises(SystemExit):
        main(shlex.split(words))
    (config,) = begun
    assert config.method is Method.FINETUNE or config.method.closed_form or config.optimizer.metaplasticity == (0.0,)


def test_every_method_has_a_command_in_the_table_of_methods():
    named = set(re.findall(r"--method (\S+)", " ".join(METHODS)))
    assert named == {method.value for method in Method} - {"finetune", "plugin"}


def test_no_page_hides_code_from_the_test_above():
    """What the site takes in from elsewhere is not run, so nothing there may look as if it had been."""
    assert not [name for name in OTHERS if "```python" in (ROOT / name).read_text()]
    assert len(RUN) > 20


@pytest.mark.parametrize(("page", "link"), LINKS, ids=[link for _, link in LINKS])
def test_every_local_link_leads_somewhere(page, link):
    assert (page.parent / link.partition("#")[0]).exists()


def test_the_ledger_has_every_study():
    ledger = (ROOT / "REPRODUCTION.md").read_text()
    assert all(f"`{name}`" in ledger for name in STUDIES)


def test_the_citation_names_this_version_its_license_and_the_paper():
    citation = (ROOT / "CITATION.cff").read_text()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert f"\nversion: {project['version']}\n" in citation
    assert f"\nlicense: {project['license']}\n" in citation
    assert project["authors"] == [{"name": "The metaplastic developers"}]
    assert "doi: 10.1038/s41467-021-22768-y" in citation
    assert "10.1038/s41467-021-22768-y" in README.read_text()


def test_the_contributors_page_names_contracts_that_exist():
    page = (ROOT / "CONTRIBUTING.md").read_text()
    checks = re.findall(r"`metaplastic\.testing\.(\w+)`", page)
    assert sorted(checks) == sorted(name for name in metaplastic.testing.__all__ if name.startswith("check_"))
    tests = re.findall(r"`(tests/[\w/]+\.py)`", page)
    assert len(tests) > 2
    assert all((ROOT / path).exists() for path in tests)
