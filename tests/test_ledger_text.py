"""What the text of REPRODUCTION.md says outside the tables of its studies, against the records."""

import json
import re
import statistics
import subprocess
from pathlib import Path

import pytest
from scipy.stats import spearmanr

from metaplastic.evaluation import paired_permutation_test
from metaplastic.experiments import DEVIATIONS, Record

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "results"
LEDGER = " ".join((ROOT / "REPRODUCTION.md").read_text().split())


STREAM, REAL = "fig5-cifar-tuning/recalibrated", "real-check-tuning"

TASKS = [
    *(
        (f"{{}} and {{}} with {said}", f"fig4ab-tuning/told-{m}")
        for said, m in (("m = 6", 6), (7, 7), (8, 8), (10, 10))
    ),
    *((f"{{}} and {{}} with {m}", f"fig4ab-tuning/unannounced-{m}") for m in (8, 9, 10)),
    ("48 ends there at {} and {} %", "fig4ef-tuning/unannounced-48"),
]
"""Text with a gap for each task, and the runs whose accuracies after the last task, means over seeds, fill it."""

AVERAGES = [
    (
        "0, 3, 8, 15 and 40 end at {}, {}, {}, {} and {} %, and all at once at {}",
        [*(f"{STREAM}-parts20-epochs10-{m}" for m in (0, 3, 8, 15, 40)), f"{STREAM}-epochs10-whole"],
    ),
    ("EWC ends at {}, {} and {} % with lambda 20, 300 and 1,000", [f"{REAL}/ewc-{s}" for s in (20, 300, 1000)]),
    (
        "it is {} and {} % with 100 and 1,000, and fine-tuning {} %",
        [f"{REAL}/pad-{name}" for name in ("ewc-100", "ewc-1000", "none")],
    ),
    ("it is {} % over the first six tasks, with 300 as with 1,000", [f"{REAL}/pad-long-ewc-300"]),
    ("it is {} % over the first six tasks, with 300 as with 1,000", [f"{REAL}/pad-long-ewc-1000"]),
    (
        "wide pipes ends there at {} % in the place of {}",
        [f"supplement-tuning/beakers-3-faster{end}" for end in ("-0.2", "")],
    ),
]
"""Text with gaps, and the runs whose average over tasks fills each."""


def final(folder):
    """Accuracy in % of every task after the last, mean over seeds."""
    runs = [path.parent for path in (RESULTS / folder).rglob("config.json")]
    return [statistics.mean(task) for task in zip(*(percent(run)[-1] for run in runs), strict=True)]


def numbers(text):
    """What stands in the gaps of a text, wherever it is found."""
    gap = r"(\d+(?:\.\d)?)"
    found = re.findall(re.escape(text).replace(r"\{\}", gap), LEDGER)
    assert found, f"{text!r} is not in REPRODUCTION.md"
    return [[float(number) for number in ((one,) if isinstance(one, str) else one)] for one in found]


def is_rounded(number, value):
    step = 0.1 if number != int(number) else 1.0
    return abs(number - value) <= step / 2 + 1e-4


@pytest.mark.parametrize(("text", "folder"), TASKS, ids=str)
def test_accuracies_by_which_settings_were_chosen(text, folder):
    assert any(all(map(is_rounded, found, final(folder))) for found in numbers(text))


@pytest.mark.parametrize(("text", "folders"), AVERAGES, ids=str)
def test_averages_by_which_settings_were_chosen(text, folders):
    averages = [statistics.mean(final(folder)) for folder in folders]
    (found,) = numbers(text)
    assert all(map(is_rounded, found, averages))


def quadratic(panel):
    return json.loads((RESULTS / f"fig6ab/{panel}/quadratic.json").read_text())


def percent(folder):
    """Accuracy in % of every task after every task."""
    return (100 * Record(RESULTS / folder).accuracy().accuracy).tolist()


def metrics(folder):
    return [json.loads(line) for line in (RESULTS / folder / "metrics.jsonl").read_text().splitlines()]


def middle_layer(folder, task):
    """What was measured of its synapses when a task ended."""
    ends = [line for line in metrics(folder) if line["event"] == "task"]
    return ends[task]["layers"]["layers.2.weight"]


