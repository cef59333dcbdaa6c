"""Copy the records of a study without weights, small enough to be kept with the code.

    python benchmarks/keep_records.py runs/fig2 results/fig2 --histograms

Configuration, environment, accuracy matrix, summary and what probes found are kept, their JSON with a line per section
and without spaces. Of `metrics.jsonl` the epochs that were tested after stay; the seconds of the others are added to
the next one, so that they still add up to the run's. What a test after a task counted is in the matrix, and not there
again: a line for a task's end stays where it says something of synapses, and the last one for what it says of memory.
Numbers in metrics, summary and probes are rounded to six digits, and where the summary has a value it says no reason
why there is none. What is said of synapses is left out, `--synapses` keeps it, and `--histograms` their histograms in
the first seed too. `--ends` keeps the last epoch of each task only, where room is short; `--no-metrics` leaves out the
whole file, for runs by which a setting was chosen. Runs that have no summary are not complete, and are left out.
"""

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

PROBES = ("sign_switch.json", "divergence.json")
SECTIONED = ("config.json", "environment.json", "summary.json", *PROBES)
WHOLE = (*SECTIONED, "accuracy.csv", "fresh_statistics.json")
FIRST, STUDY = "seed0", "study.json"


def thinned(lines: list[dict[str, Any]], synapses: bool, histograms: bool, ends: bool = False) -> list[dict[str, Any]]:
    kept, seconds = [], 0.0
    last = {line["task"]: line["epoch"] for line in lines if line["event"] == "epoch" and line.get("correct")}
    for line in [line for line in lines if line["event"] == "task"][:-1]:
        line.pop("memory", None)
    for line in lines:
        seconds += line.pop("seconds", 0.0)
        if line["event"] == "epoch" and (not line.get("correct") or (ends and line["epoch"] < last[line["task"]])):
            continue
        if line["event"] == "task":
            line.pop("correct", None)
        if not synapses:
            line.pop("layers", None)
        elif not histograms:
            for layer in line.get("layers", {}).values():
                layer.pop("histogram", None)
        if line["event"] == "task" and not ("layers" in line or "memory" in line):
            continue
        if line["event"] in ("epoch", "task"):
            line["seconds"], seconds = round(seconds, 3), 0.0
        kept.append(line)
    if seconds:
        kept[-1]["seconds"] = round(kept[-1].get("seconds", 0.0) + seconds, 3)
    return kept


def rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: rounded(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [rounded(inner) for inner in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value


def summed_up(summary: dict[str, Any]) -> dict[str, Any]:
    """Leave out the empty reasons of metrics that have a value; what is no training has no metrics."""
    for metric in summary.get("metrics", {}).values():
        if not metric.get("reason"):
            metric.pop("reason", None)
    return rounded(summary)


SHORTENED = {"summary.json": summed_up} | dict.fromkeys(PROBES, rounded)


def by_section(found: dict[str, Any]) -> str:
    """Write a JSON object with one line for each of its keys: two fifths less to keep, and quick to compare."""
    lines = (f"{json.dumps(key)}:{json.dumps(value, separators=(',', ':'))}" for key, value in found.items())
    return "{\n" + ",\n".join(lines) + "\n}\n"


def keep(run: Path, kept: Path, options: argparse.Namespace) -> None:
    kept.mkdir(parents=True, exist_ok=True)
    for name in WHOLE:
        if (run / name).exists():
            shutil.copy(run / name, kept / name)
    for name in SECTIONED:
        if (kept / name).exists():
            found = json.loads((kept / name).read_text())
            (kept / name).write_text(by_section(SHORTENED.get(name, dict)(found)))
    if options.no_metrics:
        (kept / "metrics.jsonl").unlink(missing_ok=True)
        return
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    histograms = options.histograms and run.name.endswith(FIRST)
    lines = thinned(lines, options.synapses or options.histograms, histograms, options.ends)
    texts = [json.dumps(rounded(line), separators=(",", ":")) + "\n" for line in lines]
    (kept / "metrics.jsonl").write_text("".join(texts))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, help="folder of a study, or of runs")
    parser.add_argument("kept", type=Path, help="where to")
    detail = parser.add_mutually_exclusive_group()
    detail.add_argument("--synapses", action="store_true", help="keep what is said of synapses, without histograms")
    detail.add_argument("--histograms", action="store_true", help="keep it, with histograms of the first seed")
    detail.add_argument("--ends", action="store_true", help="keep the last epoch of each task only")
    detail.add_argument("--no-metrics", action="store_true", help="leave out metrics.jsonl")
    options = parser.parse_args()
    for config in sorted(options.runs.rglob("config.json")):
        run = config.parent
        if (run / "summary.json").exists():
            kept = options.kept / run.relative_to(options.runs)
            keep(run, kept, options)
        else:
            print("not complete:", run)
    if (options.runs / STUDY).exists():
        shutil.copy(options.runs / STUDY, options.kept / STUDY)


if __name__ == "__main__":
    main()
