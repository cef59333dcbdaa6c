"""Each rule of the contracts against something that breaks it, and nothing else."""

from dataclasses import dataclass

import pytest
import torch

from metaplastic.learners import WithoutHooks
from metaplastic.optim import MetaplasticAdam, MetaplasticSGD, TanhSquared
from metaplastic.testing import (
    CONSOLIDATION_RULES,
    LEARNER_RULES,
    OPTIMIZER_RULES,
    BrokenRuleError,
    check_consolidation,
    check_learner,
    check_optimizer,
)

SOUND = TanhSquared()


def consolidation_rule(name):
    return next(rule for rule in CONSOLIDATION_RULES if rule.__name__ == name)


@dataclass
class Identical:
    """Equal to nothing, not even to a copy."""

    def __call__(self, hidden, m):
        return SOUND(hidden, m)

    def __eq__(self, other):
        return self is other


@dataclass(frozen=True)
class Steep:
    """Twice as large as it may be, and undefined for the plain network."""

    def __call__(self, hidden, m):
        return 2 * SOUND(hidden, m / (1 if m else m))


def branching(hidden, m):
    return SOUND(hidden, m) if bool((hidden.abs() < 1e9).all()) else torch.ones_like(hidden)


def careless(hidden, m):
    return SOUND(hidden.mul_(1.0 + 1e-9), m)


BROKEN_FUNCTIONS = {
    "gives_a_factor_per_hidden_weight": (lambda hidden, m: SOUND(hidden, m).float(), "compute from `hidden` alone"),
    "stays_between_0_and_1": (
        lambda hidden, m: 1 + m * hidden.abs(),
        r"in \[0, 1\], got 1 to 30001 with m = 0.5",
    ),
    "is_1_at_0": (lambda hidden, m: 0.9 * SOUND(hidden, m), "expected 1 at a hidden weight of 0, got 0.9"),
    "is_1_without_metaplasticity": (lambda hidden, m: SOUND(hidden, 1.0), "let m multiply the hidden weight"),
    "is_even": (lambda hidden, m: torch.where(hidden > 0, SOUND(hidden, m), 1.0), "use hidden.abs()"),
    "changes_nothing": (careless, "expected the hidden weights unchanged, got others"),
    "looks_at_each_weight_alone": (
        lambda hidden, m: SOUND(hidden / hidden.abs().mean().clamp(min=1e-9), m),
        "use no mean, no maximum",
    ),
    "can_be_vectorised": (branching, "vmap"),
    "is_a_value": (Identical(), "make it a frozen dataclass"),
}


def test_every_rule_of_consolidation_functions_has_something_that_breaks_it():
    assert sorted(BROKEN_FUNCTIONS) == sorted(rule.__name__ for rule in CONSOLIDATION_RULES)


@pytest.mark.parametrize("name", BROKEN_FUNCTIONS)
def test_a_consolidation_function_that_breaks_a_rule_is_found_out(name):
    function, message = BROKEN_FUNCTIONS[name]
    rule = consolidation_rule(name)
    with pytest.raises((BrokenRuleError, RuntimeError), match=message):
        rule(function)
    with pytest.raises(BrokenRuleError) as error:
        check_consolidation(function)
    assert f"- {rule.__doc__.splitlines()[0]}" in str(error.value)


class Rude(MetaplasticSGD):
    """Changes gradients."""

    def step(self, closure=None):
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.grad.mul_(0.5)
        return super().step(closure)


class Counting(MetaplasticSGD):
    """Remembers a number that is no tensor."""

    def step(self, closure=None):
        for parameter in self.param_groups[0]["params"]:
            self.state[parameter]["count"] = self.state[parameter].get("count", 0) + 1
        return super().step(closure)


class Forgetful(MetaplasticAdam):
    """Keeps to itself that it slows down."""

    slowness = 1.0

    def step(self, closure=None):
        self.slowness *= 1.3
        for group in self.param_groups:
            group["betas"] = (1 - 1 / (2 * self.slowness), 0.999)
        return super().step(closure)


