"""What Ctrl-C stops, at whatever moment, says the one command that goes on with all of it."""

import contextlib
import itertools
import os
import re
import shlex
import signal
from pathlib import Path

import pytest

from metaplastic.cli import main
from metaplastic.experiments import (
    STUDIES,
    Interrupted,
    Record,
    Size,
    Study,
    TrainingPanel,
    resume,
    run,
    run_demo,
    run_seeds,
    run_study,
)
from metaplastic.experiments.carry_out import TrainingProgress

EVENTS = 2 * (5 + 1 + 1)
"""Events of one training: in each of two tasks five steps, an epoch and an end."""

pytestmark = [
    pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for a single process"),
    pytest.mark.usefixtures("in_a_terminal"),
]


@pytest.fixture
def fig2(brief, monkeypatch) -> None:
    """Let a small study of two panels go by the name of one of the paper's."""
    panels = {name: TrainingPanel(brief) for name in ("a", "b")}
    monkeypatch.setitem(STUDIES, "fig2", lambda size: Study("fig2", size, panels))


@contextlib.contextmanager
def ctrl_c(event, monkeypatch):
    """Press Ctrl-C at an event, counted over all trainings."""
    show, events = TrainingProgress.show, itertools.count(1)

    def press(*arguments):
        if next(events) == event:
            signal.raise_signal(signal.SIGINT)
        show(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(TrainingProgress, "show", press)
        yield


def stopped(words, event, monkeypatch, capsys) -> tuple[str, list[str]]:
    """Run a command until Ctrl-C, and take what it printed, and the words of the command that it says goes on."""
    with ctrl_c(event, monkeypatch), pytest.raises(SystemExit) as end:
        main(words)
    assert end.value.code == 130
    printed, said = capsys.readouterr()
    (command,) = re.findall(r"^metaplastic: interrupted; go on with: metaplastic (.*)$", said, re.MULTILINE)
    return printed, shlex.split(command)


def complete(folder: Path) -> list[str]:
    return sorted(str(path.parent.relative_to(folder)) for path in folder.glob("*/*/summary.json"))


def test_the_printed_command_goes_on_with_the_whole_study(fig2, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = ["run", "fig2", "--size", "laptop", "--seeds", "2", "--seed", "4", "--quiet"]
    printed, again = stopped(words, 3, monkeypatch, capsys)
    (folder,) = Path("runs").iterdir()
    assert printed.startswith(f"fig2 in {folder}\n")
    assert again == [*words, "--out", str(folder)]
    assert complete(folder) == []
    _, once_more = stopped(again, EVENTS + 1, monkeypatch, capsys)
    assert once_more == again
    assert complete(folder) == ["a/seed4"]
    main(once_more)
    assert complete(folder) == ["a/seed4", "a/seed5", "b/seed4", "b/seed5"]
    assert list(Path("runs").iterdir()) == [folder]


@pytest.mark.parametrize("seed", [0, 3])
def test_one_seed_is_gone_on_with_as_a_study_too(fig2, seed, tmp_path, monkeypatch, capsys):
    words = ["run", "fig2", "--seed", str(seed), "--panels", "b", "--out", str(tmp_path / "my study")]
    _, again = stopped(words, 2, monkeypatch, capsys)
    assert again == words
    main(again)
    assert complete(tmp_path / "my study") == [f"b/seed{seed}"]


def test_between_two_trainings_ctrl_c_says_the_same(fig2, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(TrainingPanel, "carry_out", lambda *_, **__: signal.raise_signal(signal.SIGINT))
    with pytest.raises(SystemExit):
        main(["run", "fig2", "--out", str(tmp_path / "s")])
    assert f"go on with: metaplastic run fig2 --out {tmp_path / 's'}\n" in capsys.readouterr().err


@pytest.mark.parametrize("moment", ["save_checkpoint", "finish"])
def test_ctrl_c_before_the_first_step_or_after_the_last_says_how_to_go_on(moment, brief, tmp_path, monkeypatch):
    usual, pressed = getattr(Record, moment), itertools.count()

    def press(record, trial):
        if moment == "save_checkpoint":
            usual(record, trial)
        if next(pressed) == 0:
            signal.raise_signal(signal.SIGINT)
        if moment == "finish":
            usual(record, trial)

    monkeypatch.setattr(Record, moment, press)
    with pytest.raises(Interrupted, match=r"go on with: metaplastic run --resume .*/stopped$"):
        run(brief, tmp_path / "stopped", progress=False)
    assert not Record(tmp_path / "stopped").complete
    resume(tmp_path / "stopped", progress=False)
    run(brief, tmp_path / "whole", progress=False)
    for name in ("network.safetensors", "accuracy.csv", "summary.json"):
        assert (tmp_path / "stopped" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_the_demonstration_is_gone_on_with_as_a_whole(tmp_path, monkeypatch):
    with ctrl_c(2, monkeypatch), pytest.raises(Interrupted, match=r"go on with: the same command with --out .*/demo$"):
        run_demo(tmp_path / "demo", 1, lambda title: None)


def test_a_call_that_has_no_command_says_the_folder(fig2, tmp_path, monkeypatch):
    study = STUDIES["fig2"](Size.LAPTOP)
    with ctrl_c(2, monkeypatch), pytest.raises(Interrupted, match=r"go on with: the same call, in the folder .*/s$"):
        run_study(study, (0, 1), tmp_path / "s", progress=False)
    run_study(study, (0, 1), tmp_path / "s", progress=False)
    assert len(complete(tmp_path / "s")) == 4


def test_several_seeds_of_one_run_are_gone_on_with_together(brief, tmp_path, monkeypatch):
    with ctrl_c(2, monkeypatch), pytest.raises(Interrupted, match=r"go on with: the same command with --out .*/s$"):
        run_seeds(brief, (0, 1), tmp_path / "s", progress=False)
    results = run_seeds(brief, (0, 1), tmp_path / "s", progress=False)
    assert all(Record(result.folder).complete for result in results)
