"""Probes of trained networks as figures: sign switching, hidden-weight histograms, importance against divergence."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from metaplastic.evaluation import LayerDivergence, MagnitudeHistogram, SignSwitch
from metaplastic.report.frame import Frame, place_legend
from metaplastic.report.style import FAINT, GROUP_COLOURS, SOFT, Colour, look, task_colours

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_BLUE = GROUP_COLOURS[1]


Bins = Sequence[float | None]
"""A number per bin; None where there is none."""


def sign_switch_curves(probes: Mapping[str, SignSwitch]) -> "Figure":
    """Draw the loss increase per switched weight against the magnitude of the hidden weight, one panel per layer.

    A dot is a bin, at the mean magnitude of its weights; the whisker is the standard deviation over the draws. Each
    panel has its own scale, since a weight of a small layer weighs more.

    Args:
        probes: Layer name, as it is to be read, to what was measured; at least one.

    Returns:
        A figure; magnitudes relative to the largest, increases in nats.

    Raises:
        ValueError: When there is nothing to draw.

    References:
        Laborieux et al. 2021, Nature Communications 12:2549, Fig. 6c-e.
    """
    _require_something("a layer", probes)
    foot = "Dot: mean over the draws in one bin of |hidden weight|; whisker: standard deviation over the draws."
    if any(value is None for probe in probes.values() for value in probe.increase):
        foot += " Bins that hold fewer weights than are switched together are left out."
    draws = sorted({probe.draws for probe in probes.values()})
    samples = sorted({probe.samples for probe in probes.values()})
    remark = f"{_listed(draws)} draws in each bin, training loss over {_listed(samples)} samples"
    with look():
        frame = Frame(len(probes), width=2.4, one_scale=False)
        figure, panels = frame.open("Loss increase per switched weight", remark, foot)
        for panel, (layer, probe) in zip(panels, probes.items(), strict=True):
            draw_switch(panel, layer, probe.count, probe.magnitude, probe.increase, probe.deviation)
    return figure


def magnitude_curves(groups: Mapping[str, Sequence[Mapping[str, MagnitudeHistogram]]]) -> "Figure":
    """Draw the distribution of hidden-weight magnitudes: a row per layer, a column per group, a line per task end.

    Shares are per unit of hidden weight, on a logarithmic axis, so that histograms with other bins can be compared.
    The panels of a row have one scale.

    Args:
        groups: Label of a group, e.g. plain or metaplastic, to what was counted at the end of each task: layer name, as
            it is to be read, to histogram. The same layers everywhere, at least one.

    Returns:
        A figure; magnitudes in units of the hidden weight.

    Raises:
        ValueError: When there is nothing to draw, or the layers differ.

    References:
        Laborieux et al. 2021, Nature Communications 12:2549, Fig. 2g, h.
    """
    layers = _common_layers(groups)
    names = [f"task {stage + 1}" for stage in range(max(map(len, groups.values())))]
    every = [histogram for ends in groups.values() for end in ends for histogram in end.values()]
    width = Frame.legend_width([*names, "at the end of"])
    with look():
        from matplotlib.lines import Line2D

        colours = task_colours(len(names))
        frame = Frame(len(layers) * len(groups), height=1.9, columns=len(groups), legend=width)
        remark = "Share of a layer's weights per unit of hidden weight"
        figure, panels = frame.open("Magnitudes of hidden weights", remark, _beyond(every))
        places = [(layer, group) for layer in layers for group in groups]
        for panel, (layer, group) in zip(panels, places, strict=True):
            _draw_magnitudes(panel, [end[layer] for end in groups[group]], colours)
            panel.set_title(f"{layer}, {group}")
            panel.set_xlim(0, max(_last(end[layer]) for ends in groups.values() for end in ends))
            panel.set_ylim(_decades(every))
        for panel in panels[-len(groups) :]:
            panel.set_xlabel("|hidden weight|")
        for panel in panels[:: len(groups)]:
            panel.set_ylabel("share per unit")
        handles: list[Any] = [
            Line2D([], [], color=colour, linewidth=2, label=name) for name, colour in zip(names, colours, strict=True)
        ]
        place_legend(figure, panels[0], handles, "at the end of")
    return figure


def divergence_curves(layers: Mapping[str, LayerDivergence]) -> "Figure":
    """Draw the speed of hidden weights against the importance of their synapses, one panel per layer.

    A dot is a bin of importance, at the share of synapses that are less important; the whisker is the standard
    deviation of the speed within the bin. The title names the rank correlation over all synapses.

    Args:
        layers: Layer name, as it is to be read, to what was found; at least one.

    Returns:
        A figure; shares in per cent, speeds in hidden weight per step.

    Raises:
        ValueError: When there is nothing to draw.

    References:
        Laborieux et al. 2021, arXiv 2101.07592.
    """
    _require_something("a layer", layers)
    foot = "Dot: mean speed in one bin of importance; whisker: standard deviation within the bin."
    steps = _listed(sorted({layer.steps for layer in layers.values()}))
    with look():
        frame = Frame(len(layers), width=2.4, top=1.1, one_scale=False)
        remark = f"Speed over {steps} steps; rank correlation over all synapses of the layer"
        figure, panels = frame.open("Speed of hidden weights by importance of their synapses", remark, foot)
        for panel, (name, layer) in zip(panels, layers.items(), strict=True):
            shares = shares_below(layer)
            draw_divergence(panel, name, layer.rank_correlation, shares, layer.speed, layer.deviation)
    return figure


def draw_switch(panel: "Axes", layer: str, count: int, magnitude: Bins, increase: Bins, spread: Bins) -> None:
    """Draw what switching signs of a layer costs.

    Args:
        panel: Where.
        layer: Its name, as it is to be read.
        count: Weights switched together.
        magnitude: Relative magnitude of the hidden weights in each bin.
        increase: Loss increase per switched weight in each bin; None where there are too few weights.
        spread: Its deviation, or half of its interval.
    """
    panel.set_title(f"{layer}, {count:,} together")
    draw_bins(panel, magnitude, increase, spread, "nat")
    panel.set_xlim(0, 1.04)
    panel.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "", "0.5", "", "1"])
    panel.set_xlabel("|hidden weight| / largest")
    if all(value is None for value in increase):
        panel.text(0.5, 0.5, f"no bin holds\n{count:,} weights", ha="center", transform=panel.transAxes)
        panel.set_yticks([])
    else:
        panel.axhline(0, color=SOFT, linewidth=0.8, zorder=1)


def draw_divergence(
    panel: "Axes", layer: str, correlation: float | None, shares: Bins, speed: Bins, spread: Bins
) -> None:
    """Draw the speed of hidden weights of a layer against the importance of their synapses.

    Args:
        panel: Where.
        layer: Its name, as it is to be read.
        correlation: Rank correlation over all synapses; None where it is not defined.
        shares: Share of synapses that are less important than each bin, in per cent.
        speed: Mean speed in each bin.
        spread: Its deviation, or half of its interval.
    """
    known = "not defined" if correlation is None else f"{correlation:.2f}"
    panel.set_title(f"{layer}\nrank correlation {known}")
    draw_bins(panel, shares, speed, spread, "hidden weight per step")
    panel.set_ylim(bottom=0)
    panel.set_xlim(0, 100)
    panel.set_xlabel("synapses less important (%)")


def shares_below(layer: LayerDivergence) -> list[float | None]:
    """Give the share of synapses that are less important than the middle of each bin.

    Args:
        layer: What was found.

    Returns:
        In per cent.
    """
    weights = np.array(layer.weights)
    return [float(share) for share in 100 * (weights.cumsum() - weights / 2) / weights.sum()]


def draw_bins(
    panel: "Axes",
    x: Sequence[float | None],
    y: Sequence[float | None],
    deviation: Sequence[float | None],
    unit: str,
) -> None:
    """Draw the bins that have a value, in a power of ten that leaves short numbers at the axis.

    Args:
        panel: Where to draw.
        x: Place of each bin; None where it is empty.
        y: Its value; None where it has none.
        deviation: Half of its whisker; None where it has none.
        unit: Unit of the values.
    """
    bins = [(at, mean, spread or 0.0) for at, mean, spread in zip(x, y, deviation, strict=True) if mean is not None]
    power = _power([abs(mean) for _, mean, _ in bins])
    panel.set_ylabel(f"$10^{{{power}}}$ {unit}" if power else unit)
    panel.grid(axis="y", color=FAINT, linewidth=0.6)
    panel.set_axisbelow(True)
    if bins:
        at, mean, spread = np.array(bins, dtype=np.float64).T
        scale = 10.0**-power
        panel.errorbar(
            at,
            mean * scale,
            spread * scale,
            fmt="o-",
            color=_BLUE,
            markersize=4,
            linewidth=1.2,
            elinewidth=0.9,
            capsize=2,
            zorder=3,
        )


def _power(values: Sequence[float]) -> int:
    largest = max(values, default=0.0)
    if largest == 0:
        return 0
    power = math.floor(math.log10(largest))
    return 0 if -2 <= power <= 2 else power


def _draw_magnitudes(panel: "Axes", ends: Sequence[MagnitudeHistogram], colours: Sequence[Colour]) -> None:
    from matplotlib.ticker import MaxNLocator

    for end, colour in zip(ends, colours, strict=False):
        # A bin without weights has no place on a logarithmic axis: the line has a gap there.
        panel.stairs(_density(end), end.edges, baseline=None, color=colour, linewidth=1.3)
    panel.set_yscale("log")
    panel.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    panel.grid(color=FAINT, linewidth=0.6)
    panel.set_axisbelow(True)


def _density(histogram: MagnitudeHistogram) -> np.ndarray:
    """Share of the weights per unit of hidden weight in each bin; not a number where there is none."""
    share = np.array(histogram.counts) / (_total(histogram) * np.diff(histogram.edges))
    return np.where(share > 0, share, np.nan)


def _total(histogram: MagnitudeHistogram) -> int:
    return sum(histogram.counts) + histogram.below + histogram.above


def _decades(histograms: Sequence[MagnitudeHistogram]) -> tuple[float, float]:
    """Powers of ten that enclose every share, so that the axis is marked by powers of ten."""
    shares = np.concatenate([_density(histogram) for histogram in histograms])
    exponents = np.log10(shares[np.isfinite(shares)], dtype=np.float64)
    if not len(exponents):
        return 0.1, 1.0
    low = math.floor(exponents.min())
    return 10.0**low, 10.0 ** max(math.ceil(exponents.max()), low + 1)


def _last(histogram: MagnitudeHistogram) -> float:
    """Find where the last weights of a histogram are."""
    filled = [edge for edge, count in zip(histogram.edges[1:], histogram.counts, strict=True) if count]
    return filled[-1] if filled else histogram.edges[-1]


def _beyond(histograms: Sequence[MagnitudeHistogram]) -> str:
    outside = max((one.below + one.above) / _total(one) for one in histograms)
    return f"Up to {100 * outside:.3g} % of a layer's weights lie outside the bins." if outside else ""


def _common_layers(groups: Mapping[str, Sequence[Mapping[str, MagnitudeHistogram]]]) -> list[str]:
    _require_something("a group", groups)
    for stages in groups.values():
        _require_something("the end of a task in each group", stages)
    layers = list(next(iter(groups.values()))[0])
    _require_something("a layer", layers)
    for group, stages in groups.items():
        for found in stages:
            if list(found) != layers:
                raise ValueError(
                    f"expected the layers {layers} at every task end, got {list(found)} in {group!r}; draw networks of "
                    "one shape"
                )
    return layers


def _require_something(what: str, values: Mapping[str, Any] | Sequence[Any]) -> None:
    if not values:
        raise ValueError(f"expected {what}, got none; name what is to be drawn")


def _listed(numbers: Sequence[int]) -> str:
    return " or ".join(f"{number:,}" for number in numbers)
