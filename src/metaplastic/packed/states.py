"""What a normalisation is to the layer in front of it, once folded."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from metaplastic.nn.fixed_scale import FixedScale
from metaplastic.nn.normalization import Normalization, Scope, Statistics, normalizations
from metaplastic.nn.offset import Offset
from metaplastic.packed.decisions import Decision, Readout, SampleMean, SampleReadout, Thresholds

REAL_STEP = 2.0**-24
"""What sums of real features are multiples of."""

_REAL_BOUND = 2**53
"""In steps; sums of real features stay below it."""


@dataclass(frozen=True)
class State:
    r"""One state of a normalisation, in float64.

    .. math:: y = \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}} \gamma + \beta

    Args:
        gain: `[units]`.
        offset: `[units]`.
        mean: `[units]`.
        deviation: `[units]`, the root.
    """

    gain: np.ndarray
    offset: np.ndarray
    mean: np.ndarray
    deviation: np.ndarray

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Normalise one number a unit.

        Args:
            x: `[units]`, float64.

        Returns:
            `[units]`.
        """
        return (x - self.mean) / self.deviation * self.gain + self.offset


def kept_tasks(network: nn.Module) -> list[int]:
    """List the tasks that the normalisations of a network kept states for.

    Args:
        network: Any module.

    Returns:
        Their indices, in order; empty where all tasks share one state, or none was kept yet.

    Raises:
        ValueError: When two normalisations kept different tasks.
    """
    layers = [layer for layer in normalizations(network) if layer.policy.scope is Scope.PER_TASK]
    kept = {tuple(sorted(layer.kept_tasks.tolist())) for layer in layers}
    if len(kept) > 1:
        raise ValueError(
            f"expected every normalisation to have kept the same tasks, got {sorted(kept)}; keep them anew"
        )
    return list(kept.pop()) if kept else []


def statistics_name(network: nn.Module) -> str:
    """Name the statistics of a network's normalisations, for people.

    Args:
        network: Any module.

    Returns:
        Their names, e.g. "recalibrated".
    """
    names = {layer.policy.statistics.value for layer in normalizations(network)}
    return ", ".join(sorted(names)) or Statistics.NONE.value


def after_of(
    normalization: nn.Module | None, units: int, unit: float, bound: int | None, kept: list[int], *, last: bool
) -> Decision | Readout | SampleReadout:
    """Fold the normalisation behind a layer.

    Args:
        normalization: A `Normalization`, an `Offset`, a `FixedScale` or torch's batch norm; None for none at all.
        units: Number of units, or channels, of the layer.
        unit: What one step of a sum is worth.
        bound: Largest sum that can be reached; None for real features, of which sums are floats.
        kept: Tasks that have states of their own.
        last: Whether the layer gives logits.

    Returns:
        What follows the sums in a packed network.

    Raises:
        ValueError: When it cannot be folded.
    """
    if isinstance(normalization, Normalization) and normalization.policy.statistics is Statistics.LAYER:
        return _by_sample(normalization, unit if bound is not None else unit / REAL_STEP, last=last)
    states = _states(normalization, units, kept)
    if any(len(state.mean) != units for state in states):
        raise ValueError(f"expected a normalisation of {units} features, got {len(states[0].mean)}; build it anew")
    if last:
        return _readout(states, unit if bound is not None else unit / REAL_STEP)
    return _thresholds(states, unit, bound)


def _by_sample(normalization: Normalization, unit: float, *, last: bool) -> SampleMean | SampleReadout:
    if normalization.groups != 1:
        raise ValueError("expected a single network, got the layer norm of a stack; pack the members one by one")
    made = SampleReadout if last else SampleMean
    eps = float(normalization.policy.eps)
    if normalization.gain is None or normalization.offset is None:
        return made(unit, eps)
    gain, offset = (_double(row).astype(np.float32) for row in (normalization.gain, normalization.offset))
    return made(unit, eps, gain, offset)


