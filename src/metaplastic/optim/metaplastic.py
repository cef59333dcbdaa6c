"""The metaplastic optimizers: Adam and SGD whose steps consolidated synapses resist."""

import abc
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from metaplastic.choices import choose
from metaplastic.optim.consolidation import PUBLISHED, ConsolidationFunction, consolidate, named
from metaplastic.optim.fused import FusedPass, PassKind, fused_pass, is_native, numbers_of_step, plain_pass
from metaplastic.optim.parameters import is_damped, is_hidden
from metaplastic.optim.shell import HiddenWeightOptimizer, Pair, begin_adam_step, blocks, moments_of
from metaplastic.optim.update import AdamUpdate, EpsPlacement, SGDUpdate, UpdateRule, decayed
from metaplastic.storage import BinaryCopies

_SMALL = 2**14
"""Elements up to which parameters that are not damped, gains and offsets mostly, are moved together."""


class _Step(NamedTuple):
    """What a step is made by: its size, what the rule adds to a denominator, and both where a graph reads them."""

    size: float
    eps: float
    kept: Tensor | None = None

    def numbers(self, group: dict[str, Any], device: torch.device) -> Tensor:
        """Put what changes from step to step into a tensor."""
        if self.kept is not None:
            return self.kept
        return numbers_of_step(self.size, self.eps, group["weight_decay"], group["metaplasticity"], device)


