"""What REPRODUCTION.md says, against the records that it names."""

import json
import re
import statistics
from dataclasses import replace

import pytest
from scipy.stats import spearmanr

from metaplastic.experiments import Record

from .ledger_records import RESULTS, ROOT, finals, spread

LEDGER = (ROOT / "REPRODUCTION.md").read_text()
"""The text in its lines."""

CONFIGURATIONS = sorted(RESULTS.rglob("config.json"))

AVERAGED = {
    "Fig. 2 on a laptop": ("fig2/a", "fig2/b", "fig2/c", "fig2/d"),
    "Table 1 on a laptop": tuple(
        f"table1/{row}"
        for row in (
            *("plain", "frozen", "random", "random-tuned", "metaplastic"),
            *("ewc", "si", "ewc-tuned", "unannounced", "joint"),
        )
    ),
    "Beakers, m by layer and a falling learning rate, on a laptop": tuple(
        f"supplement/{row}"
        for row in (
            *("beakers", "beakers-faster", "beakers-faster-plain"),
            *("adam-kept", "m-by-layer", "lr-divided", "lr-divided-plain"),
        )
    ),
}
"""Tables whose rows are mean accuracies per task and the average ± deviation, with the folders of their rows."""

SPREAD = {
    "MNIST, then Fashion-MNIST on a laptop": tuple(
        f"fig4ab/{row}"
        for row in ("a", "b", "tuned", "frozen", "unannounced-plain", "unannounced", "unannounced-tuned")
    ),
    "Five classes of CIFAR-10 after five, on a laptop": tuple(
        f"fig4ef/{row}"
        for row in (
            *("e", "f", "tuned", "frozen", "unannounced-plain", "unannounced", "unannounced-tuned"),
            *("nearest-mean", "streaming-lda", "joint"),
        )
    ),
    "CIFAR-10 as a stream, on a laptop": tuple(
        f"fig5-cifar/{row}" for row in ("plain", "metaplastic", "whole", "whole-metaplastic")
    ),
    "Halves of CIFAR-10 with no state per task, on a laptop": tuple(
        f"fig4gh/{row}" for row in ("g", "h", "tuned", "nearest-mean", "streaming-lda", "joint")
    ),
}
"""Tables whose rows are the accuracies per task, each mean ± deviation."""

POLICIES = (
    *("running", "running-uniform", "batch", "recalibrated", "recalibrated-uniform", "layer"),
    *("running-no-decay", "recalibrated-no-decay", "layer-no-decay"),
)
"""Rows of the study of normalisation at two widths."""

WIDTHS = (64, 128, 256, 512)
KINDS = ("metaplastic", "ewc", "interleaved", "interleaved-metaplastic", "frozen")

PUBLISHED = ("none", "ewc", "online-ewc", "si", "joint")
"""Rows that stand beside published numbers."""


LINES = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in LEDGER.split("\n## Ledger\n")[1].split("\n## ")[0].splitlines()
    if line.startswith("|")
][2:]
"""Cells of every line of the ledger: claim and study, theirs, ours, verdict, the paper's size."""

SAID = {
    "fig1": ("a learned 0", "a"),
    "fig2": tuple(f"{panel} average" for panel in "abcd"),
    "fig2f": tuple(f"m{m} average" for m in range(4)),
    "table1": tuple(
        f"{row} average"
        for row in (
            *("plain", "frozen", "random", "random-tuned", "metaplastic", "unannounced"),
            *("ewc", "ewc-tuned", "si", "joint"),
        )
    ),
    "fig3": tuple(
        f"{kind}-{width} average" for kind in ("metaplastic", "ewc", "interleaved", "frozen") for width in (64, 512)
    ),
    "fig4ab": ("a", "b", "tuned", "unannounced-tuned"),
    "fig4ab-reversed": ("a", "b", "tuned", "frozen", "unannounced-plain", "unannounced", "unannounced-tuned"),
    "fig4cd": ("c", "d", "mnist-alone", "usps-alone"),
    "fig4ef": ("e", "tuned"),
    "fig4gh": ("g 1", "tuned"),
    "fig5-fashion": ("plain", "metaplastic", "whole", "whole-metaplastic"),
    "fig5-cifar": ("plain", "metaplastic", "whole", "whole-metaplastic"),
    "supplement": tuple(
        f"{row} average"
        for row in (
            *("adam-kept", "beakers", "beakers-faster", "beakers-faster-plain"),
            *("m-by-layer", "lr-divided", "lr-divided-plain"),
        )
    ),
    "real-check": tuple(f"{row} average" for row in PUBLISHED),
    "width": (
        *(f"{row}-512 0" for row in ("running", "running-uniform", "batch", "recalibrated", "layer", "layer-no-decay")),
        *(f"{row}-2048 0" for row in ("running", "running-no-decay", "running-uniform", "batch", "recalibrated")),
        *(f"{row}-2048 0" for row in ("layer", "layer-no-decay")),
    ),
    "split-mnist": ("plain average", "metaplastic average"),
}
"""By study what its line in the ledger says, in that order: panels, with `average` or a task where it is not all."""


