"""Panels of a study at once, each in a process of its own."""

import os
import signal
from dataclasses import replace
from functools import partial

import pytest
import torch

from metaplastic.experiments import Interrupted, Record, Size, Study, TrainingPanel, run_study
from metaplastic.experiments.config import Optimizer
from metaplastic.experiments.side_by_side import side_by_side
from metaplastic.learners import NonFiniteLossError


@pytest.fixture
def mine(brief) -> Study:
    strengths = {"a": 0.0, "b": 10.0, "c": 30.0}
    panels = {name: replace(brief, optimizer=Optimizer(metaplasticity=(m,))) for name, m in strengths.items()}
    return Study("mine", Size.LAPTOP, {name: TrainingPanel(config) for name, config in panels.items()})


def results_of(folder):
    kept = ("config.json", "accuracy.csv", "summary.json", "network.safetensors")
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.name in kept}


def test_panels_at_once_leave_the_records_of_one_after_another(mine, tmp_path):
    told = []
    run_study(mine, (0, 1), tmp_path / "two", jobs=2, progress=False, before=told.append)
    run_study(mine, (0, 1), tmp_path / "one", progress=False)
    found = results_of(tmp_path / "two")
    assert len(found) == 3 * 2 * 4
    assert found == results_of(tmp_path / "one")
    assert told == ["mine a, 1 of 3", "mine b, 2 of 3", "mine c, 3 of 3"]


@pytest.mark.usefixtures("in_a_terminal")
def test_stopped_at_work_it_goes_on_with_what_is_left(mine, tmp_path):
    def press(title):
        if title.endswith("3 of 3"):  # one of the other two has ended
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(Interrupted, match=r"go on with: the same call, in the folder .*two"):
        run_study(mine, (0,), tmp_path / "two", jobs=2, progress=False, before=press)
    done = [name for name in "abc" if (tmp_path / "two" / name / "seed0" / "summary.json").exists()]
    assert done
    assert "c" not in done
    run_study(mine, (0,), tmp_path / "two", jobs=2, progress=False)
    run_study(mine, (0,), tmp_path / "one", progress=False)
    assert results_of(tmp_path / "two") == results_of(tmp_path / "one")


def test_a_panel_that_diverges_does_not_stop_one_beside_it(mine, tmp_path):
    config = mine.config("a")
    bad = replace(config, optimizer=replace(config.optimizer, lr=3e38, weight_decay=3.0), epochs=4)
    both = replace(mine, panels={"bad": TrainingPanel(bad), "good": TrainingPanel(config)})
    with pytest.raises(NonFiniteLossError):
        run_study(both, (0,), tmp_path / "s", jobs=2, progress=False)
    assert Record(tmp_path / "s" / "good" / "seed0").complete


def test_an_error_in_a_process_is_raised_as_it_is(mine, tmp_path):
    run_study(mine.only(["a", "b"]), (0,), tmp_path / "s", progress=False)
    other = {name: TrainingPanel(replace(mine.config(name), name="other")) for name in "ab"}
    with pytest.raises(ValueError, match=r"expected in .*seed0 a record of what is to be run, got one of another"):
        run_study(replace(mine, panels=other), (0,), tmp_path / "s", jobs=2, progress=False)


def test_a_lost_process_is_an_error_that_says_what_to_do():
    with pytest.raises(
        ChildProcessError, match=r"lost one: out of memory\? Fewer jobs need less; the same call goes on"
    ):
        list(side_by_side({"lost": os.abort, "other": os.getpid}, 2))


def test_processes_share_the_cores():
    threads = dict(side_by_side({"a": torch.get_num_threads, "b": torch.get_num_threads}, 2))
    assert threads == dict.fromkeys("ab", max(1, os.cpu_count() // 2))


def test_calls_are_made_elsewhere():
    ended = dict(side_by_side({"a": os.getpid, "b": partial(pow, 2, 3)}, 2))
    assert ended["a"] != os.getpid()
    assert ended["b"] == 8


def test_less_than_no_job_is_refused(mine, tmp_path):
    with pytest.raises(ValueError, match=r"expected jobs >= 0"):
        run_study(mine, (0,), tmp_path / "s", jobs=-1, progress=False)
    assert not (tmp_path / "s").exists()
