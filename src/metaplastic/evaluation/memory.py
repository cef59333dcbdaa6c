"""What training a network keeps in memory, to the byte."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from metaplastic.evaluation.json_record import JsonRecord
from metaplastic.hidden_weight import is_hidden_weight


@dataclass(frozen=True)
class Memory(JsonRecord):
    """Bytes that training keeps from one step to the next, in the precision in which they are kept.

    Samples, activations and gradients are not in it, nor copies that an engine keeps for speed.

    Args:
        hidden_weights: Of the hidden weights behind binary weights.
        other_parameters: Of the network's other parameters, e.g. gains and offsets of normalisation.
        buffers: Of what the network keeps beside parameters, e.g. statistics of normalisation, one set per task where
            they are kept per task.
        optimizer: Of the optimizer's state, e.g. both moments of Adam.
        learner: Of what the continual-learning method keeps, e.g. importances and old weights of EWC.
    """

    hidden_weights: int
    other_parameters: int
    buffers: int
    optimizer: int
    learner: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.hidden_weights + self.other_parameters + self.buffers + self.optimizer + self.learner


def training_memory(network: nn.Module, optimizer: torch.optim.Optimizer, learner: Mapping[str, Tensor]) -> Memory:
    """Count what training keeps in memory.

    Args:
        network: The network.
        optimizer: Holds its parameters; its state is what it is at this moment, empty before the first step.
        learner: The learner's state, name to tensor.

    Returns:
        Bytes.

    Example:
        >>> from metaplastic.nn import BinaryMLP
        >>> net = BinaryMLP([64, 10], "layer")
        >>> training_memory(net, torch.optim.SGD(net.parameters()), {}).hidden_weights
        2560
    """
    hidden = [parameter for parameter in network.parameters() if is_hidden_weight(parameter)]
    others = [parameter for parameter in network.parameters() if not is_hidden_weight(parameter)]
    state = [value for kept in optimizer.state.values() for value in kept.values() if isinstance(value, Tensor)]
    return Memory(_bytes(hidden), _bytes(others), _bytes(network.buffers()), _bytes(state), _bytes(learner.values()))


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
