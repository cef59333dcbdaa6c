"""From a trained network to a packed one: signs to bits, normalisation and sign to one comparison of integers."""

import itertools
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import nn

from metaplastic.choices import choose
from metaplastic.nn.conv import BinaryConv2d, RealConv2d
from metaplastic.nn.dropout import SignDropout
from metaplastic.nn.linear import BinaryLinear, RealLinear
from metaplastic.nn.networks import BinaryConvNet, BinaryMLP
from metaplastic.nn.normalization import require_fixed_statistics
from metaplastic.packed.bits import pack_bits
from metaplastic.packed.decisions import Readout, SampleReadout
from metaplastic.packed.layers import BYTE_LIMIT, ConvLayer, Decision, DenseLayer, Input, Layer, Pooling
from metaplastic.packed.network import PackedNetwork
from metaplastic.packed.states import REAL_STEP, after_of, kept_tasks, statistics_name

_IGNORED = (nn.Identity, SignDropout, nn.Flatten)
"""What changes nothing in evaluation; the sign that a SignDropout takes is that of the layer behind it."""


def pack(
    network: nn.Module,
    *,
    tasks: Sequence[str] | None = None,
    input: Input | str | None = None,
    unit: float = 1 / 256,
    input_shape: tuple[int, ...] | None = None,
    dataset: str = "",
) -> PackedNetwork:
    r"""Pack a trained network into bits.

    .. math:: \frac{c h - \mu}{\sqrt{\sigma^2 + \epsilon}} \gamma + \beta \ge 0 \quad\Longleftrightarrow\quad
        [h \ge t] \oplus [\gamma < 0]

    with :math:`h` the integer sum and :math:`c` its unit. The threshold :math:`t` is the one integer at which the left
    side, computed in float64, changes its sign; it is found by bisection, so no rounding of a formula for it comes in.

    Args:
        network: A `BinaryMLP` or `BinaryConvNet`, or a chain of their layers in an `nn.Sequential`.
        tasks: Names of the tasks that the normalisation kept states for, in their order; by default "0", "1" and so on.
            Where the normalisation is shared there are none.
        input: What the first layer multiplies; by default signs if it binarizes its input, else bytes. Say "real" where
            a network was trained on features that are no bytes.
        unit: What a step of a byte was worth in training: the data set's `scale`, 1/256 for the package's images. Only
            for bytes.
        input_shape: Shape of one sample; needed for a chain that starts with a convolution, which does not know it.
        dataset: Name of the data set, for people.

    Returns:
        The packed network; the trained one is left as it was.

    Raises:
        ValueError: When predictions would depend on the batch, statistics were never taken, weights are real, or there
            is a layer that cannot be packed.

    Example:
        >>> from metaplastic.nn import BinaryMLP
        >>> pack(BinaryMLP([784, 32, 10], norm="layer"))
        PackedNetwork(bytes 784 -> 32 -> 10)

    References:
        Umuroglu et al. 2017, arXiv 1612.07119, for thresholds in the place of batch norm.
    """
    layers = _chain(network)
    require_fixed_statistics(network, "a packed network must give a sample the same class in every batch")
    stages = _stages(layers)
    kind = _input_of(stages[0][0], input)
    shape = _input_shape(network, stages[0][0], input_shape)
    kept = kept_tasks(network)
    return PackedNetwork(
        input=kind,
        input_shape=shape,
        layers=_fold(stages, kind, float(unit), shape, kept),
        tasks=_names(kept, tasks),
        unit=float(unit),
        dataset=dataset,
        statistics=statistics_name(network),
    )


Stage = tuple[BinaryLinear | BinaryConv2d, Pooling, nn.Module | None]
"""A layer, the pooling behind it, and the normalisation."""


def _chain(network: nn.Module) -> list[nn.Module]:
    """List the layers of a network in the order in which they are computed."""
    if isinstance(network, BinaryConvNet):
        return [*_flat(network.convolutions), *_flat(network.layers)]
    if isinstance(network, BinaryMLP):
        return _flat(network.layers)
    if isinstance(network, nn.Sequential):
        return _flat(network)
    if any(isinstance(module, RealLinear | RealConv2d) for module in network.modules()):
        raise ValueError(_real_weights(network))
    raise ValueError(
        f"expected a BinaryMLP, a BinaryConvNet or an nn.Sequential of their layers, got {type(network).__name__}; put "
        "the layers into an nn.Sequential"
    )


def _flat(layers: Iterable[nn.Module]) -> list[nn.Module]:
    nested = (_flat(layer) if isinstance(layer, nn.Sequential) else [layer] for layer in layers)
    return list(itertools.chain.from_iterable(nested))


def _real_weights(module: nn.Module) -> str:
    return (
        f"expected binary weights, got the real ones of {type(module).__name__}; only networks that were trained with "
        "binary weights can be packed: train a BinaryMLP or a BinaryConvNet"
    )


def _stages(layers: list[nn.Module]) -> list[Stage]:
    """Group layers into stages, each ending before the next product."""
    starts = [place for place, layer in enumerate(layers) if isinstance(layer, BinaryLinear | BinaryConv2d)]
    for layer in layers:
        if isinstance(layer, RealLinear | RealConv2d | nn.Linear | nn.Conv2d):
            raise ValueError(_real_weights(layer))
    if not starts:
        raise ValueError("expected at least one BinaryLinear, got none; pack a network with binary weights")
    _require_ignored(layers[: starts[0]], (nn.Identity, nn.Flatten))
    parts = [layers[start:stop] for start, stop in itertools.pairwise([*starts, len(layers)])]
    for part, following in itertools.pairwise(parts):
        if not following[0].binarize_input and not any(isinstance(layer, SignDropout) for layer in part):
            raise ValueError(
                f"expected a hidden layer that computes with signs, got {following[0]}; binarize_input must be True "
                "for every layer but the first"
            )
    return [_stage(part) for part in parts]