class Silent(MetaplasticSGD):
    """Returns no loss."""

    def step(self, closure=None):
        super().step(closure)


class Upwards(MetaplasticSGD):
    """Climbs."""

    def _move(self, pairs, group):
        super()._move([(parameter, -gradient) for parameter, gradient in pairs], group)


class Blunt(MetaplasticSGD):
    """Damps gains too."""

    def _move(self, pairs, group):
        damped = [(parameter, gradient / (1 + group["metaplasticity"])) for parameter, gradient in pairs]
        super()._move(damped, group)


class Uniform(MetaplasticSGD):
    """Moves every group at one rate."""

    def _move(self, pairs, group):
        super()._move(pairs, group | {"lr": 0.1})


class Doubling(MetaplasticSGD):
    """Moves parameters that have no gradient."""

    def step(self, closure=None):
        for parameter in self.param_groups[0]["params"]:
            if parameter.grad is None:
                parameter.grad = torch.ones_like(parameter)
        return super().step(closure)


class Widening(MetaplasticSGD):
    """Remembers in float64 whatever it is given."""

    def step(self, closure=None):
        for parameter in self.param_groups[0]["params"]:
            if parameter.grad is not None:
                self.state[parameter]["trace"] = parameter.detach().double()
        return super().step(closure)


class Unpicklable(MetaplasticSGD):
    """Holds a function that has no name."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.__dict__["note"] = lambda: None

    def __getstate__(self):
        return super().__getstate__() | {"note": self.note}


BROKEN_OPTIMIZERS = {
    "goes_on_from_its_state": (Forgetful, r"expected the (options|parameters of the run)"),
    "remembers_in_tensors": (Counting, "expected a tensor as state 'count', got int"),
    "can_be_pickled": (Unpicklable, "it raised"),
    "keeps_dtypes": (Widening, "expected state of torch.float32, got {'trace': torch.float64}"),
    "leaves_gradients_alone": (Rude, "use grad.add, not grad.add_"),
    "heeds_the_options_of_groups": (Uniform, r"expected lr 0 to hold its group still"),
    "damps_hidden_weights_only": (Blunt, r"damp only where is_hidden_weight\(parameter\)"),
    "descends_a_quadratic": (Upwards, "expected the minimum within 0.001, got within"),
    "calls_a_closure": (Silent, "return what the closure returns"),
    "skips_what_has_no_gradient": (Doubling, "expected a weight without gradient to stay, got it moved"),
}


def test_every_rule_of_optimizers_has_something_that_breaks_it():
    assert sorted(BROKEN_OPTIMIZERS) == sorted(rule.__name__ for rule in OPTIMIZER_RULES)


@pytest.mark.parametrize("name", BROKEN_OPTIMIZERS)
def test_an_optimizer_that_breaks_a_rule_is_found_out(name):
    kind, message = BROKEN_OPTIMIZERS[name]
    rule = next(rule for rule in OPTIMIZER_RULES if rule.__name__ == name)
    with pytest.raises(BrokenRuleError, match=message) as error:
        check_optimizer(lambda params: kind(params, lr=0.1, metaplasticity=0.0))
    assert f"optimizer {kind.__name__} breaks" in str(error.value)
    assert f"- {rule.__doc__.splitlines()[0]}" in str(error.value)


def test_an_optimizer_that_torch_would_not_load_is_told_what_to_do():
    with pytest.raises(
        BrokenRuleError, match=r"got WeightsUnpickler error: .*Identical.*; keep plain values in the gro"
    ):
        check_optimizer(lambda params: MetaplasticSGD(params, lr=0.1, metaplasticity=0.0, consolidation=Identical()))


class Sound(WithoutHooks):
    """Pulls the weights to where they were when the last task ended."""

    def __init__(self, network, strength):
        self.network, self.strength, self.anchor = network, strength, None

    def curriculum(self, scenario):
        return scenario

    def penalty(self):
        if self.anchor is None or self.strength == 0:
            return None
        return self.strength * (self.network.layers[0].weight - self.anchor).square().sum()

    def end_task(self, task, index):
        self.anchor = self.network.layers[0].weight.detach().clone()

    def state(self):
        return {} if self.anchor is None else {"anchor": self.anchor}

    def load_state(self, state):
        self.anchor = state["anchor"].clone() if state else None


class Incomplete:
    """Has no hooks but one."""

    def __init__(self, network, strength):
        pass

    def curriculum(self, scenario):
        return scenario


class Meddling(Sound):
    """Shrinks the weights where a task ends."""

    def end_task(self, task, index):
        super().end_task(task, index)
        with torch.no_grad():
            self.network.layers[0].weight.mul_(0.5)


class Switching(Sound):
    """Leaves the network in evaluation mode."""

    def end_task(self, task, index):
        super().end_task(task, index)
        self.network.eval()


class Amnesic(Sound):
    """Saves nothing."""

    def state(self):
        return {}


class Sharing(Sound):
    """Takes a state as it is, and changes it in place."""

    def load_state(self, state):
        self.anchor = state.get("anchor")

    def end_task(self, task, index):
        if self.anchor is None:
            super().end_task(task, index)
        else:
            self.anchor.copy_(self.network.layers[0].weight.detach() + 1.0)


class Pulling(Sound):
    """Pulls even with no strength."""

    def penalty(self):
        return 0.1 * self.network.layers[0].weight.square().sum()


class Wide(Sound):
    """Adds a number per weight."""

    def penalty(self):
        found = super().penalty()
        return None if found is None else found.expand(1)


BROKEN_LEARNERS = {
    "satisfies_the_protocol": (Incomplete, "inherit from metaplastic.learners.WithoutHooks"),
    "leaves_the_network_as_found": (Meddling, "expected weights and statistics as they were"),
    "goes_on_from_its_state": (Amnesic, "got others when stopped after step"),
    "has_a_state_of_its_own_tensors": (Sharing, r"copy in load_state\(\)"),
    "equals_fine_tuning_without_strength": (Pulling, r"return None from penalty\(\) where strength is 0"),
    "adds_a_finite_scalar": (Wide, "expected a finite scalar"),
}


def test_every_rule_of_learners_has_something_that_breaks_it():
    assert sorted(BROKEN_LEARNERS) == sorted(rule.__name__ for rule in LEARNER_RULES)


@pytest.mark.parametrize("name", BROKEN_LEARNERS)
def test_a_learner_that_breaks_a_rule_is_found_out(name):
    kind, message = BROKEN_LEARNERS[name]
    rule = next(rule for rule in LEARNER_RULES if rule.__name__ == name)
    with pytest.raises(BrokenRuleError, match=message) as error:
        check_learner(kind)
    assert f"learner {kind.__name__} breaks" in str(error.value)
    assert f"- {rule.__doc__.splitlines()[0]}" in str(error.value)


def test_a_learner_that_leaves_another_mode_is_found_out():
    with pytest.raises(BrokenRuleError, match=r"use metaplastic.evaluating\(network\)"):
        check_learner(Switching)


def test_a_sound_learner_of_somebody_else_passes():
    check_learner(Sound)


def test_all_broken_rules_are_said_at_once():
    with pytest.raises(BrokenRuleError) as error:
        check_consolidation(Steep())
    lines = str(error.value).splitlines()
    assert lines[0] == "consolidation function Steep() breaks 5 of 9 rules:"
    assert "- A factor is in [0, 1]: a step that would weaken a synapse is never lengthened nor turned round." in lines
    assert "  it raised ZeroDivisionError: float division by zero" in lines
    assert len(lines) == 1 + 2 * 5
