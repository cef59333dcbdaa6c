"""The update fused: one pass over a parameter, its gradient and its moments, native or compiled when first needed."""

import functools
import logging
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from metaplastic.optim.consolidation import ConsolidationFunction, consolidate_undivided
from metaplastic.optim.native_pass import NativeAdamPass
from metaplastic.optim.quotient import Quotient
from metaplastic.optim.update import UpdateRule

logger = logging.getLogger("metaplastic")

_TRIAL_SIZE = 2**20
"""Elements of the trial that a pass is compiled on: enough that the compiler splits it among threads."""


@runtime_checkable
class FusedPass(Protocol):
    """Moves flat tensors of one length in place: weight, gradient, moments, copies of the sign, numbers of the step."""

    def __call__(
        self, weight: Tensor, gradient: Tensor, moments: Sequence[Tensor], copies: Sequence[Tensor], numbers: Tensor, /
    ) -> None:
        """Make one step."""
        ...


@dataclass(frozen=True)
class PassKind:
    """What one compiled pass computes, and on what; two that are equal share the compiled code.

    Args:
        rule: Gives the update.
        consolidation: Consolidation function, None for parameters that are not damped.
        dtype: Of the parameter and its moments.
        gradient_dtype: Of the gradient.
        copies: Types of the copies of the sign.
        device: Type of the device.
        threads: Threads that torch computes with; the compiled code depends on it.
    """

    rule: UpdateRule
    consolidation: ConsolidationFunction | None
    dtype: torch.dtype
    gradient_dtype: torch.dtype
    copies: tuple[torch.dtype, ...]
    device: str = "cpu"
    threads: int = field(default_factory=torch.get_num_threads)


def numbers_of_step(
    size: float, eps: float, weight_decay: float, metaplasticity: float, device: torch.device | str = "cpu"
) -> Tensor:
    """Put what changes from step to step into a tensor, so that nothing is compiled anew when it does."""
    numbers = torch.tensor([size, eps, weight_decay, metaplasticity], dtype=torch.float64)
    return numbers.to(device, non_blocking=True)  # so few are copied before the call returns: nothing waits for a GPU


def fused_pass(kind: PassKind) -> FusedPass | None:
    """Find a pass, or compile it: some ten seconds the first time on a machine, and two in a process afterwards.

    The published update, and Adam with two other functions, have a native pass, for which nothing is to be compiled.

    Args:
        kind: What it computes.

    Returns:
        The pass; None where it cannot be compiled, which is said once for each kind.
    """
    if is_native(kind):
        return NativeAdamPass(kind.rule.betas, kind.consolidation)  # type: ignore[attr-defined]
    try:
        return _compiled(kind)
    except TypeError:
        return _without_hash(type(kind.consolidation).__name__)


def is_native(kind: PassKind) -> bool:
    """Tell whether a pass is there without compiling it."""
    on_cpu = kind.device == "cpu"
    return on_cpu and NativeAdamPass.serves(kind.rule, kind.consolidation, kind.dtype, kind.gradient_dtype, kind.copies)


@functools.cache
def _without_hash(name: str) -> None:
    logger.warning(
        "the update is not compiled but made in blocks, more slowly: %s has no hash to find its compiled pass by; make "
        "it a frozen dataclass of hashable fields",
        name,
    )


# A few passes serve a process; more would mean that something which changes has become part of a kind.
@functools.lru_cache(maxsize=64)
def _compiled(kind: PassKind) -> FusedPass | None:
    compiled = torch.compile(
        functools.partial(plain_pass, kind.rule, kind.consolidation),
        fullgraph=True,
        dynamic=True,
        # Headers compiled ahead pay off for many kernels of a CPU; for two they take longer than they save.
        options={"cpp_cache_precompile_headers": False},
    )
    try:
        with torch.no_grad(), _many_kinds(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the compiler's own, which are no fault of the caller's
            compiled(*_trial(kind))
    except Exception as error:  # whatever the compiler or the machine lacks, training must go on without it
        logger.warning("the update is not compiled but made in blocks, more slowly: %s", _in_a_line(error))
        return None
    return compiled


def plain_pass(
    rule: UpdateRule,
    consolidation: ConsolidationFunction | None,
    weight: Tensor,
    gradient: Tensor,
    moments: Sequence[Tensor],
    copies: Sequence[Tensor],
    numbers: Tensor,
) -> None:
    """Make a step of a rule by plain operations: what is compiled.

    Args:
        rule: Gives the update.
        consolidation: Consolidation function, None for parameters that are not damped.
        weight: Flat, as all that follows; it is moved in place.
        gradient: Its gradient.
        moments: What the rule remembers.
        copies: Copies of the sign that are written.
        numbers: Those of `numbers_of_step`.
    """
    size, eps, weight_decay, metaplasticity = numbers.to(weight.dtype).unbind()
    slope = gradient.to(weight.dtype) + weight_decay * weight
    update = rule(slope, moments, eps)
    if consolidation is not None:
        update = consolidate_undivided(update, weight, metaplasticity, consolidation)
    weight.sub_(Quotient(size * update.numerator, update.denominator).divided())
    if copies:
        signs = torch.where(weight >= 0, 1.0, -1.0)  # in floating point, which vectorises where bytes do not
        for copy in copies:
            copy.copy_(signs)


def _trial(kind: PassKind) -> tuple[Any, ...]:
    def made(dtype: torch.dtype) -> Tensor:
        return torch.ones(_TRIAL_SIZE, dtype=dtype, device=kind.device)

    moments = [made(kind.dtype) for _ in kind.rule.moments]
    numbers = numbers_of_step(1e-3, 1e-8, 1e-7, 1.0, kind.device)
    return made(kind.dtype), made(kind.gradient_dtype), moments, [made(dtype) for dtype in kind.copies], numbers


def _many_kinds() -> Any:
    """Let the compiler keep a version of the pass for every kind, beyond the eight that it keeps by default."""
    import torch._dynamo

    return torch._dynamo.config.patch(recompile_limit=64)


def _in_a_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {' '.join(lines[:2]) or 'no message'}"
