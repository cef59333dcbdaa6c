"""What every learner promises."""

import copy
import itertools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from metaplastic.data import Dataset, Samples
from metaplastic.learners import Event, FineTune, Learner, LearnerMaker, Moment, Schedule, learn
from metaplastic.nn import BinaryMLP
from metaplastic.optim import MetaplasticAdam, param_groups
from metaplastic.scenarios import Announced, Scenario, permuted
from metaplastic.testing.rules import check, require

SCHEDULE = Schedule(epochs=2, batch_size=8)


def tiny_scenario() -> Scenario:
    """Make two tasks of 20 samples, with boundaries and tasks announced.

    Returns:
        The scenario.
    """
    random = torch.Generator().manual_seed(3)
    inputs = torch.randint(0, 256, (20, 6), generator=random, dtype=torch.uint8)
    part = Samples(inputs, torch.arange(20) % 3)
    return permuted(Dataset("tiny", part, part, ("a", "b", "c"), 1 / 256), tasks=2, announced=Announced(True, True))


def tiny_network() -> BinaryMLP:
    """Make a network for it, the same every time.

    Returns:
        The network.
    """
    return BinaryMLP([6, 7, 3], "running", generator=torch.Generator().manual_seed(1))


def train(
    net: nn.Module, learner: Learner, schedule: Schedule = SCHEDULE, tasks: Scenario | None = None, lr: float = 0.01
) -> list[Event]:
    """Learn the tiny scenario.

    Args:
        net: What is trained.
        learner: How.
        schedule: How long.
        tasks: What; None asks the learner for its curriculum.
        lr: Learning rate.

    Returns:
        What happened.
    """
    optimizer = MetaplasticAdam(param_groups(net, 1.3), lr=lr)
    return list(learn(net, tasks or learner.curriculum(tiny_scenario()), optimizer, learner, schedule=schedule))


def same_state(one: nn.Module, other: nn.Module) -> bool:
    """Compare networks bit by bit.

    Args:
        one: A network.
        other: A network.

    Returns:
        Whether they hold the same tensors.
    """
    left, right = one.state_dict(), other.state_dict()
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def satisfies_the_protocol(build: LearnerMaker) -> None:
    """It has every hook of `metaplastic.Learner`."""
    learner = build(tiny_network(), 1.0)
    require(
        isinstance(learner, Learner),
        f"expected every hook of metaplastic.Learner, got {type(learner).__name__} without some; "
        "inherit from metaplastic.learners.WithoutHooks and write those that do something",
    )


def leaves_the_network_as_found(build: LearnerMaker) -> None:
    """The hooks leave weights, gradients and modes as they find them: only the optimizer moves weights."""
    for training in (True, False):
        net = tiny_network()
        learner = build(net, 1.0)
        train(net, learner)
        net.train(training)
        net.layers[0].train(not training)
        modes = [module.training for module in net.modules()]
        gradients = [parameter.grad.clone() for parameter in net.parameters() if parameter.grad is not None]
        before = copy.deepcopy(net)
        learner.end_task(tiny_scenario().tasks[0], 0)
        learner.after_step()
        after = [parameter.grad for parameter in net.parameters() if parameter.grad is not None]
        require(same_state(net, before), "expected weights and statistics as they were, got others; work on copies")
        require(
            [module.training for module in net.modules()] == modes,
            "expected every module in the mode it was in, got others; use metaplastic.evaluating(network)",
        )
        require(
            len(after) == len(gradients) and all(map(torch.equal, gradients, after)),
            "expected gradients as they were, got others; use torch.autograd.grad, or put them back",
        )


