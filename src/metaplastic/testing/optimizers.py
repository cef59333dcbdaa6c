"""What every optimizer of hidden weights promises."""

import io
import pickle
import warnings
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from metaplastic.hidden_weight import HiddenWeight
from metaplastic.optim import UnmarkedParameterWarning, param_groups
from metaplastic.testing.rules import BrokenRuleError, check, require

Maker = Callable[[Iterable[Any]], torch.optim.Optimizer]
"""Makes an optimizer of parameters or of groups, whose `metaplasticity` is in every group."""


class OneLayer(nn.Module):
    """A binary layer's shadow: a hidden weight and a gain.

    Args:
        dtype: Of both.
    """

    def __init__(self, dtype: torch.dtype = torch.float64) -> None:
        super().__init__()
        random = torch.Generator().manual_seed(0)
        self.hidden = HiddenWeight(torch.randn(3, 4, generator=random).to(dtype))
        self.gain = nn.Parameter(torch.ones(3, dtype=dtype))

    def forward(self, inputs: Tensor) -> Tensor:
        """Multiply by the hidden weight and scale."""
        return functional.linear(inputs, self.hidden) * self.gain


def advance(net: OneLayer, optimizer: torch.optim.Optimizer, steps: int, seed: int = 0) -> None:
    """Make some steps towards smaller outputs.

    Args:
        net: What is trained.
        optimizer: Holds its parameters.
        steps: How many.
        seed: Seed of the inputs.
    """
    random = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        inputs = torch.randn(5, 4, generator=random).to(net.gain.dtype)
        optimizer.zero_grad()
        net(inputs).square().mean().backward()
        optimizer.step()


def values(net: nn.Module) -> list[Tensor]:
    """Copy the parameters of a network.

    Args:
        net: Any module.

    Returns:
        Their values.
    """
    return [parameter.detach().clone() for parameter in net.parameters()]


