"""The figures of studies that look inside: the quadratic task, switched signs, divergence."""

from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np

from metaplastic.evaluation import LayerDivergence, MagnitudeHistogram, QuadraticResult, SignSwitch
from metaplastic.experiments import Record
from metaplastic.report.page_figure import PageFigure, number
from metaplastic.report.paper_tasks import task_figures
from metaplastic.report.probes import magnitude_curves
from metaplastic.report.quadratic import quadratic_path, switch_scatter
from metaplastic.report.run_records import Run
from metaplastic.report.seed_means import divergence_means, mean_bins, sign_switch_means
from metaplastic.report.studies import StudyRecord

HALF = "half 95 % interval"
"""Heading of how far a mean is known."""

Layer = TypeVar("Layer", SignSwitch, LayerDivergence)


def quadratic_figures(study: StudyRecord) -> list[PageFigure]:
    """The quadratic binary task.

    Args:
        study: What was carried out.

    Returns:
        Its figures, in the order of the panels.
    """
    found = [(panel.name, panel.quadratic) for panel in study.panels if panel.quadratic is not None]
    return [_path(name, result) if result.dimension == 2 else _scatter(name, result) for name, result in found]


def _path(name: str, result: QuadraticResult) -> PageFigure:
    steps = min(10, result.steps)
    x, y = result.path[steps]
    return PageFigure(
        name,
        "Hidden weights in the plane",
        f"Way of two hidden weights over the lines of equal loss, from near 0 to {x:.3f}, {y:.3f} after {steps} steps; "
        f"the optimum lies at {result.optimum[0]:g}, {result.optimum[1]:g}.",
        quadratic_path(result, steps),
        [
            ["step", "x", "y"],
            *([str(step), f"{a:.4f}", f"{b:.4f}"] for step, (a, b) in enumerate(result.path[: steps + 1])),
        ],
        ("Hidden weights, in their own unit.",),
    )


def _scatter(name: str, result: QuadraticResult) -> PageFigure:
    bins = result.bins(15)
    body = [
        [f"{low:.2f} to {high:.2f}", str(count), number(mean), number(deviation)]
        for low, high, count, mean, deviation in zip(
            np.arange(15) / 15, np.arange(1, 16) / 15, bins.counts, bins.means, bins.deviations, strict=True
        )
    ]
    known = [mean for mean in bins.means if mean is not None]
    return PageFigure(
        name,
        "What switching a sign costs",
        f"Increase of the loss by switching one sign against the magnitude of the hidden weight, {result.dimension} "
        f"weights: from {known[0]:.1f} in the lowest of 15 bins to {known[-1]:.1f} in the highest.",
        switch_scatter(result),
        [["magnitude / largest", "weights", "mean increase", "standard deviation"], *body],
        ("Increase of the loss when one sign is switched.",),
    )


def switching_figures(study: StudyRecord) -> list[PageFigure]:
    """Signs switched in trained networks, and importance against divergence, averaged over the seeds.

    Args:
        study: What was carried out.

    Returns:
        Its figures, in the order of the panels.
    """
    figures = []
    for panel in study.panels:
        switch = [_named(probe.sign_switch) for probe in panel.probes.values() if probe.sign_switch]
        divergence = [_named(probe.divergence) for probe in panel.probes.values() if probe.divergence]
        figures += [_switch(panel.name, switch)] if switch else []
        figures += [_divergence(panel.name, divergence)] if divergence else []
    return figures


def hidden_weight_figures(study: StudyRecord) -> list[PageFigure]:
    """Accuracy along tasks, and how the hidden weights are distributed at the end of each task.

    Args:
        study: What was carried out.

    Returns:
        Its figures; the second kind for the first seed, where its record has distributions.
    """
    ends = {panel.title: _histograms(panel.runs[0]) for panel in study.panels if panel.runs}
    ends = {title: found for title, found in ends.items() if found}
    return [*task_figures(study), *([_magnitudes(ends)] if ends else [])]