class _MetaplasticOptimizer(HiddenWeightOptimizer):
    """What the metaplastic optimizers share: everything but the update that is to be consolidated."""

    fused: bool
    """Whether steps are made in a compiled pass; it may be changed between any two of them."""
    copies: dict[Tensor, BinaryCopies]
    """Binary copies of hidden weights that a fused step writes along with the weight."""
    captured: bool
    """Whether steps may be captured as the graph of a GPU, by `move_again`: an engine saw that all are fused there."""
    _kept: list[Tensor]
    """What captured steps of each group read."""

    # No constructor, so that warnings name the line that constructs an optimizer whatever its class.

    @abc.abstractmethod
    def _rule(self, group: dict[str, Any]) -> UpdateRule:
        """Give the rule of a group's updates."""

    @abc.abstractmethod
    def _begin_step(self, state: dict[str, Tensor], group: dict[str, Any]) -> tuple[float, float]:
        """Count a step of a parameter; give its size and what the rule adds to a denominator."""

    def _move(self, pairs: list[Pair], group: dict[str, Any]) -> None:
        self._move_by([_Step(*self._begin_step(self.state[parameter], group)) for parameter, _ in pairs], pairs, group)

    def _move_by(self, steps: list[_Step], pairs: list[Pair], group: dict[str, Any]) -> None:
        alike: dict[Any, list[Pair]] = {}
        for step, (parameter, gradient) in zip(steps, pairs, strict=True):
            signs = step.kept is not None and parameter in self.copies  # a graph must write them with the weight
            if parameter.numel() <= _SMALL and not is_damped(parameter, group) and not signs:
                kind = (step, parameter.dtype, gradient.dtype, parameter.device)
                alike.setdefault(kind, []).append((parameter, gradient))
            else:
                self._move_one(parameter, gradient, group, step)
        for (step, *_), small in alike.items():
            self._move_together(small, group, step)

    def _move_together(self, pairs: list[Pair], group: dict[str, Any], step: _Step) -> None:
        """Move small parameters as one: what takes time with them is the number of operations."""
        rule = self._rule(group)
        moments = [moments_of(parameter, rule, self.state[parameter]) for parameter, _ in pairs]
        each = [(*pair, *remembered) for pair, remembered in zip(pairs, moments, strict=True)]
        weights, gradients, *others = (list(stream) for stream in zip(*each, strict=True))
        weight, slope, *flat = (_flattened(stream) for stream in (weights, gradients, *others))
        if step.kept is None:
            _move_in_blocks(weight, slope, flat, rule, None, step, group)
        else:
            plain_pass(rule, None, weight, slope, flat, (), step.kept)
        for stream, moved in zip((weights, *others), (weight, *flat), strict=True):
            _write_back(moved, stream)

    def _move_one(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any], step: _Step) -> None:
        rule = self._rule(group)
        moments = moments_of(parameter, rule, self.state[parameter])
        fused = self._fused_pass(parameter, gradient.dtype, group) if self.fused else None
        if fused is None or not all(tensor.is_contiguous() for tensor in (gradient, *moments)):
            consolidation = group["consolidation"] if is_damped(parameter, group) else None
            if step.kept is None:
                _move_in_blocks(parameter, gradient, moments, rule, consolidation, step, group)
            else:
                plain_pass(rule, consolidation, parameter, gradient, moments, self._signs(parameter), step.kept)
            return
        weight, slope, *flat = (tensor.detach().view(-1) for tensor in (parameter, gradient, *moments))
        signs = [sign.view(-1) for sign in self._signs(parameter)]
        fused(weight, slope, flat, signs, step.numbers(group, weight.device))
        if copies := self.copies.get(parameter):
            copies.mark_written()

    def _signs(self, parameter: Tensor) -> tuple[Tensor, ...]:
        """Find the copies of signs that a step of a parameter writes."""
        copies = self.copies.get(parameter)
        return copies.tensors() if copies else ()

    def can_move_again(self) -> bool:
        """Make room for what graphs read, outside of them, and tell whether steps can be captured as they stand.

        Returns:
            Whether all parameters of each group that have a gradient have made as many steps.
        """
        devices = [group["params"][0].device if group["params"] else torch.device("cpu") for group in self.param_groups]
        if [kept.device for kept in self._kept] != devices:
            self._kept = [torch.zeros(4, dtype=torch.float64, device=device) for device in devices]
        found = [_with_gradients(group) for group in self.param_groups]
        return all(len({int(self.state[parameter].get("step", 0)) for parameter, _ in pairs}) < 2 for pairs in found)

    def settled(self) -> list[Any]:
        """List what a captured step was made of: where its tensors lie, and what it does with them.

        Returns:
            Values to compare; what a graph reads anew at every step, as rates, is not among them.
        """
        found: list[Any] = [kept.data_ptr() for kept in self._kept]
        for group in self.param_groups:
            found.append((self._rule(group), group["consolidation"]))
            for parameter in group["params"]:
                tensors = [parameter.detach(), *self.state.get(parameter, {}).values(), *self._signs(parameter)]
                places = [tensor.data_ptr() for tensor in tensors if tensor.dim()]
                found.append((parameter.requires_grad, is_damped(parameter, group), places))
        return found

    def count_step(self) -> None:
        """Begin a step that a graph makes: count it, and put its size where the graph reads it."""
        for group, kept in zip(self.param_groups, self._kept, strict=True):
            steps = {self._begin_step(self.state[parameter], group) for parameter, _ in _with_gradients(group)}
            if steps:
                ((size, eps),) = steps
                kept.copy_(_Step(size, eps).numbers(group, torch.device("cpu")), non_blocking=True)

    @torch.no_grad()
    def move_again(self) -> None:
        """Make a step as it was counted last, without a look at anything outside the GPU, so that it can be captured.

        It is to be captured where `can_move_again` says so.
        """
        for group, kept in zip(self.param_groups, self._kept, strict=True):
            pairs = _with_gradients(group)
            self._move_by([_Step(0.0, 0.0, kept)] * len(pairs), pairs, group)

    def mark_moved(self) -> None:
        """Say that a graph moved what has a gradient, and wrote the copies of signs."""
        moved = [parameter for group in self.param_groups for parameter, _ in _with_gradients(group)]
        torch.autograd.graph.increment_version(moved)
        for parameter in moved:
            if copies := self.copies.get(parameter):
                copies.mark_written()

    def compile(self) -> bool:
        """Compile what fused steps will need, now rather than at the first of them.

        Returns:
            Whether there is something to compile, and all of it could be.
        """
        passes = list(map(fused_pass, self._pass_kinds()))
        return bool(passes) and all(found is not None for found in passes)

    def begins_at_once(self) -> bool:
        """Tell whether fused steps are native, so that nothing has to be compiled before the first of them.

        Returns:
            False also where there is nothing to fuse.
        """
        kinds = self._pass_kinds()
        return bool(kinds) and all(map(is_native, kinds))

    def _pass_kinds(self) -> list[PassKind]:
        """List what fused steps will compute."""
        return [
            self._pass_kind(parameter, parameter.grad_dtype or parameter.dtype, group)
            for group in self.param_groups
            for parameter in group["params"]
            if parameter.requires_grad and _can_fuse(parameter, group)
        ]

    def _fused_pass(self, parameter: Tensor, gradient_dtype: torch.dtype, group: dict[str, Any]) -> FusedPass | None:
        """Find the compiled pass for a parameter; None where there is none."""
        if not _can_fuse(parameter, group):
            return None
        return fused_pass(self._pass_kind(parameter, gradient_dtype, group))

    def _pass_kind(self, parameter: Tensor, gradient_dtype: torch.dtype, group: dict[str, Any]) -> PassKind:
        copies = self.copies.get(parameter)
        return PassKind(
            self._rule(group),
            group["consolidation"] if is_damped(parameter, group) else None,
            parameter.dtype,
            gradient_dtype,
            tuple(sign.dtype for sign in copies.tensors()) if copies else (),
            parameter.device.type,
        )

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"fused": self.fused}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self.__dict__.setdefault("fused", False)
        for name, value in {"copies": {}, "captured": False, "_kept": []}.items():
            self.__dict__.setdefault(name, value)