def test_fine_tuning_beside_plain_pytorch():
    found = json.loads((RESULTS / "real-check/plain-pytorch-small.json").read_text())
    test = paired_permutation_test(found["ours"], found["plain"])
    deviation = statistics.stdev(one - other for one, other in zip(found["ours"], found["plain"], strict=True))
    said = f"differ by {test.difference:.1f} ± {deviation:.1f} points (p = {test.p_value:.2f} by the exact paired test"
    assert said in LEDGER


def test_the_drift_in_two_dimensions():
    found = quadratic("a")
    x, y = zip(*found["path"], strict=True)
    speed = (x[-1] - x[0]) / found["steps"]
    said = (
        f"x grows by {speed:.4f} a step, to {x[-1]:.1f} after {found['steps']}; y within {min(y):.2f} and {max(y):.2f}"
    )
    assert said in LEDGER


def test_what_drifts_in_500_dimensions():
    found, summary = quadratic("b"), quadratic("b")["summary"]
    outside = sum(abs(value) > 1 for value in found["optimum"])
    drifting = round(summary["drifting_outside"] * outside)
    assert (
        f"{summary['drifting']} components drift, {drifting} of the {outside} whose optimum lies outside and "
        f"{summary['drifting'] - drifting} of the other {500 - outside}; for these the predicted cost is "
        f"{100 * summary['relative_error']:.1f} % off and the correlation of hidden weight and cost "
        f"{summary['correlation_of_drifting']:.3f}, over all 500 it is {summary['correlation']:.3f}"
    ) in LEDGER


WIDTHS = (512, 1024, 2048, 4096)
KINDS = {"decay": "1e-7, 1", "no-decay": "0, 1", "uniform": "1e-7, U(0, 1)"}
"""Panels of the study of width and weight decay: which decay, and where gains start."""


def learned_and_left(folder):
    """Accuracy in % after the first task, the second and the last, and its average, as cells of a row."""
    first, second, *_, last = percent(folder)
    shares = [first[:1], second[:2], last, [statistics.mean(last)]]
    return [", ".join(f"{value:.1f}" for value in cell) for cell in shares]


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("kind", KINDS)
def test_what_decay_and_gains_do_to_a_width(width, kind):
    folder = f"width-decay/{kind}-{width}/seed0"
    synapses = (middle_layer(folder, 0)["consolidated_fraction"], middle_layer(folder, 1)["flip_rate"])
    cells = [f"{width}, {KINDS[kind]}", *learned_and_left(folder), *(f"{100 * share:.1f} %" for share in synapses)]
    assert f"| {' | '.join(cells)} |" in LEDGER


@pytest.mark.parametrize("width", WIDTHS)
def test_what_frozen_synapses_come_to(width):
    cells = [f"{width}, frozen", *learned_and_left(f"width-decay/frozen-{width}/seed0")]
    assert f"| {' | '.join(cells)} | | |" in LEDGER


def retested(folder):
    """Accuracy in % of every task by kept statistics and by fresh ones."""
    found = json.loads((RESULTS / folder / "fresh_statistics.json").read_text())
    return [[100 * share for share in found[name]] for name in ("kept", "fresh")]


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("kind", KINDS)
def test_what_statistics_taken_anew_give(width, kind):
    cells = [f"{width}, {KINDS[kind]}"]
    for seed in (0, 1):
        run = f"width-decay/{kind}-{width}/seed{seed}"
        if not (RESULTS / run).exists():
            cells += ["-", "-"]
            continue
        left = percent(run)[-1]
        cells.append(f"{statistics.mean(left):.1f}")
        if not (RESULTS / run / "fresh_statistics.json").exists():
            cells.append("-")
            continue
        kept, fresh = retested(run)
        assert kept == pytest.approx(left)
        cells.append(f"{statistics.mean(fresh):.1f}")
    assert f"| {' | '.join(cells)} |" in LEDGER


def test_how_far_two_seeds_of_a_width_are_apart():
    apart = []
    for kind in KINDS:
        for width in WIDTHS[:-1]:
            first, second = (statistics.mean(percent(f"width-decay/{kind}-{width}/seed{seed}")[-1]) for seed in (0, 1))
            apart.append(abs(first - second))
    assert f"the second seed, up to 2048, ends within {max(apart):.1f} points of the first" in LEDGER


