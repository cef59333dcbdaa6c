"""What the synapses did in an experience, as a metric of Avalanche."""

from types import SimpleNamespace
from typing import Any

from avalanche.evaluation import PluginMetric
from avalanche.evaluation.metric_results import MetricValue
from avalanche.evaluation.metric_utils import get_metric_name
from torch import Tensor

from metaplastic.evaluation import layer_report
from metaplastic.hidden_weight import hidden_weights
from metaplastic.optim import attenuation

TITLES = {
    "flip_rate": "Flip_Rate",
    "consolidated_fraction": "Consolidated_Fraction",
    "mean_magnitude": "Hidden_Magnitude",
}


class SynapseMetric(PluginMetric):
    """Flip rate, consolidated fraction and mean magnitude of the hidden weights of each layer, after each experience.

    Names are like Avalanche's own, with the layer behind: `Flip_Rate/train_phase/train_stream/Task000/Exp001/
    layers.0.weight` is the share of binary weights whose sign is another one than when the experience began,
    `Consolidated_Fraction/...` the share whose weakening steps are more than halved, `Hidden_Magnitude/...` the mean of
    `|W_h|`. `MetaplasticPlugin` has one; alone it is a metric for `EvaluationPlugin` like any other.

    Example:
        >>> from avalanche.training.plugins import EvaluationPlugin
        >>> evaluator = EvaluationPlugin(SynapseMetric(), loggers=[])
    """

    def __init__(self) -> None:
        super().__init__()
        self._before: dict[str, Tensor] = {}
        self._report: dict[str, dict[str, float]] = {}

    def result(self) -> dict[str, dict[str, float]]:
        """Return the last report, by layer, as `layer_report` gives it."""
        return self._report

    def reset(self) -> None:
        """Forget the last report."""
        self._report = {}

    def before_training_exp(self, strategy: Any) -> None:
        """Remember the hidden weights that an experience begins with.

        Args:
            strategy: Avalanche's strategy.
        """
        self._before = {name: value.clone() for name, value in hidden_weights(strategy.model).items()}

    def after_training_exp(self, strategy: Any) -> list[MetricValue]:
        """Compare them with those that it ends with.

        Args:
            strategy: Avalanche's strategy.

        Returns:
            Three values a layer.
        """
        now = hidden_weights(strategy.model)
        # What was added since then, as a head of a new task, has no signs to compare with.
        before = {name: value for name, value in self._before.items() if name in now and now[name].shape == value.shape}
        after = {name: now[name] for name in before}
        factors = attenuation(strategy.model, strategy.optimizer)
        self._report = layer_report(before, after, {name: factors[name] for name in before})
        return [
            MetricValue(self, f"{self._name(title, strategy)}/{layer}", numbers[key], strategy.clock.train_iterations)
            for key, title in TITLES.items()
            for layer, numbers in self._report.items()
        ]

    @staticmethod
    def _name(title: str, strategy: Any) -> str:
        # The number of an experience is shown to loggers only.
        shown = SimpleNamespace(experience=strategy.experience.logging(), is_eval=False)
        return get_metric_name(title, shown, add_experience=True)

    def __str__(self) -> str:
        return "Synapses"
