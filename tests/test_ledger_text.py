"""What the text of REPRODUCTION.md says outside the tables of its studies, against the records."""

import json
import re
import statistics
import subprocess

import pytest
from scipy.stats import spearmanr

from metaplastic.evaluation import paired_permutation_test
from metaplastic.experiments import DEVIATIONS

from .ledger_records import LEDGER, RESULTS, ROOT, finals, metrics, percent, retested, spread

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
        "forty times the authors', ends there at {} % in the place of {}",
        [f"supplement-tuning/beakers-3-faster{end}" for end in ("-0.2", "")],
    ),
]
"""Text with gaps, and the runs whose average over tasks fills each."""


def final(folder):
    """Accuracy in % of every task after the last, mean over seeds."""
    runs = [path.parent for path in (RESULTS / folder).rglob("config.json")]
    return [statistics.mean(task) for task in zip(*(percent(run)[-1] for run in runs), strict=True)]


def words(text):
    """What stands in the gaps of a text, wherever it is found."""
    gap = r"(\d+(?:\.\d)?)"
    found = re.findall(re.escape(text).replace(r"\{\}", gap), LEDGER)
    assert found, f"{text!r} is not in REPRODUCTION.md"
    return [(one,) if isinstance(one, str) else one for one in found]


def are_rounded(words, values):
    """Whether each number is what was found, to as many digits as it has."""
    steps = [0.1 if "." in word else 1.0 for word in words]
    return all(
        abs(float(word) - value) <= step / 2 + 1e-4 for word, value, step in zip(words, values, steps, strict=True)
    )


@pytest.mark.parametrize(("text", "folder"), TASKS, ids=str)
def test_accuracies_by_which_settings_were_chosen(text, folder):
    assert any(are_rounded(found, final(folder)) for found in words(text))


@pytest.mark.parametrize(("text", "folders"), AVERAGES, ids=str)
def test_averages_by_which_settings_were_chosen(text, folders):
    averages = [statistics.mean(final(folder)) for folder in folders]
    (found,) = words(text)
    assert are_rounded(found, averages)


def quadratic(panel):
    return json.loads((RESULTS / f"fig6ab/{panel}/quadratic.json").read_text())


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


def test_what_is_left_of_mnist_at_the_papers_size():
    """After its own task, and 25 and 50 epochs into Fashion-MNIST, which stands behind it."""
    left = []
    for folder in sorted((RESULTS / "fig1-paper" / "a").glob("seed*")):
        lines = [line for line in metrics(folder.relative_to(RESULTS)) if line["event"] == "epoch"]
        alone, *_, end = (line["correct"] for line in lines if line["epoch"] == 49)
        (middle,) = (line["correct"] for line in lines if (line["task"], line["epoch"]) == (1, 24))
        left.append([value / 100 for value in (alone[0], middle[0], *end)])
    assert len(left) == 5
    first, middle, last, fashion = map(spread, zip(*left, strict=True))
    assert (
        f"five seeds: MNIST {first}, then {middle} after 25 epochs and {last} after 50; Fashion-MNIST {fashion};"
        in LEDGER
    )


def test_mnist_and_fashion_mnist_at_the_papers_size():
    """One seed, by the statistics that were kept and by statistics taken anew."""
    (plain, plain_anew), (ours, anew) = (retested(f"fig4ab-paper/{panel}/seed0") for panel in "ab")
    for panel, kept in (("a", plain), ("b", ours)):
        assert kept == pytest.approx(finals(f"fig4ab-paper/{panel}")[0])
    assert (
        f"{plain[0]:.1f} and {plain[1]:.1f} with m = 0 and {ours[0]:.1f} and {ours[1]:.1f} with the authors'" in LEDGER
    )
    assert f"by statistics taken anew {plain_anew[0]:.1f} and {anew[0]:.1f} of MNIST" in LEDGER
    assert f"ends at {ours[0]:.1f} and {ours[1]:.1f} %, and MNIST swings between 9 and 22 %" in LEDGER
    swings = [
        line["correct"][0] / 100
        for line in metrics("fig4ab-paper/b/seed0")
        if line.get("task") == 1 and "epoch" in line
    ]
    assert (round(min(swings)), round(max(swings))) == (9, 22)
    assert f"have {anew[0]:.1f} % of it, where those with m = 0 have {plain_anew[0]:.1f}." in LEDGER


