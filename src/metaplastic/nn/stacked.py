"""Several networks of one shape as one, so that what is small is computed together."""

import itertools
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn
from torch.nn import functional

from metaplastic.hidden_weight import HiddenWeight
from metaplastic.nn.integer_product import IntegerProduct
from metaplastic.nn.linear import BinaryLinear
from metaplastic.nn.networks import BinaryMLP
from metaplastic.nn.normalization import Normalization
from metaplastic.nn.sign import binary_sign


class StackedLinear(nn.Module):
    r"""Binary linear layers side by side, each on its own part of the input.

    .. math:: y_s = \hat x_s \, \mathrm{sign}(W_s)^T \qquad \text{for each member } s

    Args:
        layers: The layers, of one shape and kind. Their weights become views of those of the stack, so that both stay
            the same whichever is trained.

    Raises:
        ValueError: When the layers differ in more than their weights.

    Deviation from the paper and the authors' code: not in either.
    """

    def __init__(self, layers: Sequence[BinaryLinear]) -> None:
        super().__init__()
        first = layers[0]
        kinds = {(layer.in_features, layer.out_features, layer.binarize_input) for layer in layers}
        gradients = {(layer.weight_pseudo_gradient, layer.input_pseudo_gradient) for layer in layers}
        if len(kinds) > 1 or len(gradients) > 1:
            raise ValueError(f"expected layers of one shape and kind, got {sorted(kinds)}; stack equal networks only")
        self.members = len(layers)
        self.in_features, self.out_features = first.in_features, first.out_features
        self.binarize_input = first.binarize_input
        self.weight_pseudo_gradient = first.weight_pseudo_gradient
        self.input_pseudo_gradient = first.input_pseudo_gradient
        trained = first.weight.requires_grad
        self.weight = HiddenWeight(torch.stack([layer.weight.detach() for layer in layers]), trained)
        # Put here by the fast engine, for as long as it is at work.
        self.product: IntegerProduct | None = None
        for layer, weight in zip(layers, self.weight.detach(), strict=True):
            layer.weight = HiddenWeight(weight, trained)

    def forward(self, x: Shaped[Tensor, "batch members_in"]) -> Float[Tensor, "batch members_out"]:
        """Multiply each member's part by its binary weights.

        Args:
            x: `[batch, members * in_features]`.

        Returns:
            `[batch, members * out_features]`.
        """
        if self.product is not None and self.product.serves(self.weight, x):
            return self.product(x)
        if self.binarize_input:
            x = binary_sign(x, self.input_pseudo_gradient)
        parts = x.unflatten(1, (self.members, self.in_features)).transpose(0, 1)
        weights = binary_sign(self.weight, self.weight_pseudo_gradient)
        return torch.bmm(parts, weights.transpose(1, 2)).transpose(0, 1).flatten(1)

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what belongs to an engine: a copy of the layer is not at work."""
        return self.__dict__ | {"product": None}

    def extra_repr(self) -> str:
        """Show the number of members and their widths."""
        return f"{self.members} x ({self.in_features}, {self.out_features}), binarize_input={self.binarize_input}"


class StackedMLP(nn.Module):
    """Binary networks of one shape side by side: each sees its own part of the input and gives its own logits.

    What the members compute is what each would alone, and their parameters and statistics are views of those of the
    stack: training the stack trains them, testing or saving one of them needs nothing else. What `keep_task` keeps of a
    stack is the stack's alone: call it on the members too where statistics are kept per task. One network of a small
    width leaves most of its time to dispatching; a stack dispatches once for all.

    Args:
        networks: The members, at least one; their parameters and statistics are put in the stack's memory.

    Raises:
        ValueError: When they differ in more than their weights, hold layers that cannot be stacked, or have kept a
            state for a task.

    Example:
        >>> members = [BinaryMLP([64, 16, 10], norm="layer") for _ in range(3)]
        >>> stack = StackedMLP(members)
        >>> x = torch.rand(5, 3 * 64)
        >>> logits = stack(x)
        >>> bool((logits[:, 10:20] == members[1](x[:, 64:128])).all())
        True

    Deviation from the paper and the authors' code: not in either.
    """

    def __init__(self, networks: Sequence[BinaryMLP]) -> None:
        super().__init__()
        if not networks:
            raise ValueError("expected at least one network to stack, got none")
        self.members = len(networks)
        self.layers = nn.Sequential(
            *(_stacked(layers) for layers in itertools.zip_longest(*(network.layers for network in networks)))
        )

    def forward(self, x: Shaped[Tensor, "batch ..."]) -> Float[Tensor, "batch members_out"]:
        """Compute the logits of all members.

        Args:
            x: `[batch, members * in_features]`.

        Returns:
            `[batch, members * out_features]`.
        """
        return self.layers(x.flatten(1))

    def part(self, stacked: Tensor, member: int) -> Tensor:
        """Find what belongs to a member in a tensor that lies as one of the stack's parameters does.

        Args:
            stacked: A parameter, or what has its shape; what has no dimension belongs to all.
            member: Index of the member.

        Returns:
            A view.
        """
        if stacked.dim() == 0:
            return stacked
        return stacked[member] if stacked.dim() == 3 else stacked.chunk(self.members)[member]


def _stacked(layers: Sequence[nn.Module | None]) -> nn.Module:
    if all(isinstance(layer, BinaryLinear) for layer in layers):
        return StackedLinear(layers)  # type: ignore[arg-type]
    if all(isinstance(layer, Normalization) for layer in layers):
        return _stacked_normalization(layers)  # type: ignore[arg-type]
    kinds = sorted({type(layer).__name__ for layer in layers})
    raise ValueError(
        f"expected networks of binary linear layers and normalisations, one like the other, got {', '.join(kinds)} at "
        "one depth; train such networks one after another"
    )


def _stacked_normalization(layers: Sequence[Normalization]) -> Normalization:
    first, members = layers[0], len(layers)
    if any((layer.policy, layer.features) != (first.policy, first.features) for layer in layers):
        raise ValueError("expected normalisations of one policy and width to stack; stack equal networks only")
    if any(len(layer.kept_tasks) for layer in layers):
        raise ValueError(
            "expected networks to stack that kept no state for a task, got one that did; stack them before they learn"
        )
    whole = Normalization(members * first.features, first.policy, groups=members).to(first.mean)
    with torch.no_grad():
        for name in ("gain", "offset"):
            parameter = getattr(first, name)
            if parameter is not None:
                stacked = getattr(whole, name).requires_grad_(parameter.requires_grad)
                stacked.copy_(torch.cat([getattr(layer, name) for layer in layers]))
                for layer, part in zip(layers, stacked.detach().chunk(members), strict=True):
                    setattr(layer, name, nn.Parameter(part, parameter.requires_grad))
        for name in ("mean", "variance"):
            getattr(whole, name).copy_(torch.cat([getattr(layer, name) for layer in layers]))
            for layer, part in zip(layers, getattr(whole, name).chunk(members), strict=True):
                setattr(layer, name, part)
    return whole


def member_cross_entropy(
    logits: Float[Tensor, "batch members_out"], labels: Shaped[Tensor, "batch members"]
) -> Float[Tensor, " members"]:
    """Compute the loss of every member of a stack.

    Args:
        logits: `[batch, members * out_features]`.
        labels: `[batch, members]`.

    Returns:
        `[members]`: mean cross-entropies; the gradient of their sum is for each member that of its own loss.
    """
    members = labels.shape[1]
    each = functional.cross_entropy(
        logits.unflatten(1, (members, -1)).flatten(0, 1), labels.flatten(), reduction="none"
    )
    return each.unflatten(0, (-1, members)).mean(0)
