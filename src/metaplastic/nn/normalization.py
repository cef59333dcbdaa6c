"""Normalisation with a named policy: which statistics, shared by all tasks or kept per task."""

import contextlib
import enum
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn
from torch.nn import functional

from metaplastic.choices import settle_choices
from metaplastic.nn.offset import Offset


class Statistics(enum.StrEnum):
    """Where the mean and variance come from in evaluation; training uses the batch, but for the last two."""

    RUNNING = "running"
    """Running averages over the training batches (the authors' v1.0.0)."""
    BATCH = "batch"
    """The test batch itself (the authors' head). Predictions depend on how the test set is cut: reproduction only."""
    RECALIBRATED = "recalibrated"
    """Exact statistics of at least 1,000 training samples, taken by `recalibrate`. The loop takes them from the task
    that is, or was last, learned; where no boundary is announced, a stream would take its newest samples."""
    LAYER = "layer"
    """Mean and variance over the features of each sample, in training too: layer norm, no state, no task."""
    NONE = "none"
    """No normalisation at all: an offset per feature, as an ordinary layer has. For networks with real weights."""


class Scope(enum.StrEnum):
    """Whether all tasks share one normalisation state."""

    SHARED = "shared"
    """One gain, offset, mean and variance, whatever the task."""
    PER_TASK = "per_task"
    """A copy is kept at the end of each task and used when that task is tested: the task must be known at test."""


class GainInit(enum.StrEnum):
    """Where the gains start."""

    ONES = "ones"
    """1, as PyTorch since 1.2."""
    UNIFORM = "uniform"
    """Uniform in (0, 1), as PyTorch 1.1, which the paper used."""


@dataclass(frozen=True)
class NormPolicy:
    """How a network normalises.

    Args:
        statistics: Where mean and variance come from in evaluation.
        scope: Shared by all tasks, or kept per task.
        affine: Whether there are a trained gain and offset per feature.
        gain_init: Where the gains start.
        momentum: Weight of the newest batch in running averages, in (0, 1].
        eps: Added to the variance, in squared units of the input, > 0.

    Raises:
        ValueError: For a value out of range, and for layer norm or none kept per task: they have no task state.

    Example:
        >>> NormPolicy(statistics=Statistics.RUNNING, scope=Scope.PER_TASK).scope.value
        'per_task'
    """

    statistics: Statistics = Statistics.RECALIBRATED
    scope: Scope = Scope.SHARED
    affine: bool = True
    gain_init: GainInit = GainInit.ONES
    momentum: float = 0.1
    eps: float = 1e-5

    def __post_init__(self) -> None:
        settle_choices(self)
        if not 0 < self.momentum <= 1:
            raise ValueError(f"expected a momentum in (0, 1], got {self.momentum}; torch's default is 0.1")
        if not self.eps > 0:
            raise ValueError(f"expected eps > 0, got {self.eps}; torch's default is 1e-5")
        if self.statistics in (Statistics.LAYER, Statistics.NONE) and self.scope is Scope.PER_TASK:
            raise ValueError(
                f"expected scope 'shared' with {self.statistics.value!r} statistics, got 'per_task'; they have no task "
                "state, and are meant for tests that do not know the task"
            )

    @property
    def depends_on_test_batch(self) -> bool:
        """Whether a prediction depends on the other samples it is tested with."""
        return self.statistics is Statistics.BATCH


