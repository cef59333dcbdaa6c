"""The metaplastic optimizers: Adam and SGD whose steps consolidated synapses resist."""

import abc
import math
import warnings
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.optimizer import ParamsT

from metaplastic.choices import choose
from metaplastic.hidden_weight import is_hidden_weight
from metaplastic.optim.consolidation import PUBLISHED, ConsolidationFunction, consolidate, named
from metaplastic.optim.fused import FusedPass, PassKind, fused_pass, numbers_of_step
from metaplastic.optim.parameters import UnmarkedParameterWarning, is_damped, require_hidden_weights, unmarked
from metaplastic.optim.update import AdamUpdate, EpsPlacement, SGDUpdate, UpdateRule, bias_correction, decayed
from metaplastic.storage import BinaryCopies, allocate_stream


class _MetaplasticOptimizer(Optimizer, abc.ABC):
    """What the metaplastic optimizers share: everything but the update that is to be consolidated."""

    fused: bool
    """Whether steps are made in a compiled pass; it may be changed between any two of them."""
    copies: dict[Tensor, BinaryCopies]
    """Binary copies of hidden weights that a fused step writes along with the weight."""

    def __init__(self, params: ParamsT, defaults: dict[str, Any], fused: bool) -> None:
        super().__init__(params, defaults | {"all_hidden": False})
        self.fused = fused
        self.copies = {}
        # Keyed by identity, because comparing tensors compares their values.
        self._warned: weakref.WeakValueDictionary[int, Tensor] = weakref.WeakValueDictionary()
        require_hidden_weights(self.param_groups)
        for group in self.param_groups:
            self._warn_of_unmarked(group)

    @abc.abstractmethod
    def _rule(self, group: dict[str, Any]) -> UpdateRule:
        """Give the rule of a group's updates."""

    @abc.abstractmethod
    def _begin_step(self, state: dict[str, Tensor], group: dict[str, Any]) -> tuple[float, float]:
        """Count a step of a parameter; give its size and what the rule adds to a denominator."""

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a parameter group.

        Args:
            param_group: The parameters under `params`, and any option of the optimizer; options it does not name are
                those of the constructor. `all_hidden=True` treats every parameter of the group as a hidden weight.

        Raises:
            ValueError: When an option is out of range.
        """
        if "consolidation" in param_group:
            param_group = param_group | {"consolidation": named(param_group["consolidation"])}
        _check(self.defaults | param_group)
        super().add_param_group(param_group)

    @torch.no_grad()
    def step(self, closure: Callable[[], Tensor | float] | None = None) -> Tensor | float | None:  # type: ignore[override]
        """Move every parameter that has a gradient.

        Args:
            closure: Computes the loss and its gradients anew, optional.

        Returns:
            What the closure returned.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            self._warn_of_unmarked(group)
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._move(parameter, parameter.grad, group)
        return loss

    def _move(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        if gradient.layout is not torch.strided or not gradient.is_floating_point():
            raise TypeError(
                f"expected a dense real gradient, got layout {gradient.layout} and dtype {gradient.dtype}; "
                "train that parameter with another optimizer, or give its layer sparse=False"
            )
        rule, state = self._rule(group), self.state[parameter]
        # Created at the first gradient and not in the constructor, because loops clear the state and add parameters.
        for position, name in enumerate(rule.moments, start=2):
            if name not in state:
                state[name] = allocate_stream(parameter.detach(), position).zero_()
        moments = [state[name] for name in rule.moments]
        size, eps = self._begin_step(state, group)
        fused = self._fused_pass(parameter, gradient.dtype, group) if self.fused else None
        if fused is None or not all(tensor.is_contiguous() for tensor in (gradient, *moments)):
            consolidation = group["consolidation"] if is_damped(parameter, group) else None
            _move_in_blocks(parameter, gradient, moments, rule, consolidation, size, eps, group)
            return
        copies = self.copies.get(parameter)
        signs = copies.tensors() if copies else ()
        weight, slope, *flat = (tensor.detach().view(-1) for tensor in (parameter, gradient, *moments))
        numbers = numbers_of_step(size, eps, group["weight_decay"], group["metaplasticity"])
        fused(weight, slope, flat, [sign.view(-1) for sign in signs], numbers)
        if copies:
            copies.mark_written()

    def compile(self) -> bool:
        """Compile what fused steps will need, now rather than at the first of them.

        Returns:
            Whether there is something to compile, and all of it could be.
        """
        passes = [
            self._fused_pass(parameter, parameter.grad_dtype or parameter.dtype, group)
            for group in self.param_groups
            for parameter in group["params"]
            if parameter.requires_grad and _can_fuse(parameter, group)
        ]
        return bool(passes) and all(found is not None for found in passes)

    def _fused_pass(self, parameter: Tensor, gradient_dtype: torch.dtype, group: dict[str, Any]) -> FusedPass | None:
        """Find the compiled pass for a parameter; None where there is none."""
        if not _can_fuse(parameter, group):
            return None
        copies = self.copies.get(parameter)
        kind = PassKind(
            self._rule(group),
            group["consolidation"] if is_damped(parameter, group) else None,
            parameter.dtype,
            gradient_dtype,
            tuple(sign.dtype for sign in copies.tensors()) if copies else (),
        )
        return fused_pass(kind)

    def _warn_of_unmarked(self, group: dict[str, Any]) -> None:
        """Say once per parameter that it is not damped; groups may have grown since they were added."""
        news = [parameter for parameter in unmarked(group) if id(parameter) not in self._warned]
        if not news:
            return
        self._warned.update((id(parameter), parameter) for parameter in news)
        warnings.warn(
            f"expected only hidden weights in a group with metaplasticity {group['metaplasticity']}, got {len(news)} "
            f"other parameters, the first of shape {tuple(news[0].shape)}; they are trained without metaplasticity. "
            "Pass metaplastic.param_groups(net, ...), or all_hidden=True in the group to damp them too",
            UnmarkedParameterWarning,
            stacklevel=4,
        )

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"fused": self.fused}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        # Also called by load_state_dict, where the parameters stay what they are.
        self.__dict__.setdefault("_warned", weakref.WeakValueDictionary())
        self.__dict__.setdefault("fused", False)
        self.__dict__.setdefault("copies", {})


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
        super().__init__(params, defaults, fused)

    def _rule(self, group: dict[str, Any]) -> UpdateRule:
        return AdamUpdate(tuple(group["betas"]))

    def _begin_step(self, state: dict[str, Tensor], group: dict[str, Any]) -> tuple[float, float]:
        if "step" not in state:
            # On the CPU, so that reading it does not wait for a device.
            state["step"] = torch.zeros((), dtype=torch.float32, device="cpu")
        state["step"] += 1
        scale, eps = bias_correction(int(state["step"]), group["betas"], group["eps"], group["eps_placement"])
        return group["lr"] * scale, eps


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
        super().__init__(params, defaults, fused)

    def _rule(self, group: dict[str, Any]) -> UpdateRule:
        return SGDUpdate(group["momentum"])

    def _begin_step(self, state: dict[str, Tensor], group: dict[str, Any]) -> tuple[float, float]:
        return group["lr"], 0.0


