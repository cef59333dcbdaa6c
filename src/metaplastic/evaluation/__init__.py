"""Trained model to numbers, pure."""

from metaplastic.evaluation.accuracy import count_correct, predict
from metaplastic.evaluation.accuracy_matrix import AccuracyMatrix, Metric, intransigence, summary
from metaplastic.evaluation.divergence import (
    LayerDivergence,
    divergence_report,
    divergence_speed,
    rank_correlation,
)
from metaplastic.evaluation.hidden_weights import (
    MagnitudeHistogram,
    consolidated_fraction,
    flip_rate,
    hidden_weight_histogram,
    layer_report,
    magnitude_range,
)
from metaplastic.evaluation.interval import mean_interval, student_quantile
from metaplastic.evaluation.memory import Memory, training_memory
from metaplastic.evaluation.paired_test import MOST_PAIRS, PairedTest, paired_permutation_test
from metaplastic.evaluation.published_quadratics import high_dimensional_quadratic, two_dimensional_quadratic
from metaplastic.evaluation.quadratic import (
    Descent,
    QuadraticTask,
    SwitchBins,
    bin_switch_losses,
    descend,
    drifting,
    predicted_switch_losses,
    switch_losses,
)
from metaplastic.evaluation.quadratic_experiment import QuadraticExperiment, QuadraticResult, run_quadratic
from metaplastic.evaluation.sign_switch import (
    SignSwitch,
    TrainingLoss,
    switch_signs,
    switched,
    switching_cost,
)

__all__ = [
    "MOST_PAIRS",
    "AccuracyMatrix",
    "Descent",
    "LayerDivergence",
    "MagnitudeHistogram",
    "Memory",
    "Metric",
    "PairedTest",
    "QuadraticExperiment",
    "QuadraticResult",
    "QuadraticTask",
    "SignSwitch",
    "SwitchBins",
    "TrainingLoss",
    "bin_switch_losses",
    "consolidated_fraction",
    "count_correct",
    "descend",
    "divergence_report",
    "divergence_speed",
    "drifting",
    "flip_rate",
    "hidden_weight_histogram",
    "high_dimensional_quadratic",
    "intransigence",
    "layer_report",
    "magnitude_range",
    "mean_interval",
    "paired_permutation_test",
    "predict",
    "predicted_switch_losses",
    "rank_correlation",
    "run_quadratic",
    "student_quantile",
    "summary",
    "switch_losses",
    "switch_signs",
    "switched",
    "switching_cost",
    "training_memory",
    "two_dimensional_quadratic",
]