def test_the_line_of_width_and_decay_says_what_records_hold():
    def said(kind):
        means = [f"{statistics.mean(percent(f'width-decay/{kind}-{width}/seed0')[-1]):.1f}" for width in WIDTHS]
        return f"{', '.join(means[:-1])} and {means[-1]}"

    assert (
        f"{said('decay')} with the authors' decay and gains from 1, {said('no-decay')} without the decay, "
        f"{said('uniform')} with it and gains from U(0, 1), {said('frozen')} with frozen synapses;"
    ) in LEDGER
    kept, fresh = (", ".join(f"{share:.1f}" for share in row) for row in retested("width-decay/decay-4096/seed0"))
    assert f"gives {kept} % by what was kept, and {fresh} % anew" in LEDGER


def test_how_far_the_first_task_swings():
    lines = metrics("width-decay/decay-2048/seed0")
    tests = [line["correct"][0] / 100 for line in lines if line["event"] == "epoch" and line["task"] == 1]
    assert f"at 2048 between {min(tests):.0f} and {max(tests):.0f} %" in LEDGER
    with_decay, without = (percent(f"width-decay-checks/{name}/seed0")[1][0] for name in ("decay1e-7", "decay0"))
    assert f"gave {with_decay:.1f} % after task 2" in LEDGER
    assert f"and {without:.1f} without decay" in LEDGER
    with_decay, without = (
        percent(f"width-decay-checks/{name}/seed0")[1][0] for name in ("exact-decay", "exact-no-decay")
    )
    assert f"at 2048 ends at {with_decay:.1f} % with the decay and at {without:.1f} without" in LEDGER


def test_what_is_left_of_mnist_at_the_papers_size():
    """After its own task, and 25 and 50 epochs into Fashion-MNIST, which stands behind it."""
    left = []
    for folder in sorted((RESULTS / "fig1-paper" / "a").glob("seed*")):
        lines = [line for line in metrics(folder.relative_to(RESULTS)) if line["event"] == "epoch"]
        alone, *_, end = (line["correct"] for line in lines if line["epoch"] == 49)
        (middle,) = (line["correct"] for line in lines if (line["task"], line["epoch"]) == (1, 24))
        left.append([value / 100 for value in (alone[0], middle[0], *end)])
    assert len(left) == 5
    first, middle, last, fashion = (
        f"{statistics.mean(column):.1f} ± {statistics.stdev(column):.1f}" for column in zip(*left, strict=True)
    )
    assert (
        f"five seeds: MNIST {first}, then {middle} after 25 epochs and {last} after 50; Fashion-MNIST {fashion};"
        in LEDGER
    )


def test_what_all_studies_differ_in_is_what_their_help_says():
    assert DEVIATIONS in LEDGER


def test_every_record_was_made_at_a_commit_that_led_here():
    """Where the history is here: not in an archive, nor in a clone that was cut short."""

    def git(*words):
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)

    if git("rev-parse", "--is-shallow-repository").stdout.strip() != "false":
        pytest.skip("the whole history is not here")
    said = [json.loads(path.read_text())["commit"] for path in RESULTS.rglob("environment.json")]
    strangers = [
        commit
        for commit in {one.rstrip("+") for one in said}
        if git("merge-base", "--is-ancestor", commit, "HEAD").returncode
    ]
    assert len(said) > 600
    assert not strangers


def test_what_statistics_gains_and_decay_do_to_the_first_of_two_tasks():
    def first(name):
        return [
            100 * float(Record(run).accuracy().accuracy[-1][0])
            for run in sorted((RESULTS / "width" / name).glob("seed*"))
        ]

    def p(one, other):
        return f"{paired_permutation_test(first(one), first(other)).p_value:.2f}"

    gains = f"p = {p('running-uniform-512', 'running-512')} and {p('recalibrated-uniform-512', 'recalibrated-512')}"
    assert gains in LEDGER
    assert (
        f"beside exact ones ({paired_permutation_test(first('running-512'), first('recalibrated-512')).p_value:.3f})"
        in LEDGER
    )
    assert p("batch-512", "running-512") == p("layer-no-decay-512", "layer-512") == "0.06"
    lost = [kept - left for kept, left in zip(first("layer-no-decay-512"), first("layer-512"), strict=True)]
    assert min(lost) > 0
    assert f"loses {statistics.mean(lost):.0f} points by the decay" in LEDGER


