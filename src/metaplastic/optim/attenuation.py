"""How much a step that would weaken a synapse is damped, weight by weight, as things stand."""

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from metaplastic.hidden_weight import is_hidden_weight
from metaplastic.optim.beakers import BeakerAdam


def attenuation(network: nn.Module, optimizer: Optimizer) -> dict[str, Tensor]:
    """Value of the consolidation function at every hidden weight of a network.

    `f(m, W)` with m the metaplasticity and f the consolidation of the group that holds the weight W; for a chain of
    beakers W is the level of the last one.

    Args:
        network: Any module.
        optimizer: What trains it.

    Returns:
        By name of the parameter, from 0 (frozen) to 1 (free); 1 where the optimizer knows no metaplasticity.

    Example:
        >>> from metaplastic.hidden_weight import HiddenWeight
        >>> from metaplastic.optim.metaplastic import MetaplasticAdam
        >>> net = nn.Module()
        >>> net.weight = HiddenWeight(torch.tensor([0.0, 1.0]))
        >>> attenuation(net, MetaplasticAdam(net.parameters(), metaplasticity=1.0))["weight"]
        tensor([1.0000, 0.4200])
    """
    groups = {id(parameter): group for group in optimizer.param_groups for parameter in group["params"]}
    found = {}
    for name, parameter in network.named_parameters():
        if is_hidden_weight(parameter):
            group = groups.get(id(parameter), {})
            m, function = group.get("metaplasticity", 0.0), group.get("consolidation")
            level = _consolidated(parameter, optimizer)
            found[name] = function(level, m) if function and m else torch.ones_like(level)
    return found


def _consolidated(hidden_weight: Tensor, optimizer: Optimizer) -> Tensor:
    """Find what the consolidation function is given: the last beaker where there is a chain, else the weight."""
    if isinstance(optimizer, BeakerAdam):
        return optimizer.levels(hidden_weight)[-1]
    return hidden_weight.detach()
