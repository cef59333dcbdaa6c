"""The plugin that makes Avalanche's strategies treat binary networks as they need to be treated."""

from typing import Any

import torch
from avalanche.models import avalanche_forward
from avalanche.training.plugins import SupervisedPlugin
from torch import Tensor, nn

from metaplastic.integrations.avalanche.parameters import adopt
from metaplastic.integrations.avalanche.synapses import SynapseMetric
from metaplastic.nn import Scope, Statistics, keep_task, normalizations, recalibrate
from metaplastic.optim.shell import HiddenWeightOptimizer
from metaplastic.seeding import Purpose, generator


class MetaplasticPlugin(SupervisedPlugin):
    """What a binary network needs beside its optimizer, under any strategy of Avalanche.

    - *Parameter groups.* Parameters that the model gains or replaces join the group that is theirs (see `adopt`)
      before Avalanche puts them into one; the optimizer keeps its state unless `reset_optimizer_state` is asked for.
    - *Normalisation.* Recalibrated statistics are taken when an experience ends, and before the strategy evaluates in
      the middle of one; those that are kept per task are kept under its task label, and used where it is tested.
    - *Numbers.* Flip rate, consolidated fraction and mean magnitude of every layer, after every experience, through
      the evaluator and its loggers (see `SynapseMetric`).

    Give it to the constructor of a strategy, as `plugins=[MetaplasticPlugin()]`: it then stands before the strategy's
    own plugins, such as those that take importances of weights with statistics that must be there already.

    Args:
        calibration_samples: Training samples of an experience that recalibrated statistics are taken from, >= 2, 1,000
            or more recommended; all are used where it has fewer.
        seed: Seed of their choice.

    Raises:
        ValueError: For fewer than 2 samples; in training and evaluation, when normalisation is kept per task and
            task labels do not tell the tasks.

    Example:
        >>> from avalanche.training.supervised import Naive
        >>> from metaplastic.nn import BinaryMLP
        >>> from metaplastic.optim import MetaplasticAdam, param_groups
        >>> net = BinaryMLP([64, 32, 10], norm="layer")
        >>> optimizer = MetaplasticAdam(param_groups(net, metaplasticity=10.0))
        >>> strategy = Naive(model=net, optimizer=optimizer, plugins=[MetaplasticPlugin()], evaluator=None)
    """

    def __init__(self, *, calibration_samples: int = 5000, seed: int = 0) -> None:
        super().__init__()
        if calibration_samples < 2:
            raise ValueError(
                f"expected calibration_samples >= 2, got {calibration_samples}; give 1,000 or more to calibrate with"
            )
        self.calibration_samples, self.seed = calibration_samples, seed
        self.synapses = SynapseMetric()
        self._learning: Any = None

    def after_train_dataset_adaptation(self, strategy: Any, **kwargs: Any) -> None:
        """Adapt the model and the optimizer to an experience, just before Avalanche would.

        Args:
            strategy: Avalanche's strategy.
            **kwargs: Passed to `train`, unused.
        """
        if not isinstance(strategy.optimizer, HiddenWeightOptimizer):
            return
        known = adopt(strategy.optimizer, strategy.model, strategy.optimized_param_id)
        # Done again by the strategy, which then finds that nothing is left to do.
        strategy.model = strategy.model_adaptation()
        strategy.optimized_param_id = adopt(strategy.optimizer, strategy.model, known)

    def before_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        """Begin an experience.

        Args:
            strategy: Avalanche's strategy.
            **kwargs: Passed to `train`, unused.

        Raises:
            ValueError: When normalisation is kept per task and the experience has not one task label.
        """
        self._learning = strategy.experience
        if _kept_per_task(strategy.model):
            _require_label(strategy.experience)
        _select(strategy.model, None)
        self.synapses.before_training_exp(strategy)

    def after_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        """End an experience: take statistics, keep them, publish what the synapses did.

        Args:
            strategy: Avalanche's strategy.
            **kwargs: Passed to `train`, unused.
        """
        self.calibrate(strategy.model, strategy.experience)
        if _kept_per_task(strategy.model):
            keep_task(strategy.model, _require_label(strategy.experience))
        self._learning = None
        evaluator, values = strategy.evaluator, self.synapses.after_training_exp(strategy)
        if evaluator.active and not any(isinstance(metric, SynapseMetric) for metric in evaluator.metrics):
            for value in values:
                evaluator.publish_metric_value(value)

    def before_eval(self, strategy: Any, **kwargs: Any) -> None:
        """Take statistics where an experience is being learned, and check that the tasks are told if they must be.

        Args:
            strategy: Avalanche's strategy.
            **kwargs: Passed to `eval`, unused.

        Raises:
            ValueError: When normalisation is kept per task and several experiences have the same task label.
        """
        if self._learning is not None:
            self.calibrate(strategy.model, self._learning)
        if not _kept_per_task(strategy.model):
            return
        labels = [_require_label(experience) for experience in strategy.current_eval_stream]
        if len(labels) > 1 and len(set(labels)) == 1:
            raise ValueError(
                f"expected a task label per task for normalisation kept per task, got label {labels[0]} for all "
                f"{len(labels)} experiences; add labels (avalanche.benchmarks.task_incremental_benchmark), or share "
                "the normalisation (NormPolicy(scope='shared'))"
            )

    def before_eval_exp(self, strategy: Any, **kwargs: Any) -> None:
        """Use the statistics that were kept for the task under test.

        Args:
            strategy: Avalanche's strategy.
            **kwargs: Passed to `eval`, unused.
        """
        if _kept_per_task(strategy.model):
            label = _require_label(strategy.experience)
            current = self._learning is not None and _require_label(self._learning) == label
            _select(strategy.model, None if current else label)

    def after_eval_exp(self, strategy: Any, **kwargs: Any) -> None:
        """Leave the statistics of the task under test.

        Args:
            strategy: Avalanche's strategy.
            **kwargs: Passed to `eval`, unused.
        """
        _select(strategy.model, None)

    def calibrate(self, model: nn.Module, experience: Any) -> None:
        """Take recalibrated statistics from an experience; done by itself wherever one is being learned.

        By hand it is needed for a model that is evaluated before it learns anything, as with `eval_every=0`.

        Args:
            model: Layers of another policy are left alone.
            experience: Its training samples are seen as for evaluation.
        """
        if not any(layer.policy.statistics is Statistics.RECALIBRATED for layer in normalizations(model)):
            return
        dataset, device = experience.dataset.eval(), next(model.parameters()).device
        # The numbers come from a generator of their own, so that looking leaves no trace in the training.
        source = generator(self.seed, Purpose.CALIBRATION)
        rows = torch.randperm(len(dataset), generator=source)[: self.calibration_samples].tolist()
        inputs, _, *labels = dataset.collate_fn([dataset[row] for row in rows])
        told = labels[-1].to(device) if labels else None
        recalibrate(_Told(model, told), inputs.to(device))


class _Told(nn.Module):
    """A model that was told the tasks of the samples that it is going to be given."""

    def __init__(self, model: nn.Module, labels: Tensor | None) -> None:
        super().__init__()
        self.model, self.labels = model, labels

    def forward(self, x: Tensor) -> Tensor:
        return avalanche_forward(self.model, x, self.labels)


def _kept_per_task(network: nn.Module) -> bool:
    return any(layer.policy.scope is Scope.PER_TASK for layer in normalizations(network))


def _select(network: nn.Module, task: int | None) -> None:
    for layer in normalizations(network):
        layer.task = task


def _require_label(experience: Any) -> int:
    """Find the task label of an experience, for normalisation kept per task."""
    labels = list(getattr(experience, "task_labels", []))
    if len(labels) != 1:
        raise ValueError(
            f"expected one task label per experience for normalisation kept per task, got {labels or 'none'}; add "
            "labels (avalanche.benchmarks.with_task_labels), or share the normalisation (NormPolicy(scope='shared'))"
        )
    return int(labels[0])
