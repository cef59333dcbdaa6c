"""From any model to one whose linear layers and convolutions are binary."""

import copy
import enum
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn

from metaplastic.choices import choose, unknown
from metaplastic.hidden_weight import HiddenWeight
from metaplastic.nn.blocks import policy_of
from metaplastic.nn.conv import BinaryConv2d
from metaplastic.nn.conversion_report import ConversionReport, ConvertedLayer
from metaplastic.nn.dataflow import LAYERS, Dataflow, Neighbours, Step, follow
from metaplastic.nn.initialization import Initialization
from metaplastic.nn.linear import BinaryLinear
from metaplastic.nn.normalization import NormPolicy, Statistics, normalization
from metaplastic.nn.offset import Offset
from metaplastic.nn.surroundings import constants_taken_out, dropout_before, is_normalized, no_negatives_before
from metaplastic.nn.unconvertible import Owners, why_not

CONVERTIBLE = (nn.Linear, nn.Conv2d)
"""What there is a binary form of."""

Names = str | Iterable[str]
"""One pattern of names, or several: `*` and `?` as in names of files."""


class InputSigns(enum.StrEnum):
    """Which converted layers compute with the signs of their input."""

    HIDDEN = "hidden"
    """All but the first layer of the model, which sees data: a binary network as the paper has it."""
    ALL = "all"
    """All; the data must then have both signs."""
    NONE = "none"
    """None: binary weights between real activations."""


@dataclass(frozen=True)
class _Options:
    """The arguments of `binarize`, settled."""

    signs: InputSigns
    include: tuple[str, ...]
    exclude: tuple[str, ...]
    types: tuple[type, ...]
    keep_first: bool
    keep_last: bool
    initialization: Initialization | None
    generator: torch.Generator | None
    norm: NormPolicy | None
    remove_relu: bool


def binarize(
    model: nn.Module,
    *,
    binarize_input: InputSigns | str = InputSigns.HIDDEN,
    include: Names = "*",
    exclude: Names = (),
    types: type | tuple[type, ...] = CONVERTIBLE,
    keep_first: bool = False,
    keep_last: bool = False,
    initialization: Initialization | None = None,
    generator: torch.Generator | None = None,
    norm: NormPolicy | Statistics | str | None = None,
    remove_relu: bool = False,
    in_place: bool = False,
) -> tuple[nn.Module, ConversionReport]:
    """Make the linear layers and convolutions of a model binary.

    Each chosen `nn.Linear` becomes a `BinaryLinear` and each `nn.Conv2d` a `BinaryConv2d` with the same stride,
    dilation, groups and zeros around it. `param_groups` and a metaplastic optimizer then find their hidden weights, in
    any loop. Values are followed through the model, without computing any, to see what stands around a layer.

    A binary layer has no bias. Directly in front of a batch normalisation a bias has no effect, and is dropped;
    elsewhere it becomes an `Offset` behind the layer, in an `nn.Sequential` of the two.

    A layer that computes with signs must see values of both: behind a ReLU all of them are +1. Where a ReLU, or
    another activation without negative values, stands in front of such a layer, it is said in the report, and warned
    of; `remove_relu` takes it out, since the sign is the nonlinearity. And sums of signs are large: a layer without a
    normalisation behind it is said too, and `norm` puts one there.

    Args:
        model: Any module that holds layers.
        binarize_input: Which of the converted layers compute with the signs of their input.
        include: Names of the layers that are converted, as `model.named_modules()` has them.
        exclude: Names of layers that are left alone all the same.
        types: `nn.Linear`, `nn.Conv2d` or both.
        keep_first: Leave the first layer of the model alone; "first" is the first to be used.
        keep_last: Leave the last layer alone.
        initialization: How hidden weights are drawn; None takes the model's weights. Those of a trained model are
            consolidated from the start, since their magnitude is read so.
        generator: Source of randomness for what is drawn.
        norm: What is put behind converted layers that have no normalisation, or the name of its statistics: for layers
            whose output is `[batch, features, ...]`. It takes the place of a bias. None adds nothing.
        remove_relu: Take out every `nn.ReLU` and `nn.ReLU6` whose output goes to nothing but signs.
        in_place: Change the model itself, not a copy.

    Returns:
        The model, and what changed.

    Raises:
        ValueError: When no layer can be converted, or a name is that of no layer.

    Example:
        >>> model = nn.Sequential(nn.Linear(64, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 10))
        >>> binary, report = binarize(model, remove_relu=True, norm="layer")
        >>> [(layer.name, layer.one_bit) for layer in report.converted], report.removed
        ([('0', 2048), ('3', 320)], ("ReLU '2'",))

    References:
        Courbariaux et al. 2016, arXiv 1602.02830; Rastegari et al. 2016, arXiv 1603.05279, for first and last layers
        that stay real.

    Deviation from the paper and the authors' code: not in either.
    """
    options = _Options(
        signs=choose(InputSigns, binarize_input, "binarize_input"),
        include=_patterns(include),
        exclude=_patterns(exclude),
        types=types if isinstance(types, tuple) else (types,),
        keep_first=keep_first,
        keep_last=keep_last,
        initialization=initialization,
        generator=generator,
        norm=None if norm is None else policy_of(norm),
        remove_relu=remove_relu,
    )
    if isinstance(model, CONVERTIBLE):
        raise ValueError(
            f"expected a model that holds layers, got a single {type(model).__name__}; put it into an nn.Sequential"
        )
    conversion = _Conversion(model if in_place else copy.deepcopy(model), options)
    report = conversion.carry_out()
    if conversion.blind:
        warnings.warn(
            f"{', '.join(map(repr, conversion.blind))} would compute with the signs of values that are never negative, "
            "and learn nothing; print the report, which says why and what to do",
            stacklevel=2,
        )
    return conversion.model, report


