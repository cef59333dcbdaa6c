"""The quadratic binary task as figures: hidden weights in the plane, and what switching a sign costs."""

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from metaplastic.evaluation import QuadraticResult, QuadraticTask, SwitchBins
from metaplastic.report.frame import Frame, place_legend
from metaplastic.report.style import FAINT, GROUP_COLOURS, INK, SOFT, look

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_BLUE, _ORANGE, _RED = GROUP_COLOURS[1], GROUP_COLOURS[2], GROUP_COLOURS[6]
_POINTS = 121  # along each side of the map of the loss


def quadratic_path(result: QuadraticResult, steps: int = 10) -> "Figure":
    """Draw the first steps of the hidden weights over the loss, in the plane.

    Lines of equal loss, the square whose corners are the binary weights, the optimum, and the way of the hidden
    weights with the binary weights they end at.

    Args:
        result: Outcome of an experiment with two weights.
        steps: Steps to draw, from 1 to those of the result.

    Returns:
        A figure; both axes are in units of the weight.

    Raises:
        ValueError: When the result has another number of weights or of steps.

    Example:
        >>> from metaplastic.evaluation import run_quadratic, two_dimensional_quadratic
        >>> quadratic_path(run_quadratic(two_dimensional_quadratic())).axes[0].get_xlabel()
        'hidden weight x'

    References:
        Laborieux et al. 2021, doi 10.1038/s41467-021-22768-y, Fig. 6a.
    """
    if result.dimension != 2 or not 1 <= steps <= result.steps:
        raise ValueError(
            f"expected two weights and from 1 to {result.steps} steps to draw, got {result.dimension} weights and "
            f"{steps} steps; draw more weights with switch_scatter"
        )
    path = np.array(result.path[: steps + 1])
    reach = 1.1 * max(np.abs(path).max(), np.abs(result.optimum).max(), 1.0)
    names = ["hidden weights, step by step", "binary weights after the last"]
    with look():
        frame = Frame(1, width=3.6, height=3.6, legend=Frame.legend_width(names), top=0.75)
        remark = f"Learning rate {result.lr:g}, the first {steps} of {result.steps} steps"
        note = "Grey lines: equal loss, least at the optimum. Square: its corners are the binary weights."
        figure, (panel,) = frame.open("Quadratic binary task: two weights", remark, note)
        _draw_loss(panel, result, reach)
        handles = _draw_path(panel, path, result.optimum)
        panel.set_aspect("equal")
        panel.set_xlim(-reach, reach)
        panel.set_ylim(-reach, reach)
        ticks = np.arange(-int(reach), int(reach) + 1)
        if len(ticks) < 12:
            panel.set_xticks(ticks)
            panel.set_yticks(ticks)
        panel.set_xlabel("hidden weight x")
        panel.set_ylabel("hidden weight y")
        place_legend(figure, panel, handles, "")
    return figure


