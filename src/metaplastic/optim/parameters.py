"""Which parameters are hidden weights, and how metaplastic each of them is."""

from collections.abc import Iterable
from typing import Any

from torch import Tensor, nn

from metaplastic.hidden_weight import is_hidden_weight


class UnmarkedParameterWarning(UserWarning):
    """A parameter that is not a hidden weight sits in a group with metaplasticity, and is trained without it."""


def param_groups(
    net: nn.Module, metaplasticity: float | Iterable[float] = 1.35, **options: object
) -> list[dict[str, Any]]:
    """Sort the parameters of a network into those with metaplasticity and those without.

    Hidden weights come first, in the order of `net.parameters()`: in one group when `metaplasticity` is a number, in
    one group each when it is a sequence. Every other parameter (gains, offsets, biases) is in the last group, whose
    metaplasticity is 0; a network without other parameters has no such group.

    Args:
        net: A network whose binary layers hold `HiddenWeight` parameters.
        metaplasticity: Strength m of the consolidation, from 0, per unit of hidden weight; or one such number per
            hidden weight, first layer first.
        **options: Options of the optimizer that all groups share, e.g. `weight_decay`. To keep one from the other
            parameters, change the last group.

    Returns:
        Parameter groups for `MetaplasticAdam` or `MetaplasticSGD`.

    Raises:
        ValueError: When the network has no hidden weight, or not as many as `metaplasticity` has numbers.

    Example:
        >>> import torch
        >>> from metaplastic.hidden_weight import HiddenWeight
        >>> net = nn.BatchNorm1d(3)
        >>> net.hidden = HiddenWeight(torch.zeros(3, 2))
        >>> [(group["metaplasticity"], len(group["params"])) for group in param_groups(net, 1.35)]
        [(1.35, 1), (0.0, 2)]

    References:
        Laborieux et al. 2021, doi 10.1038/s41467-021-22768-y: normalisation gain and offset are never attenuated.

    Deviation from the authors' code: there every tensor that is not one-dimensional is metaplastic, and its layer is
    read from the tenth character of its name, which breaks beyond nine layers. Here the type of the parameter and the
    order of the layers decide.
    """
    parameters = list(net.parameters())
    hidden = [parameter for parameter in parameters if is_hidden_weight(parameter)]
    others = [parameter for parameter in parameters if not is_hidden_weight(parameter)]
    if not hidden:
        raise ValueError(
            f"expected a network with hidden weights, got {type(net).__name__} with {len(others)} parameters and no "
            "HiddenWeight; build it from binary layers, or pass groups of your own with all_hidden=True"
        )
    groups = [
        {"params": members, "metaplasticity": strength, **options}
        for members, strength in _with_strength(hidden, metaplasticity)
    ]
    return [*groups, {"params": others, "metaplasticity": 0.0, **options}] if others else groups


def _with_strength(
    hidden: list[nn.Parameter], metaplasticity: float | Iterable[float]
) -> list[tuple[list[nn.Parameter], float]]:
    """Pair hidden weights with their metaplasticity: all with one number, or each with its own."""
    if not isinstance(metaplasticity, Iterable):
        return [(hidden, metaplasticity)]
    metaplasticity = [float(strength) for strength in metaplasticity]
    if len(metaplasticity) != len(hidden):
        raise ValueError(
            f"expected one metaplasticity per hidden weight, {len(hidden)}, got {len(metaplasticity)}; "
            "give a single number to use it in every layer"
        )
    return [([weight], strength) for weight, strength in zip(hidden, metaplasticity, strict=True)]


def is_hidden(parameter: Tensor, group: dict[str, Any]) -> bool:
    """Tell whether the optimizer takes a parameter for a hidden weight: by its mark, or because the group says so.

    Args:
        parameter: A member of the group.
        group: A parameter group of a metaplastic optimizer.

    Returns:
        True for a `HiddenWeight`, and for every member of a group with `all_hidden`.
    """
    return group["all_hidden"] or is_hidden_weight(parameter)


def is_damped(parameter: Tensor, group: dict[str, Any]) -> bool:
    """Tell whether the optimizer damps a parameter: only hidden weights, unless the group says all of them are.

    Args:
        parameter: A member of the group.
        group: A parameter group of a metaplastic optimizer.

    Returns:
        True when its steps are consolidated.
    """
    return group["metaplasticity"] > 0 and is_hidden(parameter, group)


def unmarked(group: dict[str, Any]) -> list[Tensor]:
    """Find the parameters for which a group's metaplasticity has no effect.

    Args:
        group: A parameter group of a metaplastic optimizer.

    Returns:
        Its members that are not damped although the group has a metaplasticity; empty when it has none.
    """
    if group["metaplasticity"] == 0 or group["all_hidden"]:
        return []
    return [parameter for parameter in group["params"] if not is_hidden_weight(parameter)]


def require_hidden_weights(groups: list[dict[str, Any]]) -> None:
    """Refuse parameter groups among which no parameter could ever be consolidated.

    Args:
        groups: Parameter groups of a metaplastic optimizer.

    Raises:
        ValueError: When none holds a hidden weight and none has `all_hidden`.
    """
    if any(group["all_hidden"] or any(map(is_hidden_weight, group["params"])) for group in groups):
        return
    count = sum(len(group["params"]) for group in groups)
    raise ValueError(
        f"expected at least one hidden weight, got {count} parameters and no HiddenWeight among them; build the "
        "network from binary layers, or pass a group with all_hidden=True to treat all of its parameters as hidden"
    )