def _patterns(names: Names) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names)


class _Conversion:
    """One conversion: what was found in a model, and what becomes of it."""

    def __init__(self, model: nn.Module, options: _Options) -> None:
        self.model, self.options = model, options
        self.flow: Dataflow = follow(model)
        self.owners = Owners(model)
        weighty = {name: module for name, module in model.named_modules() if _has_weights(module)}
        order = [*(name for name in self.flow.neighbours if name in weighty), *weighty]
        self.modules = {name: weighty[name] for name in dict.fromkeys(order)}
        self.layers = [name for name, module in self.modules.items() if isinstance(module, LAYERS)]
        _require_layers([*self.modules], (*options.include, *options.exclude))
        self.reasons = {name: self._why_not(name, module) for name, module in self.modules.items()}
        self.chosen = [name for name, reason in self.reasons.items() if not reason]
        self.signed = {name for name in self.chosen if self._sees_signs(name)}
        self.blind: list[str] = []

    def carry_out(self) -> ConversionReport:
        """Change the model.

        Returns:
            What changed.

        Raises:
            ValueError: When no layer can be converted.
        """
        if not self.chosen:
            raise ValueError(
                f"expected a layer that can be made binary in {type(self.model).__name__}, got none: "
                + "; ".join(f"{name or 'the model'}: {reason}" for name, reason in self.reasons.items())
            )
        removed = self._remove_activations() if self.options.remove_relu else set()
        self.blind = [name for name, step in self._positive() if step not in removed]
        counted: set[int] = set()
        rows = tuple(self._row(name, module, counted) for name, module in self.modules.items())
        cautions = [*self._of_positive_inputs(removed), *self._other_cautions()]
        others = sum(value.numel() for value in _known_parameters(self.model) if id(value) not in counted)
        return ConversionReport(rows, others, tuple(sorted(map(str, removed))), tuple(cautions))

    def _why_not(self, name: str, module: nn.Module) -> str:
        options = self.options
        if not isinstance(module, CONVERTIBLE):
            return why_not(self.model, name, module, self.owners)
        if not isinstance(module, options.types):
            return "not of the types asked for"
        if not _matches(name, options.include) or _matches(name, options.exclude):
            return "not asked for by name"
        if options.keep_first and name == self.layers[0]:
            return "the first layer, kept real as asked"
        if options.keep_last and name == self.layers[-1]:
            return "the last layer, kept real as asked"
        if name in self.flow.read:
            return "the model reads its weight past its forward"
        return why_not(self.model, name, module, self.owners)

    def _sees_signs(self, name: str) -> bool:
        if self.options.signs is InputSigns.HIDDEN:
            return name != self.layers[0]
        return self.options.signs is InputSigns.ALL

    def _around(self, name: str) -> Neighbours:
        return self.flow.neighbours.get(name, Neighbours())

    def _row(self, name: str, module: nn.Module, counted: set[int]) -> ConvertedLayer:
        """Convert a layer, if it is chosen, and describe it."""
        kind, remark, parts = type(module).__name__, self.reasons[name], [module]
        if name in self.chosen:
            behind, remark = self._put_behind(name, module)
            parts = [self._binary(name, module), *behind]
            _replace(self.model, module, parts[0] if len(parts) == 1 else nn.Sequential(*parts))
        own = [value for part in parts for value in _known_parameters(part, recurse=part is not module)]
        new = {id(value): value for value in own if id(value) not in counted}
        counted.update(new)
        one_bit = sum(value.numel() for value in new.values() if isinstance(value, HiddenWeight))
        return ConvertedLayer(
            name=name,
            kind=kind,
            shape=_shape(module),
            converted=name in self.chosen,
            one_bit=one_bit,
            real=sum(value.numel() for value in new.values()) - one_bit,
            signs=name in self.signed,
            remark=remark,
        )

    def _binary(self, name: str, layer: nn.Module) -> nn.Module:
        assert isinstance(layer, CONVERTIBLE)
        initialization = self.options.initialization
        # Where nothing is drawn, nothing is taken from anybody's stream of random numbers either.
        source = torch.Generator() if initialization is None else self.options.generator
        made = _made_like(layer, name in self.signed, initialization or Initialization(), source)
        start = layer.weight if initialization is None else made.weight
        hidden = start.detach().clone().to(layer.weight)
        made.weight = HiddenWeight(hidden, layer.weight.requires_grad)
        return made.train(layer.training)

    def _put_behind(self, name: str, layer: nn.Module) -> tuple[list[nn.Module], str]:
        """Make what follows a converted layer, and say what became of its bias."""
        assert isinstance(layer, CONVERTIBLE)
        features, norm = layer.weight.shape[0], self.options.norm
        around = self._around(name)
        if norm is not None and not is_normalized(around):
            added = normalization(features, norm, self.options.generator).to(layer.weight).train(layer.training)
            return [added], f"{norm.statistics.value} normalisation behind it" + (
                ", in the place of its bias" if layer.bias is not None else ""
            )
        if layer.bias is None:
            return [], ""
        taken_out = constants_taken_out(around, features)
        if taken_out is not None:
            return [], f"its bias had no effect in front of {taken_out}, and was dropped"
        offset = Offset(features, dim=-1 if isinstance(layer, nn.Linear) else 1).train(layer.training)
        offset.offset = nn.Parameter(layer.bias.detach().clone(), layer.bias.requires_grad)
        return [offset], "its bias is an Offset behind it"

    def _positive(self) -> Iterator[tuple[str, Step]]:
        """Find the layers with signs that see no negative value, and what makes it so."""
        for name in self.chosen:
            step = no_negatives_before(self._around(name)) if name in self.signed else None
            if step is not None:
                yield name, step

    def _remove_activations(self) -> set[Step]:
        removed = {step for _, step in self._positive() if self._removable(step)}
        for step in removed:
            _replace(self.model, self.model.get_submodule(step.name), nn.Identity())
        return removed

    def _removable(self, step: Step) -> bool:
        return type(step.module) in (nn.ReLU, nn.ReLU6) and step.reaches <= self.signed

    def _of_positive_inputs(self, removed: set[Step]) -> list[str]:
        behind: dict[Step, list[str]] = {}
        for name, step in self._positive():
            if step not in removed:
                behind.setdefault(step, []).append(repr(name))
        return [
            f"{', '.join(names)}: behind {step} no value is negative, so all signs are +1 and nothing is learned; "
            + self._mend(step)
            for step, names in behind.items()
        ]

    def _mend(self, step: Step) -> str:
        if self._removable(step):
            return "pass remove_relu=True, or binarize_input='none'"
        how = "take it out of the model's forward" if step.module is None else "take it out of the model"
        if not step.reaches <= self.signed:
            how += ", minding that its output goes elsewhere too"
        return f"{how}, or pass binarize_input='none'"

    def _other_cautions(self) -> Iterator[str]:
        bare = [repr(name) for name in self.chosen if self._lacks_normalization(name)]
        if bare:
            yield (
                f"{', '.join(bare)}: no normalisation was found behind, and sums of signs are large: signs of them get "
                "no gradient, softmax of them is certain; pass norm='layer' or another, or put one into the model"
            )
        silenced = [repr(name) for name in self.chosen if name in self.signed and dropout_before(self._around(name))]
        if silenced:
            yield (
                f"{', '.join(silenced)}: the zeros of dropout in front become signs +1; use mp.nn.SignDropout in its "
                "place and binarize_input=False in the layer"
            )
        if any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in self.model.modules()):
            yield "running statistics of batch norm are those of the real model; train before you test"
        lost = [repr(name) for name in self.chosen if name not in self.flow.neighbours]
        if lost and not self.flow.whole:
            yield (
                f"{', '.join(lost)}: the model's forward could not be followed here; see yourself that no ReLU stands "
                "in front of signs, and which layers are first and last"
            )

    def _lacks_normalization(self, name: str) -> bool:
        known = name in self.flow.neighbours
        return known and self.options.norm is None and not is_normalized(self._around(name))


