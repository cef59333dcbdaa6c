"""What the loop computes with: the readable reference, or the fastest that the machine offers for the same training."""

import contextlib
import enum
import logging
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn

from metaplastic.choices import choose
from metaplastic.hidden_weight import is_hidden_weight
from metaplastic.learners.descent import can_be_captured
from metaplastic.nn import (
    BinaryLinear,
    BinaryMLP,
    IntegerProduct,
    Precision,
    StackedLinear,
    StackedMLP,
    straight_through,
)
from metaplastic.nn.tensor_core_arithmetic import TensorCoreArithmetic
from metaplastic.optim import MetaplasticAdam, MetaplasticSGD
from metaplastic.scenarios import Scenario

logger = logging.getLogger("metaplastic")


_SAID = {"native": "native code", "torch": "torch code"}
"""How products are spoken of, where it is not by their name."""

BinaryLayer = BinaryLinear | StackedLinear
"""What multiplies by binary weights, and can do it in integers."""


class Engine(enum.StrEnum):
    """What training is computed with; what is learned does not depend on it, apart from rounding."""

    PLAIN = "plain"
    """Eager operations in float32: the reference, and nothing to wait for at the first step."""
    FAST = "fast"
    """Integer products and a compiled update, as far as network, optimizer and machine allow."""


@dataclass(frozen=True)
class Acceleration:
    """What an engine found to do.

    Args:
        engine: The engine.
        update: How parameters are moved: `fused`, in one compiled pass; `blocks`, the same without a compiler;
            `optimizer`, by an optimizer that is neither of the two; `none`, where there are none to move.
        integer_layers: Layers whose products are made in integers, by a GPU in bfloat16 as exactly.
        layers: Layers with hidden weights.
        bytes: Whether the network is given the bytes of images as they are stored.
        gradients: What gradients of integer layers are kept in.
        members: Networks that are trained at once.
        captured: Whether `learn` may replay steps from graphs of a GPU; it does where the learner adds nothing, tasks
            train all outputs, and samples are not augmented.
        products: Whose products in integers they are: `native`, `torch`, `tensor cores` of a GPU, or `none`.
    """

    engine: Engine
    update: str
    integer_layers: int = 0
    layers: int = 0
    bytes: bool = False
    gradients: str = "float32"
    members: int = 1
    captured: bool = False
    products: str = "none"

    def __str__(self) -> str:
        together = f", {self.members} networks at once" if self.members > 1 else ""
        if self.engine is Engine.PLAIN:
            return f"engine: plain, update: {self.update}{together}"
        images = ", images as bytes" if self.bytes else ""
        whose = f" by {_SAID.get(self.products, self.products)}" if self.integer_layers else ""
        return (
            f"engine: fast, update: {self.update}, products in integers in {self.integer_layers} of {self.layers} "
            f"layers{whose}{images}, gradients in {self.gradients}{together}{', in graphs' if self.captured else ''}"
        )

    def shown(self, scenario: Scenario) -> Scenario:
        """Show a scenario as the network takes it.

        Args:
            scenario: The scenario that the engine was given.

        Returns:
            The same with images as bytes, where the network takes those.
        """
        return scenario.stored() if self.bytes else scenario

    def as_json(self) -> dict[str, Any]:
        """Return the fields as JSON values, for records."""
        return asdict(self)