class MetaplasticAdam(_MetaplasticOptimizer):
    r"""Adam whose steps towards zero are damped in consolidated synapses: the published optimizer.

        g <- g + decay W
        a <- b1 a + (1 - b1) g
        v <- b2 v + (1 - b2) g^2
        U  = sqrt(1 - b2^t) / (1 - b1^t) a / (sqrt(v) + eps)
        W <- W - lr U f(m, W)    where U W > 0, the step would shrink |W|, and W is a hidden weight
        W <- W - lr U            elsewhere

        g: gradient, W: parameter, a, v: its moments, b1, b2: betas, m: metaplasticity, f: consolidation

    Only `HiddenWeight` parameters are damped, whatever group they are in; f multiplies only the displacement, never
    the moments. With m = 0 it is Adam. The speed of consolidation is set by the product lr m.

    Args:
        params: Parameters or parameter groups, usually from `param_groups`.
        lr: Learning rate, from 0, in units of the weight.
        betas: Decay rates of the two moments, each in [0, 1).
        eps: What keeps the denominator from 0, from 0, in units of the gradient.
        weight_decay: Strength of an L2 penalty within the gradient, from 0. Its pull towards zero is damped as well.
        metaplasticity: Strength m of the consolidation, from 0, per unit of hidden weight, for groups that do not say.
        consolidation: Consolidation function f or its name, for groups that do not say.
        eps_placement: Where eps is added, for groups that do not say.
        fused: Whether a step is one compiled pass over a parameter, gradient and moments. It is as fast as memory
            allows, and compiled at the first step. Where that cannot be, steps are made as without it, which is logged.

    Raises:
        ValueError: When an option is out of range, or no parameter is a hidden weight.

    Example:
        >>> from metaplastic.hidden_weight import HiddenWeight
        >>> weight = HiddenWeight(torch.tensor([1.0, -1.0]))
        >>> optimizer = MetaplasticAdam([weight], lr=0.1, metaplasticity=1.0)
        >>> weight.sum().backward()
        >>> optimizer.step()
        >>> weight.detach()  # the first shrinks by lr * 0.42, the second grows by lr
        tensor([ 0.9580, -1.1000])

    References:
        Laborieux et al. 2021, doi 10.1038/s41467-021-22768-y, Algorithm 1.
        Kingma and Ba 2015, arXiv 1412.6980.

    Deviations from the authors' code: weight decay does not alter the caller's gradient; what is damped is decided by
    the mark on the parameter, not by its number of dimensions. Their form of Adam is the default, so that with m = 0
    and eps > 0 the first steps differ from `torch.optim.Adam`; `EpsPlacement.AFTER_CORRECTION` is the modern form.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float = 5e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        metaplasticity: float = 1.35,
        consolidation: ConsolidationFunction | str = PUBLISHED,
        eps_placement: EpsPlacement = EpsPlacement.BEFORE_CORRECTION,
        fused: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "metaplasticity": metaplasticity,
            "consolidation": named(consolidation),
            "eps_placement": choose(EpsPlacement, eps_placement),
        }
        super().__init__(params, defaults)
        self.fused, self.copies, self.captured, self._kept = fused, {}, False, []

    def _rule(self, group: dict[str, Any]) -> UpdateRule:
        return AdamUpdate(tuple(group["betas"]))

    def _begin_step(self, state: dict[str, Tensor], group: dict[str, Any]) -> tuple[float, float]:
        return begin_adam_step(state, group)


class MetaplasticSGD(_MetaplasticOptimizer):
    """Stochastic gradient descent whose steps towards zero are damped in consolidated synapses.

        g <- g + decay W
        u <- momentum u + g
        W <- W - lr u f(m, W)    where u W > 0, the step would shrink |W|, and W is a hidden weight
        W <- W - lr u            elsewhere

        g: gradient, W: parameter, u: its velocity, m: metaplasticity, f: consolidation

    Only `HiddenWeight` parameters are damped, whatever group they are in; f multiplies only the displacement, never
    the velocity. With m = 0 it is `torch.optim.SGD`.

    Args:
        params: Parameters or parameter groups, usually from `param_groups`.
        lr: Learning rate, from 0.
        momentum: Decay rate of the velocity, in [0, 1); with 0 no state is kept.
        weight_decay: Strength of an L2 penalty within the gradient, from 0. Its pull towards zero is damped as well.
        metaplasticity: Strength m of the consolidation, from 0, per unit of hidden weight, for groups that do not say.
        consolidation: Consolidation function f or its name, for groups that do not say.
        fused: Whether a step is one compiled pass, as in `MetaplasticAdam`.

    Raises:
        ValueError: When an option is out of range, or no parameter is a hidden weight.

    Example:
        >>> from metaplastic.hidden_weight import HiddenWeight
        >>> from metaplastic.optim.consolidation import PowerLaw
        >>> weight = HiddenWeight(torch.tensor([1.0, -1.0]))
        >>> optimizer = MetaplasticSGD([weight], lr=0.5, metaplasticity=1.0, consolidation=PowerLaw(1.0))
        >>> weight.sum().backward()
        >>> optimizer.step()
        >>> weight.tolist()
        [0.75, -1.5]

    References:
        Laborieux et al. 2021, doi 10.1038/s41467-021-22768-y, for the consolidation.

    Deviation from the paper and the authors' code: both use Adam only.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        metaplasticity: float = 1.35,
        consolidation: ConsolidationFunction | str = PUBLISHED,
        fused: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "weight_decay": weight_decay,
            "metaplasticity": metaplasticity,
            "consolidation": named(consolidation),
        }
        super().__init__(params, defaults)
        self.fused, self.copies, self.captured, self._kept = fused, {}, False, []

    def _rule(self, group: dict[str, Any]) -> UpdateRule:
        return SGDUpdate(group["momentum"])

    def _begin_step(self, state: dict[str, Tensor], group: dict[str, Any]) -> tuple[float, float]:
        return group["lr"], 0.0