def test_one_network_beside_one_for_each_data_set_at_the_papers_size():
    """Which is better in every seed, by how much, and what is left of that without what it takes."""

    def by_task(panel):
        return list(zip(*finals(f"fig4cd-paper/{panel}"), strict=True))

    def apart(one, other):
        return [first - second for first, second in zip(one, other, strict=True)]

    alone = [*by_task("mnist-alone"), *by_task("usps-alone")]
    said, plain, told = [], [], []
    for panel in "cd":
        both = by_task(panel)
        gains = [apart(*pair) for pair in zip(both, alone, strict=True)]
        assert min(min(gain) for gain in gains) > 0
        assert all(
            paired_permutation_test(*pair).p_value == pytest.approx(0.0625) for pair in zip(both, alone, strict=True)
        )
        said.append(" and ".join(f"{statistics.mean(gain):.1f}" for gain in gains))
        left = apart(both[0], by_task(f"{panel}-plain")[0])
        assert min(left) > 0
        assert 0.5 < statistics.mean(apart(by_task(f"{panel}-plain")[1], both[1])) < 1.5
        plain.append(f"{statistics.mean(left):.1f}")
        told.append(f"{statistics.mean(apart(both[0], by_task(f'{panel}-told')[0])):.1f}")
    assert f"c by {said[0]} points, d by {said[1]}." in LEDGER
    assert f"ends {plain[0]} points lower in c and {plain[1]} in d, in every seed; on USPS it is not, where" in LEDGER
    assert f"MNIST ends {told[0]} points lower in c and {told[1]} in d." in LEDGER


def test_what_a_larger_m_in_the_middle_layer_adds():
    by_layer, panel_d, again = (
        list(map(statistics.mean, finals(folder)))
        for folder in ("supplement/m-by-layer", "fig2/d", "rounded-gradients/fig2-d-not-rounded")
    )
    test, recorded = paired_permutation_test(by_layer, again), paired_permutation_test(by_layer, panel_d)
    assert sum(one > other for one, other in zip(by_layer, again, strict=True)) == 4
    assert (
        f"adds {test.difference:.1f} points to the same network with sums of float32, {recorded.difference:.1f} to "
        f"panel d as recorded, in four of five seeds (p = {test.p_value:.2f} by the exact paired test)"
    ) in LEDGER


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


def test_what_switching_signs_costs():
    def increases(panel, layer):
        probes = [
            json.loads((RESULTS / f"fig6ce/{panel}/seed{seed}/sign_switch.json").read_text())[f"layers.{layer}.weight"]
            for seed in range(5)
        ]
        assert {(probe["draws"], len(probe["edges"])) for probe in probes} == {(100, 16)}
        return [[value for value in probe["increase"] if value is not None] for probe in probes]

    def ranks(panel):
        return [
            spread([spearmanr(range(len(cost)), cost).statistic for cost in increases(panel, layer)], 2)
            for layer in (0, 2, 4)
        ]

    rising = [sum(cost[-1] > cost[0] for cost in increases("cde", layer)) for layer in (0, 2, 4)]
    assert rising == [5, 4, 5]
    assert "in layers 1 and 3 the highest bin costs more than the lowest in every seed, in layer 2 in four of five" in (
        LEDGER.lower()
    )
    (first, middle, last), plain = ranks("cde"), ranks("plain")
    assert (
        f"cost by layer {first}, {middle}, {last}, a hundred draws a bin, with m = 0 {', '.join(plain)}; nine" in LEDGER
    )
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


def test_what_cifar_10_as_a_stream_is_below():
    plain, stream, whole, metaplastic = (
        [last[0] for last in finals(f"fig5-cifar/{row}")]
        for row in ("plain", "metaplastic", "whole", "whole-metaplastic")
    )

    def above(high, low):
        return sum(one > other for one, other in zip(high, low, strict=True))

    assert (above(stream, plain), above(whole, stream), above(metaplastic, stream)) == (4, 4, 5)
    gained, room, below = (
        f"{paired_permutation_test(one, other).difference:.1f}"
        for one, other in ((stream, plain), (whole, plain), (metaplastic, stream))
    )
    p = f"p = {paired_permutation_test(stream, plain).p_value:.3f}"
    assert (
        f"{gained} of the {room} points between plain and all at once, in four of five seeds ({p}); {below} below all "
        "at once with m = 13, in all"
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
        f"{untold} and {untold_tuned} below, p = 0.06 each; random consolidation ends {random_tuned} points below EWC "
        f"with the tuned lambda, and {random} below with the authors', where holding anything keeps much"
    ) in LEDGER
    assert f"is {untold} points below EWC with the authors' strength and {untold_tuned} below the tuned one." in LEDGER
    assert f"it ends {random_tuned} points below, and ten below synapses that never change" in LEDGER
    assert f"{float(above('frozen', 'random-tuned')):.0f}" == "10"
    assert f"83 %, {random} below EWC, because that strength" in LEDGER
