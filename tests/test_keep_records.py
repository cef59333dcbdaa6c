"""What is kept of a run's metrics with the code."""

import copy
import runpy
from pathlib import Path

import pytest

KEEP_RECORDS = runpy.run_path(str(Path(__file__).parents[1] / "benchmarks" / "keep_records.py"))
thinned, summed_up = KEEP_RECORDS["thinned"], KEEP_RECORDS["summed_up"]

LAYERS = {"layers.0.weight": {"flip_rate": 0.1, "histogram": {"edges": [0, 1], "counts": [5]}}}
LINES = [
    {"event": "begin", "correct": [1, 2]},
    {"event": "epoch", "task": 0, "epoch": 0, "correct": None, "seconds": 1.0},
    {"event": "epoch", "task": 0, "epoch": 1, "correct": [8, 2], "seconds": 2.0},
    {"event": "task", "task": 0, "correct": [8, 2], "layers": LAYERS, "memory": {"buffers": 3}, "seconds": 0.25},
    {"event": "epoch", "task": 1, "epoch": 0, "correct": None, "seconds": 1.0},
    {"event": "epoch", "task": 1, "epoch": 1, "correct": [7, 9], "seconds": 2.0},
    {"event": "task", "task": 1, "correct": [7, 9], "layers": LAYERS, "memory": {"buffers": 4}, "seconds": 0.5},
]


def spent(lines):
    return sum(line.get("seconds", 0.0) for line in lines)


@pytest.mark.parametrize(("synapses", "histograms"), [(False, False), (True, False), (True, True)])
@pytest.mark.parametrize("last", [7, 6, 4])
def test_epochs_that_were_tested_stay_and_seconds_add_up(synapses, histograms, last):
    lines = copy.deepcopy(LINES[:last])
    kept = thinned(copy.deepcopy(lines), synapses, histograms)
    assert spent(kept) == pytest.approx(spent(lines))
    tested = [line["correct"] for line in lines if line["event"] == "epoch" and line["correct"]]
    assert [line["correct"] for line in kept if line["event"] == "epoch"] == tested
    assert kept[0] == lines[0]


def test_a_task_keeps_its_synapses_and_the_last_one_what_memory_holds():
    first, last = (line for line in thinned(copy.deepcopy(LINES), True, False) if line["event"] == "task")
    assert first["layers"] == last["layers"] == {"layers.0.weight": {"flip_rate": 0.1}}
    assert "memory" not in first
    assert last["memory"] == {"buffers": 4}
    whole = thinned(copy.deepcopy(LINES), True, True)
    assert whole[2]["layers"] == LAYERS
    (only,) = (line for line in thinned(copy.deepcopy(LINES), False, False) if line["event"] == "task")
    assert (only["task"], "layers" in only, "correct" in only) == (1, False, False)


def test_seconds_of_a_last_line_that_is_left_out_are_not_lost():
    lines = [{name: value for name, value in line.items() if name != "memory"} for line in copy.deepcopy(LINES)]
    kept = thinned(copy.deepcopy(lines), False, False)
    assert [line["event"] for line in kept] == ["begin", "epoch", "epoch"]
    assert spent(kept) == pytest.approx(spent(lines))


def test_a_summary_keeps_values_and_the_reasons_where_there_are_none():
    metrics = {"average_accuracy": {"value": 0.12345678, "reason": ""}, "bwt": {"value": None, "reason": "one task"}}
    kept = summed_up({"metrics": metrics, "cautions": ["few samples"]})
    assert kept["metrics"] == {"average_accuracy": {"value": 0.123457}, "bwt": {"value": None, "reason": "one task"}}
    assert kept["cautions"] == ["few samples"]
    assert summed_up(kept) == kept
