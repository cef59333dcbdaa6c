"""The weights that penalties hold on to: which parameters, and which of their two faces."""

import enum
from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn

from metaplastic.choices import choose
from metaplastic.nn import BinaryConv2d, BinaryLinear, Normalization, StackedMLP, binary_sign


class Weights(enum.StrEnum):
    """Which face of a binary synapse is meant. The weights of layers without signs have one face, their value."""

    BINARY = "binary"
    """The sign, which the forward pass uses. It changes by 2 or not at all, so nothing is felt until it flips."""
    HIDDEN = "hidden"
    """The hidden weight, which the optimizer moves."""


_NORMALIZATIONS = (Normalization, nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)


class ConsolidatedWeights:
    """The parameters of a network that a method consolidates, and their values as it looks at them.

    Gains and offsets of normalisations, torch's too, are left out, as in the authors' code: they are kept per task, or
    shared on purpose. Everything else that is trained is in, biases too.

    Args:
        network: Any module.
        weights: Which face of its binary synapses is looked at.

    Raises:
        ValueError: When nothing is left to consolidate, and for a stack of networks, whose losses a penalty would mix.

    Example:
        >>> from metaplastic.nn import BinaryMLP
        >>> weights = ConsolidatedWeights(BinaryMLP([4, 3, 2]), Weights.BINARY)
        >>> {name: value.abs().unique().tolist() for name, value in weights.values().items()}
        {'layers.0.weight': [1.0], 'layers.2.weight': [1.0]}
    """

    def __init__(self, network: nn.Module, weights: Weights | str) -> None:
        if isinstance(network, StackedMLP):
            raise ValueError(
                f"expected one network, got a stack of {network.members}, whose losses a penalty would mix; train its "
                "members one after another"
            )
        weights = choose(Weights, weights)
        binary = {id(module.weight) for module in network.modules() if isinstance(module, BinaryLinear | BinaryConv2d)}
        normalizing = {
            id(parameter)
            for module in network.modules()
            if isinstance(module, _NORMALIZATIONS)
            for parameter in module.parameters()
        }
        self.parameters: Mapping[str, nn.Parameter] = {
            name: parameter
            for name, parameter in network.named_parameters()
            if parameter.requires_grad and id(parameter) not in normalizing
        }
        self._signs = {
            name for name, parameter in self.parameters.items() if weights is Weights.BINARY and id(parameter) in binary
        }
        if not self.parameters:
            raise ValueError(
                f"expected a network with trained weights to consolidate, got {type(network).__name__} without any; "
                "give it layers whose weights require gradients, and do not freeze them (--no-frozen)"
            )

    def seen(self, name: str, values: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """See values of a parameter as the method does.

        Args:
            name: Name of the parameter.
            values: Values that it has or had.

        Returns:
            A new tensor of their signs, or the values themselves.
        """
        return binary_sign(values.detach()) if name in self._signs else values.detach()

    @torch.no_grad()
    def values(self) -> dict[str, Tensor]:
        """Copy the current values.

        Returns:
            A new tensor per parameter, by name.
        """
        return {name: self.seen(name, parameter).clone() for name, parameter in self.parameters.items()}