def goes_on_from_its_state(build: LearnerMaker) -> None:
    """Stopped at any step and made anew from its state, it continues with the same bits."""
    schedule = Schedule(epochs=1, batch_size=10)

    def begin() -> tuple[BinaryMLP, MetaplasticAdam, Learner]:
        net = tiny_network()
        return net, MetaplasticAdam(param_groups(net, 1.3), lr=0.05), build(net, 3.0)

    whole, optimizer, learner = begin()
    tasks = learner.curriculum(tiny_scenario())
    steps = len(list(learn(whole, tasks, optimizer, learner, schedule=schedule)))
    for stop in range(1, steps + 1):
        net, optimizer, learner = begin()
        events = itertools.islice(learn(net, tasks, optimizer, learner, schedule=schedule), stop)
        position = [event.position for event in events][-1]
        saved = copy.deepcopy([net.state_dict(), optimizer.state_dict(), learner.state()])
        net, optimizer, learner = begin()
        _restore(net, optimizer, learner, saved)
        list(learn(net, tasks, optimizer, learner, schedule=schedule, start=position))
        require(
            same_state(net, whole),
            f"expected the weights of the run that was never stopped, got others when stopped after step {stop}; "
            "return from state() all that the hooks remember, and take it back in load_state()",
        )


def _restore(net: nn.Module, optimizer: torch.optim.Optimizer, learner: Learner, saved: list[Any]) -> None:
    net.load_state_dict(saved[0])
    optimizer.load_state_dict(saved[1])
    learner.load_state(saved[2])


def has_a_state_of_its_own_tensors(build: LearnerMaker) -> None:
    """Its state is made of tensors by name, which are its own: what was loaded is not changed by what follows."""
    net = tiny_network()
    learner = build(net, 1.0)
    train(net, learner)
    state = learner.state()
    wrong = {name: type(value).__name__ for name, value in state.items() if not isinstance(value, Tensor)}
    require(not wrong, f"expected tensors, got {wrong}; for a number use torch.tensor(...)")
    other = build(net, 1.0)
    other.load_state(state)
    again = {name: value.clone() for name, value in other.state().items()}
    require(
        state.keys() == again.keys() and all(torch.equal(state[name], again[name]) for name in state),
        "expected state() to return what load_state() was given, got something else",
    )
    train(net, learner)
    require(
        all(torch.equal(again[name], value) for name, value in other.state().items()),
        "expected a learner's state to be its own, got one that another learner changed; copy in load_state()",
    )


def equals_fine_tuning_without_strength(build: LearnerMaker) -> None:
    """With strength 0 it equals fine-tuning on its curriculum, bit for bit."""
    net, plain = tiny_network(), tiny_network()
    learner = build(net, 0.0)
    tasks = learner.curriculum(tiny_scenario())
    events = train(net, learner, tasks=tasks)
    expected = train(plain, FineTune(), tasks=tasks)
    require(
        same_state(net, plain) and list(map(repr, events)) == list(map(repr, expected)),
        "expected the losses and weights of fine-tuning, got others; return None from penalty() where strength is 0, "
        "and draw from no global random numbers",
    )


def adds_a_finite_scalar(build: LearnerMaker) -> None:
    """What it adds to the loss is None or a finite scalar with a gradient."""
    net = tiny_network()
    learner = build(net, 0.1)
    optimizer = MetaplasticAdam(param_groups(net, 1.3), lr=0.05)
    tasks = learner.curriculum(tiny_scenario())
    for event in learn(net, tasks, optimizer, learner, schedule=SCHEDULE):
        penalty = learner.penalty() if event.moment is Moment.STEP else None
        if penalty is not None:
            require(
                penalty.dim() == 0 and bool(penalty.isfinite()) and penalty.requires_grad,
                f"expected a finite scalar that requires a gradient, got {penalty}; compute it from the parameters",
            )


LEARNER_RULES: tuple[Callable[[LearnerMaker], None], ...] = (
    satisfies_the_protocol,
    leaves_the_network_as_found,
    goes_on_from_its_state,
    has_a_state_of_its_own_tensors,
    equals_fine_tuning_without_strength,
    adds_a_finite_scalar,
)
"""The rules of learners, each a function that fails with what was expected."""


def check_learner(build: LearnerMaker) -> None:
    """Check that a learner keeps its contract.

    Args:
        build: Makes one of a network and a strength, from 0; those without a penalty do not use the strength.

    Raises:
        BrokenRuleError: When it breaks a rule, with all that it breaks; an `AssertionError`, as tests expect.

    Example:
        >>> from metaplastic.learners import SynapticIntelligence
        >>> check_learner(SynapticIntelligence)
    """
    check(f"learner {type(build(tiny_network(), 1.0)).__name__}", LEARNER_RULES, build)
