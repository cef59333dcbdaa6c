"""What every consolidation function promises."""

import copy
import pickle

import torch
from torch import Tensor

from metaplastic.optim import ConsolidationFunction
from metaplastic.testing.rules import check, require

_STRENGTHS = (0.0, 0.5, 1.35, 13.0)


def _hidden(dtype: torch.dtype = torch.float64) -> Tensor:
    """Hidden weights of both signs, from 0 to what no training reaches."""
    sizes = torch.cat([torch.zeros(1), torch.logspace(-6, 3, 60), torch.tensor([6e4])])
    return torch.cat([sizes, -sizes]).to(dtype)


def gives_a_factor_per_hidden_weight(function: ConsolidationFunction) -> None:
    """It gives one factor per hidden weight, in the same shape and dtype, without NaN, whatever their size."""
    for dtype in (torch.float64, torch.float32, torch.bfloat16, torch.float16):
        hidden = _hidden(dtype).view(2, -1)
        for m in _STRENGTHS:
            factors = function(hidden, m)
            got = f"{tuple(factors.shape)} of {factors.dtype}"
            require(
                factors.shape == hidden.shape and factors.dtype == dtype,
                f"expected factors of shape {tuple(hidden.shape)} and {dtype}, got {got}; compute from `hidden` alone",
            )
            bad = hidden[factors.isnan()]
            require(
                not len(bad),
                f"expected numbers, got NaN at a hidden weight of {bad[:1].tolist()}, m = {m}, in {dtype}; write it so "
                "that nothing overflows",
            )


def stays_between_0_and_1(function: ConsolidationFunction) -> None:
    """A factor is in [0, 1]: a step that would weaken a synapse is never lengthened nor turned round."""
    for m in _STRENGTHS:
        factors = function(_hidden(), m)
        low, high = float(factors.min()), float(factors.max())
        require(low >= 0 and high <= 1, f"expected factors in [0, 1], got {low:g} to {high:g} with m = {m}; clamp them")


def is_1_at_0(function: ConsolidationFunction) -> None:
    """The factor is 1 at a hidden weight of 0: a synapse that is not consolidated moves freely."""
    for m in _STRENGTHS:
        (factor,) = function(torch.zeros(1, dtype=torch.float64), m).tolist()
        require(
            factor == 1, f"expected 1 at a hidden weight of 0, got {factor:g} with m = {m}; divide by the value at 0"
        )


def is_1_without_metaplasticity(function: ConsolidationFunction) -> None:
    """The factor is 1 everywhere when m = 0: that is the plain network."""
    factors = function(_hidden(), 0.0)
    wrong = _hidden()[factors != 1]
    require(
        not len(wrong),
        f"expected 1 for every hidden weight with m = 0, got {factors[factors != 1][:1].tolist()} at "
        f"{wrong[:1].tolist()}; let m multiply the hidden weight",
    )


def is_even(function: ConsolidationFunction) -> None:
    """The factor is even in the hidden weight: a weight of -1 is held as one of +1."""
    for m in _STRENGTHS:
        one, other = function(_hidden(), m), function(-_hidden(), m)
        places = _hidden()[one != other]
        require(
            not len(places),
            f"expected the same factor for a hidden weight and its negative, got another one at {places[:1].tolist()} "
            f"with m = {m}; use hidden.abs()",
        )


def changes_nothing(function: ConsolidationFunction) -> None:
    """The hidden weights are left as they are."""
    hidden = _hidden()
    function(hidden, 1.35)
    require(
        torch.equal(hidden, _hidden()),
        "expected the hidden weights unchanged, got others; work on a new tensor: abs() makes one, abs_() does not",
    )


def looks_at_each_weight_alone(function: ConsolidationFunction) -> None:
    """A factor depends on its own hidden weight only, since optimizers work in blocks."""
    hidden = _hidden()
    whole = function(hidden, 1.35)
    parts = torch.cat([function(part, 1.35) for part in hidden.split(7)])
    require(
        torch.allclose(whole, parts, rtol=1e-9, atol=1e-12),
        "expected the same factors for all hidden weights at once as in parts, got others; use no mean, no maximum and "
        "no sorting",
    )


def can_be_vectorised(function: ConsolidationFunction) -> None:
    """It can be vectorised by torch.func.vmap: no branch depends on a value."""
    hidden = _hidden().view(2, -1)
    together = torch.func.vmap(lambda weight: function(weight, 1.35))(hidden)
    require(
        torch.equal(together, function(hidden, 1.35)),
        "expected the same factors under vmap, got others; use torch.where in the place of if",
    )


def is_a_value(function: ConsolidationFunction) -> None:
    """It is a value: a copy of it, pickled or not, is equal to it, because checkpoints of optimizers hold it."""
    copies = copy.deepcopy(function), pickle.loads(pickle.dumps(function))  # noqa: S301  # written in this very line
    require(
        all(other == function for other in copies),
        f"expected copies that are equal to it, got {copies[0]!r}; make it a frozen dataclass of a module",
    )


CONSOLIDATION_RULES = (
    gives_a_factor_per_hidden_weight,
    stays_between_0_and_1,
    is_1_at_0,
    is_1_without_metaplasticity,
    is_even,
    changes_nothing,
    looks_at_each_weight_alone,
    can_be_vectorised,
    is_a_value,
)
"""The rules of consolidation functions, each a function that fails with what was expected."""


def check_consolidation(function: ConsolidationFunction) -> None:
    """Check that a consolidation function keeps its contract.

    Args:
        function: The function, as it is given to an optimizer.

    Raises:
        BrokenRuleError: When it breaks a rule, with all that it breaks; an `AssertionError`, as tests expect.

    Example:
        >>> from metaplastic.optim import PowerLaw
        >>> check_consolidation(PowerLaw(exponent=3.0))
        >>> check_consolidation(abs)  # doctest: +ELLIPSIS, +IGNORE_EXCEPTION_DETAIL
        Traceback (most recent call last):
        metaplastic.testing.rules.BrokenRuleError: ...
    """
    check(f"consolidation function {function!r}", CONSOLIDATION_RULES, function)