def test_what_is_left_of_the_first_of_two_tasks_in_wide_networks():
    panels = (
        *("batch", "running", "recalibrated", "running-uniform", "recalibrated-uniform"),
        *("running-no-decay", "recalibrated-no-decay", "layer", "layer-no-decay"),
    )
    left = {panel: f"{percent(f'width/{panel}-2048/seed0')[-1][0]:.1f}" for panel in panels}
    batch, running, exact, running_uniform, uniform, running_free, free, layer, layer_free = left.values()
    assert f"at {batch} %; by statistics kept" in LEDGER
    assert f"running or exact, they end at {running} and {exact}." in LEDGER
    assert f"at {running_uniform} and {uniform}, though the decay is the same" in LEDGER
    assert f"without the decay it is {running_free} and {free}." in LEDGER
    assert f"ends at {layer} with the decay and at {layer_free} without" in LEDGER
    assert (
        f"at 2048, one seed, running {running}, without decay {running_free}, gains from U(0, 1) {running_uniform}, of "
        f"the test batch {batch}, exact {exact}, layer norm {layer}, without decay {layer_free};"
    ) in LEDGER


def spread(values):
    return f"{statistics.mean(values):.1f} ± {statistics.stdev(values):.1f}"


def test_what_switching_signs_costs():
    def increases(panel, layer):
        probes = [
            json.loads((RESULTS / f"fig6ce/{panel}/seed{seed}/sign_switch.json").read_text())[f"layers.{layer}.weight"]
            for seed in range(5)
        ]
        assert {(probe["draws"], len(probe["edges"])) for probe in probes} == {(100, 16)}
        return [[value for value in probe["increase"] if value is not None] for probe in probes]

    rising = [sum(cost[-1] > cost[0] for cost in increases("cde", layer)) for layer in (0, 2, 4)]
    assert rising == [5, 4, 5]
    plain = [
        f"{statistics.mean(ranks):.2f} ± {statistics.stdev(ranks):.2f}"
        for layer in (0, 2, 4)
        if (ranks := [spearmanr(range(len(cost)), cost).statistic for cost in increases("plain", layer)])
    ]
    assert f"by rank {plain[0]}, {plain[1]} and {plain[2]} in the three layers" in LEDGER


def test_how_far_a_stream_is_from_all_of_it_at_once():
    stream, whole, metaplastic = (
        [last[0] for last in finals(f"fig5-fashion/{row}")] for row in ("metaplastic", "whole", "whole-metaplastic")
    )
    level, below = paired_permutation_test(stream, whole), paired_permutation_test(metaplastic, stream)
    assert min(one - other for one, other in zip(metaplastic, stream, strict=True)) > 0
    assert (
        f"level with all at once without metaplasticity (p = {level.p_value:.2f} by the exact paired test), "
        f"{below.difference:.1f} points below it with, in all seeds"
    ) in LEDGER


def test_how_far_methods_of_table_1_are_apart():
    def above(one, other):
        test = paired_permutation_test(
            *([statistics.mean(last) for last in finals(f"table1/{row}")] for row in (one, other))
        )
        assert f"{test.p_value:.2f}" == "0.06"
        return f"{test.difference:.1f}"

    told, tuned = (above(row, "metaplastic") for row in ("ewc", "ewc-tuned"))
    untold, untold_tuned = (above(row, "unannounced") for row in ("ewc", "ewc-tuned"))
    random, random_tuned = above("ewc", "random"), above("ewc-tuned", "random-tuned")
    assert (
        f"{told} points below EWC with the authors' lambda and {tuned} below a tuned one, with nothing announced "
        f"{untold} and {untold_tuned} below, p = 0.06 all; random consolidation ends {random_tuned} points below EWC "
        f"with the tuned lambda, and {random} below with the authors', where holding anything keeps much"
    ) in LEDGER
    assert f"is {untold} points below EWC with the authors' strength and {untold_tuned} below the tuned one." in LEDGER
    assert f"it ends {random_tuned} points below, and ten below synapses that never change" in LEDGER
    assert f"{float(above('frozen', 'random-tuned')):.0f}" == "10"
    assert f"83 %, {random} below EWC, because that strength" in LEDGER


