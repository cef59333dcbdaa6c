"""What REPRODUCTION.md says of width, of what it is lost by, and of rounded gradients, against the records."""

import itertools
import json
import statistics

import pytest

from metaplastic.evaluation import paired_permutation_test

from .ledger_records import LEDGER, RESULTS, finals, metrics, middle_layer, percent, retested, spread

WIDTHS = (512, 1024, 2048, 4096)
KINDS = {"decay": "1e-7, 1", "no-decay": "0, 1", "uniform": "1e-7, U(0, 1)"}
"""Panels of the study of width and weight decay: which decay, and where gains start."""


def seeds(panel):
    """Folders of the panel's runs."""
    return [run.relative_to(RESULTS) for run in sorted((RESULTS / "width-decay" / panel).glob("seed*"))]


def averages(panel):
    """Accuracy in % at the end, mean of six tasks, by seed."""
    return list(map(statistics.mean, finals(f"width-decay/{panel}")))


def averages_anew(panel):
    """The same by statistics taken anew, of the seeds that were tested so."""
    tested = [run for run in seeds(panel) if (RESULTS / run / "fresh_statistics.json").exists()]
    return [statistics.mean(retested(run)[1]) for run in tested]


def spread_or_one(values):
    return spread(values) if len(values) > 1 else f"{values[0]:.1f}"


def learned_and_left(panel):
    """Mean accuracy in % after the first task, the second and the last, and the average, as cells of a row."""
    first, second, last = (
        [statistics.mean(column) for column in zip(*(percent(run)[stage] for run in seeds(panel)), strict=True)]
        for stage in (0, 1, -1)
    )
    cells = [", ".join(f"{value:.1f}" for value in cell) for cell in (first[:1], second[:2], last)]
    return [*cells, spread_or_one(averages(panel))]


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("kind", KINDS)
def test_what_decay_and_gains_do_to_a_width(width, kind):
    panel, one = f"{kind}-{width}", f"width-decay/{kind}-{width}/seed0"
    synapses = (middle_layer(one, 0)["consolidated_fraction"], middle_layer(one, 1)["flip_rate"])
    cells = [f"{width}, {KINDS[kind]}", *learned_and_left(panel), spread_or_one(averages_anew(panel))]
    assert f"| {' | '.join([*cells, *(f'{100 * share:.1f} %' for share in synapses)])} |" in LEDGER


@pytest.mark.parametrize("width", WIDTHS)
def test_what_frozen_synapses_come_to(width):
    cells = [f"{width}, frozen", *learned_and_left(f"frozen-{width}")]
    assert f"| {' | '.join(cells)} | | | |" in LEDGER


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("kind", [*KINDS, "frozen"])
def test_how_many_seeds_of_a_width_there_are(width, kind):
    panel = f"{kind}-{width}"
    assert len(seeds(panel)) == (1 if width == 4096 else 5)
    if kind in KINDS:
        assert len(averages_anew(panel)) == (1 if width == 4096 else 5 if kind == "uniform" else 4)
    for run in seeds(panel):
        if (RESULTS / run / "fresh_statistics.json").exists():
            assert retested(run)[0] == pytest.approx(percent(run)[-1])


def test_the_line_of_width_and_decay_says_what_records_hold():
    def said(kind):
        means = [spread_or_one(averages(f"{kind}-{width}")) for width in WIDTHS]
        return f"{', '.join(means[:-1])} and {means[-1]}"

    assert (
        f"{said('decay')} with the authors' decay and gains from 1, {said('no-decay')} without the decay, "
        f"{said('uniform')} with it and gains from U(0, 1), {said('frozen')} with frozen synapses;"
    ) in LEDGER
    kept, fresh = (", ".join(f"{share:.1f}" for share in row) for row in retested("width-decay/decay-4096/seed0"))
    assert f"gives {kept} % by what was kept, and {fresh} % anew" in LEDGER


def apart(one, other):
    """Points between two panels, which differ in one direction in all five seeds."""
    points = [high - low for high, low in zip(averages(one), averages(other), strict=True)]
    assert len(points) == 5
    assert min(points) > 0
    assert f"{paired_permutation_test(averages(one), averages(other)).p_value:.2f}" == "0.06"
    return statistics.mean(points)


