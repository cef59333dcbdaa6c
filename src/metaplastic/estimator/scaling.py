"""From the features of a table to what a binary network is shown: bytes as they are, or standardised numbers."""

import enum
import math
from dataclasses import dataclass, replace

import numpy as np

from metaplastic.choices import choose
from metaplastic.estimator.moments import Moments

OFFSETS = 6
"""Constant inputs beside real features."""


class Scaling(enum.StrEnum):
    """What a network is shown of the features."""

    AUTO = "auto"
    """BYTES where the first samples are of dtype uint8, else RUNNING."""
    BYTES = "bytes"
    """Integers from 0 to 255, of whatever dtype, as they are; the packed network then computes in integers only. No
    constant stands beside them, so that of a sample its direction alone is seen: a few features need RUNNING."""
    RUNNING = "running"
    """Less the mean and divided by the deviation of all samples learned so far, the newest included."""
    FROZEN = "frozen"
    """As RUNNING, by the samples of the first call alone: what was learned is not moved by what comes later."""
    NONE = "none"
    """As they are. They should be about as large as 1."""


def with_offsets(x: np.ndarray) -> np.ndarray:
    r"""Put constant inputs beside real features, so that binary synapses can move a threshold.

    .. math:: c_k = \sqrt{d} \, 2^{-k}, \qquad k = 0, \dots, 5

    for :math:`d` features. Signs of them add up to any of 64 thresholds, even ones, within what a sum of signed
    features reaches. Without them a layer norm would see nothing of a sample but its direction.

    Args:
        x: `[samples, features]`, float64.

    Returns:
        `[samples, features + 6]`.

    Example:
        >>> with_offsets(np.zeros((1, 4)))[0, 4:].tolist()
        [2.0, 1.0, 0.5, 0.25, 0.125, 0.0625]
    """
    offsets = math.sqrt(x.shape[1]) * 2.0 ** -np.arange(OFFSETS)
    return np.hstack([x, np.broadcast_to(offsets, (len(x), OFFSETS))])


def as_bytes(x: np.ndarray) -> np.ndarray:
    """Take integers from 0 to 255 as bytes.

    Args:
        x: `[samples, features]`, any numbers.

    Returns:
        The same as uint8.

    Raises:
        ValueError: When there are others among them.

    Example:
        >>> as_bytes(np.array([[0.0, 255.0]])).dtype
        dtype('uint8')
    """
    if x.dtype == np.uint8:
        return x
    wrong = (x < 0) | (x > 255) | (x != np.floor(x))
    if wrong.any():
        raise ValueError(
            f"expected integers from 0 to 255, as this classifier learns bytes, got {x[wrong][0]}; give all samples as "
            "the first ones were given, or begin anew with scaling='running'"
        )
    return x.astype(np.uint8)


@dataclass(frozen=True, eq=False)
class Features:
    """How features become the input of a network, and what of the samples learned so far that depends on.

    Args:
        scaling: What is done with them, not AUTO.
        moments: Those that features are standardised by; None where they are not, or nothing was learned yet.

    Example:
        >>> features = Features.for_first(np.ones((2, 4)), "auto").after(np.array([[0.0], [2.0]]))
        >>> features.shown(np.array([[2.0]])).tolist()
        [[1.0, 1.0, 0.5, 0.25, 0.125, 0.0625, 0.03125]]
    """

    scaling: Scaling
    moments: Moments | None = None

    @classmethod
    def for_first(cls, x: np.ndarray, scaling: Scaling | str) -> "Features":
        """Decide by the first samples.

        Args:
            x: `[samples, features]`.
            scaling: What to do with them, or its name.

        Returns:
            What has not learned from them yet.
        """
        chosen = choose(Scaling, scaling)
        if chosen is Scaling.AUTO:
            chosen = Scaling.BYTES if x.dtype == np.uint8 else Scaling.RUNNING
        return cls(chosen)

    def after(self, x: np.ndarray) -> "Features":
        """Take samples into the statistics.

        Args:
            x: `[samples, features]`, at least one sample.

        Returns:
            What shows features from there on.
        """
        if self.scaling in {Scaling.BYTES, Scaling.NONE} or (self.scaling is Scaling.FROZEN and self.moments):
            return self
        news = Moments.of(x)
        return replace(self, moments=self.moments.merged(news) if self.moments else news)

    def shown(self, x: np.ndarray) -> np.ndarray:
        """Show features as the network takes them.

        Args:
            x: `[samples, features]`.

        Returns:
            The same as uint8; or scaled and with constant inputs behind them, float64.
        """
        if self.scaling is Scaling.BYTES:
            return as_bytes(x)
        return with_offsets(x.astype(np.float64) if self.moments is None else self.moments.standardised(x))

    def inputs(self, features: int) -> int:
        """Count the inputs that a network needs for so many features."""
        return features if self.scaling is Scaling.BYTES else features + OFFSETS
