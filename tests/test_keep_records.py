"""What is kept of a run's metrics with the code."""

import argparse
import copy
import json
import runpy
from pathlib import Path

import pytest

KEEP_RECORDS = runpy.run_path(str(Path(__file__).parents[1] / "benchmarks" / "keep_records.py"))
thinned, summed_up, keep = (KEEP_RECORDS[name] for name in ("thinned", "summed_up", "keep"))

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


def test_the_last_epochs_alone_hold_the_seconds_of_all():
    lines = [line | {"epoch": 7} if line.get("epoch") == 1 else line for line in copy.deepcopy(LINES)]
    lines.insert(2, {"event": "epoch", "task": 0, "epoch": 3, "correct": [5, 1], "seconds": 4.0})
    kept = thinned(copy.deepcopy(lines), False, False, ends=True)
    assert [(line["task"], line["epoch"]) for line in kept if line["event"] == "epoch"] == [(0, 7), (1, 7)]
    assert spent(kept) == pytest.approx(spent(lines))


@pytest.mark.parametrize("no_metrics", [False, True])
def test_what_probes_found_is_rounded_and_what_is_not_there_is_left_out(tmp_path, no_metrics):
    run = tmp_path / "run"
    run.mkdir()
    found = {"config": {"lr": 0.0050000001}, "environment": {}, "summary": {}, "divergence": {"layer": [1 / 3, None]}}
    for name, plain in found.items():
        (run / f"{name}.json").write_text(json.dumps(plain))
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in LINES))
    options = argparse.Namespace(no_metrics=no_metrics, synapses=False, histograms=False, ends=False)
    keep(run, tmp_path / "kept", options)
    kept = {path.name for path in (tmp_path / "kept").iterdir()}
    assert kept == {f"{name}.json" for name in found} | (set() if no_metrics else {"metrics.jsonl"})
    assert json.loads((tmp_path / "kept" / "divergence.json").read_text()) == {"layer": [0.333333, None]}
    assert json.loads((tmp_path / "kept" / "config.json").read_text()) == found["config"]


def test_a_summary_keeps_values_and_the_reasons_where_there_are_none():
    metrics = {"average_accuracy": {"value": 0.12345678, "reason": ""}, "bwt": {"value": None, "reason": "one task"}}
    kept = summed_up({"metrics": metrics, "cautions": ["few samples"]})
    assert kept["metrics"] == {"average_accuracy": {"value": 0.123457}, "bwt": {"value": None, "reason": "one task"}}
    assert kept["cautions"] == ["few samples"]
    assert summed_up(kept) == kept