@pytest.mark.parametrize(("gains", "said"), [("ones", "1"), ("uniform", "U(0, 1)")])
@pytest.mark.parametrize(("kind", "bits"), [("float32", 24), ("tf32", 11), ("bfloat16", 8)])
def test_what_rounded_gradients_do_to_units(gains, said, kind, bits):
    runs = json.loads((RESULTS / "rounded-gradients/units.json").read_text())["runs"]
    found = [run for run in runs if (run["gains"], run["rounded to"]) == (gains, kind)]
    columns = zip(*([*run["accuracy"], *run["constant units"]] for run in found), strict=True)
    assert f"| {said} | {bits} | {' | '.join(spread([100 * one for one in column]) for column in columns)} |" in LEDGER


def finals(folder):
    """Accuracy in % of every task at the end, by seed."""
    return [percent(run.relative_to(RESULTS))[-1] for run in sorted((RESULTS / folder).glob("seed*"))]


@pytest.mark.parametrize(
    ("tasks", "panel", "said"),
    [
        ("two", "running-2048", "2048, two tasks, the first: running"),
        ("two", "running-uniform-2048", "2048, the same, gains from U(0, 1)"),
        ("two", "batch-2048", "2048, of the test batch"),
        ("two", "layer-2048", "2048, layer norm"),
        ("six", "decay-4096", "4096, six tasks, average: decay"),
        ("six", "no-decay-4096", "4096, no decay"),
        ("six", "uniform-4096", "4096, decay, gains from U(0, 1)"),
    ],
)
def test_what_rounded_gradients_do_to_wide_networks(tasks, panel, said):
    kept = (lambda last: last[0]) if tasks == "two" else statistics.mean
    exact = map(kept, finals(f"{'width' if tasks == 'two' else 'width-decay'}/{panel}"))
    rounded = list(map(kept, finals(f"rounded-gradients/{tasks}-tasks/{panel}")))
    assert len(rounded) == 4
    assert f"| {said} | {', '.join(f'{one:.1f}' for one in exact)} | {spread(rounded)} |" in LEDGER


def test_what_is_said_of_rounded_gradients_beside_their_tables():
    again = sorted((RESULTS / "rounded-gradients/six-tasks/uniform-4096").glob("seed*"))
    anew = [statistics.mean(retested(run.relative_to(RESULTS))[1]) for run in again]
    assert f"{spread(anew)} by statistics taken anew at 4096" in LEDGER
    (rounded, *_), (_, exact) = (finals(f"{of}/running-2048") for of in ("rounded-gradients/two-tasks", "width"))
    assert f"running statistics keep {exact[0]:.1f} % of the first task and {rounded[0]:.1f} % with rounding" in LEDGER
    old, new = (
        [statistics.mean(last) for last in finals(folder)]
        for folder in ("fig2/d", "rounded-gradients/fig2-d-not-rounded")
    )
    assert f"ends at {spread(new)} in the place of {spread(old)}" in LEDGER
    panels = ("running", "running-uniform", "running-no-decay", "batch", "recalibrated", "layer")
    second = [percent(f"width/{panel}-2048/seed1")[-1][0] for panel in panels]
    running, uniform, free, batch, exact, layer = (f"{one:.1f}" for one in second)
    assert (
        f"Second seeds end at {running} with running statistics, {uniform} with gains from U(0, 1), {free} without "
        f"decay, {batch} with those of the test batch, {exact} with exact ones and {layer} with layer norm."
    ) in LEDGER


def test_five_seeds_of_width_and_decay_at_512():
    studies = ("width-decay", "width-decay-checks")
    ends = {kind: [last for study in studies for last in finals(f"{study}/{kind}-512")] for kind in KINDS}
    assert {len(of) for of in ends.values()} == {5}
    decay, free, uniform = (spread(list(map(statistics.mean, of))) for of in ends.values())
    assert (
        "At 512 five seeds, three of them with torch 2.11 (in [other records](results/width-decay-checks)), end at "
        f"{decay} with the decay and gains from 1, {free} without the decay, and {uniform} with it and gains from "
        "U(0, 1):"
    ) in LEDGER
