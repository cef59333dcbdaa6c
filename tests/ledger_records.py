"""Records behind REPRODUCTION.md, as its tests read them."""

import json
import statistics
from pathlib import Path

from metaplastic.experiments import Record

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "results"
LEDGER = " ".join((ROOT / "REPRODUCTION.md").read_text().split())
"""The text, in one line."""


def percent(folder):
    """Accuracy in % of every task after every task."""
    return (100 * Record(RESULTS / folder).accuracy().accuracy).tolist()


def finals(folder):
    """Accuracy in % of every task at the end, by seed."""
    return [percent(run.relative_to(RESULTS))[-1] for run in sorted((RESULTS / folder).glob("seed*"))]


def spread(values, digits=1):
    """Mean and standard deviation, as the text has them."""
    return f"{statistics.mean(values):.{digits}f} ± {statistics.stdev(values):.{digits}f}"


def metrics(folder):
    return [json.loads(line) for line in (RESULTS / folder / "metrics.jsonl").read_text().splitlines()]


def middle_layer(folder, task):
    """What was measured of its synapses when a task ended."""
    ends = [line for line in metrics(folder) if line["event"] == "task"]
    return ends[task]["layers"]["layers.2.weight"]


def retested(folder):
    """Accuracy in % of every task by kept statistics and by fresh ones."""
    found = json.loads((RESULTS / folder / "fresh_statistics.json").read_text())
    return [[100 * share for share in found[name]] for name in ("kept", "fresh")]