def switch_scatter(result: QuadraticResult, bins: int = 15, share: float = 0.05) -> "Figure":
    """Draw by how much the loss grows when one sign is switched, against the magnitude of the hidden weight.

    A dot per weight, mean and standard deviation per bin, and what the magnitude predicts: the line
    `2 |W_h| / (eta T) + 2 H_ii`, at the mean of H_ii.

    Args:
        result: Outcome of an experiment.
        bins: Number of bins, at least 1.
        share: Threshold of drifting in units of the largest magnitude, from 0 to below 1.

    Returns:
        A figure; magnitudes are in units of the largest one.

    Example:
        >>> from metaplastic.evaluation import high_dimensional_quadratic, run_quadratic
        >>> switch_scatter(run_quadratic(high_dimensional_quadratic(20))).axes[0].get_ylabel()
        'increase of the loss by switching'

    References:
        Laborieux et al. 2021, doi 10.1038/s41467-021-22768-y, Fig. 6b.
    """
    magnitudes = np.abs(result.hidden)
    names = ["bin: mean and standard deviation", "predicted by the magnitude"]
    numbers = result.summary(share)
    remark = f"{result.dimension} weights, learning rate {result.lr:g}, {result.steps} steps, {result.precision}"
    error = (
        ""
        if numbers["relative_error"] is None
        else f"; their prediction is off by {numbers['relative_error']:.1%} on average"
    )
    note = f"{numbers['drifting']} weights drift: beyond the dashed line, {share:.0%} of the largest{error}."
    with look():
        frame = Frame(1, width=4.4, height=3.0, legend=Frame.legend_width(names), top=0.75)
        figure, (panel,) = frame.open("Quadratic binary task: what switching a sign costs", remark, note)
        (dots,) = panel.plot(
            magnitudes / magnitudes.max(), result.switch_losses, ".", color=SOFT, alpha=0.4, markeredgewidth=0
        )
        dots.set_label("one weight")
        handles = [dots, _draw_bins(panel, result.bins(bins)), _draw_prediction(panel, result)]
        panel.axvline(share, color=SOFT, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)
        panel.axhline(0, color=FAINT, linewidth=0.8, zorder=0)
        panel.set_xlim(-0.02, 1.02)
        panel.set_xlabel("magnitude of the hidden weight / largest")
        panel.set_ylabel("increase of the loss by switching")
        place_legend(figure, panel, handles, "")
    return figure


def _draw_loss(panel: "Axes", result: QuadraticResult, reach: float) -> None:
    task = QuadraticTask(*(torch.tensor(rows, dtype=torch.float64) for rows in (result.hessian, result.optimum)))
    side = torch.linspace(-reach, reach, _POINTS, dtype=torch.float64)
    x, y = torch.meshgrid(side, side, indexing="xy")
    loss = task.loss(torch.stack([x, y], dim=-1))
    # Even steps of the root are even distances from the optimum.
    levels = np.linspace(0, float(loss.max()) ** 0.5, 13) ** 2
    panel.contourf(x, y, loss, levels, cmap="Greys", alpha=0.25)
    panel.contour(x, y, loss, levels[1:], colors=SOFT, linewidths=0.6, alpha=0.5)


def _draw_path(panel: "Axes", path: np.ndarray, optimum: tuple[float, ...]) -> list[Any]:
    square = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1), (-1, -1)])
    end = np.where(path[-1] >= 0, 1, -1)
    handles = [
        panel.plot(*square.T, color=INK, linewidth=1.0, label="square of the binary weights"),
        panel.plot(*path.T, "-o", color=_BLUE, linewidth=1.3, markersize=3.5, label="hidden weights, step by step"),
        panel.plot(*path[0], "o", color="white", markeredgecolor=_BLUE, markersize=6, label="their start"),
        panel.plot(*end, "s", color=INK, markersize=6, label="binary weights after the last"),
        panel.plot(*optimum, "*", color=_RED, markersize=12, label="optimum"),
    ]
    return [line for (line,) in handles]


def _draw_bins(panel: "Axes", bins: SwitchBins) -> Any:
    filled = [index for index, count in enumerate(bins.counts) if count]
    return panel.errorbar(
        [bins.magnitudes[index] or 0.0 for index in filled],
        [bins.means[index] or 0.0 for index in filled],
        [bins.deviations[index] or 0.0 for index in filled],
        fmt="o",
        color=_BLUE,
        markersize=5,
        elinewidth=1.3,
        capsize=3,
        zorder=4,
        label="bin: mean and standard deviation",
    )


def _draw_prediction(panel: "Axes", result: QuadraticResult) -> Any:
    slope = 2 * max(map(abs, result.hidden)) / (result.lr * result.steps)
    intercept = 2 * float(np.mean(result.curvature))
    ends = [intercept, intercept + slope]
    (line,) = panel.plot([0, 1], ends, color=_ORANGE, linewidth=2, zorder=3, label="predicted by the magnitude")
    return line