def _same(one: Iterable[Tensor], other: Iterable[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def _options(optimizer: torch.optim.Optimizer) -> list[dict[str, Any]]:
    return [{name: value for name, value in group.items() if name != "params"} for group in optimizer.param_groups]


def _loaded(file: io.BytesIO) -> dict[str, Any]:
    try:
        return torch.load(file)
    except pickle.UnpicklingError as error:
        reason = next((line.strip() for line in str(error).splitlines() if "Unsupported" in line), str(error))
        raise BrokenRuleError(
            f"expected torch.load to read the state_dict, got {reason}; keep plain values in the groups, or tell torch "
            "of their classes with torch.serialization.add_safe_globals"
        ) from error


def goes_on_from_its_state(build: Maker) -> None:
    """Restored from its state_dict, through torch.save and torch.load, it continues with the same bits."""
    net = OneLayer()
    optimizer = build(param_groups(net, 1.2))
    advance(net, optimizer, 5)
    file = io.BytesIO()
    torch.save({"net": net.state_dict(), "optimizer": optimizer.state_dict()}, file)
    advance(net, optimizer, 5, seed=1)
    file.seek(0)
    saved = _loaded(file)
    other = OneLayer()
    other.load_state_dict(saved["net"])
    restored = build(param_groups(other, 0.0))
    restored.load_state_dict(saved["optimizer"])
    require(
        _options(restored) == _options(optimizer),
        f"expected the options {_options(optimizer)}, got {_options(restored)}; keep them in the parameter groups",
    )
    advance(other, restored, 5, seed=1)
    require(
        _same(values(net), values(other)),
        "expected the parameters of the run that was never stopped, got others; keep all that is remembered in "
        "`self.state`",
    )


def remembers_in_tensors(build: Maker) -> None:
    """What it remembers of a parameter is made of tensors, which a record can hold."""
    net = OneLayer()
    optimizer = build(param_groups(net, 1.2))
    advance(net, optimizer, 2)
    for state in optimizer.state_dict()["state"].values():
        for name, value in state.items():
            require(
                isinstance(value, Tensor),
                f"expected a tensor as state {name!r}, got {type(value).__name__}; for a number use torch.tensor(...)",
            )


def can_be_pickled(build: Maker) -> None:
    """It can be pickled with its network, and both go on alike."""
    net = OneLayer()
    optimizer = build(param_groups(net, 1.2))
    advance(net, optimizer, 3)
    other, twin = pickle.loads(pickle.dumps((net, optimizer)))  # noqa: S301  # written in this very line
    advance(net, optimizer, 3, seed=2)
    advance(other, twin, 3, seed=2)
    require(_same(values(net), values(other)), "expected the copy to go on as the original, got other parameters")


def keeps_dtypes(build: Maker) -> None:
    """Parameters and what is remembered of them keep their dtype, and move."""
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        net = OneLayer(dtype)
        optimizer = build(param_groups(net, 1.2))
        before = values(net)
        advance(net, optimizer, 3)
        found = {value.dtype for value in net.parameters()}
        require(found == {dtype}, f"expected parameters of {dtype}, got {found}; compute in the parameter's dtype")
        still = [name for name, value in net.named_parameters() if torch.equal(value, before.pop(0))]
        require(not still, f"expected all parameters to move in {dtype}, got {still} where they were; raise lr")
        for state in optimizer.state.values():
            others = {name: value.dtype for name, value in state.items() if name != "step" and value.dtype != dtype}
            require(not others, f"expected state of {dtype}, got {others}; make it like the parameter")


def leaves_gradients_alone(build: Maker) -> None:
    """Gradients are read and never changed."""
    net = OneLayer()
    optimizer = build(param_groups(net, 1.2))
    for parameter in net.parameters():
        parameter.grad = torch.randn_like(parameter)
    before = [parameter.grad.clone() for parameter in net.parameters() if parameter.grad is not None]
    optimizer.step()
    optimizer.step()
    after = [parameter.grad for parameter in net.parameters() if parameter.grad is not None]
    require(_same(before, after), "expected gradients as they were, got others; use grad.add, not grad.add_")


def heeds_the_options_of_groups(build: Maker) -> None:
    """Each group is moved by its own options: one with a learning rate of 0 stands still."""
    net = OneLayer()
    groups = param_groups(net, 0.0)
    groups[1]["lr"] = 0.0
    before = values(net)
    advance(net, build(groups), 3)
    after = values(net)
    require(not torch.equal(before[0], after[0]), "expected the group with a learning rate to move, got it unmoved")
    require(torch.equal(before[1], after[1]), "expected lr 0 to hold its group still, got it moved; use group['lr']")


def damps_hidden_weights_only(build: Maker) -> None:
    """What is no hidden weight moves as it does without metaplasticity."""
    moved = []
    for metaplasticity in (0.0, 5.0):
        net = OneLayer()
        together = [{"params": list(net.parameters()), "metaplasticity": metaplasticity}]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UnmarkedParameterWarning)
            optimizer = build(together)
            for _ in range(3):
                for parameter in net.parameters():
                    parameter.grad = parameter.detach().clone()
                optimizer.step()
        moved.append(values(net)[1])
    require(
        torch.equal(*moved),
        "expected gains to move alike with m = 0 and m = 5, got two ways; damp only where is_hidden_weight(parameter)",
    )


def descends_a_quadratic(build: Maker) -> None:
    """A quadratic is descended: without metaplasticity 1,000 steps lead from 3 to its minimum, within 0.001."""
    weight = HiddenWeight(torch.full((6,), 3.0, dtype=torch.float64))
    target = torch.linspace(-1, 1, 6, dtype=torch.float64)
    optimizer = build([{"params": [weight], "metaplasticity": 0.0}])
    for _ in range(1000):
        optimizer.zero_grad()
        (weight - target).square().sum().backward()
        optimizer.step()
    away = float((weight.detach() - target).abs().max())
    require(away <= 1e-3, f"expected the minimum within 0.001, got within {away:g}; check the sign of the step, or lr")


def calls_a_closure(build: Maker) -> None:
    """A closure is called once with gradients on, and its loss returned."""
    net, calls = OneLayer(), []
    optimizer = build(param_groups(net, 1.2))

    def closure() -> Tensor:
        calls.append(torch.is_grad_enabled())
        optimizer.zero_grad()
        loss = net(torch.ones(2, 4, dtype=torch.float64)).square().mean()
        loss.backward()
        return loss

    first, second = optimizer.step(closure), optimizer.step(closure)  # type: ignore[arg-type]
    require(calls == [True, True], f"expected one call with gradients on in each of two steps, got {calls}")
    require(
        isinstance(first, Tensor) and isinstance(second, Tensor) and bool(second < first),
        f"expected the loss of the closure, falling, got {first} and then {second}; return what the closure returns",
    )


def skips_what_has_no_gradient(build: Maker) -> None:
    """A parameter without a gradient is left where it is, and nothing is remembered of it."""
    net = OneLayer()
    optimizer = build(param_groups(net, 1.2))
    before = values(net)
    net.gain.grad = torch.ones_like(net.gain)
    optimizer.step()
    require(torch.equal(net.hidden, before[0]), "expected a weight without gradient to stay, got it moved")
    require(net.hidden not in optimizer.state, "expected no state for a weight without gradient, got one; skip it")
    require(not torch.equal(net.gain, before[1]), "expected the gain, which has a gradient, to move, got it unmoved")


OPTIMIZER_RULES = (
    goes_on_from_its_state,
    remembers_in_tensors,
    can_be_pickled,
    keeps_dtypes,
    leaves_gradients_alone,
    heeds_the_options_of_groups,
    damps_hidden_weights_only,
    descends_a_quadratic,
    calls_a_closure,
    skips_what_has_no_gradient,
)
"""The rules of optimizers, each a function that fails with what was expected."""


def check_optimizer(build: Maker) -> None:
    """Check that an optimizer keeps its contract.

    Args:
        build: Makes one of parameter groups, each with its `metaplasticity`; other options are yours. Choose a learning
            rate at which 1,000 steps cover a distance of 4.

    Raises:
        BrokenRuleError: When it breaks a rule, with all that it breaks; an `AssertionError`, as tests expect.

    Example:
        >>> from metaplastic.optim import MetaplasticSGD
        >>> check_optimizer(lambda params: MetaplasticSGD(params, lr=0.1, metaplasticity=0.0))
    """
    check(f"optimizer {type(build([HiddenWeight(torch.zeros(1))])).__name__}", OPTIMIZER_RULES, build)
