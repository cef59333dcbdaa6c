"""Consolidation functions f_meta: how far a synapse follows a step that would weaken it."""

import math
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from metaplastic.choices import unknown
from metaplastic.optim.quotient import Quotient
from metaplastic.plugins import broken_plugin, entry_of, in_words, load_plugin, offered_plugins


@runtime_checkable
class ConsolidationFunction(Protocol):
    """What every consolidation function is: a value that maps hidden weights to factors in [0, 1].

    It is even in the hidden weight, 1 at 0, and 1 everywhere when the metaplasticity is 0. A function of your own needs
    nothing but this signature; write it without branches on tensor values, so that it can be compiled and vectorised.
    """

    def __call__(self, hidden: Tensor, metaplasticity: float, /) -> Tensor:
        """Give one factor per hidden weight, in the same shape and dtype."""
        ...


@dataclass(frozen=True)
class TanhSquared:
    """The published consolidation function.

        f(m, W) = 1 - tanh(m |W|)^2        m: metaplasticity, W: hidden

    For large m |W| it behaves as 4 exp(-2 m |W|), so the time to escape grows exponentially with |W|. It is one half
    at m |W| = 0.881.

    Example:
        >>> TanhSquared()(torch.tensor([0.0, 0.881, -0.881]), 1.0).round(decimals=2).tolist()
        [1.0, 0.5, 0.5]

    References:
        Laborieux et al. 2021, doi 10.1038/s41467-021-22768-y, Fig. 1c.

    Deviation from the authors' code: the same function in another form. Theirs is exactly 0 beyond m |W| of about 9 in
    float32, by cancellation; ours goes on falling as 4 exp(-2 m |W|).
    """

    def __call__(self, hidden: Float[Tensor, "..."], metaplasticity: float) -> Float[Tensor, "..."]:
        """Give one factor per hidden weight."""
        return self.quotient(hidden, metaplasticity).divided()

    def quotient(self, hidden: Float[Tensor, "..."], metaplasticity: float) -> Quotient:
        """Give the same before its division, for a pass that divides once by all that there is to divide by."""
        # 4 e / (1 + e)^2 with e = exp(-2 m |W|): half the time of tanh, and no cancellation where f is small. The power
        # of two takes less time than that of e.
        e = hidden.abs().mul_(-2.0 * math.log2(math.e) * metaplasticity).exp2_()
        over, under = 4.0 * e, (1.0 + e).pow(2)
        return Quotient(over, under.maximum(over))  # rounding may take it past 1 by one unit in the last place


@dataclass(frozen=True)
class Exponential:
    """Exponential decay with the state.

        f(m, W) = exp(-m |W|)        m: metaplasticity, W: hidden

    It is one half at m |W| = 0.693. Unlike the published function it has a kink at 0: the smallest hidden weights are
    damped to first order in |W|.

    Example:
        >>> Exponential()(torch.tensor([0.0, 0.6931472]), 1.0).tolist()
        [1.0, 0.5]

    Deviation from the paper and the authors' code: not in either.
    """

    def __call__(self, hidden: Float[Tensor, "..."], metaplasticity: float) -> Float[Tensor, "..."]:
        """Give one factor per hidden weight."""
        return hidden.abs().mul_(-metaplasticity).exp_()


@dataclass(frozen=True)
class Logistic:
    """Falling logistic curve, scaled to start at 1.

        f(m, W) = 2 / (1 + exp(m |W|))        m: metaplasticity, W: hidden

    It is one half at m |W| = 1.099. Computed as twice the sigmoid of -m |W|, which cannot overflow.

    Example:
        >>> Logistic()(torch.tensor([0.0, 1.0986123, 1e30]), 1.0).tolist()
        [1.0, 0.5, 0.0]

    Deviation from the paper and the authors' code: not in either.
    """

    def __call__(self, hidden: Float[Tensor, "..."], metaplasticity: float) -> Float[Tensor, "..."]:
        """Give one factor per hidden weight."""
        return hidden.abs().mul_(-metaplasticity).sigmoid_() * 2.0


