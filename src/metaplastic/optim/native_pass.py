"""The published update as one native pass, with nothing to compile at the first step."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from metaplastic import native
from metaplastic.optim.consolidation import TanhSquared
from metaplastic.optim.update import AdamUpdate

_GRADIENTS = (torch.float32, torch.bfloat16)
_COPIES = ((), (torch.int8,), (torch.int8, torch.bfloat16))


@dataclass(frozen=True)
class NativeAdamPass:
    """Moves a parameter by Adam, damped by `TanhSquared` if it is a hidden weight; a `FusedPass`.

    It computes what the compiled pass does, rounded elsewhere: in float32, numbers below the normal ones as zeros.

    Args:
        betas: Decay rates of the two moments.
        damped: Whether the parameter is a hidden weight.

    Deviation from the paper and the authors' code: those of `MetaplasticAdam`.
    """

    betas: tuple[float, float]
    damped: bool

    @staticmethod
    def serves(
        rule: object,
        consolidation: object,
        dtype: torch.dtype,
        gradient_dtype: torch.dtype,
        copies: tuple[torch.dtype, ...],
    ) -> bool:
        """Tell whether the pass was compiled, the processor has it, and it computes what is asked for."""
        ours = type(rule) is AdamUpdate and type(consolidation) in (TanhSquared, type(None))
        fits = dtype is torch.float32 and gradient_dtype in _GRADIENTS and copies in _COPIES
        return native.update is not None and ours and fits

    def __call__(
        self, weight: Tensor, gradient: Tensor, moments: Sequence[Tensor], copies: Sequence[Tensor], numbers: Tensor
    ) -> None:
        """Make one step."""
        size, eps, decay, metaplasticity = numbers.tolist()
        steepness = 2 * math.log2(math.e) * metaplasticity if self.damped else -1.0
        first, second = (moment.data_ptr() for moment in moments)
        signs, half = (*(copy.data_ptr() for copy in copies), 0, 0)[:2]
        native.update.adam(  # type: ignore[union-attr]
            weight.data_ptr(), gradient.data_ptr(), gradient.dtype is torch.bfloat16, first, second, signs, half,
            weight.numel(), size, eps, decay, *self.betas, steepness, torch.get_num_threads(),
        )  # fmt: skip
        # Written behind torch's back: count the change as any other in place, for whoever follows the weight.
        torch.autograd.graph.increment_version([weight, *moments])