def _histograms(run: Run) -> list[dict[str, MagnitudeHistogram]]:
    """Distributions by layer at the end of each task; none in records of earlier versions."""
    layers = [line["layers"] for line in Record(run.folder).metrics() if line["event"] == "task"]
    return [
        {
            f"layer {place}": MagnitudeHistogram.from_json(found["histogram"])
            for place, found in enumerate(end.values(), 1)
        }
        for end in layers
        if all("histogram" in found for found in end.values())
    ]


def _magnitudes(ends: Mapping[str, Sequence[Mapping[str, MagnitudeHistogram]]]) -> PageFigure:
    body = [
        [title, layer, str(task), number(end[layer].edges[-1]), number(_mean(end[layer]))]
        for title, found in ends.items()
        for task, end in enumerate(found, 1)
        for layer in end
    ]
    said = "; ".join(
        f"{title}, {layer}: {mean}" for title, layer, task, _, mean in body if task == str(len(ends[title]))
    )
    return PageFigure(
        "hidden-weights",
        "Hidden weights at the end of each task",
        f"Distributions of the magnitude of hidden weights, a row per layer, a column per panel, a line per task. Mean "
        f"magnitude at the end: {said}.",
        magnitude_curves(ends),
        [["panel", "layer", "after task", "largest", "mean magnitude"], *body],
        ("The first seed of each panel.",),
    )


def _mean(histogram: MagnitudeHistogram) -> float:
    edges = np.array(histogram.edges)
    return float(np.average((edges[1:] + edges[:-1]) / 2, weights=histogram.counts))


def _switch(name: str, seeds: Sequence[Mapping[str, SignSwitch]]) -> PageFigure:
    body, said = [], []
    for layer in seeds[0]:
        increase, half = mean_bins([seed[layer].increase for seed in seeds])
        magnitude, _ = mean_bins([seed[layer].magnitude for seed in seeds])
        filled = [place for place, value in enumerate(increase) if value is not None]
        body += [[layer, number(magnitude[bin_]), number(increase[bin_]), number(half[bin_])] for bin_ in filled]
        reach = f"from {number(increase[filled[0]])} to {number(increase[filled[-1]])} nat" if filled else "none"
        said.append(f"{layer} {reach}")
    return PageFigure(
        f"{name}-switching",
        "Loss increase per switched weight",
        f"Increase of the training loss per switched weight against the magnitude of its hidden weight, one panel per "
        f"layer. From the lowest to the highest filled bin: {'; '.join(said)}.",
        sign_switch_means(seeds),
        [["layer", "magnitude / largest", "increase (nat)", HALF], *body],
        (f"Mean over {len(seeds)} seed{'s' if len(seeds) > 1 else ''}, bin by bin.",),
    )


def _divergence(name: str, seeds: Sequence[Mapping[str, LayerDivergence]]) -> PageFigure:
    body = []
    for layer in seeds[0]:
        kinds = ("rank_correlation", "correlation_above_zero")
        means = [mean_bins([[getattr(seed[layer], kind)] for seed in seeds]) for kind in kinds]
        body.append([layer, *(number(value[0]) for mean in means for value in mean)])
    return PageFigure(
        f"{name}-divergence",
        "Speed of hidden weights by importance of their synapses",
        "Speed of hidden weights against the share of synapses that are less important, one panel per layer. Rank "
        f"correlation: {'; '.join(f'{row[0]} {row[1]}, {row[3]} where importance is above 0' for row in body)}.",
        divergence_means(seeds),
        [["layer", "rank correlation", HALF, "where importance is above 0", HALF], *body],
        (
            "Mean over the seeds of the rank correlation of importance and speed, over all synapses of a layer, and "
            "over those whose input varies.",
        ),
    )


def _named(layers: Mapping[str, Layer]) -> dict[str, Layer]:
    """Call layers by their place."""
    return {f"layer {place}": layer for place, layer in enumerate(layers.values(), 1)}