SAID_AT_THE_PAPERS_SIZE = {"fig4cd": ("c", "d", "mnist-alone", "usps-alone", "c-told 0", "d-told 0")}
"""The same of the last cell, whose records are in a folder of that name with `-paper` behind it."""


def rows(section):
    """Numbers of each row of the first table of a section, in the cells that begin with one."""
    _, found = LEDGER.split(f"\n## {section}\n")
    table = re.search(r"\n\| ---.*?\n((?:\|.*\n)+)", found).group(1)
    for line in table.splitlines():
        cells = line.strip("|").split("|")
        yield [
            float(number) for cell in cells if re.match(r" -?\d", cell) for number in re.findall(r"-?\d+\.\d+", cell)
        ]


def final(folder):
    """Accuracies in % after the last task, per seed and task."""
    found = finals(folder)
    assert len(found) == 5
    return found


def averages(folder):
    """Mean over the tasks of each seed."""
    return [statistics.mean(seed) for seed in final(folder)]


def mean_and_deviation(values):
    return [statistics.mean(values), statistics.stdev(values)]


@pytest.mark.parametrize("section", AVERAGED)
def test_a_table_of_averages_holds_what_its_records_hold(section):
    written = list(rows(section))
    for row, folder in zip(written, AVERAGED[section], strict=True):
        expected = [statistics.mean(task) for task in zip(*final(folder), strict=True)]
        expected += mean_and_deviation(averages(folder))
        if section.startswith("Table 1") and folder != "table1/metaplastic":
            expected.append(statistics.mean(averages(folder)) - statistics.mean(averages("table1/metaplastic")))
        assert row == pytest.approx(expected, abs=0.0501)


@pytest.mark.parametrize("section", SPREAD)
def test_a_table_of_tasks_holds_what_its_records_hold(section):
    for row, folder in zip(rows(section), SPREAD[section], strict=True):
        expected = [number for task in zip(*final(folder), strict=True) for number in mean_and_deviation(task)]
        assert row == pytest.approx(expected, abs=0.0501)


def test_a_table_of_two_data_sets_holds_what_the_records_of_both_sizes_hold():
    panels = ("c", "c-plain", "c-told", "d", "d-plain", "d-told", "mnist-alone", "usps-alone")
    for row, panel in zip(rows("MNIST, then USPS"), panels, strict=True):
        tasks = [task for size in ("fig4cd", "fig4cd-paper") for task in zip(*final(f"{size}/{panel}"), strict=True)]
        assert row == pytest.approx([number for task in tasks for number in mean_and_deviation(task)], abs=0.0501)


def said_of(study, what):
    """Means and deviations over seeds: all tasks at the end, their average, one of them, or one when it was learned."""
    panel, _, which = what.partition(" ")
    runs = [Record(run).accuracy().accuracy for run in sorted((RESULTS / study / panel).glob("seed*"))]
    if which == "average":
        values = [[run[-1].mean() for run in runs]]
    elif which.startswith("learned"):
        task = int(which.split()[1])
        values = [[run[task, task] for run in runs]]
    else:
        values = list(zip(*(run[-1] for run in runs), strict=True))
        values = values if not which else [values[int(which)]]
    scaled = [[100 * float(value) for value in seeds] for seeds in values]
    return [spread(one) for one in scaled]


