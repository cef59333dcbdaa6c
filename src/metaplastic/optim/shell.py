"""What the optimizers of hidden weights share: their groups, what these are checked for, and the walk over them."""

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
from metaplastic.optim.consolidation import named
from metaplastic.optim.parameters import UnmarkedParameterWarning, require_hidden_weights, unmarked
from metaplastic.optim.update import EpsPlacement, UpdateRule, bias_correction
from metaplastic.storage import allocate_stream

Pair = tuple[Tensor, Tensor]
"""A parameter and its gradient."""


class HiddenWeightOptimizer(Optimizer, abc.ABC):
    """An optimizer that moves hidden weights in a way of their own: everything but that way.

    Args:
        params: Parameters or parameter groups, usually from `param_groups`.
        defaults: Options of groups that do not say, among them `metaplasticity` and `consolidation`.

    Raises:
        ValueError: When an option is out of range, or no parameter is a hidden weight.
    """

    def __init__(self, params: ParamsT, defaults: dict[str, Any]) -> None:
        super().__init__(params, defaults | {"all_hidden": False})
        # Keyed by identity, because comparing tensors compares their values.
        self._warned: weakref.WeakValueDictionary[int, Tensor] = weakref.WeakValueDictionary()
        require_hidden_weights(self.param_groups)
        for group in self.param_groups:
            self._warn_of_unmarked(group)

    @abc.abstractmethod
    def _move(self, pairs: list[Pair], group: dict[str, Any]) -> None:
        """Make one step of a group, in place: parameters and their gradients, dense and real, which are left alone."""

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
        if "eps_placement" in param_group:
            placement = choose(EpsPlacement, param_group["eps_placement"], "eps_placement")
            param_group = param_group | {"eps_placement": placement}
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
            pairs = [(parameter, parameter.grad) for parameter in group["params"] if parameter.grad is not None]
            for _, gradient in pairs:
                _require_dense(gradient)
            self._move(pairs, group)
        return loss

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


def moments_of(parameter: Tensor, rule: UpdateRule, state: dict[str, Tensor]) -> list[Tensor]:
    """Find what a rule remembers of a parameter, at first nothing.

    Args:
        parameter: The parameter, position 0 among the streams of its step; its gradient has position 1.
        rule: Names the moments.
        state: The optimizer's state of the parameter, which keeps them.

    Returns:
        The moments, in the order of the rule.
    """
    # Created at the first gradient and not in the constructor, because loops clear the state and add parameters.
    for position, name in enumerate(rule.moments, start=2):
        if name not in state:
            state[name] = allocate_stream(parameter.detach(), position).zero_()
    return [state[name] for name in rule.moments]


def begin_adam_step(state: dict[str, Tensor], group: dict[str, Any]) -> tuple[float, float]:
    """Count a step of Adam.

    Args:
        state: The optimizer's state of a parameter, which keeps the count.
        group: The parameter's group.

    Returns:
        The size of the step, and what `AdamUpdate` adds to its denominator.
    """
    if "step" not in state:
        # On the CPU, so that reading it does not wait for a device.
        state["step"] = torch.zeros((), dtype=torch.float32, device="cpu")
    state["step"] += 1
    scale, eps = bias_correction(int(state["step"]), group["betas"], group["eps"], group["eps_placement"])
    return group["lr"] * scale, eps


# A step is made in blocks of about so many elements: they stay in the cache, and their temporaries are small enough
# for the allocator to hand out again, where large ones would be returned to the system and paid for in page faults.
_BLOCK = 2**16


def blocks(*tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Cut tensors of one shape into the same blocks of rows; beyond the CPU all rows are one block.

    Args:
        *tensors: The tensors.

    Returns:
        Views of all of them, block after block.
    """
    if tensors[0].device.type != "cpu":
        return iter([tensors])
    rows = [tensor.view(1) if tensor.dim() == 0 else tensor for tensor in tensors]
    height = max(1, _BLOCK * len(rows[0]) // max(1, rows[0].numel()))
    return zip(*(tensor.split(height) for tensor in rows), strict=True)


def _require_dense(gradient: Tensor) -> None:
    if gradient.layout is not torch.strided or not gradient.is_floating_point():
        raise TypeError(
            f"expected a dense real gradient, got layout {gradient.layout} and dtype {gradient.dtype}; "
            "train that parameter with another optimizer, or give its layer sparse=False"
        )


# Options by the range they must lie in; comparisons are written so that NaN fails them.
_FROM_ZERO = ("lr", "eps", "weight_decay", "metaplasticity")
_BELOW_ONE = {"momentum": (1, "momentum"), "betas": (2, "two betas")}
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
    for name, (numbers, expected) in _BELOW_ONE.items():
        value = options.get(name, (0.0,) * numbers)
        rates = value if isinstance(value, tuple | list) else (value,)
        if len(rates) != numbers or not all(0 <= rate < 1 for rate in rates):
            raise ValueError(f"expected {expected} in [0, 1), got {value}; {_ADVICE[name]}")
    function = options["consolidation"]
    if isinstance(function, type) or not callable(function):
        raise ValueError(
            f"expected a consolidation function, got {function!r}; pass a value such as TanhSquared(), or look a name "
            "up in CONSOLIDATION_FUNCTIONS"
        )
