"""Probes of several seeds as one figure: mean over the seeds, bin by bin, with its interval."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from metaplastic.evaluation import LayerDivergence, SignSwitch, mean_interval
from metaplastic.report.frame import Frame
from metaplastic.report.probes import (
    Bins,
    divergence_curves,
    draw_divergence,
    draw_switch,
    shares_below,
    sign_switch_curves,
)
from metaplastic.report.style import look

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def mean_bins(seeds: Sequence[Bins]) -> tuple[list[float | None], list[float | None]]:
    """Average bins over the seeds that have a value there.

    Args:
        seeds: For every seed a value per bin; None where the bin has none. Equally many bins.

    Returns:
        Mean per bin, and the half width of its 95 % interval; None where no seed, or only one, has a value.

    Example:
        >>> mean_bins([[1.0, None, 3.0], [3.0, None, None]])[0]
        [2.0, None, 3.0]
    """
    means: list[float | None] = []
    halves: list[float | None] = []
    for values in zip(*seeds, strict=True):
        known = np.array([value for value in values if value is not None], dtype=np.float64)
        mean, half = mean_interval(known) if len(known) else (None, None)
        means.append(None if mean is None else float(mean))
        halves.append(float(half) if half is not None and len(known) > 1 else None)
    return means, halves


def sign_switch_means(seeds: Sequence[Mapping[str, SignSwitch]]) -> "Figure":
    """Draw the loss increase per switched weight against the magnitude of the hidden weight, averaged over seeds.

    Args:
        seeds: For every seed, layer name, as it is to be read, to what was measured; the same layers.

    Returns:
        A figure like `sign_switch_curves`, which is drawn where there is one seed.

    Raises:
        ValueError: When there is nothing to draw, or the layers differ.

    References:
        Laborieux et al. 2021, Nature Communications 12:2549, Fig. 6c-e.
    """
    layers = _layers(seeds)
    if len(seeds) == 1:
        return sign_switch_curves(seeds[0])
    first = seeds[0]
    remark = f"{_each(first, 'draws')} draws in each bin, training loss over {_each(first, 'samples')} samples"

    def draw(panel: Any, layer: str) -> None:
        probes = [seed[layer] for seed in seeds]
        increase, half = mean_bins([probe.increase for probe in probes])
        draw_switch(panel, layer, probes[0].count, mean_bins([probe.magnitude for probe in probes])[0], increase, half)

    foot = _foot(len(seeds), "|hidden weight|") + " Bins that hold fewer weights than are switched are left out."
    return _panels("Loss increase per switched weight", remark, foot, layers, draw)


def divergence_means(seeds: Sequence[Mapping[str, LayerDivergence]]) -> "Figure":
    """Draw the speed of hidden weights against the importance of their synapses, averaged over seeds.

    Args:
        seeds: For every seed, layer name, as it is to be read, to what was found; the same layers.

    Returns:
        A figure like `divergence_curves`, which is drawn where there is one seed.

    Raises:
        ValueError: When there is nothing to draw, or the layers differ.

    References:
        Laborieux et al. 2021, arXiv 2101.07592.
    """
    layers = _layers(seeds)
    if len(seeds) == 1:
        return divergence_curves(seeds[0])

    def draw(panel: Any, layer: str) -> None:
        found = [seed[layer] for seed in seeds]
        speed, half = mean_bins([one.speed for one in found])
        correlation = mean_bins([[one.rank_correlation] for one in found])[0][0]
        draw_divergence(panel, layer, correlation, mean_bins(list(map(shares_below, found)))[0], speed, half)

    remark = f"Speed over {_each(seeds[0], 'steps')} steps; rank correlation over all synapses, mean of the seeds"
    title = "Speed of hidden weights by importance of their synapses"
    return _panels(title, remark, _foot(len(seeds), "importance"), layers, draw)


def _panels(title: str, remark: str, foot: str, layers: Sequence[str], draw: Callable[[Any, str], None]) -> "Figure":
    with look():
        frame = Frame(len(layers), width=2.4, top=1.1, one_scale=False)
        figure, panels = frame.open(title, remark, foot)
        for panel, layer in zip(panels, layers, strict=True):
            draw(panel, layer)
    return figure


def _layers(seeds: Sequence[Mapping[str, Any]]) -> list[str]:
    kinds = {tuple(seed) for seed in seeds}
    if len(kinds) != 1 or not next(iter(kinds)):
        raise ValueError(f"expected the same layers for every seed, got {sorted(kinds)}; draw networks of one shape")
    return list(kinds.pop())


def _each(layers: Mapping[str, Any], name: str) -> str:
    return " or ".join(f"{number:,}" for number in sorted({getattr(layer, name) for layer in layers.values()}))


def _foot(seeds: int, what: str) -> str:
    return f"Dot: mean of {seeds} seeds in one bin of {what}; whisker: 95 % interval of the mean."
