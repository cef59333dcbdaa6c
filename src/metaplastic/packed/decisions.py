"""What turns the sums of a layer into bits, and the sums of the last layer into logits."""

import math
from dataclasses import dataclass

import numpy as np

from metaplastic.packed.value import Value


@dataclass(frozen=True, eq=False)
class Thresholds(Value):
    r"""Compare every sum with a number: normalisation by stored statistics and sign in one.

    .. math:: b = [h \ge t] \oplus f

    :math:`t` is `threshold` and :math:`f` `flipped`, where a gain was negative. A unit whose gain was zero has a
    threshold beyond every sum that it can reach.

    Args:
        threshold: `[tables, units]`, int32; float64 where sums are, behind real features. Of a convolution the units
            are the channels.
        flipped: `[tables, units]`, bool.

    Raises:
        ValueError: When shapes or types are others, or a threshold is not a number.

    Example:
        >>> decide = Thresholds(np.array([[1, 1]], np.int32), np.array([[False, True]]))
        >>> decide(np.array([[1, 1], [0, 0]], np.int32)).astype(int).tolist()
        [[1, 0], [0, 1]]
    """

    threshold: np.ndarray
    flipped: np.ndarray

    def __post_init__(self) -> None:
        self.settle(threshold=(np.int32, np.float64), flipped=np.bool_)
        if self.threshold.ndim != 2 or self.threshold.shape != self.flipped.shape or not self.threshold.size:
            raise ValueError(
                f"expected threshold and flipped as [tables, units], got {self.threshold.shape} and "
                f"{self.flipped.shape}; give one row a task, or one row for all"
            )
        if np.isnan(self.threshold).any():
            raise ValueError("expected thresholds that are numbers, got NaN; calibrate the network before packing it")

    @property
    def tables(self) -> int:
        """Number of tables: one a task, or one for all."""
        return len(self.threshold)

    @property
    def units(self) -> int:
        """Units, or channels, that are decided on."""
        return self.threshold.shape[1]

    def __call__(self, sums: np.ndarray, table: int = 0) -> np.ndarray:
        """Decide.

        Args:
            sums: `[batch, units, ...]`, int32 or float64.
            table: Which table, from 0.

        Returns:
            Bool, same shape as `sums`.
        """
        return (sums >= _along(self.threshold[table], sums)) != _along(self.flipped[table], sums)


@dataclass(frozen=True, eq=False)
class _BySample(Value):
    """What layer norm folds to: the fields and checks that `SampleMean` and `SampleReadout` have in common."""

    unit: float
    eps: float
    gain: np.ndarray | None = None
    offset: np.ndarray | None = None

    def __post_init__(self) -> None:
        self.settle(gain=np.float32, offset=np.float32)
        gain, offset = self.gain, self.offset
        if (gain is None) != (offset is None):
            raise ValueError("expected gain and offset together, got one of them; give both, or neither")
        if gain is not None and offset is not None:
            if gain.ndim != 1 or gain.shape != offset.shape or not gain.size:
                raise ValueError(
                    f"expected gain and offset as [units], got {gain.shape} and {offset.shape}; flatten them"
                )
            _require_moderate(self, "gain", "offset")
        for name in ("unit", "eps"):
            value = getattr(self, name)
            if not isinstance(value, float) or not 1 / UNIT_LIMIT <= value <= UNIT_LIMIT:
                raise ValueError(f"expected {name} as a float from 2^-64 to 2^64, got {value!r}; torch's eps is 1e-5")

    @property
    def tables(self) -> int:
        """One: layer norm knows no tasks."""
        return 1

    @property
    def units(self) -> int | None:
        """Units, channels or classes; None where any number will do."""
        return None if self.gain is None else len(self.gain)

    def _root(self, spread: np.ndarray, sums: np.ndarray) -> np.ndarray:
        features = math.prod(sums.shape[1:])
        root = np.sqrt((self.unit * self.unit) * spread + float(features * features) * self.eps)
        return root.reshape(-1, *[1] * (sums.ndim - 1))


