"""One step of descent in two parts, losses and movement: operation by operation, or as graphs that a GPU replays."""

from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.nn import functional

from metaplastic.learners.finetune import FineTune
from metaplastic.learners.learner import Learner
from metaplastic.nn import BinaryMLP, StackedMLP, member_cross_entropy
from metaplastic.nn.dropout import SignDropout
from metaplastic.optim import MetaplasticAdam, MetaplasticSGD
from metaplastic.scenarios import IndexView, StackedView, Task, View

_HOOKS = (
    *("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks"),
    *("_post_accumulate_grad_hooks", "_optimizer_step_pre_hooks", "_optimizer_step_post_hooks"),
)
"""Where torch keeps what is called within a step."""

_AT_ONCE = 10_000
"""Samples whose labels are looked at at once."""


@runtime_checkable
class Descent(Protocol):
    """Makes the steps of a task."""

    def losses(self, task: Task, rows: Tensor, /) -> tuple[float, ...]:
        """Compute the losses of a batch of the task, one per member of a stack; nothing is moved yet."""
        ...

    def move(self) -> None:
        """Move the parameters by the gradients of the losses that were computed last."""
        ...


class PlainDescent:
    """Steps operation by operation, for any network, optimizer and learner.

    Args:
        network: Maps inputs to logits.
        optimizer: Holds the network's parameters.
        learner: May add a penalty.
    """

    def __init__(self, network: nn.Module, optimizer: torch.optim.Optimizer, learner: Learner = FineTune()) -> None:
        self.network, self.optimizer, self.learner = network, optimizer, learner
        self._loss: Tensor | None = None

    def losses(self, task: Task, rows: Tensor) -> tuple[float, ...]:
        """Compute the losses of a batch, penalty included."""
        penalty = self.learner.penalty()
        loss = task_loss(self.network, task, rows)
        self._loss = loss if penalty is None else loss + penalty
        return tuple(self._loss.detach().reshape(-1).tolist())

    def move(self) -> None:
        """Take the gradients and make a step."""
        assert self._loss is not None
        self.optimizer.zero_grad(set_to_none=True)
        self._loss.sum().backward()
        self._loss = None
        self.optimizer.step()


class CapturedDescent:
    """Steps that a GPU replays from graphs, where calling its hundred operations takes longer than they do.

    The first batch of every size is learned as by `PlainDescent`, which leaves everything compiled and all that is
    remembered in its place. Then two graphs are captured, one of losses and gradients and one of the update, so that a
    loss that is not finite is seen before anything moves. Where parameters, moments or what is done with them were
    changed in between, the next batch is learned without, and graphs are captured anew.

    Args:
        network: A network that `serves` holds for; the steps are those of one task.
        optimizer: Holds the network's parameters, and lets steps be captured.
    """

    def __init__(self, network: nn.Module, optimizer: MetaplasticAdam | MetaplasticSGD) -> None:
        self.network, self.optimizer = network, optimizer
        self._plain = PlainDescent(network, optimizer)
        self._graphs: dict[torch.Size, _Graphs | None] = {}
        self._current: _Graphs | None = None

    @staticmethod
    def serves(network: nn.Module, task: Task, optimizer: torch.optim.Optimizer, learner: Learner) -> bool:
        """Tell whether nothing in a step is decided, drawn or looked up outside the GPU."""
        # Exact types, because a graph does what these do, not what somebody's own would do in their place.
        ours = type(optimizer) in (MetaplasticAdam, MetaplasticSGD) and optimizer.captured  # type: ignore[attr-defined]
        known = can_be_captured(network) and type(learner) is FineTune and not _is_hooked(network, optimizer)
        return ours and known and task.outputs is None and _is_fixed(task.view)

    def losses(self, task: Task, rows: Tensor) -> tuple[float, ...]:
        """Compute the losses of a batch."""
        self._current = self._of(task, rows)
        return self._plain.losses(task, rows) if self._current is None else self._current.losses(rows)

    def move(self) -> None:
        """Make a step."""
        if self._current is None:
            self._plain.move()
        else:
            self._current.move()

    def _of(self, task: Task, rows: Tensor) -> "_Graphs | None":
        """Find the graphs for batches of a size; None for the first of them, which is learned without."""
        if rows.shape not in self._graphs:
            self._graphs[rows.shape] = None
            return None
        graphs = self._graphs[rows.shape]
        if not self.optimizer.can_move_again() or (graphs is not None and not graphs.fit()):
            self._graphs[rows.shape] = None
            return None
        if graphs is None:
            graphs = self._graphs[rows.shape] = _Graphs(self.network, task, self.optimizer, rows)
            _require_labels(task, rows, graphs.outputs)
        return graphs


