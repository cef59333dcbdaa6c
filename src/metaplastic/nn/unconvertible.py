"""Why a layer cannot be made binary without changing more than its weights."""

from collections import Counter

from torch import Tensor, nn

from metaplastic.nn.conv import BinaryConv2d
from metaplastic.nn.linear import BinaryLinear
from metaplastic.nn.stacked import StackedLinear

_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


class Owners:
    """How many modules of a model hold each parameter.

    Args:
        model: Any module.
    """

    def __init__(self, model: nn.Module) -> None:
        modules = [*model.modules()]
        self._counts = Counter(id(value) for module in modules for value in module.parameters(recurse=False))

    def of(self, parameter: Tensor) -> int:
        """Count the modules that hold a parameter.

        Args:
            parameter: The parameter.

        Returns:
            Their number.
        """
        return self._counts[id(parameter)]


def why_not(model: nn.Module, name: str, layer: nn.Module, owners: Owners) -> str:
    """Say why a layer is left alone, whatever is asked for.

    Args:
        model: What holds it.
        name: Its dotted name.
        layer: A module with weights.
        owners: Who holds the parameters of the model.

    Returns:
        The reason; empty where there is none.

    Example:
        >>> model = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1, padding_mode="reflect"), nn.Linear(3, 2))
        >>> why_not(model, "0", model[0], Owners(model)), why_not(model, "1", model[1], Owners(model))
        ("padding_mode 'reflect'; binary convolutions pad with zeros", '')
    """
    kind = type(layer).__name__
    if isinstance(layer, BinaryLinear | BinaryConv2d | StackedLinear):
        return "binary already"
    if isinstance(layer, nn.modules.lazy.LazyModuleMixin) and layer.has_uninitialized_params():
        return "its shape is not known yet; run a batch through the model first"
    if not isinstance(layer, nn.Linear | nn.Conv2d):
        return f"there is no binary {kind}"
    if type(layer) not in (nn.Linear, nn.Conv2d):
        return f"{kind} is a class of its own, and may do more than multiply"
    parent = model.get_submodule(name.rpartition(".")[0])
    if type(parent).__module__.startswith("torch.nn.modules") and not isinstance(parent, _CONTAINERS):
        return f"{type(parent).__name__} reads its weight past its forward"
    if any((layer._forward_hooks, layer._forward_pre_hooks, layer._backward_hooks, layer._backward_pre_hooks)):
        return "it has hooks, which would be lost"
    if owners.of(layer.weight) > 1:
        return "its weight is shared with another module"
    if not layer.weight.is_floating_point():
        return f"its weight is of {layer.weight.dtype}"
    if isinstance(layer, nn.Conv2d) and layer.padding_mode != "zeros":
        return f"padding_mode {layer.padding_mode!r}; binary convolutions pad with zeros"
    return ""
