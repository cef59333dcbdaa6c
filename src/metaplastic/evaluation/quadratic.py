"""The quadratic binary task: why the magnitude of a hidden weight measures how much its sign matters.

The loss is a parabola, so that everything a network only lets us estimate can be computed: gradient descent on hidden
weights whose signs alone enter the loss, and what switching a sign afterwards costs.

References:
    Laborieux et al. 2021, doi 10.1038/s41467-021-22768-y, Fig. 6a, b.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from metaplastic.evaluation.hidden_weights import relative_bins
from metaplastic.nn import binary_sign


@dataclass(frozen=True, eq=False)
class QuadraticTask:
    """A convex quadratic loss, to be minimised over weights that are +1 or -1.

        L(W) = 1/2 (W - W*)^T H (W - W*)        H: hessian, W*: optimum

    Training and switching signs look at it at the binary weights W_b = sign(W_h) only; it is defined everywhere.

    Args:
        hessian: Matrix of second derivatives H, symmetric and positive definite, (dimension, dimension).
        optimum: Point W* of no loss, anywhere, (dimension,), in the type of `hessian`.

    Raises:
        ValueError: When the shapes or types do not fit, or the matrix is not symmetric or not positive definite.

    Example:
        >>> task = QuadraticTask(torch.tensor([[2.0, 0.0], [0.0, 4.0]]), torch.tensor([1.5, 0.5]))
        >>> task.loss(torch.tensor([1.0, -1.0])).item(), task.gradient(torch.tensor([1.0, -1.0])).tolist()
        (4.75, [-1.0, -6.0])
    """

    hessian: Tensor
    optimum: Tensor

    def __post_init__(self) -> None:
        shape, length = tuple(self.hessian.shape), tuple(self.optimum.shape)
        if len(length) != 1 or not length[0] or shape != length * 2:
            raise ValueError(
                f"expected a hessian of shape (n, n) and an optimum of shape (n,), got {shape} and {length}; give one "
                "row, one column and one coordinate per weight"
            )
        types = self.hessian.dtype, self.optimum.dtype
        if types[0] != types[1] or not types[0].is_floating_point:
            raise ValueError(
                f"expected hessian and optimum of one floating-point type, got {types[0]} and {types[1]}; use .to()"
            )
        if not torch.equal(self.hessian, self.hessian.T):
            raise ValueError("expected a symmetric hessian, got one that differs from its transpose; use (H + H.T) / 2")
        if int(torch.linalg.cholesky_ex(self.hessian).info) or not bool(self.optimum.isfinite().all()):
            raise ValueError(
                "expected a positive definite hessian and a finite optimum, got others; without them the loss has no "
                "lowest point, so use positive eigenvalues"
            )

    @property
    def dimension(self) -> int:
        """Number of weights."""
        return len(self.optimum)

    def loss(self, weights: Float[Tensor, "*batch dimension"]) -> Float[Tensor, "*batch"]:
        """Compute L(W) with W = `weights`.

        Args:
            weights: Points to look at, binary or not, (..., dimension).

        Returns:
            One loss >= 0 per point.
        """
        away = weights - self.optimum
        return 0.5 * ((away @ self.hessian) * away).sum(-1)

    def gradient(self, weights: Float[Tensor, "*batch dimension"]) -> Float[Tensor, "*batch dimension"]:
        """Compute dL/dW = H (W - W*) with W = `weights`.

        Args:
            weights: Points to look at, binary or not, (..., dimension).

        Returns:
            The gradient at each point.
        """
        return (weights - self.optimum) @ self.hessian  # H is symmetric


@dataclass(frozen=True, eq=False)
class Descent:
    """What `descend` did.

    Args:
        hidden: Hidden weights W_h after the last step, (dimension,).
        losses: L(sign(W_h)) before the first step and after each, (steps + 1,).
        path: Hidden weights before the first step and after each, (steps + 1, dimension), or None when not kept.
    """

    hidden: Tensor
    losses: Tensor
    path: Tensor | None


def descend(
    task: QuadraticTask, start: Float[Tensor, " dimension"], lr: float, steps: int, *, keep_path: bool = False
) -> Descent:
    """Train the hidden weights of a quadratic binary task, without metaplasticity.

        W_h <- W_h - eta H (sign(W_h) - W*)        eta: lr, sign(0) = +1

    Args:
        task: Holds H and W*.
        start: Hidden weights before the first step, (dimension,), in the type of the task.
        lr: Learning rate eta, above 0.
        steps: Number of steps, at least 1.
        keep_path: Keep the hidden weights of every step; takes `steps + 1` times the memory of `start`.

    Returns:
        The trained weights and the loss of every step.

    Raises:
        ValueError: When an argument is not as above.

    Example:
        >>> task = QuadraticTask(torch.eye(2, dtype=torch.float64), torch.tensor([1.5, 0.5], dtype=torch.float64))
        >>> start = torch.tensor([0.25, 0.25], dtype=torch.float64)
        >>> descend(task, start, lr=0.5, steps=3, keep_path=True).path.tolist()
        [[0.25, 0.25], [0.5, 0.0], [0.75, -0.25], [1.0, 0.5]]

    Deviation from the authors' code: there sign(0) = 0, and the loss before the first step is not kept.
    """
    _check_descent(task, start, lr, steps)
    hidden = start.detach().clone()
    binary, losses, path = binary_sign(hidden), [], [start.detach()]
    for _ in range(steps):
        losses.append(task.loss(binary))
        hidden = hidden - lr * task.gradient(binary)
        binary = binary_sign(hidden)
        if keep_path:
            path.append(hidden)
    losses.append(task.loss(binary))
    return Descent(hidden, torch.stack(losses), torch.stack(path) if keep_path else None)


def switch_losses(task: QuadraticTask, hidden: Float[Tensor, " dimension"]) -> Float[Tensor, " dimension"]:
    """Compute by how much the loss grows when one binary weight changes its sign, for each weight alone.

        dL_i = L(W_b with -W_b,i) - L(W_b) = -2 W_b,i g_i + 2 H_ii

        W_b = sign(W_h), g = H (W_b - W*)        W_h: hidden; H, W*: task

    The second line is exact, since the loss is quadratic. A weight whose sign is wrong has dL_i < 0.

    Args:
        task: Holds H and W*.
        hidden: Hidden weights, (dimension,).

    Returns:
        One difference of losses per weight.

    Example:
        >>> task = QuadraticTask(torch.eye(2), torch.tensor([1.5, 0.5]))
        >>> switch_losses(task, torch.tensor([7.0, -0.1])).tolist()
        [3.0, -1.0]

    Deviation from the authors' code: the same numbers; there as differences of two losses per weight.
    """
    binary = binary_sign(hidden.detach())
    return 2 * task.hessian.diagonal() - 2 * binary * task.gradient(binary)


def predicted_switch_losses(
    hidden: Float[Tensor, " dimension"], lr: float, steps: int, hessian: Float[Tensor, "dimension dimension"]
) -> Float[Tensor, " dimension"]:
    """Predict from the magnitude of a hidden weight what switching its sign costs.

        dL_i ~ 2 |W_h,i| / (eta T) + 2 H_ii        W_h: hidden, eta: lr, T: steps, H: hessian

    A weight that drifts for T steps with one sign has the time-mean gradient -W_h,i / (eta T); put into the exact
    difference of `switch_losses`, this is the relation. It says nothing of weights that hover around 0.

    Args:
        hidden: Hidden weights after training, (dimension,), from a start near 0.
        lr: Learning rate eta of the training, above 0.
        steps: Number of its steps T, at least 1.
        hessian: Matrix H of the task, (dimension, dimension).

    Returns:
        One predicted difference of losses per weight.

    Example:
        >>> predicted_switch_losses(torch.tensor([-7.0, 0.1]), lr=0.5, steps=10, hessian=torch.eye(2)).tolist()
        [4.800000190734863, 2.0399999618530273]

    Deviation from the paper and the authors' code: not known to be in either; follows from both.
    """
    return 2 * hidden.detach().abs() / (lr * steps) + 2 * hessian.diagonal()


def drifting(hidden: Float[Tensor, " dimension"], share: float = 0.05) -> Bool[Tensor, " dimension"]:
    """Tell which weights drifted away from 0; the others hover around it.

    `|W_h,i| > share max_j |W_h,j|` with `W_h = hidden`.

    Args:
        hidden: Hidden weights after training, (dimension,).
        share: Threshold, in units of the largest magnitude, from 0 to below 1.

    Returns:
        True for each weight that drifts.

    Raises:
        ValueError: When the share is outside its range.

    Example:
        >>> drifting(torch.tensor([-20.0, 1.0, 1.5])).tolist()
        [True, False, True]
    """
    if not 0 <= share < 1:
        raise ValueError(f"expected a share from 0 to below 1 of the largest magnitude, got {share}; 0.05 is usual")
    magnitude = hidden.detach().abs()
    return magnitude > share * magnitude.max()


@dataclass(frozen=True)
class SwitchBins:
    """Losses of switching, gathered by the magnitude of the hidden weight.

    Args:
        edges: Borders of the bins in units of the largest magnitude, from 0 to 1, one more than there are bins. A bin
            holds its lower border, the last one its upper border too.
        counts: Weights in each bin.
        magnitudes: Mean magnitude in each bin in units of the largest, None in an empty one.
        means: Mean increase of the loss in each bin, None in an empty one.
        deviations: Standard deviation of the increase (n - 1) in each bin, None with fewer than two weights.
    """

    edges: tuple[float, ...]
    counts: tuple[int, ...]
    magnitudes: tuple[float | None, ...]
    means: tuple[float | None, ...]
    deviations: tuple[float | None, ...]


def bin_switch_losses(
    hidden: Float[Tensor, " dimension"], losses: Float[Tensor, " dimension"], bins: int = 15
) -> SwitchBins:
    """Average losses of switching over bins of equal width of `|W_h| / max |W_h|`, with `W_h = hidden`.

    Args:
        hidden: Hidden weights, not all 0, (dimension,).
        losses: Increase of the loss for each, as from `switch_losses`, (dimension,).
        bins: Number of bins, at least 1.

    Returns:
        Means, deviations and counts; every weight is in one bin.

    Raises:
        ValueError: When there is no bin, or the largest magnitude is 0 or not finite.

    Example:
        >>> bin_switch_losses(torch.tensor([0.5, -1.0, 4.0]), torch.tensor([1.0, 3.0, 7.0]), bins=2).means
        (2.0, 7.0)

    Deviation from the authors' code: there a bin holds neither border, so that the largest weight is in none.
    """
    largest = float(hidden.detach().abs().max())
    if bins < 1 or not 0 < largest < math.inf:
        raise ValueError(
            f"expected at least 1 bin and a finite largest magnitude above 0, got {bins} bins and {largest}; "
            "train first"
        )
    magnitude, edges, owner = relative_bins(hidden, bins)
    inside = [owner == position for position in range(bins)]
    return SwitchBins(
        tuple(edges.tolist()),
        tuple(int(chosen.sum()) for chosen in inside),
        tuple(_mean(magnitude[chosen]) for chosen in inside),
        tuple(_mean(losses.detach().double()[chosen]) for chosen in inside),
        tuple(_deviation(losses.detach().double()[chosen]) for chosen in inside),
    )


def _mean(values: Tensor) -> float | None:
    return float(values.mean()) if len(values) else None


def _deviation(values: Tensor) -> float | None:
    return float(values.std()) if len(values) > 1 else None


def _check_descent(task: QuadraticTask, start: Tensor, lr: float, steps: int) -> None:
    if start.shape != task.optimum.shape or start.dtype != task.optimum.dtype:
        raise ValueError(
            f"expected a start of shape ({task.dimension},) and type {task.optimum.dtype}, got {tuple(start.shape)} "
            f"and {start.dtype}; give one hidden weight per coordinate of the optimum"
        )
    if not (math.isfinite(lr) and lr > 0) or steps < 1:
        raise ValueError(
            f"expected a finite learning rate above 0 and at least 1 step, got {lr} and {steps}; the published ones "
            "are 0.35 with 500 steps and 0.01 with 1000"
        )
