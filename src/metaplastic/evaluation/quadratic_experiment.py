"""An experiment on a quadratic binary task: descend, switch every sign, and keep what came out as plain numbers."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import torch
from torch import Tensor

from metaplastic.evaluation.correlation import correlation
from metaplastic.evaluation.quadratic import (
    QuadraticTask,
    SwitchBins,
    bin_switch_losses,
    descend,
    drifting,
    predicted_switch_losses,
    switch_losses,
)

PATH_UP_TO = 3
"""Dimensions of a task up to which a result holds the Hessian and the whole path; beyond, they would fill the disk."""

Row = tuple[float, ...]


@dataclass(frozen=True, eq=False)
class QuadraticExperiment:
    """A quadratic task and how it is trained.

    Args:
        task: What is minimised.
        start: Hidden weights before the first step, (dimension,), in the type of the task.
        lr: Learning rate eta, above 0.
        steps: Number of steps, at least 1.
    """

    task: QuadraticTask
    start: Tensor
    lr: float
    steps: int


@dataclass(frozen=True)
class QuadraticResult:
    """What came out of an experiment; plain numbers, nothing rounded.

    Args:
        lr: Learning rate eta.
        steps: Number of steps T.
        precision: Type it was computed in, e.g. `float32`.
        eigenvalues: Of the Hessian, ascending.
        curvature: Diagonal H_ii of the Hessian.
        optimum: Point W* of no loss.
        hidden: Hidden weights after the last step.
        losses: Loss of the binary weights before the first step and after each.
        switch_losses: Increase of the loss when one sign alone is switched after the last step.
        predicted: What the magnitudes of the hidden weights predict for it.
        hessian: Rows of the Hessian; empty beyond 3 dimensions.
        path: Hidden weights before the first step and after each; empty beyond 3 dimensions.
    """

    lr: float
    steps: int
    precision: str
    eigenvalues: Row
    curvature: Row
    optimum: Row
    hidden: Row
    losses: Row
    switch_losses: Row
    predicted: Row
    hessian: tuple[Row, ...]
    path: tuple[Row, ...]

    @property
    def dimension(self) -> int:
        """Number of weights."""
        return len(self.hidden)

    def bins(self, number: int = 15) -> SwitchBins:
        """Average the losses of switching over bins of the magnitude of the hidden weight.

        Args:
            number: Number of bins, at least 1.

        Returns:
            As from `bin_switch_losses`.
        """
        return bin_switch_losses(_tensor(self.hidden), _tensor(self.switch_losses), number)

    def summary(self, share: float = 0.05) -> dict[str, float | int | None]:
        """Describe the result by a few numbers.

        Args:
            share: Threshold of drifting in units of the largest magnitude, from 0 to below 1.

        Returns:
            `loss_at_start`, `loss_after_first_step`, `loss_at_end`, `lowest_loss`; `largest_hidden_weight`;
            `drifting`, a count; `correlation` of the losses of switching with the magnitudes and
            `correlation_of_drifting`; `relative_error` of the prediction, the mean over the drifting weights;
            `drifting_outside` and `drifting_inside`, the shares of the weights with |W*| > 1 and of the others that
            drift. None is a value that does not exist.
        """
        magnitude, found, predicted = _tensor(self.hidden).abs(), _tensor(self.switch_losses), _tensor(self.predicted)
        drifts, outside = drifting(magnitude, share), _tensor(self.optimum).abs() > 1
        return {
            "loss_at_start": self.losses[0],
            "loss_after_first_step": self.losses[1],
            "loss_at_end": self.losses[-1],
            "lowest_loss": min(self.losses),
            "largest_hidden_weight": float(magnitude.max()),
            "drifting": int(drifts.sum()),
            "correlation": correlation(magnitude, found),
            "correlation_of_drifting": correlation(magnitude[drifts], found[drifts]),
            "relative_error": _mean(((predicted - found) / found).abs()[drifts]),
            "drifting_outside": _mean(drifts[outside].double()),
            "drifting_inside": _mean(drifts[~outside].double()),
        }

    def as_json(self) -> dict[str, Any]:
        """Tell the result, with its bins and its summary, in JSON's own values.

        Returns:
            Every field by its name; `bins` and `summary` follow from them.
        """
        lists = {name: _lists(value) for name, value in asdict(self).items()}
        bins = {name: _lists(value) for name, value in asdict(self.bins()).items()}
        return {**lists, "bins": bins, "summary": self.summary()}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "QuadraticResult":
        """Take a result back from what `as_json` told.

        Args:
            values: Every field by its name; others are left aside.

        Returns:
            The result, equal to the one that was told.

        Raises:
            ValueError: When a field is missing.
        """
        missing = [field.name for field in fields(cls) if field.name not in values]
        if missing:
            raise ValueError(f"expected the fields of a quadratic result, got none of {missing}; write it with as_json")
        return cls(**{field.name: _tuples(values[field.name]) for field in fields(cls)})


def run_quadratic(experiment: QuadraticExperiment) -> QuadraticResult:
    """Carry out an experiment: descend, then switch every sign alone and compare with the prediction.

    Args:
        experiment: Task, start, learning rate and number of steps.

    Returns:
        The result.

    Example:
        >>> from metaplastic.evaluation import two_dimensional_quadratic
        >>> result = run_quadratic(two_dimensional_quadratic())
        >>> [round(weight, 1) for weight in result.path[10]], round(result.hidden[0], 1)
        ([4.1, 0.1], 205.1)

    References:
        Laborieux et al. 2021, doi 10.1038/s41467-021-22768-y, Fig. 6a, b.
    """
    task, lr, steps = experiment.task, experiment.lr, experiment.steps
    small = task.dimension <= PATH_UP_TO
    descent = descend(task, experiment.start, lr, steps, keep_path=small)
    return QuadraticResult(
        lr=lr,
        steps=steps,
        precision=str(task.hessian.dtype).removeprefix("torch."),
        eigenvalues=_tuples(torch.linalg.eigvalsh(task.hessian).tolist()),
        curvature=_tuples(task.hessian.diagonal().tolist()),
        optimum=_tuples(task.optimum.tolist()),
        hidden=_tuples(descent.hidden.tolist()),
        losses=_tuples(descent.losses.tolist()),
        switch_losses=_tuples(switch_losses(task, descent.hidden).tolist()),
        predicted=_tuples(predicted_switch_losses(descent.hidden, lr, steps, task.hessian).tolist()),
        hessian=_tuples(task.hessian.tolist()) if small else (),
        path=() if descent.path is None else _tuples(descent.path.tolist()),
    )


def _tensor(values: Row) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def _mean(values: Tensor) -> float | None:
    return float(values.mean()) if len(values) else None


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list | tuple) else value


def _lists(value: Any) -> Any:
    return list(map(_lists, value)) if isinstance(value, list | tuple) else value
