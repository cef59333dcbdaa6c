"""The mark that tells a hidden weight from every other parameter."""

from torch import Tensor, nn


class HiddenWeight(nn.Parameter):
    """A parameter whose magnitude is read as the degree of consolidation of its synapses.

    In a binary layer it is the real weight behind each binary one: the layer computes with its sign, the optimizer
    moves its value. The type itself is the mark, so it survives `deepcopy`, `Module.to` and `load_state_dict`, and
    needs no attribute on a tensor and no table beside the network. What makes new parameters, as
    `load_state_dict(assign=True)` and `to_empty` do, loses it; the optimizers then refuse the network.

    Args:
        data: Initial values, any shape.
        requires_grad: Whether gradients are recorded for it.

    Example:
        >>> import torch
        >>> weight = HiddenWeight(torch.zeros(3, 2))
        >>> isinstance(weight, nn.Parameter), isinstance(weight, HiddenWeight)
        (True, True)

    Deviation from the authors' code: there the hidden weight is an attribute `org` of a parameter whose own values
    are overwritten by their signs in every forward pass, so that saving the network loses the hidden weights.
    """

    def __new__(cls, data: Tensor, requires_grad: bool = True) -> "HiddenWeight":
        """Wrap `data` without copying it."""
        return super().__new__(cls, data, requires_grad)

    def __reduce_ex__(self, protocol: object) -> tuple[type["HiddenWeight"], tuple[Tensor, bool]]:
        """Keep the type when sent to another process; `nn.Parameter` would come back unmarked."""
        return type(self), (self.data, self.requires_grad)


def is_hidden_weight(parameter: Tensor) -> bool:
    """Tell whether a parameter is marked as a hidden weight.

    Args:
        parameter: Any tensor.

    Returns:
        True for a `HiddenWeight`.
    """
    return isinstance(parameter, HiddenWeight)


def hidden_weights(network: nn.Module) -> dict[str, Tensor]:
    """List the hidden weights of a network.

    Args:
        network: Any module.

    Returns:
        By name, in the order of `network.named_parameters()`: the values themselves, cut off from gradients.
    """
    return {name: value.detach() for name, value in network.named_parameters() if is_hidden_weight(value)}