def _stage(part: list[nn.Module]) -> Stage:
    layer, *rest = part
    pool = Pooling.NONE
    if rest and isinstance(rest[0], nn.AvgPool2d | nn.MaxPool2d):
        pool, rest = _pooling(rest[0]), rest[1:]
    normalization = None
    if rest and not isinstance(rest[0], _IGNORED):
        normalization = rest.pop(0)
    _require_ignored(rest)
    return layer, pool, normalization  # type: ignore[return-value]


def _pooling(layer: nn.AvgPool2d | nn.MaxPool2d) -> Pooling:
    kind = nn.AvgPool2d if isinstance(layer, nn.AvgPool2d) else nn.MaxPool2d
    if repr(layer) not in (repr(kind(2)), repr(kind((2, 2)))) or getattr(layer, "divisor_override", None):
        raise ValueError(f"expected a pooling of 2 x 2 without padding, got {layer}; others cannot be packed")
    return Pooling.AVERAGE if kind is nn.AvgPool2d else Pooling.MAX


def _require_ignored(layers: list[nn.Module], kinds: tuple[type[nn.Module], ...] = _IGNORED) -> None:
    for layer in layers:
        if not isinstance(layer, kinds):
            raise ValueError(
                f"expected linear layers or convolutions, each with its pooling and one normalisation behind it, got "
                f"{layer} elsewhere; a packed network has signs and nothing else between its layers"
            )


def _input_of(first: BinaryLinear | BinaryConv2d, given: Input | str | None) -> Input:
    if given is None:
        return Input.SIGNS if first.binarize_input else Input.BYTES
    kind = choose(Input, given, "input")
    if (kind is Input.SIGNS) is not first.binarize_input:
        raise ValueError(
            f"expected input {'signs' if first.binarize_input else 'bytes or real'!r} for a first layer with "
            f"binarize_input={first.binarize_input}, got {kind.value!r}; leave it out to have it chosen"
        )
    return kind


def _input_shape(
    network: nn.Module, first: BinaryLinear | BinaryConv2d, given: tuple[int, ...] | None
) -> tuple[int, ...]:
    if given is not None:
        return tuple(given)
    if isinstance(network, BinaryConvNet):
        return tuple(network.input_shape)
    if isinstance(first, BinaryConv2d):
        raise ValueError(
            "expected the shape of an image for a chain that starts with a convolution, got none; give input_shape, "
            "e.g. (1, 28, 28)"
        )
    return (first.in_features,)


def _names(kept: list[int], given: Sequence[str] | None) -> tuple[str, ...]:
    if given is not None and len(given) != len(kept):
        raise ValueError(
            f"expected as many names of tasks as there are states kept for tasks, {len(kept)}, got {len(given)}; "
            + ("name each task" if kept else "leave them out: the normalisation is shared by all tasks")
        )
    return tuple(map(str, kept)) if given is None else tuple(given)


def _fold(stages: list[Stage], kind: Input, unit: float, shape: tuple[int, ...], kept: list[int]) -> tuple[Layer, ...]:
    layers: list[Layer] = []
    for depth, (layer, pool, normalization) in enumerate(stages):
        largest, step = {Input.BYTES: (BYTE_LIMIT, unit), Input.SIGNS: (1, 1.0), Input.REAL: (1, REAL_STEP)}[
            kind if depth == 0 else Input.SIGNS
        ]
        fan_in = layer.weight[0].numel()
        bound = None if depth == 0 and kind is Input.REAL else fan_in * largest * pool.terms
        last = depth == len(stages) - 1
        try:
            after = after_of(normalization, len(layer.weight), step / pool.terms, bound, kept, last=last)
            layers.append(_layer(layer, pool, shape, after))
        except ValueError as error:
            raise ValueError(f"layer {depth}: {error}") from error
        shape = layers[-1].out_shape
    return tuple(layers)


def _layer(
    layer: BinaryLinear | BinaryConv2d, pool: Pooling, shape: tuple[int, ...], after: Decision | Readout | SampleReadout
) -> Layer:
    weight = _bits(layer.weight)
    if isinstance(layer, BinaryLinear):
        if pool is not Pooling.NONE:
            raise ValueError("expected pooling behind convolutions only, got one behind a linear layer; remove it")
        return DenseLayer(weight, layer.in_features, after)
    if len(shape) != 3 or shape[0] != layer.in_channels:
        raise ValueError(f"expected images of {layer.in_channels} channels, got shape {shape}; give their input_shape")
    if isinstance(after, Readout | SampleReadout):
        raise ValueError("expected a linear layer at the end, got a convolution; pack a whole classifier")
    kernel_size, padding = _square(layer)
    return ConvLayer(weight, layer.in_channels, kernel_size, padding, pool, *shape[1:], after)


def _square(layer: BinaryConv2d) -> tuple[int, int]:
    """Give the side of a kernel and its padding, as a packed convolution knows them."""
    usual = layer.stride == layer.dilation == layer.groups == 1
    if not usual or not isinstance(layer.kernel_size, int) or not isinstance(layer.padding, int):
        raise ValueError(
            f"expected a convolution with a square kernel, a number for its padding and stride, dilation and groups "
            f"of 1, got {layer}; others cannot be packed"
        )
    return layer.kernel_size, layer.padding


def _bits(weight: torch.Tensor) -> np.ndarray:
    hidden = weight.detach().cpu().flatten(1)
    if bool(hidden.isnan().any()):
        raise ValueError("expected weights that are numbers, got NaN; training went wrong, pack an earlier network")
    return pack_bits((hidden >= 0).numpy())