def test_what_width_decay_and_gains_do_in_every_seed():
    for kind in ("no-decay", "uniform", "frozen"):
        for narrow, wide in itertools.pairwise(WIDTHS[:-1]):
            assert apart(f"{kind}-{wide}", f"{kind}-{narrow}") > 0
    assert f"gains from 1 loses {apart('decay-1024', 'decay-2048'):.1f} points from 1024 to 2048" in LEDGER
    free, uniform = (apart(f"{kind}-2048", "decay-2048") for kind in ("no-decay", "uniform"))
    between = apart("uniform-2048", "no-decay-2048")
    assert (
        f"At 2048 it is {free:.1f} and {uniform:.1f} points below them, and no decay {between:.1f} below gains"
    ) in LEDGER
    assert f"at 512 no decay is the worst of the three, by {apart('decay-512', 'no-decay-512'):.1f} points" in LEDGER
    free, uniform, frozen = (spread(averages(f"{kind}-512")) for kind in ("no-decay", "uniform", "frozen"))
    assert f"rises with width, from {free} at 512 to {spread(averages('no-decay-2048'))} at 2048" in LEDGER
    assert f"it rises from {uniform} to {spread(averages('uniform-2048'))} and is" in LEDGER
    assert f"frozen synapses rise faster, from {frozen} to" in LEDGER


def test_what_kept_statistics_lose():
    lost = []
    for width in WIDTHS[:-1]:
        tested = [retested(f"width-decay/decay-{width}/seed{seed}") for seed in (1, 2, 3, 4)]
        lost.append(spread([statistics.mean(fresh) - statistics.mean(kept) for kept, fresh in tested]))
    assert f"lose there is {lost[0]}, {lost[1]} and {lost[2]} points at 512, 1024 and 2048" in LEDGER
    fresh = [statistics.mean(averages_anew(f"decay-{width}")) for width in WIDTHS[:-1]]
    assert fresh == sorted(fresh)
    for kind, width in itertools.product(KINDS, WIDTHS):
        above = statistics.mean(averages_anew(f"{kind}-{width}")) > statistics.mean(averages(f"frozen-{width}"))
        assert above == ((kind, width) != ("decay", 4096))


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


def first_of_two(panel, study="width"):
    """Accuracy in % of the first of two tasks after the second, by seed."""
    return [last[0] for last in finals(f"{study}/{panel}")]


def against(one, other, digits=2):
    """p of the exact paired test of two panels of the study of normalisation."""
    return f"{paired_permutation_test(first_of_two(one), first_of_two(other)).p_value:.{digits}f}"


def test_what_statistics_gains_and_decay_do_to_the_first_of_two_tasks():
    gains, exact_gains = (
        against("running-uniform-512", "running-512"),
        against("recalibrated-uniform-512", "recalibrated-512"),
    )
    assert f"p = {gains} and {exact_gains}" in LEDGER
    assert f"beside exact ones ({against('running-512', 'recalibrated-512', 3)})" in LEDGER
    assert against("batch-512", "running-512") == against("layer-no-decay-512", "layer-512") == "0.06"
    free, held = first_of_two("layer-no-decay-512"), first_of_two("layer-512")
    lost = [kept - left for kept, left in zip(free, held, strict=True)]
    assert min(lost) > 0
    assert f"loses {statistics.mean(lost):.0f} points by the decay" in LEDGER


def test_what_is_left_of_the_first_of_two_tasks_in_wide_networks():
    batch, running, exact, running_uniform, uniform, running_free, free, layer, layer_free = (
        spread(first_of_two(f"{panel}-2048"))
        for panel in (
            *("batch", "running", "recalibrated", "running-uniform", "recalibrated-uniform"),
            *("running-no-decay", "recalibrated-no-decay", "layer", "layer-no-decay"),
        )
    )
    assert f"at {batch} %; by statistics kept" in LEDGER
    assert f"running or exact, they end at {running} and {exact}." in LEDGER
    assert f"at {running_uniform} and {uniform}, though the decay is the same" in LEDGER
    assert f"without the decay it is {running_free} and {free}." in LEDGER
    assert f"ends at {layer} with the decay and at {layer_free} without" in LEDGER