def _has_weights(module: nn.Module) -> bool:
    own = module.parameters(recurse=False)
    return isinstance(module, LAYERS) or any(_is_unknown(value) or value.dim() > 1 for value in own)


def _is_unknown(parameter: Tensor) -> bool:
    return isinstance(parameter, nn.parameter.UninitializedParameter)


def _known_parameters(module: nn.Module, recurse: bool = True) -> list[Tensor]:
    return [value for value in module.parameters(recurse) if not _is_unknown(value)]


def _shape(module: nn.Module) -> tuple[int, ...]:
    weight = getattr(module, "weight", None)
    return () if weight is None or _is_unknown(weight) else tuple(weight.shape)


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _require_layers(names: list[str], patterns: tuple[str, ...]) -> None:
    for pattern in patterns:
        if pattern != "*" and not any(_matches(name, (pattern,)) for name in names):
            raise ValueError(unknown("layer", pattern, names))


def _made_like(
    layer: nn.Linear | nn.Conv2d, signs: bool, initialization: Initialization, generator: torch.Generator | None
) -> BinaryLinear | BinaryConv2d:
    if isinstance(layer, nn.Linear):
        return BinaryLinear(
            layer.in_features,
            layer.out_features,
            binarize_input=signs,
            initialization=initialization,
            generator=generator,
        )
    height, width = layer.kernel_size
    return BinaryConv2d(
        layer.in_channels,
        layer.out_channels,
        (height, width),
        binarize_input=signs,
        padding=layer.padding,  # type: ignore[arg-type]
        stride=layer.stride,  # type: ignore[arg-type]
        dilation=layer.dilation,  # type: ignore[arg-type]
        groups=layer.groups,
        initialization=initialization,
        generator=generator,
    )


def _replace(model: nn.Module, old: nn.Module, new: nn.Module) -> None:
    """Put a module into every place where another is."""
    places = [name for name, module in model.named_modules(remove_duplicate=False) if module is old]
    for place in places:
        model.set_submodule(place, new)