def _can_fuse(parameter: Tensor, group: dict[str, Any]) -> bool:
    """Tell whether a step of a parameter may be one compiled pass."""
    # What is no hidden weight, gains and offsets, is moved in less time than a compiled pass takes to be called. The
    # compiler treats a single element as a constant, and flat views need what lies in one piece.
    worth = is_hidden(parameter, group)
    return worth and parameter.numel() > 1 and parameter.is_contiguous() and parameter.device.type in ("cpu", "cuda")


def _with_gradients(group: dict[str, Any]) -> list[Pair]:
    return [(parameter, parameter.grad) for parameter in group["params"] if parameter.grad is not None]


def _flattened(tensors: list[Tensor]) -> Tensor:
    return torch.cat([tensor.reshape(-1) for tensor in tensors])


def _write_back(flat: Tensor, tensors: list[Tensor]) -> None:
    parts = flat.split([tensor.numel() for tensor in tensors])
    torch._foreach_copy_(tensors, [part.view_as(tensor) for part, tensor in zip(parts, tensors, strict=True)])


def _move_in_blocks(
    parameter: Tensor,
    gradient: Tensor,
    moments: list[Tensor],
    rule: UpdateRule,
    consolidation: ConsolidationFunction | None,
    step: _Step,
    group: dict[str, Any],
) -> None:
    for weight, slope, *block in blocks(parameter, gradient, *moments):
        slope = decayed(slope.to(weight.dtype), weight, group["weight_decay"])
        update = rule(slope, block, step.eps).divided()
        if consolidation is not None:
            update = consolidate(update, weight, group["metaplasticity"], consolidation)
        weight.add_(update, alpha=-step.size)
