"""The metaplastic optimizers: Adam and SGD whose steps consolidated synapses resist."""

import abc
import enum
import math
import warnings
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.optimizer import ParamsT

from metaplastic.choices import choose
from metaplastic.optim.consolidation import PUBLISHED, ConsolidationFunction, consolidate, named
from metaplastic.optim.parameters import UnmarkedParameterWarning, is_damped, require_hidden_weights, unmarked


class EpsPlacement(enum.StrEnum):
    """Where Adam adds eps, relative to the bias correction of the second moment."""

    BEFORE_CORRECTION = "before-correction"
    """To the root of the raw moment, as PyTorch 1.1 and the authors' code; stronger by 1/sqrt(1 - b2^t) at step t."""
    AFTER_CORRECTION = "after-correction"
    """To the root of the corrected moment, as `torch.optim.Adam` today."""


def decayed(
    gradient: Float[Tensor, "*weight"], parameter: Float[Tensor, "*weight"], weight_decay: float
) -> Float[Tensor, "*weight"]:
    """Add the gradient of weight_decay/2 |W|^2, without touching the caller's gradient.

    Args:
        gradient: Gradient of the loss, any shape.
        parameter: The parameter W, same shape.
        weight_decay: Strength of the L2 penalty, from 0.

    Returns:
        The gradient itself when there is no decay, else a new tensor.
    """
    return gradient.add(parameter, alpha=weight_decay) if weight_decay != 0 else gradient


def bias_correction(step: int, betas: tuple[float, float], eps: float, placement: EpsPlacement) -> tuple[float, float]:
    """Give the two numbers by which one step of Adam differs from another.

        s = sqrt(1 - b2^t) / (1 - b1^t)        U = s a / (sqrt(v) + e)

        t: step, b1, b2: betas, a, v: the moments, U: the update, s and e: the numbers returned

    Args:
        step: Number t of the step, from 1.
        betas: Decay rates of the two moments, in [0, 1).
        eps: What keeps the denominator from 0, from 0, in units of the gradient.
        placement: Where eps is added.

    Returns:
        The scale s and the eps e to add to the root of the raw second moment: `eps` itself before the correction,
        `eps` sqrt(1 - b2^t) after it.

    Example:
        >>> scale, eps = bias_correction(1, (0.9, 0.999), 1e-8, EpsPlacement.AFTER_CORRECTION)
        >>> round(scale, 4), round(1e-8 / eps, 1)
        (0.3162, 31.6)
    """
    root = math.sqrt(1 - betas[1] ** step)
    return root / (1 - betas[0] ** step), eps if placement is EpsPlacement.BEFORE_CORRECTION else eps * root


def moment_ratio(
    first_moment: Float[Tensor, "*weight"], second_moment: Float[Tensor, "*weight"], eps: float
) -> Float[Tensor, "*weight"]:
    """Give Adam's update up to the scale of its step: a / (sqrt(v) + eps).

    Args:
        first_moment: Moving average a of the gradient, any shape.
        second_moment: Moving average v of its square, same shape, not negative.
        eps: What keeps the denominator from 0.

    Returns:
        A new tensor of the same shape, with the signs of the first moment.
    """
    return first_moment / second_moment.sqrt().add_(eps)


class _MetaplasticOptimizer(Optimizer, abc.ABC):
    """What the metaplastic optimizers share: everything but the update that is to be consolidated."""

    def __init__(self, params: ParamsT, defaults: dict[str, Any]) -> None:
        super().__init__(params, defaults | {"all_hidden": False})
        # Keyed by identity, because comparing tensors compares their values.
        self._warned: weakref.WeakValueDictionary[int, Tensor] = weakref.WeakValueDictionary()
        require_hidden_weights(self.param_groups)
        for group in self.param_groups:
            self._warn_of_unmarked(group)

    @abc.abstractmethod
    def _begin_step(self, parameter: Tensor, state: dict[str, Tensor], group: dict[str, Any]) -> dict[str, Tensor]:
        """Make the state of a parameter if it is new, count the step, and give what has the parameter's shape."""

    @abc.abstractmethod
    def _update(
        self, gradient: Tensor, moments: dict[str, Tensor], state: dict[str, Tensor], group: dict[str, Any]
    ) -> tuple[Tensor, float]:
        """Move the moments of a block of a parameter; give its update and the size of the step along it."""

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
        state, damped = self.state[parameter], is_damped(parameter, group)
        moments = self._begin_step(parameter, state, group)
        for weight, slope, *block in _blocks(parameter, gradient, *moments.values()):
            slope = decayed(slope, weight, group["weight_decay"])
            update, size = self._update(slope, dict(zip(moments, block, strict=True)), state, group)
            if damped:
                update = consolidate(update, weight, group["metaplasticity"], group["consolidation"])
            weight.add_(update, alpha=-size)

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

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        # Also called by load_state_dict, where the parameters stay what they are.
        self.__dict__.setdefault("_warned", weakref.WeakValueDictionary())


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

    def _begin_step(self, parameter: Tensor, state: dict[str, Tensor], group: dict[str, Any]) -> dict[str, Tensor]:
        # Created at the first gradient and not in the constructor, because loops clear the state and add parameters.
        if len(state) == 0:
            # On the CPU, so that reading it does not wait for a device.
            state["step"] = torch.zeros((), dtype=torch.float32, device="cpu")
            state["first_moment"] = torch.zeros_like(parameter, memory_format=torch.preserve_format)
            state["second_moment"] = torch.zeros_like(parameter, memory_format=torch.preserve_format)
        state["step"] += 1
        return {name: state[name] for name in ("first_moment", "second_moment")}

    def _update(
        self, gradient: Tensor, moments: dict[str, Tensor], state: dict[str, Tensor], group: dict[str, Any]
    ) -> tuple[Tensor, float]:
        betas = group["betas"]
        first, second = moments["first_moment"], moments["second_moment"]
        first.lerp_(gradient, 1 - betas[0])
        second.mul_(betas[1]).addcmul_(gradient, gradient, value=1 - betas[1])
        scale, eps = bias_correction(int(state["step"]), betas, group["eps"], group["eps_placement"])
        return moment_ratio(first, second, eps), group["lr"] * scale


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
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "weight_decay": weight_decay,
            "metaplasticity": metaplasticity,
            "consolidation": named(consolidation),
        }
        super().__init__(params, defaults)

    def _begin_step(self, parameter: Tensor, state: dict[str, Tensor], group: dict[str, Any]) -> dict[str, Tensor]:
        if group["momentum"] == 0:
            return {}
        if len(state) == 0:
            state["velocity"] = torch.zeros_like(parameter, memory_format=torch.preserve_format)
        return {"velocity": state["velocity"]}

    def _update(
        self, gradient: Tensor, moments: dict[str, Tensor], state: dict[str, Tensor], group: dict[str, Any]
    ) -> tuple[Tensor, float]:
        if not moments:
            return gradient, group["lr"]
        return moments["velocity"].mul_(group["momentum"]).add_(gradient), group["lr"]


# A step is made in blocks of about so many elements: they stay in the cache, and their temporaries are small enough
# for the allocator to hand out again, where large ones would be returned to the system and paid for in page faults.
_BLOCK = 2**16


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
