"""Squared gradients of single samples: what a Fisher information is made of."""

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping

import torch
from jaxtyping import Float, Int64, Shaped
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn import functional

from metaplastic.nn import BinaryLinear, Offset, RealLinear

_ELEMENTS = 2**24
"""Numbers that the gradients of the samples of one chunk may have together."""

_SAMPLES = 1000
"""Samples of a chunk where their gradients are never written out."""


class SampleGradients:
    r"""Gradients of the loss of single samples with respect to some parameters of a network in evaluation mode.

    Where all parameters are those of fully connected layers that see each sample once, no gradient of a sample needs to
    be written out. It is an outer product of what reaches the outputs from above and what the layer multiplies, so the
    squares are summed by a product of matrices:

    .. math:: \sum_n q_n (g_n x_n^T)^2 = (q \odot G^2)^T X^2

    and one backward pass serves all samples, since none of them depends on another. Elsewhere the gradient of every
    sample is written out, by a vectorised pass.

    Args:
        network: Maps inputs to logits; how it treats a sample must not depend on the others.
        parameters: Parameters by their names in the network.
        outputs: The outputs that are trained; None means all.
        example: `[batch, ...]`: an input or more, to see how the layers are used.
    """

    def __init__(
        self,
        network: nn.Module,
        parameters: Mapping[str, Tensor],
        outputs: tuple[int, ...] | None,
        example: Shaped[Tensor, "batch ..."],
    ) -> None:
        self.written_out = not _made_of_outer_products(network, parameters, example)
        self.network = network
        self.parameters = {name: parameter.detach() for name, parameter in parameters.items()}
        self.outputs = outputs
        self._of_each = vmap(grad(self._loss_of_one), in_dims=(None, 0, 0))

    @property
    def chunk(self) -> int:
        """Number of samples to be given at once."""
        elements = sum(parameter.numel() for parameter in self.parameters.values())
        return max(1, _ELEMENTS // elements) if self.written_out else _SAMPLES

    def squares(
        self, inputs: Shaped[Tensor, "batch ..."], labels: Int64[Tensor, " batch"], weights: Float[Tensor, " batch"]
    ) -> dict[str, Tensor]:
        """Sum squared gradients over samples.

        Args:
            inputs: `[batch, ...]`.
            labels: `[batch]`, within the outputs that are trained.
            weights: `[batch]`: what the square of each sample counts.

        Returns:
            By name, in the shape of the parameter.
        """
        if not self.written_out:
            return self._squares_of_outer_products(inputs, labels, weights)
        found = self._of_each(self.parameters, inputs, labels)
        return {name: torch.einsum("n,n...->...", weights, gradient.square_()) for name, gradient in found.items()}

    def of_batch(self, inputs: Shaped[Tensor, "batch ..."], labels: Int64[Tensor, " batch"]) -> dict[str, Tensor]:
        """Square the gradient of the mean loss.

        Args:
            inputs: `[batch, ...]`.
            labels: `[batch]`, within the outputs that are trained.

        Returns:
            By name, in the shape of the parameter.
        """
        found = grad(self._mean_loss)(self.parameters, inputs, labels)
        return {name: gradient.square() for name, gradient in found.items()}

    def probabilities(self, inputs: Shaped[Tensor, "batch ..."]) -> Float[Tensor, "batch classes"]:
        """Say how probable the network takes every label to be.

        Args:
            inputs: `[batch, ...]`.

        Returns:
            `[batch, classes]`, over the outputs that are trained.
        """
        return self._logits(self.parameters, inputs).softmax(1)

    def _squares_of_outer_products(self, inputs: Tensor, labels: Tensor, weights: Tensor) -> dict[str, Tensor]:
        layers = _layers(self.network)
        with torch.enable_grad(), _observed(layers) as seen:
            loss = functional.cross_entropy(self._logits(self.parameters, inputs), labels, reduction="sum")
            gradients = torch.autograd.grad(loss, [output for _, output in seen.values()])
        found = {}
        for (name, (operand, _)), gradient in zip(seen.items(), gradients, strict=True):
            counted = weights[:, None] * gradient.square()
            for parameter in layers[name]._parameters:
                squares = counted.t() @ operand.square() if parameter == "weight" else counted.sum(0)
                found[f"{name}.{parameter}".lstrip(".")] = squares
        return {name: found[name] for name in self.parameters}

    def _loss_of_one(self, parameters: dict[str, Tensor], sample: Tensor, label: Tensor) -> Tensor:
        return self._mean_loss(parameters, sample[None], label[None])

    def _mean_loss(self, parameters: dict[str, Tensor], inputs: Tensor, labels: Tensor) -> Tensor:
        return functional.cross_entropy(self._logits(parameters, inputs), labels)

    def _logits(self, parameters: dict[str, Tensor], inputs: Tensor) -> Tensor:
        logits = functional_call(self.network, parameters, (inputs,))
        return logits if self.outputs is None else logits[:, list(self.outputs)]


_FULLY_CONNECTED = (BinaryLinear, RealLinear, nn.Linear, Offset)


def _made_of_outer_products(network: nn.Module, parameters: Mapping[str, Tensor], example: Tensor) -> bool:
    """Tell whether all parameters are those of fully connected layers, each used once, by one layer, a row a sample."""
    layers = _layers(network)
    uses: list[tuple[str, bool]] = []

    def look(name: str, _: nn.Module, inputs: tuple[Tensor, ...], __: Tensor) -> None:
        # Rows that are not samples, as the parts of an image folded into the batch, share a sample's gradient.
        uses.append((name, inputs[0].dim() == 2 and len(inputs[0]) == len(example)))

    with torch.no_grad(), _hooked(layers, look):
        network(example)
    once = [name for name, by_sample in uses if by_sample and uses.count((name, True)) == 1]
    used = [id(value) for name in once for value in layers[name].parameters(recurse=False)]
    return len(uses) == len(once) and all(used.count(id(parameter)) == 1 for parameter in parameters.values())


def _layers(network: nn.Module) -> dict[str, nn.Module]:
    return {name: module for name, module in network.named_modules() if type(module) in _FULLY_CONNECTED}


@contextlib.contextmanager
def _hooked(
    layers: Mapping[str, nn.Module], hook: Callable[[str, nn.Module, tuple[Tensor, ...], Tensor], object]
) -> Iterator[None]:
    """Call a hook after each layer, with the name of the layer, for a while."""
    handles = [layer.register_forward_hook(functools.partial(hook, name)) for name, layer in layers.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextlib.contextmanager
def _observed(layers: Mapping[str, nn.Module]) -> Iterator[dict[str, tuple[Tensor, Tensor]]]:
    """Note what each layer multiplies and what it gives, as something that a gradient can be taken of."""
    seen: dict[str, tuple[Tensor, Tensor]] = {}

    def note(name: str, layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        if not output.requires_grad:  # a leaf: no layer before it requires gradients
            output.requires_grad_()
        operand = layer.operand(inputs[0]) if isinstance(layer, BinaryLinear) else inputs[0]
        # What works in place, as an activation or a residual, changes neither of the two.
        seen[name] = operand.detach().clone(), output
        return output.clone()

    with _hooked(layers, note):
        yield seen