@dataclass(frozen=True)
class PowerLaw:
    """Power law: consolidated synapses stay hard to move, but none is frozen.

        f(m, W) = (1 + m |W|)^(-k)        m: metaplasticity, W: hidden, k: exponent

    With the default exponent it is one half at m |W| = 0.414. The time to escape grows as a power of |W|, not
    exponentially.

    Args:
        exponent: How steeply the factor falls, above 0.

    Raises:
        ValueError: When the exponent is not a finite number above 0.

    Example:
        >>> PowerLaw()(torch.tensor([0.0, 1.0, -1.0]), 1.0).tolist()
        [1.0, 0.25, 0.25]

    Deviation from the paper and the authors' code: not in either.
    """

    exponent: float = 2.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.exponent) and self.exponent > 0):
            raise ValueError(
                f"expected a finite exponent above 0, got {self.exponent}; for no damping set metaplasticity to 0"
            )

    def __call__(self, hidden: Float[Tensor, "..."], metaplasticity: float) -> Float[Tensor, "..."]:
        """Give one factor per hidden weight."""
        return hidden.abs().mul_(metaplasticity).add_(1.0).pow(-self.exponent)


@dataclass(frozen=True)
class HardThreshold:
    """Hard cut-off: a synapse is plastic up to a hidden weight of 1/m, and beyond it never weakens.

        f(m, W) = 1 where m |W| <= 1, else 0        m: metaplasticity, W: hidden

    Example:
        >>> HardThreshold()(torch.tensor([0.4, 0.6, -0.6]), 2.0).tolist()
        [1.0, 0.0, 0.0]

    Deviation from the authors' code: there, in a comment, the cut-off is at |W| > m. Ours is at |W| > 1/m, so that m
    keeps one meaning, a number per unit of hidden weight with 0 for no damping; their m is our 1/m. It is not known to
    be in the paper.
    """

    def __call__(self, hidden: Float[Tensor, "..."], metaplasticity: float) -> Float[Tensor, "..."]:
        """Give one factor per hidden weight."""
        return (hidden.abs().mul_(metaplasticity) <= 1.0).to(hidden.dtype)


CONSOLIDATION_FUNCTIONS: dict[str, ConsolidationFunction] = {
    "tanh-squared": TanhSquared(),
    "exponential": Exponential(),
    "logistic": Logistic(),
    "power-law": PowerLaw(),
    "hard-threshold": HardThreshold(),
}
"""The consolidation functions that have a name, as configurations and the command line know them."""

PUBLISHED = TanhSquared()
"""The consolidation function of the paper, default everywhere."""


PLUGINS = "metaplastic.consolidation_functions"
"""Entry points by which other packages offer consolidation functions, or classes of them that need no argument."""


def consolidation_names() -> list[str]:
    """List the names of consolidation functions: of this package, and of others that are installed.

    Returns:
        The names; nothing of another package is loaded.

    Example:
        >>> "tanh-squared" in consolidation_names()
        True
    """
    return [*CONSOLIDATION_FUNCTIONS, *offered_plugins(PLUGINS)]


def named(function: ConsolidationFunction | str) -> ConsolidationFunction:
    """Find a consolidation function by its name.

    Args:
        function: A name of `CONSOLIDATION_FUNCTIONS`, or one under which an installed package offers a function in the
            entry points `metaplastic.consolidation_functions`; or a function, which is given back.

    Returns:
        The function.

    Raises:
        ValueError: When there is none of that name, with the nearest one; when two packages offer it; and when what is
            offered is no consolidation function, with the package.

    Example:
        >>> named("power-law")
        PowerLaw(exponent=2.0)
    """
    if not isinstance(function, str):
        return function
    found = load_plugin(PLUGINS, function, _WHAT, CONSOLIDATION_FUNCTIONS)
    if found is not None:
        return _from_elsewhere(function, found)
    if function not in CONSOLIDATION_FUNCTIONS:
        raise ValueError(unknown(_WHAT, function, consolidation_names()))
    return CONSOLIDATION_FUNCTIONS[function]


_WHAT = "consolidation function"