@contextlib.contextmanager
def accelerated(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    scenario: Scenario | None = None,
    engine: Engine | str | None = None,
    precision: Precision | str | None = None,
    *,
    quiet: bool = False,
) -> Iterator[Acceleration]:
    """Train and test a network with an engine, and leave network and optimizer as they were found.

    It serves any loop: what is called within the context is called as without it. What was found to do is logged in one
    line. Where nothing is asked for by name, whatever machine, network or optimizer lack is done the plain way, and so
    are products of inputs that are neither float32 nor bytes, as `torch.autocast` makes them. On a GPU `learn` replays
    the steps of fully connected networks from graphs.

    Within the context the gradient of a hidden weight is a buffer that is used again in every step, possibly in
    bfloat16; copy what you want to keep. `backward` adds to it; `torch.autograd.grad` for hidden weights, hooks on them
    and gradients of gradients are not served. Gradients of hidden weights are dropped at both ends of the context.

    Args:
        network: Any module; its `BinaryLinear` layers are sped up, and so is its update.
        optimizer: Holds the network's parameters; `MetaplasticAdam` and `MetaplasticSGD` are compiled.
        scenario: What is learned, so that images can stay bytes; None in a loop that has its own data.
        engine: The engine; None takes the fast one as far as it goes.
        precision: What the fast engine keeps gradients of weights in; None takes bfloat16 where the processor, or
            the GPU, has it.
        quiet: Whether to log nothing of it.

    Yields:
        What was found to do; its `shown` gives the scenario as the network takes it within the context.

    Raises:
        ValueError: When an engine or a precision is asked for by name that cannot be had.

    Example:
        >>> from metaplastic.optim import param_groups
        >>> net = BinaryMLP([64, 16, 10], norm="layer")
        >>> optimizer = MetaplasticAdam(param_groups(net), lr=5e-3)
        >>> with accelerated(net, optimizer, engine=Engine.FAST):
        ...     net(torch.rand(8, 64)).square().mean().backward()
        ...     optimizer.step()
    """
    engine = None if engine is None else choose(Engine, engine)
    precision = None if precision is None else choose(Precision, precision)
    ours = isinstance(optimizer, MetaplasticAdam | MetaplasticSGD)
    members = network.members if isinstance(network, StackedMLP) else 1
    moves = any(True for _ in network.parameters())
    if engine is Engine.PLAIN or (engine is None and not moves):
        _require_float32(precision)
        chosen = Acceleration(Engine.PLAIN, ("blocks" if ours else "optimizer") if moves else "none", members=members)
        logger.log(logging.DEBUG if quiet else logging.INFO, chosen)
        with _fused_update(network, optimizer, [], wanted=False):
            yield chosen
        return
    unit = _unit_of_bytes(network, scenario)
    layers = _integer_layers(network, takes_bytes=unit is not None)
    precision = _possible_precision(precision, layers if ours and _holds(optimizer, layers) else [])
    with _integer_products(layers, precision, unit), _fused_update(network, optimizer, layers) as fused:
        if engine is Engine.FAST and not fused:
            why = "the reason is logged if it is the compiler's" if ours else type(optimizer).__name__
            raise ValueError(
                f"expected an update that can be compiled for engine 'fast', got one that cannot ({why}); use "
                "MetaplasticAdam or MetaplasticSGD and install a C++ compiler, or leave the engine to the program"
            )
        chosen = Acceleration(
            Engine.FAST,
            update="fused" if fused else "blocks" if ours else "optimizer",
            integer_layers=len(layers),
            layers=sum(map(is_hidden_weight, network.parameters())),
            bytes=unit is not None,
            gradients=str(precision.dtype).removeprefix("torch."),
            members=members,
            captured=isinstance(optimizer, MetaplasticAdam | MetaplasticSGD) and optimizer.captured,
            products=_whose(layers),
        )
        logger.log(logging.DEBUG if quiet else logging.INFO, chosen)
        yield chosen


def _whose(layers: list[BinaryLayer]) -> str:
    if not layers:
        return "none"
    return " and ".join(sorted({layer.product.whose for layer in layers if layer.product is not None}))


def _require_float32(precision: Precision | None) -> None:
    if precision is Precision.FAST:
        raise ValueError(
            "expected precision 'exact' with engine 'plain', that of float32, got 'fast'; leave out one of them"
        )


def _possible_precision(asked: Precision | None, layers: list[BinaryLayer]) -> Precision:
    """Settle the precision; gradients in bfloat16 need layers that multiply integers and that our optimizer moves."""
    if asked is Precision.FAST and not layers:
        raise ValueError(
            "expected binary layers and a metaplastic optimizer for precision 'fast', got a network or an optimizer "
            "that computes in float32; use precision 'exact'"
        )
    if asked is not None:
        return asked
    fast = bool(layers) and all(TensorCoreArithmetic.serves(layer.weight) or has_fast_bfloat16() for layer in layers)
    return Precision.FAST if fast else Precision.EXACT


def _holds(optimizer: torch.optim.Optimizer, layers: list[BinaryLayer]) -> bool:
    """Tell whether there are layers, and the optimizer moves the weights of all of them."""
    held = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    return bool(layers) and all(id(layer.weight) in held for layer in layers)


def has_fast_bfloat16() -> bool:
    """Tell whether the processor multiplies bfloat16 faster than float32, by instructions of its own.

    Returns:
        False also for processors of which it is not known.
    """
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16"))


