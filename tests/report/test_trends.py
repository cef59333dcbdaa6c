"""What is drawn along width, along a stream and over seeds is what the records say."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from metaplastic.evaluation import LayerDivergence, SignSwitch
from metaplastic.experiments import Record
from metaplastic.report import (
    Band,
    accuracy_curves,
    divergence_means,
    read_studies,
    sign_switch_means,
    stream_curves,
    width_lines,
)
from metaplastic.report.paired import paired_notes, paired_rows
from metaplastic.report.seed_means import mean_bins
from metaplastic.report.trends import by_width

PROBE = SignSwitch(5, 2, 30, 0.1, (0.0, 0.5, 1.0), (9, 6), (0.2, 0.7), (0.01, 0.03), (0.0, 0.0))
LAYER = LayerDivergence(10, 0.5, 0.25, (4, 4), (0.0, 1.0), (1.0, 2.0), (0.1, 0.1))


def comparison(studies, name):
    (one,) = read_studies([studies / name])
    (found,) = one.comparisons()
    return found


def final_averages(folder):
    return [100 * Record(folder / f"seed{seed}").accuracy().accuracy[-1].mean() for seed in (0, 1)]


def words(figure):
    return " ".join(" ".join(text.get_text() for text in figure.texts).split())


def half(values):
    return stats.t.ppf(0.975, len(values) - 1) * stats.sem(values)


def test_a_band_is_the_interval_of_the_mean(studies):
    figure = accuracy_curves(comparison(studies, "fig2"), Band.INTERVAL)
    end = [100 * Record(studies / "fig2" / "a" / f"seed{seed}").accuracy().accuracy[-1][0] for seed in (0, 1)]
    edges = figure.axes[0].collections[0].get_paths()[0].vertices
    last = edges[edges[:, 0] == edges[:, 0].max(), 1]
    assert last.min() == pytest.approx(max(np.mean(end) - half(end), 0))
    assert last.max() == pytest.approx(min(np.mean(end) + half(end), 100))
    assert "band: 95 % interval of the mean" in words(figure)


def test_width_lines_are_means_and_intervals_over_seeds(studies):
    found = comparison(studies, "fig3")
    kinds = by_width(found)
    assert {kind: list(groups) for kind, groups in kinds.items()} == {"metaplastic": [4, 8], "ewc": [4, 8]}
    (panel,) = width_lines(found).axes
    assert panel.get_xscale() == "log"
    assert [label.get_text() for label in panel.get_xticklabels()] == ["4", "8"]
    for container, kind in zip(panel.containers, kinds, strict=True):
        runs = [final_averages(studies / "fig3" / f"{kind}-{width}") for width in (128, 256)]
        assert container.lines[0].get_ydata().tolist() == pytest.approx([np.mean(values) for values in runs])
        reach = [(ends[1][1] - ends[0][1]) / 2 for ends in container.lines[2][0].get_segments()]
        assert reach == pytest.approx([half(values) for values in runs])


def test_two_groups_of_one_width_are_refused(studies):
    found = comparison(studies, "fig3")
    twice = replace(found, groups=(found.groups[0], replace(found.groups[1], label="metaplastic-9")))
    with pytest.raises(ValueError, match=r"expected one group per width, got 'metaplastic-128' and 'metaplastic-9'"):
        by_width(twice)


def test_a_stream_is_drawn_by_its_parts_and_all_at_once_is_level(studies):
    (panel,) = stream_curves(comparison(studies, "fig5-fashion")).axes
    plain, _, whole = panel.lines
    shares = [Record(studies / "fig5-fashion" / "plain" / f"seed{seed}").accuracy().accuracy[:, 0] for seed in (0, 1)]
    assert plain.get_xdata().tolist() == [1, 2, 3]
    assert plain.get_ydata().tolist() == pytest.approx((100 * np.mean(shares, axis=0)).tolist())
    assert len(set(whole.get_ydata())) == 1
    assert whole.get_linestyle() == "--"


def test_bins_are_averaged_over_the_seeds_that_have_them():
    means, halves = mean_bins([[1.0, None, 3.0], [2.0, None, None], [6.0, None, None]])
    assert means == [3.0, None, 3.0]
    assert halves[0] == pytest.approx(half([1.0, 2.0, 6.0]))
    assert halves[1:] == [None, None]


def test_sign_switching_is_averaged_bin_by_bin():
    seeds = [{"layer 1": PROBE}, {"layer 1": replace(PROBE, increase=(0.03, None))}]
    figure = sign_switch_means(seeds)
    container = figure.axes[0].containers[0]
    assert container.lines[0].get_ydata().tolist() == pytest.approx([0.02, 0.03])
    assert "mean of 2 seeds" in words(figure)
    assert "standard deviation over the draws" in words(sign_switch_means(seeds[:1]))


def test_divergence_is_averaged_bin_by_bin():
    figure = divergence_means([{"layer 1": LAYER}, {"layer 1": replace(LAYER, rank_correlation=0.7, speed=(3.0, 4.0))}])
    assert figure.axes[0].get_title(loc="left") == "layer 1\nrank correlation 0.60"
    assert figure.axes[0].containers[0].lines[0].get_ydata().tolist() == [2.0, 3.0]


def test_probes_of_other_layers_are_refused():
    with pytest.raises(ValueError, match=r"expected the same layers for every seed, got"):
        sign_switch_means([{"layer 1": PROBE}, {"layer 2": PROBE}])
    with pytest.raises(ValueError, match=r"expected the same layers for every seed, got"):
        divergence_means([])


def test_methods_are_tested_against_one_of_them_over_common_seeds(studies):
    header, *body = paired_rows(comparison(studies, "table1"), "ewc")
    rows = {row[0]: dict(zip(header, row, strict=True)) for row in body}
    ewc, joint = (final_averages(studies / "table1" / name) for name in ("ewc", "joint"))
    differences = [one - other for one, other in zip(joint, ewc, strict=True)]
    assert rows["ewc"]["p"] == "-"
    assert rows["joint"]["average"] == f"{np.mean(joint):.1f}"
    assert rows["joint"]["sd"] == f"{np.std(joint, ddof=1):.1f}"
    assert rows["joint"]["minus ewc"] == f"{np.mean(differences):+.1f}"
    assert rows["joint"]["p"] == ("0.5" if differences[0] * differences[1] > 0 else "1")
    assert rows["joint"]["common seeds"] == "2"


def test_without_the_reference_nothing_is_tested(studies):
    header, *body = paired_rows(comparison(studies, "table1"), "si")
    assert {row[header.index("p")] for row in body} == {"-"}


def with_seeds(group, seeds):
    """The first run of a group as if it had been run with so many seeds."""
    return replace(group, runs=tuple(replace(group.first, config=replace(group.first.config, seed=n)) for n in seeds))


def test_beyond_the_most_pairs_of_the_test_the_difference_stands_without_p(studies):
    found = comparison(studies, "table1")
    few, many = (replace(found, groups=tuple(with_seeds(one, range(n)) for one in found.groups)) for n in (20, 21))
    for seeds, one in ((20, few), (21, many)):
        header, *body = paired_rows(one, "ewc")
        cells = dict(zip(header, next(row for row in body if row[0] == "joint"), strict=True))
        joint, ewc = (next(group for group in one.groups if group.label == label) for label in ("joint", "ewc"))
        difference = 100 * (joint.first.final.mean() - ewc.first.final.mean())
        assert (cells["minus ewc"], cells["common seeds"]) == (f"{difference:+.1f}", str(seeds))
        assert (cells["p"] == "-") == (seeds > 20)
    assert paired_notes(few, "ewc") == paired_notes(found, "ewc")
    (*notes, last) = paired_notes(many, "ewc")
    assert notes == list(paired_notes(few, "ewc"))
    assert last == (
        "p is not computed over more than 20 common seeds, whose sign flips are too many: plain; metaplastic; joint."
    )