def _from_elsewhere(name: str, found: Any) -> ConsolidationFunction:
    """Take a function that another package offers, once it was seen to give a factor per hidden weight."""
    hidden = torch.tensor([0.0, 1.0])
    try:
        function = found() if isinstance(found, type) else found
        factors = function(hidden, 1.0)
    except Exception as error:  # it is anybody's code
        got = f"something that cannot be called with hidden weights and m ({in_words(error)})"
        raise broken_plugin(entry_of(PLUGINS, name), _WHAT, got) from error
    if not isinstance(factors, Tensor) or factors.shape != hidden.shape:
        got = f"something that gives {factors!r} for two hidden weights"
        raise broken_plugin(entry_of(PLUGINS, name), _WHAT, got)
    # The state_dict of an optimizer carries it, so that torch.load must know it to be harmless data.
    torch.serialization.add_safe_globals([function if hasattr(function, "__qualname__") else type(function)])
    return function


def consolidate(
    update: Float[Tensor, "*weight"],
    hidden: Float[Tensor, "*weight"],
    metaplasticity: float,
    function: ConsolidationFunction = PUBLISHED,
) -> Float[Tensor, "*weight"]:
    """Damp the part of an update that would weaken consolidated synapses.

        U <- U f(m, W)   where U W > 0, the step W <- W - lr U would shrink |W|
        U <- U           elsewhere

        U: update, W: hidden, m: metaplasticity, f: function

    It is odd, consolidate(-U, -W) = -consolidate(U, W), and never lengthens a step. A step shorter than |W| towards
    zero stays one; a longer one crosses zero, and is damped as a whole.

    Args:
        update: Update direction U, any shape, in the convention W <- W - lr U.
        hidden: Hidden weights W, same shape.
        metaplasticity: Strength m of the consolidation, from 0 (none), per unit of hidden weight.
        function: Consolidation function f.

    Returns:
        The damped update, a new tensor of the same shape.

    Example:
        >>> consolidate(torch.tensor([1.0, -1.0]), torch.tensor([2.0, 2.0]), 1.0, PowerLaw(1.0)).tolist()
        [0.3333333432674408, -1.0]

    References:
        Laborieux et al. 2021, doi 10.1038/s41467-021-22768-y, Algorithm 1.

    Deviation from the paper and the authors' code: both test U sign(W) > 0. The product U W has the same sign, except
    that it is 0 where it underflows or W = 0; there f = 1 or the step vanishes, and the two agree.
    """
    factor = function(hidden, metaplasticity).to(update.dtype)
    # The choice by arithmetic on a mask of 0 and 1: selecting takes many times as long on a CPU unless it is compiled.
    weakens = (update * hidden).sign_().clamp_min_(0)
    return update * torch.lerp(torch.ones_like(factor), factor, weakens)


def consolidate_undivided(
    update: Quotient, hidden: Tensor, metaplasticity: float | Tensor, function: ConsolidationFunction
) -> Quotient:
    """Damp an update as `consolidate` does, before anything is divided: what a compiled pass is made of.

    Args:
        update: Update direction U; its denominator is positive.
        hidden: Hidden weights W, same shape.
        metaplasticity: Strength m of the consolidation, from 0.
        function: Consolidation function f; one that has a method `quotient` adds no division of its own.

    Returns:
        The damped update.

    Example:
        >>> update = Quotient(torch.tensor([1.0, -1.0]))
        >>> consolidate_undivided(update, torch.tensor([2.0, 2.0]), 1.0, PowerLaw(1.0)).divided().tolist()
        [0.3333333432674408, -1.0]
    """
    if hasattr(function, "quotient"):  # and not the method's truth, which the compiler of torch 2.11 cannot see
        factor = function.quotient(hidden, metaplasticity)
    else:
        factor = Quotient(function(hidden, metaplasticity))  # type: ignore[arg-type]
    weakens = update.numerator * hidden > 0
    numerator = torch.where(weakens, update.numerator * factor.numerator, update.numerator)
    if factor.denominator is None:
        return Quotient(numerator, update.denominator)
    divisor = torch.where(weakens, factor.denominator, 1.0)
    return Quotient(numerator, divisor if update.denominator is None else update.denominator * divisor)
