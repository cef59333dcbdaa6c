"""Trained model to numbers, pure."""

from metaplastic.evaluation.accuracy import count_correct, predict
from metaplastic.evaluation.accuracy_matrix import AccuracyMatrix, Metric, intransigence, summary
from metaplastic.evaluation.hidden_weights import (
    MagnitudeHistogram,
    consolidated_fraction,
    flip_rate,
    hidden_weight_histogram,
    layer_report,
)

__all__ = [
    "AccuracyMatrix",
    "MagnitudeHistogram",
    "Metric",
    "consolidated_fraction",
    "count_correct",
    "flip_rate",
    "hidden_weight_histogram",
    "intransigence",
    "layer_report",
    "predict",
    "summary",
]
