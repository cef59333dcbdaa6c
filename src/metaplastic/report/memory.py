"""Accuracy against what training keeps in memory."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from metaplastic.evaluation import Memory, mean_interval
from metaplastic.experiments.record import Record
from metaplastic.report.figures import Band, over_seeds, wrapped
from metaplastic.report.frame import Frame, place_legend
from metaplastic.report.groups import Comparison, Group
from metaplastic.report.page_figure import PageFigure, mean_and_reach
from metaplastic.report.style import group_colour, group_marker, look, percent_axis
from metaplastic.report.table import NOTHING
from metaplastic.report.trends import averages

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_NOTES = (
    "What training keeps from one step to the next at its end: hidden weights and the network's other parameters and "
    "buffers, the state of the optimizer, and what the method keeps; the largest over the seeds. Samples, activations "
    "and gradients are not in it. MB are 10^6 bytes.",
    "Average accuracy over the tasks in %, mean over the seeds and half its 95 % interval.",
)


def memory_figure(comparison: Comparison) -> PageFigure | None:
    """Show accuracy against memory.

    Args:
        comparison: Groups of runs.

    Returns:
        The figure; None where no record says what was kept, as those of earlier versions or without metrics.
    """
    found = {group.label: memory for group in comparison.groups if (memory := read_memory(group))}
    if not found:
        return None
    silent = [group.label for group in comparison.groups if group.label not in found]
    missing = (f"Not recorded: {'; '.join(silent)}.",) if silent else ()
    said = "; ".join(
        f"{group.label}: {megabytes(found[group.label].total)} MB, {mean_and_reach(100 * averages(group))} %"
        for group in comparison.groups
        if group.label in found
    )
    header = ["", "hidden weights", "other parameters", "buffers", "optimizer", "method", "MB in all", "accuracy"]
    return PageFigure(
        "memory",
        "Memory and accuracy",
        f"Points of average accuracy after the last stage against the memory that training keeps. {said}.",
        _draw(comparison, found),
        [header, *(_row(group, found.get(group.label)) for group in comparison.groups)],
        (*_NOTES, *missing),
    )


def read_memory(group: Group) -> Memory | None:
    """Read what training kept in memory at its end.

    Args:
        group: Runs that differ only in the seed.

    Returns:
        That of the run that kept most; None where a record does not say.
    """
    ends = [[line for line in Record(run.folder).metrics() if line["event"] == "task"] for run in group.runs]
    if not all(lines and "memory" in lines[-1] for lines in ends):
        return None
    return max((Memory.from_json(lines[-1]["memory"]) for lines in ends), key=lambda memory: memory.total)


def megabytes(count: int) -> str:
    """Write bytes in MB.

    Args:
        count: Bytes.

    Returns:
        In 10^6 bytes, with three digits at least.

    Example:
        >>> megabytes(1234567890), megabytes(20480), megabytes(0)
        ('1235', '0.0205', '0')
    """
    return f"{count / 1e6:.0f}" if count >= 1e9 or not count else f"{count / 1e6:.3g}"


def _row(group: Group, memory: Memory | None) -> list[str]:
    accuracy = mean_and_reach(100 * averages(group))
    if memory is None:
        return [group.label, *[NOTHING] * 6, accuracy]
    parts = [memory.hidden_weights, memory.other_parameters, memory.buffers, memory.optimizer, memory.learner]
    return [group.label, *map(megabytes, [*parts, memory.total]), accuracy]


def _draw(comparison: Comparison, found: Mapping[str, Memory]) -> "Figure":
    legend = Frame.legend_width([line for label in map(wrapped, found) for line in label.split("\n")])
    with look():
        frame = Frame(1, width=4.4, height=2.6, legend=legend, top=0.75)
        note = over_seeds(comparison, "point", f"whisker: {Band.INTERVAL}")
        figure, (panel,) = frame.open("Accuracy against memory", "Kept from one step to the next, at the end", note)
        panel.set_xscale("log")
        percent_axis(panel)
        handles = []
        for place, group in enumerate(comparison.groups):
            if group.label in found:
                mean, half = mean_interval(100 * averages(group))
                shown = panel.errorbar(
                    [found[group.label].total / 1e6],
                    [float(mean)],
                    [float(np.nan_to_num(half))],
                    fmt=group_marker(place),
                    color=group_colour(place),
                    markersize=6,
                    capsize=2.5,
                    label=wrapped(group.label),
                )
                handles.append(shown)
        totals = [memory.total / 1e6 for memory in found.values()]
        low, high = min(totals) / 1.6, max(totals) * 1.6
        ticks = [value for value in _round_numbers(low) if low <= value <= high]
        panel.set_xlim(low, high)
        panel.set_xticks(ticks, [f"{value:g}" for value in ticks])
        panel.minorticks_off()
        panel.set_xlabel("memory of training (MB)")
        panel.set_ylabel("average test accuracy (%)")
        place_legend(figure, panel, handles, "")
    return figure


def _round_numbers(low: float) -> list[float]:
    """Numbers for a logarithmic axis, from a value on: 1, 2 and 5 in every power of ten."""
    power = math.floor(math.log10(low))
    return [digit * 10.0**exponent for exponent in range(power, power + 12) for digit in (1, 2, 5)]
