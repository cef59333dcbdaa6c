"""What is written about Avalanche runs: the docstrings and the example. The page of the docs is in test_pages.py."""

import doctest
import importlib
import pkgutil
import runpy
from pathlib import Path

import pytest

pytest.importorskip("avalanche", reason="needs Avalanche: pip install 'metaplastic[avalanche]'")

import metaplastic.integrations.avalanche as integration

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:avalanche")
ROOT = Path(__file__).parents[2]
MODULES = sorted(module.name for module in pkgutil.iter_modules(integration.__path__))


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_the_docstrings_hold(name):
    found = doctest.testmod(importlib.import_module(f"{integration.__name__}.{name}"))
    assert found.attempted > 0
    assert found.failed == 0


@pytest.mark.slow
def test_the_example_runs_and_metaplasticity_helps_naive(capsys):
    runpy.run_path(str(ROOT / "examples" / "avalanche_strategy.py"), run_name="__main__")
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[1:]]
    assert [(name, m) for name, m, *_ in rows] == [(n, m) for n in ("Naive", "Replay") for m in ("0.0", "15.0")]
    plain, metaplastic = (float(row[6]) for row in rows[:2])
    assert metaplastic > plain + 5