class Normalization(nn.Module):
    r"""Normalise each feature, then scale and shift it.

    .. math:: y = \gamma \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}} + \beta

    :math:`\gamma` is `gain`, :math:`\beta` `offset`; :math:`\mu` and :math:`\sigma^2` come from where the policy says.
    In evaluation the three operations are elementwise and rounded one by one, so that a sample's result does not
    depend, not even in its last bit, on the batch it is in (except with `Statistics.BATCH`).

    Args:
        features: Number of features (of channels, for images), >= 1.
        policy: Statistics, scope and the rest.
        generator: Source of randomness for uniform gains.
        groups: Number of equal parts of the features that layer norm looks at one by one; a stack of networks has more
            than one.

    Example:
        >>> norm = Normalization(3, NormPolicy(statistics=Statistics.LAYER))
        >>> norm(torch.tensor([[0.0, 1.0, 2.0]])).mul(100).round().tolist()
        [[-122.0, 0.0, 122.0]]

    References:
        Ioffe and Szegedy 2015, arXiv 1502.03167; Ba et al. 2016, arXiv 1607.06450.

    Deviations from the authors' code: statistics and scope are two separate values, the default statistics are
    exact, and gain, offset, mean and variance are all kept per task (at their head only gain and offset are).
    """

    gain: nn.Parameter | None
    offset: nn.Parameter | None
    mean: Tensor
    variance: Tensor
    kept_tasks: Tensor
    kept: Tensor

    def __init__(
        self, features: int, policy: NormPolicy, generator: torch.Generator | None = None, *, groups: int = 1
    ) -> None:
        super().__init__()
        self.groups = groups
        self.features = features
        self.policy = policy
        self.task: int | None = None
        self.collecting = False
        gain = torch.ones(features) if policy.gain_init is GainInit.ONES else torch.rand(features, generator=generator)
        self.gain = nn.Parameter(gain) if policy.affine else None
        self.offset = nn.Parameter(torch.zeros(features)) if policy.affine else None
        # A variance of NaN marks statistics that were never taken; nothing sensible can be computed from them.
        variance = torch.nan if policy.statistics is Statistics.RECALIBRATED else 1.0
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("variance", torch.full((features,), variance))
        self.register_buffer("kept_tasks", torch.empty(0, dtype=torch.int64))
        self.register_buffer("kept", torch.empty(0, 4, features))

    def forward(self, x: Float[Tensor, "batch features ..."]) -> Float[Tensor, "batch features ..."]:
        """Normalise.

        Args:
            x: `[batch, features]` or `[batch, channels, height, width]`.

        Returns:
            Same shape as `x`.

        Raises:
            ValueError: For a batch with one value per feature where its own statistics are needed, for samples of one
                or two values under layer norm, and where recalibrated statistics are needed but were never taken.
        """
        if self.policy.statistics is Statistics.LAYER:
            if (values := x.shape[1:].numel() // self.groups) < 3:
                raise ValueError(
                    f"expected at least 3 values per sample under layer norm, got {values}: of two numbers it leaves "
                    "which is larger, +1 and -1, and no gradient; use other statistics, or FixedScale for two outputs"
                )
            return functional.group_norm(x, self.groups, self.gain, self.offset, self.policy.eps)
        if self.collecting:
            self._collect(x)
        elif self.training or self.policy.statistics is Statistics.BATCH:
            return self._by_batch(x)
        return self._by_stored(x)

    def _by_batch(self, x: Tensor) -> Tensor:
        if x.numel() // x.shape[1] < 2:
            raise ValueError(
                f"expected at least 2 values per feature under batch norm, got {tuple(x.shape)}: a batch of one sample "
                "has no variance; use larger batches, or statistics='layer', which normalises each sample by itself"
            )
        track = self.training and self.policy.statistics is Statistics.RUNNING
        gain, offset = (self.gain, self.offset) if self.training else self._state(self.task)[:2]
        return functional.batch_norm(
            x,
            self.mean if track else None,
            self.variance if track else None,
            gain,
            offset,
            training=True,
            momentum=self.policy.momentum,
            eps=self.policy.eps,
        )

    def _by_stored(self, x: Tensor) -> Tensor:
        gain, offset, mean, variance = self._state(self.task)
        if bool(variance[0].isnan()):
            raise ValueError(
                "expected recalibrated statistics, got none: this normalisation was never calibrated; call "
                "recalibrate(network, inputs) with at least 1,000 training samples before evaluating"
            )
        shape = (1, -1) + (1,) * (x.dim() - 2)
        scale = gain * torch.rsqrt(variance + self.policy.eps)
        centred = x - mean.view(shape)
        if torch.is_grad_enabled():
            return centred * scale.view(shape) + offset.view(shape)
        return centred.mul_(scale.view(shape)).add_(offset.view(shape))

    def _collect(self, x: Tensor) -> None:
        others = [dimension for dimension in range(x.dim()) if dimension != 1]
        # Two passes over the columns take an eighth of the time of torch.var_mean, which goes along them.
        mean = x.mean(others, keepdim=True)
        *_, taken_mean, taken_variance = self._state(self.task)
        taken_mean.copy_(mean.flatten())
        taken_variance.copy_((x - mean).square_().mean(others))

    def _state(self, task: int | None) -> tuple[Tensor, ...]:
        """Gain, offset, mean and variance for a task, not copied; the current ones if none were kept for it."""
        if task is not None and task in self.kept_tasks.tolist():
            return self.kept[self.kept_tasks.tolist().index(task)].unbind(0)
        gain = torch.ones_like(self.mean) if self.gain is None else self.gain
        offset = torch.zeros_like(self.mean) if self.offset is None else self.offset
        return gain, offset, self.mean, self.variance

    @torch.no_grad()
    def keep(self, task: int) -> None:
        """Keep a copy of the current state for a task; a copy kept for it before is replaced.

        Args:
            task: Index of the task, >= 0.
        """
        others = self.kept_tasks != task
        state = torch.stack(self._state(None))
        self.kept = torch.cat([self.kept[others], state[None]])
        self.kept_tasks = torch.cat([self.kept_tasks[others], self.kept_tasks.new_tensor([task])])

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        # The number of kept tasks grows in training, so the buffers take the size of what is loaded.
        tasks = state_dict.get(f"{prefix}kept_tasks")
        if tasks is not None:
            self.kept_tasks = self.kept_tasks.new_empty(len(tasks))
            self.kept = self.kept.new_empty(len(tasks), 4, self.features)
        super()._load_from_state_dict(state_dict, prefix, *rest)

    def extra_repr(self) -> str:
        """Show the policy."""
        return f"{self.features}, statistics={self.policy.statistics}, scope={self.policy.scope}"


def normalization(features: int, policy: NormPolicy, generator: torch.Generator | None = None) -> nn.Module:
    """Make what normalises the output of a layer.

    Args:
        features: Number of features (of channels, for images), >= 1.
        policy: How.
        generator: Source of randomness for uniform gains.

    Returns:
        A `Normalization`; where the policy has none, an `Offset`, or nothing for one without gain and offset.
    """
    if policy.statistics is not Statistics.NONE:
        return Normalization(features, policy, generator)
    return Offset(features) if policy.affine else nn.Identity()


def normalizations(network: nn.Module) -> list[Normalization]:
    """List the normalisation layers of a network.

    Args:
        network: Any module.

    Returns:
        Its `Normalization` layers, in the order of `network.modules()`.
    """
    return [module for module in network.modules() if isinstance(module, Normalization)]


def require_fixed_statistics(network: nn.Module, why: str) -> None:
    """Fail if what a network makes of a sample depends on the samples beside it, in evaluation mode.

    Args:
        network: Any module; torch's own batch norm counts too.
        why: What needs fixed statistics, for the message.

    Raises:
        ValueError: When one of its normalisations uses the statistics of the batch under test.
    """
    foreign = (module for module in network.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm))
    if any(layer.policy.depends_on_test_batch for layer in normalizations(network)) or not all(
        module.track_running_stats for module in foreign
    ):
        raise ValueError(
            f"expected statistics that do not depend on the batch, got those of the batch under test, but {why}; use "
            "statistics recalibrated (with recalibrate(network, inputs) before), running or layer"
        )