def multiplies_integers_fast() -> bool:
    """Tell whether the processor multiplies bytes faster than float32, by instructions of its own.

    Returns:
        False also for processors of which it is not known; torch may have only slow products for them.
    """
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in ("avx512_vnni", "avx_vnni", "amx_int8"))


def _unit_of_bytes(network: nn.Module, scenario: Scenario | None) -> float | None:
    """Give the unit in which a network can take the bytes of a scenario; None where it cannot take them."""
    first, unit = _first_layer(network), scenario.unit_of_bytes if scenario else None
    if unit is None or first is None or first.binarize_input or first not in _integer_layers(network, True):
        return None
    # Only a power of two commutes with the rounding of float32.
    return unit if math.frexp(unit)[0] == 0.5 else None


def _first_layer(network: nn.Module) -> BinaryLayer | None:
    """Find the layer that is given the network's input as it is, where the network is one that we know."""
    known = type(network) in (BinaryMLP, StackedMLP) and not network._forward_pre_hooks
    first = network.get_submodule("layers.0") if known else None
    return first if isinstance(first, BinaryLinear | StackedLinear) else None


def _integer_layers(network: nn.Module, takes_bytes: bool) -> list[BinaryLayer]:
    """List the layers that multiply signs, and the first one where it multiplies bytes."""
    layers = [
        layer
        for layer in network.modules()
        if isinstance(layer, BinaryLinear | StackedLinear) and _multiplies_integers(layer)
    ]
    first = _first_layer(network) if takes_bytes else None
    return [layer for layer in layers if layer.binarize_input or layer is first]


def _multiplies_integers(layer: BinaryLayer) -> bool:
    weight = layer.weight
    return (
        is_hidden_weight(weight)
        and (TensorCoreArithmetic.serves(weight) or (weight.device.type == "cpu" and multiplies_integers_fast()))
        and weight.dtype is torch.float32
        and layer.weight_pseudo_gradient is straight_through
        and layer.in_features * 255 < 2**24  # sums of bytes that float32 still holds exactly
    )


@contextlib.contextmanager
def _integer_products(layers: list[BinaryLayer], precision: Precision, unit: float | None) -> Iterator[None]:
    before = [(layer, layer.product, layer.weight.grad_dtype) for layer in layers]
    cores = torch.backends.cuda.matmul
    reduced, cores.allow_bf16_reduced_precision_reduction = cores.allow_bf16_reduced_precision_reduction, False
    try:
        for layer in layers:
            layer.weight.grad, layer.weight.grad_dtype = None, precision.dtype
            layer.product = IntegerProduct(
                layer.weight,
                precision,
                layer.input_pseudo_gradient,
                unit=None if layer.binarize_input else unit,
            )
        yield
    finally:
        cores.allow_bf16_reduced_precision_reduction = reduced
        for layer, product, dtype in before:
            layer.product, layer.weight.grad, layer.weight.grad_dtype = product, None, dtype


@contextlib.contextmanager
def _fused_update(
    network: nn.Module, optimizer: torch.optim.Optimizer, layers: list[BinaryLayer], wanted: bool = True
) -> Iterator[bool]:
    if not isinstance(optimizer, MetaplasticAdam | MetaplasticSGD):
        yield False
        return
    before = optimizer.fused, optimizer.copies, optimizer.captured
    try:
        optimizer.copies = {layer.weight: layer.product.copies for layer in layers if layer.product is not None}
        optimizer.fused = wanted and optimizer.compile()
        optimizer.captured = wanted and can_be_captured(network) and _can_capture(optimizer, layers)
        yield optimizer.fused
    finally:
        optimizer.fused, optimizer.copies, optimizer.captured = before


def _can_capture(optimizer: MetaplasticAdam | MetaplasticSGD, layers: list[BinaryLayer]) -> bool:
    """Tell whether a GPU makes all of a step: what moves lies on it, hidden weights in layers on its tensor cores."""
    products = {id(layer.weight) for layer in layers if layer.product and layer.product.whose == "tensor cores"}
    moved = [one for group in optimizer.param_groups for one in group["params"] if one.requires_grad]
    hidden = [parameter for parameter in moved if is_hidden_weight(parameter)]
    there = all(parameter.device.type == "cuda" for parameter in moved)
    return (
        bool(moved) and there and all(id(weight) in products for weight in hidden) and (optimizer.fused or not hidden)
    )
