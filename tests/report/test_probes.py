"""The figures of the probes show the numbers they were given, and nothing that was not measured."""

import math

import numpy as np
import pytest
import torch

from metaplastic.evaluation import LayerDivergence, MagnitudeHistogram, SignSwitch, hidden_weight_histogram
from metaplastic.report import divergence_curves, magnitude_curves, sign_switch_curves, write_png

PROBE = SignSwitch(
    count=1000,
    draws=100,
    samples=60_000,
    loss=0.01,
    edges=(0.0, 0.25, 0.5, 0.75, 1.0),
    weights=(5000, 3000, 10, 0),
    magnitude=(0.1, 0.3, 0.6, None),
    increase=(-2e-7, 3e-6, None, None),
    deviation=(1e-7, 2e-7, None, None),
)
DIVERGENCE = LayerDivergence(
    steps=24_000,
    rank_correlation=-0.456,
    correlation_above_zero=0.2,
    weights=(0, 20, 10, 1),
    importance=(None, 0.0, 1.0, 2.0),
    speed=(None, 1e-5, 2e-5, 3e-5),
    deviation=(None, 1e-6, 2e-6, None),
)


def histograms(scale):
    random = torch.Generator().manual_seed(1)
    weights = {"first": scale * torch.randn(500, generator=random), "last": torch.randn(50, generator=random)}
    return {layer: hidden_weight_histogram(hidden, 10, (0.0, 2.0 * scale)) for layer, hidden in weights.items()}


def drawn(panel):
    """Dots and whiskers of a panel: x, y and half the whisker, in the unit of its axis."""
    container = panel.containers[0]
    x, y = container.lines[0].get_data()
    whiskers = [(segment[1][1] - segment[0][1]) / 2 for segment in container.lines[2][0].get_segments()]
    return list(x), list(y), whiskers


def test_sign_switching_draws_the_measured_bins_in_the_unit_it_names():
    figure = sign_switch_curves({"layer 1": PROBE})
    (panel,) = figure.axes
    x, y, whiskers = drawn(panel)
    assert x == [0.1, 0.3]
    assert y == pytest.approx([-0.2, 3.0])
    assert whiskers == pytest.approx([0.1, 0.2])
    assert panel.get_ylabel() == "$10^{-6}$ nat"
    assert panel.get_title(loc="left") == "layer 1, 1,000 together"
    said = " ".join(text.get_text().replace("\n", " ") for text in figure.texts)
    assert "100 draws in each bin, training loss over 60,000 samples" in said
    assert "fewer weights than are switched together are left out" in said


def test_nothing_is_said_of_bins_left_out_where_there_are_none():
    whole = SignSwitch(1, 2, 3, 0.5, (0.0, 0.5, 1.0), (4, 5), (0.2, 0.8), (0.01, 0.5), (0.0, 0.0))
    figure = sign_switch_curves({"layer 1": whole})
    assert not any("left out" in text.get_text() for text in figure.texts)
    assert figure.axes[0].get_ylabel() == "nat"
    assert drawn(figure.axes[0])[1] == pytest.approx([0.01, 0.5])


def test_a_layer_without_any_bin_says_so():
    none = SignSwitch(1000, 2, 3, 0.5, (0.0, 1.0), (4,), (0.2,), (None,), (None,))
    first, second = sign_switch_curves({"layer 1": PROBE, "layer 2": none}).axes
    assert not second.containers
    assert [text.get_text() for text in second.texts] == ["no bin holds\n1,000 weights"]
    assert not first.texts


def test_layers_have_scales_of_their_own():
    large = SignSwitch(100, 2, 3, 0.5, (0.0, 1.0), (400,), (0.2,), (0.3,), (0.1,))
    first, second = sign_switch_curves({"layer 1": PROBE, "layer 2": large}).axes
    assert first.get_ylim() != second.get_ylim()


