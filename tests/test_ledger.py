"""What REPRODUCTION.md says, against the records that it names."""

import re
import statistics
from dataclasses import replace
from pathlib import Path

import pytest

from metaplastic.experiments import Record

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "results"
LEDGER = (ROOT / "REPRODUCTION.md").read_text()
CONFIGURATIONS = sorted(RESULTS.rglob("config.json"))

AVERAGED = {
    "Fig. 2 on a laptop": ("fig2/a", "fig2/b", "fig2/c", "fig2/d"),
    "Table 1 on a laptop": tuple(
        f"table1/{row}"
        for row in ("plain", "frozen", "random", "metaplastic", "ewc", "si", "ewc-tuned", "unannounced", "joint")
    ),
}
"""Tables whose rows are mean accuracies per task and the average ± deviation, with the folders of their rows."""

SPREAD = {
    "MNIST, then Fashion-MNIST on a laptop": tuple(
        f"fig4ab/{row}" for row in ("a", "b", "tuned", "frozen", "unannounced-plain", "unannounced")
    ),
    "Five classes of CIFAR-10 after five, on a laptop": tuple(
        f"fig4ef/{row}"
        for row in (
            *("e", "f", "tuned", "frozen", "unannounced-plain", "unannounced"),
            *("nearest-mean", "streaming-lda", "joint"),
        )
    ),
}
"""Tables whose rows are the accuracies per task, each mean ± deviation."""

WIDTHS = (64, 128, 256, 512)
KINDS = ("metaplastic", "ewc", "interleaved", "interleaved-metaplastic")

PUBLISHED = ("none", "ewc", "online-ewc", "si")
"""Rows that stand beside published numbers."""


def rows(section):
    """Numbers of each row of the first table of a section, in the cells that begin with one."""
    _, found = LEDGER.split(f"\n## {section}\n")
    table = re.search(r"\n\| ---.*?\n((?:\|.*\n)+)", found).group(1)
    for line in table.splitlines():
        cells = line.strip("|").split("|")
        yield [float(number) for cell in cells if re.match(r" -?\d", cell) for number in re.findall(r"-?\d+\.\d", cell)]


def final(folder, seeds=5):
    """Accuracies in % after the last task, per seed and task."""
    found = [Record(run).accuracy().accuracy[-1] for run in sorted((RESULTS / folder).glob("seed*"))]
    assert len(found) == seeds
    return [[100 * float(value) for value in seed] for seed in found]


def averages(folder, seeds=5):
    """Mean over the tasks of each seed."""
    return [statistics.mean(seed) for seed in final(folder, seeds)]


def mean_and_deviation(values):
    return [statistics.mean(values), statistics.stdev(values)]


@pytest.mark.parametrize("section", AVERAGED)
def test_a_table_of_averages_holds_what_its_records_hold(section):
    written = list(rows(section))
    for row, folder in zip(written, AVERAGED[section], strict=True):
        expected = [statistics.mean(task) for task in zip(*final(folder), strict=True)]
        expected += mean_and_deviation(averages(folder))
        assert row[: len(expected)] == pytest.approx(expected, abs=0.0501)


@pytest.mark.parametrize("section", SPREAD)
def test_a_table_of_tasks_holds_what_its_records_hold(section):
    for row, folder in zip(rows(section), SPREAD[section], strict=True):
        expected = [number for task in zip(*final(folder), strict=True) for number in mean_and_deviation(task)]
        assert row == pytest.approx(expected, abs=0.0501)


def test_a_table_of_widths_holds_what_its_records_hold():
    for row, width in zip(rows("Fig. 3 on a laptop"), WIDTHS, strict=True):
        expected = [number for kind in KINDS for number in mean_and_deviation(averages(f"fig3/{kind}-{width}"))]
        assert row == pytest.approx(expected, abs=0.0501)


def test_published_numbers_stand_beside_what_records_hold():
    for row, name in zip(rows("Baselines beside published numbers"), PUBLISHED, strict=True):
        (average,) = averages(f"real-check/{name}", seeds=1)
        assert row[1:] == pytest.approx([average, average - row[0]], abs=0.0501)


def test_records_are_whole_small_and_hold_no_weights():
    files = [path for path in RESULTS.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 5e6
    assert not [path for path in files if path.suffix in {".safetensors", ".pt", ".npz", ".pkl"}]
    assert len(CONFIGURATIONS) > 100
    for path in CONFIGURATIONS:
        assert {"accuracy.csv", "environment.json", "summary.json"} <= {file.name for file in path.parent.iterdir()}


@pytest.mark.parametrize("name", sorted({path.relative_to(RESULTS).parts[0] for path in RESULTS.rglob("study.json")}))
def test_the_seeds_of_a_panel_differ_in_nothing_else(name):
    panels = {}
    for path in (RESULTS / name).rglob("seed*/config.json"):
        panels.setdefault(path.parent.parent, []).append(Record(path.parent).config)
    assert panels or name == "fig6ab"
    for configs in panels.values():
        assert len({config.seed for config in configs}) == len(configs)
        assert len({replace(config, seed=0) for config in configs}) == 1