class _Graphs:
    """The graphs for batches of one size, with the memory that they read and write."""

    def __init__(
        self, network: nn.Module, task: Task, optimizer: MetaplasticAdam | MetaplasticSGD, rows: Tensor
    ) -> None:
        self.optimizer = optimizer
        self._rows = rows.clone()
        self._follow()
        self._losses, self._update = torch.cuda.CUDAGraph(), torch.cuda.CUDAGraph()
        optimizer.zero_grad(set_to_none=True)  # what is captured writes gradients, it does not add to them
        with torch.cuda.device_of(rows), torch.cuda.graph(self._losses):
            logits, labels = _answers(network, task, self._rows)
            loss = _cross_entropy(logits, labels)
            loss.sum().backward()
        self._loss, self.outputs = loss.detach(), _outputs(logits, labels)
        self._gradients = [(parameter, parameter.grad) for parameter in network.parameters()]
        with torch.cuda.device_of(rows), torch.cuda.graph(self._update, pool=self._losses.pool()):
            optimizer.move_again()
        self._settled = optimizer.settled()

    def fit(self) -> bool:
        """Tell whether all lies where it did, and the same is to be done with it."""
        return self._settled == self.optimizer.settled()

    def _follow(self) -> None:
        """Bring the copies of signs up to date, where somebody changed a weight between steps."""
        for copies in self.optimizer.copies.values():
            copies.follow()

    def losses(self, rows: Tensor) -> tuple[float, ...]:
        self._follow()
        self._rows.copy_(rows)
        self._losses.replay()
        for parameter, gradient in self._gradients:
            parameter.grad = gradient
        return tuple(self._loss.reshape(-1).tolist())

    def move(self) -> None:
        self.optimizer.count_step()
        self._update.replay()
        self.optimizer.mark_moved()


def descent(network: nn.Module, task: Task, optimizer: torch.optim.Optimizer, learner: Learner) -> Descent:
    """Choose how the steps of a task are made.

    Args:
        network: Maps inputs to logits.
        task: What is learned.
        optimizer: Holds the network's parameters; an engine lets its steps be captured.
        learner: May add a penalty.

    Returns:
        Graphs where they serve, else operation by operation.
    """
    if CapturedDescent.serves(network, task, optimizer, learner):
        assert isinstance(optimizer, MetaplasticAdam | MetaplasticSGD)
        return CapturedDescent(network, optimizer)
    return PlainDescent(network, optimizer, learner)


def can_be_captured(network: nn.Module) -> bool:
    """Tell whether nothing is decided or drawn outside a GPU in what a network computes.

    Args:
        network: Any module.

    Returns:
        True for fully connected binary networks without dropout, and stacks of them.
    """
    known = type(network) in (BinaryMLP, StackedMLP)
    return known and not any(isinstance(module, SignDropout) for module in network.modules())


def _is_hooked(network: nn.Module, optimizer: torch.optim.Optimizer) -> bool:
    """Tell whether somebody wants to be called within a step."""
    owners: list[Any] = [optimizer, *network.modules(), *network.parameters()]
    return any(getattr(owner, name, None) for owner in owners for name in _HOOKS)


def _is_fixed(view: View) -> bool:
    """Tell whether a view shows the same in every epoch, by looking up nothing but positions."""
    return isinstance(view, IndexView) or (isinstance(view, StackedView) and all(map(_is_fixed, view.views)))


def _require_labels(task: Task, rows: Tensor, outputs: int) -> None:
    """Fail if any label of a task lies outside the outputs, which a graph could not say."""
    for some in torch.arange(len(task.view), device=rows.device).split(_AT_ONCE):
        _, labels = task.view.batch(some if rows.dim() == 1 else some[:, None].expand(-1, rows.shape[1]))
        _require_below(outputs, labels, task.name)


def task_loss(network: nn.Module, task: Task, rows: Tensor) -> Tensor:
    """Compute the loss of some samples of a task: the mean cross-entropy over the outputs that it trains.

    Args:
        network: Maps inputs to logits.
        task: The task.
        rows: `[batch]`: positions within the task's samples.

    Returns:
        A scalar without any learner's penalty; for a stack of networks, whose labels are `[batch, members]`, one loss
        per member.

    Raises:
        ValueError: When a label lies outside the outputs.
    """
    logits, labels = _answers(network, task, rows)
    _require_below(_outputs(logits, labels), labels, task.name)
    return _cross_entropy(logits, labels)


def _answers(network: nn.Module, task: Task, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Give the logits of the outputs that a task trains, and the labels."""
    inputs, labels = task.view.batch(rows)
    logits = network(inputs)
    return logits if task.outputs is None else logits[:, list(task.outputs)], labels


def _outputs(logits: Tensor, labels: Tensor) -> int:
    return logits.shape[1] // (labels.shape[1] if labels.dim() == 2 else 1)


def _require_below(outputs: int, labels: Tensor, name: str) -> None:
    if int(labels.max()) >= outputs:
        raise ValueError(
            f"expected labels below {outputs}, the outputs that learn {name!r}, got {int(labels.max())}; "
            "give the network one output per class of the scenario"
        )


def _cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    if labels.dim() == 2:
        return member_cross_entropy(logits, labels)
    return functional.cross_entropy(logits, labels)
