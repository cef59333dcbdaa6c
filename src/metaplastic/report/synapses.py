"""What happened to the synapses while tasks were learned: how many are consolidated, how many changed their sign."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float64

from metaplastic.experiments.record import Record
from metaplastic.report.figures import Band, over_seeds, reach, wrapped
from metaplastic.report.frame import Frame, place_legend
from metaplastic.report.groups import Comparison, Group
from metaplastic.report.page_figure import PageFigure, mean_and_reach, shown_stages
from metaplastic.report.run_records import Run
from metaplastic.report.style import FAINT, group_colour, group_marker, look

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Layers = Mapping[str, Float64[np.ndarray, "seed stage"]]
"""By layer, a number per seed and stage."""


@dataclass(frozen=True)
class Measure:
    """Something that a record says of every layer at the end of every task.

    Args:
        name: What the record calls it; a share.
        title: What the figure is called.
        axis: What its upright axis is called.
        remark: What it is, in a few words.
        meaning: What it is, as a sentence.
        whole: Whether the axis goes from 0 to 100 %.
    """

    name: str
    title: str
    axis: str
    remark: str
    meaning: str
    whole: bool


CONSOLIDATION = Measure(
    "consolidated_fraction",
    "Consolidated synapses",
    "consolidated (%)",
    "A step that would weaken them is more than halved",
    "Share of a layer's synapses for which a step that would weaken them is more than halved, at the end of a stage.",
    True,
)
FLIP_RATE = Measure(
    "flip_rate",
    "Synapses that changed their sign",
    "changed sign (%)",
    "Between the beginning and the end of a stage",
    "Share of a layer's synapses whose sign at the end of a stage is not that at its beginning.",
    False,
)


def synapse_figure(comparison: Comparison, measure: Measure) -> PageFigure | None:
    """Show a measure of the synapses, layer by layer.

    Args:
        comparison: Groups of runs.
        measure: What is shown.

    Returns:
        The figure; None where no record has it, as those of methods without synapses or without metrics.
    """
    found = {group.label: layers for group in comparison.groups if (layers := read_layers(group, measure.name))}
    if not found:
        return None
    body = [row for label, layers in found.items() for row in _rows(label, layers)]
    last = "; ".join(
        f"{label}: {', '.join(f'{100 * shares[:, -1].mean():.1f}' for shares in layers.values())} %"
        for label, layers in found.items()
    )
    trained = [group for group in comparison.groups if not group.first.config.method.closed_form]
    silent = [group.label for group in trained if group.label not in found]
    missing = (f"Not recorded: {'; '.join(silent)}.",) if silent else ()
    return PageFigure(
        measure.name.replace("_", "-"),
        measure.title,
        f"Lines per group against the stage of training, one panel per layer. {measure.meaning} After the last stage, "
        f"from the first layer to the last: {last}.",
        _draw(comparison, measure, found),
        [["", "after stage", *_names(found)], *body],
        (f"{measure.meaning} In %, mean over the seeds and half its 95 % interval.", *missing),
    )


def read_layers(group: Group, name: str) -> Layers:
    """Read what records say of layers at the end of each task.

    Args:
        group: Runs that differ only in the seed.
        name: Name of the number.

    Returns:
        By layer, `[seed, stage]`; empty where a record does not have it.
    """
    runs = [_ends(run) for run in group.runs]
    stages = min(map(len, runs))
    if not stages or not all(name in layer for ends in runs for end in ends for layer in end.values()):
        return {}
    layers = len(runs[0][0])
    values = np.array(
        [[[layer[name] for layer in end.values()] for end in ends[:stages]] for ends in runs], dtype=np.float64
    )
    return {f"layer {place + 1}": values[:, :, place] for place in range(layers)}


def _ends(run: Run) -> list[Mapping[str, Any]]:
    return [line["layers"] for line in Record(run.folder).metrics() if line["event"] == "task" and line.get("layers")]


def _draw(comparison: Comparison, measure: Measure, found: Mapping[str, Layers]) -> "Figure":
    names, labels = _names(found), list(map(wrapped, found))
    stages = max(shares.shape[1] for layers in found.values() for shares in layers.values())
    legend = Frame.legend_width([line for label in labels for line in label.split("\n")])
    with look():
        frame = Frame(len(names), width=2.4, height=2.1, legend=legend, one_scale=measure.whole)
        foot = over_seeds(comparison, "line", f"band: {Band.INTERVAL}")
        figure, panels = frame.open(measure.title, measure.remark, foot)
        handles: dict[str, Any] = {}
        for panel, layer in zip(panels, names, strict=True):
            for place, group in enumerate(comparison.groups):
                if layer in found.get(group.label, {}):
                    line = _line(panel, 100 * found[group.label][layer], place)
                    handles.setdefault(group.label, line).set_label(wrapped(group.label))
            _finish(panel, layer, measure, stages)
        for panel in panels[:: frame.across] if measure.whole else panels[:1]:
            panel.set_ylabel(measure.axis)
        place_legend(figure, panels[0], list(handles.values()), "")
    return figure


def _line(panel: "Axes", shares: np.ndarray, place: int) -> Any:
    at, colour = np.arange(1, shares.shape[1] + 1), group_colour(place)
    if len(shares) > 1:
        panel.fill_between(at, *reach(shares, Band.INTERVAL), color=colour, alpha=0.2, linewidth=0)
    marker = group_marker(place) if len(at) <= 20 else ""
    (line,) = panel.plot(
        at, shares.mean(axis=0), f"{marker}-", color=colour, linewidth=1.5, markersize=4, clip_on=False, zorder=3
    )
    return line


def _finish(panel: "Axes", layer: str, measure: Measure, stages: int) -> None:
    from matplotlib.ticker import MaxNLocator

    panel.set_title(layer)
    panel.set_xlabel("stage of training")
    panel.set_xlim(0.8, max(stages, 2) + 0.2)
    panel.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    panel.set_ylim(0, 100 if measure.whole else None)
    panel.grid(axis="y", color=FAINT, linewidth=0.6)
    panel.set_axisbelow(True)


def _names(found: Mapping[str, Layers]) -> Sequence[str]:
    """Layers of the deepest network."""
    return max((list(layers) for layers in found.values()), key=len)


def _rows(label: str, layers: Layers) -> list[list[str]]:
    stages = next(iter(layers.values())).shape[1]
    return [
        [label, str(stage + 1), *(mean_and_reach(100 * shares[:, stage]) for shares in layers.values())]
        for stage in shown_stages(stages, 10)
    ]
