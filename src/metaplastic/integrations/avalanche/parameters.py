"""Parameters that a model gained or replaced, and the group of the optimizer that each of them belongs to."""

from collections.abc import Mapping
from typing import Any

from torch import nn

from metaplastic.hidden_weight import is_hidden_weight
from metaplastic.optim.shell import HiddenWeightOptimizer


def adopt(
    optimizer: HiddenWeightOptimizer, network: nn.Module, known: Mapping[str, nn.Parameter] | None = None
) -> dict[str, nn.Parameter]:
    """Bring the groups of an optimizer up to date with a network, hidden weights among hidden weights.

    A parameter that takes the place of another, as where a layer grew, takes its place in the group, without its
    state. A new one joins the group that holds the parameter of its kind, hidden weight or not, whose name is most like
    its own: agrees with it at most places between the dots. Where no group holds one of its kind, it gets a group of
    its own, without metaplasticity unless it is a hidden weight.

    Args:
        optimizer: Its groups are changed in place.
        network: The network as it is now.
        known: Parameters by name as they were when the groups were right for the last time; None where they never were.

    Returns:
        Parameters by name as they are now: what the next call takes for `known`.

    Example:
        >>> from metaplastic.nn import BinaryLinear, Normalization, NormPolicy
        >>> from metaplastic.optim import MetaplasticAdam
        >>> net = nn.Sequential(BinaryLinear(4, 3, binarize_input=False), Normalization(3, NormPolicy()))
        >>> optimizer = MetaplasticAdam([net[0].weight], metaplasticity=1.35)
        >>> known = adopt(optimizer, net)
        >>> [(group["metaplasticity"], len(group["params"])) for group in optimizer.param_groups]
        [(1.35, 1), (0.0, 2)]

    Deviation from Avalanche 0.6: its `update_optimizer` puts new parameters into the only group whatever they are, asks
    in what module they are where there are several groups, and gives up where that module has parameters in two.
    """
    now = dict(network.named_parameters())
    for name, old in (known or {}).items():
        if name in now and now[name] is not old:
            _replace(optimizer, old, now[name])
    held = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    for name, parameter in now.items():
        if id(parameter) not in held:
            _add(optimizer, name, now)
    return now


def _replace(optimizer: HiddenWeightOptimizer, old: nn.Parameter, new: nn.Parameter) -> None:
    for group in optimizer.param_groups:
        group["params"][:] = [new if parameter is old else parameter for parameter in group["params"]]
    optimizer.state.pop(old, None)


def _add(optimizer: HiddenWeightOptimizer, name: str, now: Mapping[str, nn.Parameter]) -> None:
    """Add a parameter to the group of its nearest relative."""
    new = now[name]
    names = {id(parameter): other for other, parameter in now.items()}
    relatives = [
        (_likeness(name, names[id(parameter)]), group)
        for group in optimizer.param_groups
        for parameter in group["params"]
        if id(parameter) in names and is_hidden_weight(parameter) == is_hidden_weight(new)
    ]
    if relatives:
        nearest: dict[str, Any] = max(relatives, key=lambda relative: relative[0])[1]
        nearest["params"].append(new)
    else:
        optimizer.add_param_group({"params": [new]} | ({} if is_hidden_weight(new) else {"metaplasticity": 0.0}))


def _likeness(name: str, other: str) -> int:
    """Count the places between dots at which two names agree."""
    return sum(one == another for one, another in zip(name.split("."), other.split("."), strict=False))
