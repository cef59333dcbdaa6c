"""Adam with the usual consolidation functions as one native pass, with nothing to compile when it begins."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from metaplastic import native
from metaplastic.optim.consolidation import ConsolidationFunction, Exponential, PowerLaw, TanhSquared
from metaplastic.optim.update import AdamUpdate

_GRADIENTS = (torch.float32, torch.bfloat16)
_COPIES = ((), (torch.int8,), (torch.int8, torch.bfloat16))

# By name, because where nothing was compiled there are no numbers; and how steep a function is for m = 1.
_FUNCTIONS: dict[ConsolidationFunction | None, tuple[str, float]] = {
    None: ("NONE", 0.0),
    TanhSquared(): ("TANH_SQUARED", 2 * math.log2(math.e)),
    Exponential(): ("EXPONENTIAL", math.log2(math.e)),
    PowerLaw(2.0): ("INVERSE_SQUARE", 1.0),
}


@dataclass(frozen=True)
class NativeAdamPass:
    """Moves a parameter by Adam, damped if it is a hidden weight; a `FusedPass`.

    It computes what the compiled pass does, rounded elsewhere: in float32, numbers below the normal ones as zeros.

    Args:
        betas: Decay rates of the two moments.
        consolidation: Consolidation function for which `serves` holds, None for parameters that are not damped.

    Deviation from the paper and the authors' code: those of `MetaplasticAdam`.
    """

    betas: tuple[float, float]
    consolidation: ConsolidationFunction | None

    @staticmethod
    def serves(
        rule: object,
        consolidation: ConsolidationFunction | None,
        dtype: torch.dtype,
        gradient_dtype: torch.dtype,
        copies: tuple[torch.dtype, ...],
    ) -> bool:
        """Tell whether the pass was compiled, the processor has it, and it computes what is asked for."""
        fits = dtype is torch.float32 and gradient_dtype in _GRADIENTS and copies in _COPIES
        return native.update is not None and fits and type(rule) is AdamUpdate and _known(consolidation)

    def __call__(
        self, weight: Tensor, gradient: Tensor, moments: Sequence[Tensor], copies: Sequence[Tensor], numbers: Tensor
    ) -> None:
        """Make one step."""
        assert native.update is not None
        size, eps, decay, metaplasticity = numbers.tolist()
        name, steepness = _FUNCTIONS[self.consolidation]
        first, second = (moment.data_ptr() for moment in moments)
        signs, half = (*(copy.data_ptr() for copy in copies), 0, 0)[:2]
        native.update.adam(
            weight.data_ptr(), gradient.data_ptr(), gradient.dtype is torch.bfloat16, first, second, signs, half,
            weight.numel(), size, eps, decay, *self.betas, getattr(native.update, name), steepness * metaplasticity,
            torch.get_num_threads(),
        )  # fmt: skip
        # Written behind torch's back: count the change as any other in place, for whoever follows the weight.
        torch.autograd.graph.increment_version([weight, *moments])


def _known(consolidation: ConsolidationFunction | None) -> bool:
    try:
        return consolidation in _FUNCTIONS
    except TypeError:  # a function of somebody's own that has no hash
        return False