@dataclass(frozen=True, eq=False)
class SampleMean(_BySample):
    r"""Compare every sum with the others of its sample: layer norm and sign in one.

    .. math:: b_i = [\gamma_i \, c d_i + \beta_i \sqrt{c^2 V + n^2 \epsilon} \ge 0],
        \qquad d_i = n h_i - \sum_j h_j, \quad V = n \sum_j h_j^2 - \Big(\sum_j h_j\Big)^2

    over all :math:`n` features of the sample; :math:`c` is `unit`, :math:`\gamma` `gain`, :math:`\beta` `offset`.
    :math:`d` and :math:`V` are exact integers. Without gain and offset the bit is :math:`[d_i \ge 0]`. With them the
    rest is done in float64, each operation rounded by itself in the order written: (c * c) * V + (n * n) * eps.

    Args:
        unit: What one step of a sum is worth, > 0.
        eps: Added to the variance, > 0.
        gain: `[units]`, float32; None together with `offset`.
        offset: `[units]`, float32.

    Raises:
        ValueError: When shapes or types are others, or a number is out of range.

    Example:
        >>> SampleMean(1.0, 1e-5)(np.array([[3, 1, 2]], np.int32)).astype(int).tolist()
        [[1, 0, 1]]
    """

    def __call__(self, sums: np.ndarray, table: int = 0) -> np.ndarray:
        """Decide.

        Args:
            sums: `[batch, units, ...]`, int32 or float64.
            table: Not used.

        Returns:
            Bool, same shape as `sums`.
        """
        deviations, spread = moments(sums)
        if self.gain is None or self.offset is None:
            return deviations >= 0
        left = _along(self.gain.astype(np.float64), sums) * (self.unit * deviations)
        return left + _along(self.offset.astype(np.float64), sums) * self._root(spread, sums) >= 0


@dataclass(frozen=True, eq=False)
class Readout(Value):
    r"""Scale the sums of the last layer to logits.

    .. math:: y = s h + o

    in float32, product and sum rounded one after the other.

    Args:
        scale: `[tables, classes]`, float32: what a step of a sum is worth.
        offset: `[tables, classes]`, float32.

    Raises:
        ValueError: When shapes or types are others, or a number is not finite.

    Example:
        >>> Readout(np.array([[0.5]], np.float32), np.array([[1.0]], np.float32))(np.array([[3]], np.int32)).tolist()
        [[2.5]]
    """

    scale: np.ndarray
    offset: np.ndarray

    def __post_init__(self) -> None:
        self.settle(scale=np.float32, offset=np.float32)
        if self.scale.ndim != 2 or self.scale.shape != self.offset.shape or not self.scale.size:
            raise ValueError(
                f"expected scale and offset as [tables, classes], got {self.scale.shape} and {self.offset.shape}; give "
                "one row a task, or one row for all"
            )
        _require_moderate(self, "scale", "offset")

    @property
    def tables(self) -> int:
        """Number of tables: one a task, or one for all."""
        return len(self.scale)

    @property
    def units(self) -> int:
        """Number of classes."""
        return self.scale.shape[1]

    def __call__(self, sums: np.ndarray, table: int = 0) -> np.ndarray:
        """Compute the logits.

        Args:
            sums: `[batch, classes]`, int32 or float64.
            table: Which table, from 0.

        Returns:
            `[batch, classes]`, float32.
        """
        # Rows of one, not vectors: where there is one sample, nothing has to be broadcast, which NumPy is slow at.
        row = slice(table, table + 1)
        return sums.astype(np.float32) * self.scale[row] + self.offset[row]