def _states(normalization: nn.Module | None, units: int, kept: list[int]) -> list[State]:
    """List the states of a normalisation, one, or one for each kept task."""
    if normalization is None or isinstance(normalization, Offset):
        offset = np.zeros(units) if normalization is None else _double(normalization.offset)
        return [State(np.ones_like(offset), offset, np.zeros_like(offset), np.ones_like(offset))]
    if isinstance(normalization, FixedScale):
        return [State(np.full(units, normalization.scale), np.zeros(units), np.zeros(units), np.ones(units))]
    if isinstance(normalization, Normalization):
        per_task = normalization.policy.scope is Scope.PER_TASK and bool(kept)
        tasks: list[int | None] = [*kept] if per_task else [None]
        return [_state(normalization._state(task), normalization.policy.eps) for task in tasks]
    if isinstance(normalization, nn.modules.batchnorm._BatchNorm):
        mean, variance = normalization.running_mean, normalization.running_var
        assert mean is not None, "statistics of the batch were refused before"
        assert variance is not None, "statistics of the batch were refused before"
        gain = torch.ones_like(mean) if normalization.weight is None else normalization.weight
        shift = torch.zeros_like(mean) if normalization.bias is None else normalization.bias
        return [_state((gain, shift, mean, variance), normalization.eps)]
    raise ValueError(
        f"expected a normalisation behind the layer, got {type(normalization).__name__}; a packed network has signs "
        "and nothing else between its layers"
    )


def _state(rows: tuple[torch.Tensor, ...], eps: float) -> State:
    gain, offset, mean, variance = (_double(row) for row in rows)
    if np.isnan(variance).any():
        raise ValueError(
            "expected statistics of the training samples, got none: this normalisation was never calibrated; call "
            "recalibrate(network, inputs) with at least 1,000 training samples before packing"
        )
    if not all(np.isfinite(row).all() for row in (gain, offset, mean, variance)):
        raise ValueError("expected finite gains, offsets and statistics, got others; training went wrong")
    return State(gain, offset, mean, np.sqrt(variance + eps))


def _double(row: torch.Tensor) -> np.ndarray:
    return row.detach().cpu().to(torch.float64).numpy()


def _readout(states: list[State], unit: float) -> Readout:
    scale = np.stack([unit * state.gain / state.deviation for state in states])
    offset = np.stack([state.offset - state.mean * state.gain / state.deviation for state in states])
    return Readout(scale.astype(np.float32), offset.astype(np.float32))


def _thresholds(states: list[State], unit: float, bound: int | None) -> Thresholds:
    steps = np.stack([first_step(state, unit, _REAL_BOUND if bound is None else bound) for state in states])
    flipped = np.stack([state.gain < 0 for state in states])
    # A step of a float is too small to be stored as an integer of 32 bits; as a float64 it is exact.
    return Thresholds(steps * REAL_STEP if bound is None else steps.astype(np.int32), flipped)


def first_step(state: State, unit: float, bound: int) -> np.ndarray:
    """Find the smallest sum at which a normalised sum has the sign that it keeps from there on.

    Args:
        state: The normalisation; every operation of it is monotone, in floats too, so there is only one such sum.
        unit: What one step of a sum is worth.
        bound: Largest sum that can be reached.

    Returns:
        `[units]`, int64, from -bound to bound + 1: from there on the normalised sum is >= 0, or < 0 where the gain is
        negative. Where the gain is 0, -bound or bound + 1.

    Example:
        >>> one = np.ones(1)
        >>> first_step(State(one, one * 0, one * 2.5, one), 1.0, 10).tolist()
        [3]
    """
    low, high = (np.full(state.mean.shape, edge, np.int64) for edge in (-bound, bound + 1))
    while (low < high).any():
        middle = (low + high) >> 1
        reached = (state(middle * unit) >= 0) != (state.gain < 0)
        low, high = (
            np.where(reached | (low >= high), low, middle + 1),
            np.where(reached, np.minimum(middle, high), high),
        )
    return low
