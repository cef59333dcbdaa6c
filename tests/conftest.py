"""One thread: tiny tensors gain nothing from more, and a second one makes the suite crawl on a busy machine."""

import pytest
import torch

from metaplastic.cli import main

torch.set_num_threads(1)


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