@dataclass(frozen=True, eq=False)
class SampleReadout(_BySample):
    r"""Normalise the sums of the last layer by those of the sample, to logits.

    .. math:: y_i = \gamma_i \frac{c d_i}{\sqrt{c^2 V + n^2 \epsilon}} + \beta_i

    with the symbols of `SampleMean`, in float64, rounded to float32 at the end. Without gain and offset the fraction
    alone.

    Args:
        unit: What one step of a sum is worth, > 0.
        eps: Added to the variance, > 0.
        gain: `[classes]`, float32; None together with `offset`.
        offset: `[classes]`, float32.

    Raises:
        ValueError: When shapes or types are others, or a number is out of range.

    Example:
        >>> SampleReadout(1.0, 1e-5)(np.array([[3, 1, 2]], np.int32)).round(2).tolist()
        [[1.220..., -1.220..., 0.0]]
    """

    def __call__(self, sums: np.ndarray, table: int = 0) -> np.ndarray:
        """Compute the logits.

        Args:
            sums: `[batch, classes]`, int32 or float64.
            table: Not used.

        Returns:
            `[batch, classes]`, float32.
        """
        deviations, spread = moments(sums)
        normalised = (self.unit * deviations) / self._root(spread, sums)
        if self.gain is not None and self.offset is not None:
            normalised = self.gain.astype(np.float64) * normalised + self.offset.astype(np.float64)
        return normalised.astype(np.float32)


Decision = Thresholds | SampleMean
"""Turns sums into bits."""

LAST_READOUT = (Readout, SampleReadout)
"""What may stand behind the last layer, and nowhere else."""

_FACTOR_LIMIT = np.float32(2.0**90)
"""Largest scale, gain or offset: times any sum it is far from the largest float32."""

UNIT_LIMIT = 2.0**64
"""Largest unit and eps, and the inverse of the smallest: nothing that they are multiplied by overflows."""

_SQUARE_FITS = 3_037_000_499
"""Largest integer whose square is an int64."""


def moments(sums: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    r"""Compute the deviations and the spread of each sample's sums.

    .. math:: d_i = n h_i - \sum_j h_j, \qquad V = n \sum_j h_j^2 - \Big(\sum_j h_j\Big)^2 = \frac 1n \sum_i d_i^2

    Args:
        sums: `[batch, units, ...]`; int32, for which the result is exact, or float64.

    Returns:
        Deviations of the shape of `sums`, and the spread `[batch]` in float64, an integer rounded once for integers.

    Example:
        >>> deviations, spread = moments(np.array([[3, 1, 2]], np.int32))
        >>> deviations.tolist(), spread.tolist()
        ([[3, -3, 0]], [6.0])
    """
    flat = sums.reshape(len(sums), math.prod(sums.shape[1:]))
    features = flat.shape[1]
    if flat.dtype == np.float64:
        # One row after the other: the order of summation must not depend on the batch.
        totals = np.array([row.sum() for row in flat]).reshape(-1, 1)
        deviations = features * flat - totals
        spread = np.array([np.square(row).sum() for row in deviations]) / features
        return deviations.reshape(sums.shape), spread
    flat = flat.astype(np.int64)
    total, squares = flat.sum(1), np.square(flat).sum(1)
    deviations = (features * flat - total[:, None]).reshape(sums.shape)
    if features * int(np.abs(flat).max(initial=0)) > _SQUARE_FITS:
        total, squares = total.astype(object), squares.astype(object)
    return deviations, (features * squares - total * total).astype(np.float64)


def _along(row: np.ndarray, sums: np.ndarray) -> np.ndarray:
    """View one number a unit so that it goes with `[batch, units, ...]`."""
    return row.reshape(-1, *[1] * (sums.ndim - 2))


def _require_moderate(value: Value, *names: str) -> None:
    for name in names:
        # Also not NaN, which is below nothing.
        if not (np.abs(getattr(value, name)) <= _FACTOR_LIMIT).all():
            raise ValueError(
                f"expected numbers of at most 2^90 in {name}, got others; calibrate the network before packing it"
            )