def test_magnitudes_are_shares_per_unit_in_a_panel_per_layer_and_group():
    ends = [histograms(1.0), histograms(2.0)]
    groups = {"m = 0": ends, "m = 1.35": ends[:1]}
    figure = magnitude_curves(groups)
    titles = [panel.get_title(loc="left") for panel in figure.axes]
    assert titles == ["first, m = 0", "first, m = 1.35", "last, m = 0", "last, m = 1.35"]
    assert [len(panel.patches) for panel in figure.axes] == [2, 1, 2, 1]
    for panel, layer, group in zip(figure.axes, ("first", "first", "last", "last"), [*groups] * 2, strict=True):
        for patch, end in zip(panel.patches, groups[group], strict=True):
            histogram = end[layer]
            total = 500 if layer == "first" else 50
            width = histogram.edges[1]
            expected = [count / total / width if count else math.nan for count in histogram.counts]
            assert np.allclose(patch.get_data().values, expected, equal_nan=True)
            low, high = panel.get_ylim()
            assert low <= np.nanmin(expected)
            assert np.nanmax(expected) <= high
    assert figure.axes[0].get_xlim() == figure.axes[1].get_xlim()
    outside = max(
        (one.below + one.above) / (500 if layer == "first" else 50) for end in ends for layer, one in end.items()
    )
    assert outside > 0
    assert any(f"Up to {100 * outside:.3g} %" in text.get_text() for text in figure.texts)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["task 1", "task 2"]


def test_a_histogram_whose_weights_are_all_outside_is_drawn_empty():
    figure = magnitude_curves({"m = 0": [{"layer 1": MagnitudeHistogram((0.0, 1.0), (0,), 0, 7)}]})
    assert any("Up to 100 %" in text.get_text() for text in figure.texts)


def test_divergence_draws_speeds_at_the_share_of_less_important_synapses():
    figure = divergence_curves({"layer 1": DIVERGENCE})
    (panel,) = figure.axes
    x, y, whiskers = drawn(panel)
    assert x == pytest.approx([100 * 10 / 31, 100 * 25 / 31, 100 * 30.5 / 31])
    assert y == pytest.approx([1, 2, 3])
    assert whiskers == pytest.approx([0.1, 0.2, 0])
    assert panel.get_ylabel() == "$10^{-5}$ hidden weight per step"
    assert panel.get_title(loc="left") == "layer 1\nrank correlation -0.46"
    assert any("24,000 steps" in text.get_text() for text in figure.texts)


def test_a_correlation_without_value_is_not_a_number_in_the_title():
    flat = LayerDivergence(1, None, None, (5,), (0.0,), (0.0,), (0.0,))
    (panel,) = divergence_curves({"layer 1": flat}).axes
    assert panel.get_title(loc="left") == "layer 1\nrank correlation not defined"
    assert panel.get_ylabel() == "hidden weight per step"


def test_every_figure_can_be_written(tmp_path):
    figures = [
        sign_switch_curves({"layer 1": PROBE, "layer 2": PROBE}),
        magnitude_curves({"m = 0": [histograms(1.0)]}),
        divergence_curves({"layer 1": DIVERGENCE}),
    ]
    for index, figure in enumerate(figures):
        write_png(figure, tmp_path / f"{index}.png")
        assert (tmp_path / f"{index}.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: sign_switch_curves({}), "expected a layer, got none; name what is to be drawn"),
        (lambda: divergence_curves({}), "expected a layer, got none"),
        (lambda: magnitude_curves({}), "expected a group, got none"),
        (lambda: magnitude_curves({"m = 0": []}), "expected the end of a task in each group, got none"),
        (lambda: magnitude_curves({"m = 0": [{}]}), "expected a layer, got none"),
        (
            lambda: magnitude_curves({"m = 0": [histograms(1.0)], "m = 1": [{}]}),
            r"expected the layers \['first', 'last'\] at every task end, got \[\] in 'm = 1'",
        ),
    ],
)
def test_errors_say_what_is_missing(call, message):
    with pytest.raises(ValueError, match=message):
        call()
