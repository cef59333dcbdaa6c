"""Beakers: a chain of slower and slower variables behind each hidden weight, the last of which is metaplastic."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jaxtyping import Float
from torch import Tensor
from torch.optim.optimizer import ParamsT

from metaplastic.choices import choose
from metaplastic.optim.consolidation import PUBLISHED, ConsolidationFunction, consolidate, named
from metaplastic.optim.parameters import is_hidden
from metaplastic.optim.shell import HiddenWeightOptimizer, Pair, begin_adam_step, blocks, moments_of
from metaplastic.optim.update import AdamUpdate, EpsPlacement, decayed
from metaplastic.storage import allocate_stream


@dataclass(frozen=True)
class Beakers:
    """A chain of beakers per synapse: how fast their levels even out, and how strongly the last draws the first.

    Beaker k has cross-section a_k, and a pipe of conductance r_k to the next; that of the last leads to a level of 0.
    Time is counted in steps of the optimizer.

    Args:
        conductances: Conductances r of the pipes, one per beaker, from 0, which closes a pipe.
        cross_sections: Cross-sections a of the beakers, one each, above 0: what it takes to raise a level by one.
        feedback: Strength phi with which the last beaker draws the first, from 0, a share of their distance per step.

    Raises:
        ValueError: When there is no beaker, they have not one number each, or one is out of range: the levels around a
            beaker may not draw it further than to where they are themselves, or levels would swing.

    Example:
        >>> Beakers((0.1, 0.0), (1.0, 4.0))  # two beakers that leak nothing
        Beakers(conductances=(0.1, 0.0), cross_sections=(1.0, 4.0), feedback=0.005)

    References:
        Benna and Fusi 2016, doi 10.1038/nn.4401, for the chain.
    """

    conductances: tuple[float, ...] = (1e-2, 1e-3, 1e-4, 1e-5)
    cross_sections: tuple[float, ...] = (1.0, 2.0, 4.0, 8.0)
    feedback: float = 5e-3

    def __post_init__(self) -> None:
        r, a = self.conductances, self.cross_sections
        if not r or len(r) != len(a):
            raise ValueError(
                f"expected one conductance and one cross-section per beaker, at least one, got {len(r)} conductances "
                f"and {len(a)} cross-sections; give both, as many of one as of the other"
            )
        if not all(0 <= conductance < math.inf for conductance in r):
            raise ValueError(f"expected finite conductances from 0, got {r}; use 0 to close a pipe")
        if not all(0 < area < math.inf for area in a):
            raise ValueError(f"expected finite cross-sections above 0, got {a}; the authors' are 1, 2, 4, 8")
        if not 0 <= self.feedback < math.inf:
            raise ValueError(f"expected a finite feedback from 0, got {self.feedback}; use 0 for none")
        for beaker, rate in enumerate(self._rates()):
            if rate > 1:
                raise ValueError(
                    f"expected conductances that move a level by at most its distance in a step, got {rate:g} of it in "
                    f"beaker {beaker}; use smaller conductances or feedback, or a larger cross-section"
                )

    def _rates(self) -> list[float]:
        """Give the share of a distance that each level is moved by in a step."""
        pipes = itertools.pairwise((0.0, *self.conductances))
        rates = [sum(pair) / area for pair, area in zip(pipes, self.cross_sections, strict=True)]
        return [rates[0] + self.feedback, *rates[1:]]


def exchange(
    levels: Sequence[Float[Tensor, "*weight"]],
    beakers: Beakers,
    metaplasticity: float,
    function: ConsolidationFunction = PUBLISHED,
) -> list[Float[Tensor, "*weight"]]:
    """Give how far the levels of a chain move in a step, all of them computed from the levels before it.

        du_0 = r_0/a_0 (u_1 - u_0) + phi (u_n - u_0)    second term only where (u_n - u_0) sign(u_n) > 0
        du_k = r_(k-1)/a_k (u_(k-1) - u_k) + r_k/a_k (u_(k+1) - u_k)
        du_n = r_(n-1)/a_n (u_(n-1) - u_n) f + r_n/a_n (0 - u_n)    f only where (u_(n-1) - u_n) u_n < 0, else 1

        u: levels, u_n the last, r, a, phi: beakers, f: function at u_n and metaplasticity m

    A beaker alone is the first, and only leaks: du_0 = r_0/a_0 (0 - u_0).

    Without metaplasticity and feedback, and with the last pipe closed, the content sum_k a_k u_k is conserved: what
    leaves a beaker enters its neighbour. The leak, the feedback and f, which is applied to what the last beaker takes
    but not to what its neighbour gives, add to it or take from it. No level leaves the range of 0 and all levels.

    Args:
        levels: Levels of the beakers, the first the hidden weight, one tensor each, all of one shape.
        beakers: The chain, of as many beakers.
        metaplasticity: Strength m of the consolidation of the last level, from 0 (none), per unit of hidden weight.
        function: Consolidation function f.

    Returns:
        Changes of the levels, new tensors of the same shape.

    Raises:
        ValueError: When there are not as many levels as beakers.

    Example:
        >>> import torch
        >>> levels = [torch.tensor([0.0]), torch.tensor([1.0])]
        >>> exchange(levels, Beakers((0.5, 0.0), (1.0, 2.0), feedback=0.25), 0.0)
        [tensor([0.7500]), tensor([-0.2500])]

    References:
        Benna and Fusi 2016, doi 10.1038/nn.4401, for f = 1 and phi = 0.

    Deviation from the authors' code: there, in networks with real weights, u_0 is read after the gradient's step.
    """
    *joins, leak = beakers.conductances
    if len(levels) != len(joins) + 1:
        raise ValueError(
            f"expected a level per beaker, {len(joins) + 1}, got {len(levels)}; give the hidden weight and the beakers "
            "behind it"
        )
    last = levels[-1]
    drawn = [r * (after - before) for r, (before, after) in zip(joins, itertools.pairwise(levels), strict=True)]
    drawn.append(last * -leak)
    given = drawn[:-1]
    if given and metaplasticity > 0:
        given[-1] = consolidate(given[-1], last, metaplasticity, function)  # a step of -given
    flows = [drawn[0], *(inwards - outwards for inwards, outwards in zip(drawn[1:], given, strict=True))]
    changes = [flow / area for flow, area in zip(flows, beakers.cross_sections, strict=True)]
    if beakers.feedback > 0:
        sign = last.sign()
        changes[0] += (last - levels[0]).mul_(sign).clamp_min_(0).mul_(sign).mul_(beakers.feedback)
    return changes


class BeakerAdam(HiddenWeightOptimizer):
    r"""Adam on the first of a chain of beakers per synapse, the last of which is metaplastic.

        g   <- g + decay u_0
        a   <- b1 a + (1 - b1) g
        v   <- b2 v + (1 - b2) g^2
        U    = sqrt(1 - b2^t) / (1 - b1^t) a / (sqrt(v) + eps)
        u_0 <- u_0 - lr U + du_0
        u_k <- u_k + du_k

        g: gradient, u_0: hidden weight, u_k: the other beakers, a, v: moments, b1, b2: betas, du: `exchange`

    The hidden weight is plastic and forgets what the slower beakers do not confirm; they draw it back to what it has
    long been. Only `HiddenWeight` parameters have a chain; every other parameter is moved by Adam. With all pipes
    closed and no feedback that is Adam everywhere, as `MetaplasticAdam` with m = 0.

    The other beakers fill to the level of the hidden weight at its first step. They are state of the optimizer,
    `beaker_1` and so on, and take one more number per weight each, of its type: in float32 the slowest default pipe
    moves a level by some ten units in the last place, in bfloat16 by none.

    **Whoever clears the state, as a reset at task boundaries does, takes the memory out of the synapses:** the chain
    then begins anew, at the weight of that moment.

    Args:
        params: Parameters or parameter groups, usually from `param_groups`.
        lr: Learning rate, from 0, in units of the weight.
        betas: Decay rates of the two moments, each in [0, 1).
        eps: What keeps the denominator from 0, from 0, in units of the gradient.
        weight_decay: Strength of an L2 penalty within the gradient, from 0.
        metaplasticity: Strength m of the consolidation of the last beaker, from 0, per unit of hidden weight, for
            groups that do not say.
        consolidation: Consolidation function f or its name, for groups that do not say.
        beakers: The chain, for groups that do not say.
        eps_placement: Where eps is added, for groups that do not say.

    Raises:
        ValueError: When an option is out of range, or no parameter is a hidden weight.

    Example:
        >>> import torch
        >>> from metaplastic.hidden_weight import HiddenWeight
        >>> weight = HiddenWeight(torch.tensor([1.0]))
        >>> optimizer = BeakerAdam([weight], lr=0.5, beakers=Beakers((0.1, 0.0), (1.0, 2.0), feedback=0.0))
        >>> for _ in range(2):
        ...     weight.grad = torch.ones(1)
        ...     optimizer.step()
        >>> [round(level.item(), 3) for level in optimizer.levels(weight)]  # the second follows, by 0.1/2 f of 0.5
        [0.05, 0.994]

    References:
        Benna and Fusi 2016, doi 10.1038/nn.4401, for the chain. The metaplastic last beaker is in the code of Laborieux
        et al. 2021, doi 10.1038/s41467-021-22768-y, without a command or a published number.

    Deviations from the authors' code: what has a chain is decided by the mark on the parameter, not by its number of
    dimensions; weight decay does not alter the caller's gradient; and see `exchange`. They never clear the state.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float = 5e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        metaplasticity: float = 1.35,
        consolidation: ConsolidationFunction | str = PUBLISHED,
        beakers: Beakers = Beakers(),
        eps_placement: EpsPlacement = EpsPlacement.BEFORE_CORRECTION,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "metaplasticity": metaplasticity,
            "consolidation": named(consolidation),
            "beakers": beakers,
            "eps_placement": choose(EpsPlacement, eps_placement),
        }
        super().__init__(params, defaults)

    def levels(self, parameter: Tensor) -> list[Tensor]:
        """Show the levels of a parameter's chain.

        Args:
            parameter: A parameter of the optimizer.

        Returns:
            The parameter and its other beakers, as they are: a step changes them. Before the first step, and for a
            parameter that is no hidden weight, the parameter alone.
        """
        state, found = self.state.get(parameter, {}), [parameter.detach()]
        while (name := f"beaker_{len(found)}") in state:
            found.append(state[name])
        return found

    def _move(self, pairs: list[Pair], group: dict[str, Any]) -> None:
        for parameter, gradient in pairs:
            self._move_one(parameter, gradient, group)

    def _move_one(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        rule, state = AdamUpdate(tuple(group["betas"])), self.state[parameter]
        moments = moments_of(parameter, rule, state)
        has_chain = is_hidden(parameter, group)
        slower = _filled(parameter, group["beakers"], state) if has_chain else []
        size, eps = begin_adam_step(state, group)
        m = group["metaplasticity"]
        for weight, slope, first, second, *deeper in blocks(parameter, gradient, *moments, *slower):
            levels = [weight, *deeper] if has_chain else []
            changes = exchange(levels, group["beakers"], m, group["consolidation"]) if has_chain else []
            slope = decayed(slope.to(weight.dtype), weight, group["weight_decay"])
            weight.add_(rule(slope, [first, second], eps).divided(), alpha=-size)
            for level, change in zip(levels, changes, strict=True):
                level.add_(change)


def _filled(parameter: Tensor, beakers: Beakers, state: dict[str, Tensor]) -> list[Tensor]:
    """Find the beakers behind a hidden weight; those that are not there yet are filled to its level."""
    names = [f"beaker_{number}" for number in range(1, len(beakers.conductances))]
    for position, name in enumerate(names, start=4):  # after parameter, gradient and two moments
        if name not in state:
            state[name] = allocate_stream(parameter.detach(), position).copy_(parameter)
    return [state[name] for name in names]
