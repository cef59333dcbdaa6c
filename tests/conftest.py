"""One thread: tiny tensors gain nothing from more, and a second one makes the suite crawl on a busy machine."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from _pytest.doctest import DoctestModule

from metaplastic.cli import main

torch.set_num_threads(1)


@pytest.hookimpl(wrapper=True)
def pytest_collect_file(file_path: Path) -> Iterator[None]:
    """Look for no doctests in tests: a module that cannot be imported they skip, and its tests with it, silently."""
    collectors = yield
    return [collector for collector in collectors if not isinstance(collector, DoctestModule)]


@pytest.fixture
def said(capsys):
    """Run commands; give the status of each, its output and its error output."""

    def run(*words: object) -> tuple[int, str, str]:
        try:
            main([str(word) for word in words])
            status = 0
        except SystemExit as ended:
            status = int(ended.code or 0)
        out, err = capsys.readouterr()
        return status, out, err

    return run