@pytest.mark.parametrize("study", SAID)
def test_a_line_says_what_the_records_of_its_study_hold(study):
    cells = [row[2] for row in LINES if f"(`{study}`)" in row[0]]
    said = re.findall(r"\d+\.\d ± \d+\.\d(?!\d)", cells[0])
    assert said
    assert said == [number for what in SAID[study] for number in said_of(study, what)]


@pytest.mark.parametrize("study", SAID_AT_THE_PAPERS_SIZE)
def test_a_line_says_what_the_records_at_the_papers_size_hold(study):
    (cell,) = (row[4] for row in LINES if f"(`{study}`)" in row[0])
    expected = [number for what in SAID_AT_THE_PAPERS_SIZE[study] for number in said_of(f"{study}-paper", what)]
    assert re.findall(r"\d+\.\d ± \d+\.\d(?!\d)", cell) == expected


def test_the_line_of_hidden_weights_says_what_records_hold():
    (cell,) = (row[2] for row in LINES if "hidden weights spread" in row[0])
    expected = []
    for panel in "abcd":
        sizes = []
        for seed in range(5):
            text = (RESULTS / f"fig2/{panel}/seed{seed}/metrics.jsonl").read_text()
            lines = [json.loads(line) for line in text.splitlines()]
            last = [line for line in lines if line.get("layers")][-1]
            sizes.append(last["layers"]["layers.2.weight"]["mean_magnitude"])
        expected.append(spread(sizes, 2))
    assert re.findall(r"\d+\.\d+ ± \d+\.\d+", cell) == expected


def test_every_line_has_a_verdict_or_says_that_it_was_not_run():
    assert len(LINES) == 22
    for _, _, _, verdict, full in LINES:
        assert re.match(r"\*\*(reproduced|partly|not|not run|no claim)\*\*", verdict)
        assert re.search(r"\*\*(reproduced|partly|not)\*\*|not run|the same", full)


def test_a_table_of_widths_holds_what_its_records_hold():
    for row, width in zip(rows("Fig. 3 on a laptop"), WIDTHS, strict=True):
        expected = [number for kind in KINDS for number in mean_and_deviation(averages(f"fig3/{kind}-{width}"))]
        assert row == pytest.approx(expected, abs=0.0501)


def test_a_table_of_policies_holds_what_its_records_hold():
    for row, policy in zip(rows("Statistics, gains and weight decay, two tasks"), POLICIES, strict=True):
        ends = [end for width in (512, 2048) for end in zip(*final(f"width/{policy}-{width}"), strict=True)]
        assert row == pytest.approx([number for end in ends for number in mean_and_deviation(end)], abs=0.0501)


def test_the_table_of_switched_signs_holds_what_its_records_hold():
    """Cost in the lowest and the highest filled bin, its rank correlation, and that of importance and speed."""
    for row, layer in zip(rows("Signs switched, on a laptop"), (0, 2, 4), strict=True):
        name, cost, speed = f"layers.{layer}.weight", [], []
        for seed in range(5):
            run = RESULTS / f"fig6ce/cde/seed{seed}"
            increase = json.loads((run / "sign_switch.json").read_text())[name]["increase"]
            filled = [1e6 * value for value in increase if value is not None]
            cost.append((filled[0], filled[-1], spearmanr(range(len(filled)), filled).statistic))
        for panel in ("cde", "plain"):
            files = [RESULTS / f"fig6ce/{panel}/seed{seed}/divergence.json" for seed in range(5)]
            speed.append([json.loads(file.read_text())[name]["rank_correlation"] for file in files])
        expected = [number for column in (*zip(*cost, strict=True), *speed) for number in mean_and_deviation(column)]
        assert row == pytest.approx(expected, abs=0.0501)
        assert row[4:] == pytest.approx(expected[4:], abs=0.00501)


def test_published_numbers_stand_beside_what_records_hold():
    for (published, *ours, difference), name in zip(rows("Baselines beside published numbers"), PUBLISHED, strict=True):
        mean, deviation = mean_and_deviation(averages(f"real-check/{name}"))
        assert [*ours, difference] == pytest.approx([mean, deviation, mean - published], abs=0.0501)


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