# A step is made in blocks of about so many elements: they stay in the cache, and their temporaries are small enough
# for the allocator to hand out again, where large ones would be returned to the system and paid for in page faults.
_BLOCK = 2**16


def _can_fuse(parameter: Tensor, group: dict[str, Any]) -> bool:
    """Tell whether a step of a parameter may be one compiled pass."""
    # What is no hidden weight, gains and offsets, is moved in less time than a compiled pass takes to be called. The
    # compiler treats a single element as a constant, and flat views need what lies in one piece.
    worth = group["all_hidden"] or is_hidden_weight(parameter)
    return worth and parameter.numel() > 1 and parameter.is_contiguous() and parameter.device.type == "cpu"


def _move_in_blocks(
    parameter: Tensor,
    gradient: Tensor,
    moments: list[Tensor],
    rule: UpdateRule,
    consolidation: ConsolidationFunction | None,
    size: float,
    eps: float,
    group: dict[str, Any],
) -> None:
    for weight, slope, *block in _blocks(parameter, gradient, *moments):
        slope = decayed(slope.to(weight.dtype), weight, group["weight_decay"])
        update = rule(slope, block, eps)
        if consolidation is not None:
            update = consolidate(update, weight, group["metaplasticity"], consolidation)
        weight.add_(update, alpha=-size)


def _blocks(*tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Cut tensors of one shape into the same blocks of rows, as views."""
    rows = [tensor.view(1) if tensor.dim() == 0 else tensor for tensor in tensors]
    height = max(1, _BLOCK * len(rows[0]) // max(1, rows[0].numel()))
    return zip(*(tensor.split(height) for tensor in rows), strict=True)


# Options by the range they must lie in; comparisons are written so that NaN fails them.
_FROM_ZERO = ("lr", "eps", "weight_decay", "metaplasticity")
_BELOW_ONE = ("momentum", "betas")
_ADVICE = {
    "lr": "the published runs use 0.005",
    "eps": "the usual value is 1e-8",
    "weight_decay": "use 0 for none; the published runs use 1e-7",
    "metaplasticity": "use 0 for no consolidation; 1.35 is usual at a learning rate of 0.005",
    "momentum": "use 0 for none",
    "betas": "the usual values are (0.9, 0.999)",
}


def _check(options: dict[str, Any]) -> None:
    """Refuse options outside their range; an optimizer without some option is not asked for it."""
    for name in _FROM_ZERO:
        if name in options and not 0 <= options[name] < math.inf:
            raise ValueError(f"expected {name} to be a finite number from 0, got {options[name]}; {_ADVICE[name]}")
    for name in _BELOW_ONE:
        value = options.get(name, 0.0)
        if not all(0 <= rate < 1 for rate in (value if isinstance(value, tuple | list) else (value,))):
            raise ValueError(f"expected {name} in [0, 1), got {value}; {_ADVICE[name]}")
    function = options["consolidation"]
    if isinstance(function, type) or not callable(function):
        raise ValueError(
            f"expected a consolidation function, got {function!r}; pass a value such as TanhSquared(), or look a name "
            "up in CONSOLIDATION_FUNCTIONS"
        )