@torch.no_grad()
def recalibrate(network: nn.Module, inputs: Shaped[Tensor, "samples ..."], task: int | None = None) -> None:
    """Take the exact normalisation statistics of a set of samples, layer by layer.

    One pass over all samples at once: each layer measures the mean and the variance of what reaches it, then
    normalises by them, so the layers behind it see what they will see in evaluation. Nothing is done for layers of
    another policy.

    Args:
        network: Network with `Statistics.RECALIBRATED` layers; its mode is left as found.
        inputs: At least 1,000 training samples of the task, as the network takes them.
        task: Index of an earlier task whose kept statistics are taken anew, by its own gains and offsets: those that
            were kept cease to fit where later tasks change the weights below. None takes the current statistics.

    Raises:
        ValueError: For fewer than 2 samples, and for a task for which nothing was kept.

    Example:
        >>> network = nn.Sequential(nn.Linear(4, 3), Normalization(3, NormPolicy())).eval()
        >>> x = torch.randn(1000, 4)
        >>> recalibrate(network, x)
        >>> network(x).mean(0).abs().max() < 1e-5
        tensor(True)
    """
    layers = [layer for layer in normalizations(network) if layer.policy.statistics is Statistics.RECALIBRATED]
    if not layers:
        return
    if len(inputs) < 2:
        raise ValueError(f"expected at least 2 samples to calibrate with, got {len(inputs)}; give 1,000 or more")
    if task is not None and not all(task in layer.kept_tasks.tolist() for layer in layers):
        raise ValueError(
            f"expected a task whose normalisation was kept, one of {layers[0].kept_tasks.tolist()}, got {task}; None "
            "takes the current statistics"
        )
    with evaluating(network, task):
        try:
            for layer in layers:
                layer.collecting = True
            network(inputs)
        finally:
            for layer in layers:
                layer.collecting = False


def keep_task(network: nn.Module, task: int) -> None:
    """Keep the normalisation state for a task, in every layer whose scope is per task.

    Args:
        network: Any module.
        task: Index of the task that ends, >= 0.
    """
    for layer in normalizations(network):
        if layer.policy.scope is Scope.PER_TASK:
            layer.keep(task)


@contextlib.contextmanager
def evaluating(network: nn.Module, task: int | None = None) -> Iterator[None]:
    """Put a network in evaluation mode, for a task if it is known, and leave it as it was found.

    Args:
        network: Any module.
        task: Index of the task under test; layers that kept a state for it use that state. None where the task is
            not known.

    Yields:
        Nothing; every module's mode and the selected task are restored at the end.
    """
    modes = [(module, module.training) for module in network.modules()]
    selected = [(layer, layer.task) for layer in normalizations(network)]
    try:
        network.eval()
        for layer, _ in selected:
            layer.task = task
        yield
    finally:
        for module, mode in modes:
            module.training = mode
        for layer, previous in selected:
            layer.task = previous