@pytest.mark.parametrize(
    ("one", "other"),
    [
        *(("running-uniform", "running"), ("batch", "running"), ("running-no-decay", "running")),
        *(("recalibrated-uniform", "recalibrated"), ("recalibrated-no-decay", "recalibrated")),
        ("layer-no-decay", "layer"),
    ],
)
def test_what_brings_the_first_task_back_does_so_in_every_seed(one, other):
    kept, left = first_of_two(f"{one}-2048"), first_of_two(f"{other}-2048")
    assert len(kept) == 5
    assert min(high - low for high, low in zip(kept, left, strict=True)) > 0
    p = against(f"{one}-2048", f"{other}-2048")
    assert f"the statistics of the test batch matter, in every seed (p = {p} each" in LEDGER
    assert f"beside exact ones do not ({against('running-2048', 'recalibrated-2048', 3)})." in LEDGER


@pytest.mark.parametrize(("gains", "said"), [("ones", "1"), ("uniform", "U(0, 1)")])
@pytest.mark.parametrize(("kind", "bits"), [("float32", 24), ("tf32", 11), ("bfloat16", 8)])
def test_what_rounded_gradients_do_to_units(gains, said, kind, bits):
    runs = json.loads((RESULTS / "rounded-gradients/units.json").read_text())["runs"]
    found = [run for run in runs if (run["gains"], run["rounded to"]) == (gains, kind)]
    columns = zip(*([*run["accuracy"], *run["constant units"]] for run in found), strict=True)
    assert f"| {said} | {bits} | {' | '.join(spread([100 * one for one in column]) for column in columns)} |" in LEDGER


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
    exact = list(map(kept, finals(f"{'width' if tasks == 'two' else 'width-decay'}/{panel}")))
    rounded = list(map(kept, finals(f"rounded-gradients/{tasks}-tasks/{panel}")))
    assert len(rounded) == 4
    assert f"| {said} | {spread(exact) if len(exact) > 1 else f'{exact[0]:.1f}'} | {spread(rounded)} |" in LEDGER


def test_what_is_said_of_rounded_gradients_beside_their_tables():
    again = sorted((RESULTS / "rounded-gradients/six-tasks/uniform-4096").glob("seed*"))
    anew = [statistics.mean(retested(run.relative_to(RESULTS))[1]) for run in again]
    assert f"{spread(anew)} by statistics taken anew at 4096" in LEDGER
    test = paired_permutation_test(
        first_of_two("running-2048")[1:], first_of_two("running-2048", "rounded-gradients/two-tasks")
    )
    assert (
        f"running statistics keep {abs(test.difference):.1f} points {'less' if test.difference > 0 else 'more'} of the "
        f"first task with rounding, over seeds 1 to 4, which were run both ways (p = {test.p_value:.3f} by the exact"
    ) in LEDGER
    gaps = []
    for panel in ("layer-2048", "batch-2048"):
        kept, rounded = first_of_two(panel)[1:], first_of_two(panel, "rounded-gradients/two-tasks")
        gaps.append([one - other for one, other in zip(kept, rounded, strict=True)])
        assert paired_permutation_test(kept, rounded).p_value == 0.125
    layer, batch = gaps
    assert min(layer) > 0 > max(batch)
    assert f"rounding costs {statistics.mean(layer):.1f} points of the first of two tasks" in LEDGER
    assert f"by the test batch it adds {-statistics.mean(batch):.1f}, each in all four seeds" in LEDGER
    (alone,) = averages("decay-4096")
    below = sorted(alone - statistics.mean(last) for last in finals("rounded-gradients/six-tasks/decay-4096"))
    assert f"all four rounded seeds end {below[0]:.0f} to {below[-1]:.0f} points below the one" in LEDGER
    old, new = (
        [statistics.mean(last) for last in finals(folder)]
        for folder in ("fig2/d", "rounded-gradients/fig2-d-not-rounded")
    )
    assert f"ends at {spread(new)} in the place of {spread(old)}" in LEDGER
