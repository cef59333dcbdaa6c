"""What every optimizer of the package promises."""

import io
import pickle

import pytest
import torch
from torch import nn
from torch.nn import functional

import metaplastic.optim
from metaplastic.hidden_weight import HiddenWeight
from metaplastic.optim import BeakerAdam, Beakers, MetaplasticAdam, MetaplasticSGD, PowerLaw, Tabulated, param_groups

CURVE = Tabulated((0.0, 1.0, 3.0), (1.0, 0.5, 0.25))
PLAIN = {"weight_decay": 1e-3, "metaplasticity": 0.0}
OPTIMIZERS = {
    "adam": lambda params, **options: MetaplasticAdam(params, **{**PLAIN, "lr": 0.02, **options}),
    "sgd": lambda params, **options: MetaplasticSGD(params, **{**PLAIN, "lr": 0.1, **options}),
    "sgd with momentum": lambda params, **options: MetaplasticSGD(
        params, **{**PLAIN, "lr": 0.02, "momentum": 0.9, **options}
    ),
    # The authors' chain would draw a weight back from its target faster than this learning rate moves it there.
    "beakers": lambda params, **options: BeakerAdam(
        params, **{**PLAIN, "lr": 0.02, "beakers": Beakers((1e-6, 1e-7), (1.0, 2.0), feedback=1e-6), **options}
    ),
}
every_optimizer = pytest.mark.parametrize("build", OPTIMIZERS.values(), ids=OPTIMIZERS.keys())
# Beakers damp what the last of them takes, not the steps of the hidden weight.
DAMPING = OPTIMIZERS.keys() - {"beakers"}


class Net(nn.Module):
    def __init__(self, dtype=torch.float64):
        super().__init__()
        random = torch.Generator().manual_seed(0)
        self.hidden = HiddenWeight(torch.randn(3, 4, generator=random).to(dtype))
        self.gain = nn.Parameter(torch.ones(3, dtype=dtype))

    def forward(self, inputs):
        return functional.linear(inputs, self.hidden) * self.gain


def advance(net, optimizer, steps, seed=0):
    random = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        inputs = torch.randn(5, 4, generator=random).to(net.gain.dtype)
        optimizer.zero_grad()
        net(inputs).square().mean().backward()
        optimizer.step()


def values(net):
    return [parameter.detach().clone() for parameter in net.parameters()]


def test_every_optimizer_of_the_package_is_under_contract():
    exported = {
        value
        for value in (getattr(metaplastic.optim, name) for name in metaplastic.optim.__all__)
        if isinstance(value, type) and issubclass(value, torch.optim.Optimizer)
    }
    assert len(exported) == 3
    assert {type(build([HiddenWeight(torch.zeros(1))])) for build in OPTIMIZERS.values()} == exported
    assert len(OPTIMIZERS) == 4


@every_optimizer
@pytest.mark.parametrize("function", [PowerLaw(1.5), CURVE], ids=["power-law", "tabulated"])
def test_a_restored_optimizer_continues_identically(build, function):
    net = Net()
    optimizer = build(param_groups(net, 1.2), consolidation=function)
    advance(net, optimizer, 5)
    file = io.BytesIO()
    torch.save({"net": net.state_dict(), "optimizer": optimizer.state_dict()}, file)
    advance(net, optimizer, 5, seed=1)

    file.seek(0)
    saved = torch.load(file)
    other = Net()
    other.load_state_dict(saved["net"])
    restored = build(param_groups(other, 0.0))
    restored.load_state_dict(saved["optimizer"])
    assert restored.param_groups[0]["consolidation"] == function
    advance(other, restored, 5, seed=1)
    assert all(map(torch.equal, values(net), values(other)))


@every_optimizer
def test_the_state_is_made_of_tensors(build):
    net = Net()
    optimizer = build(param_groups(net, 1.2))
    advance(net, optimizer, 2)
    for state in optimizer.state_dict()["state"].values():
        assert all(isinstance(value, torch.Tensor) for value in state.values())


@every_optimizer
def test_the_optimizer_can_be_pickled(build):
    net = Net()
    optimizer = build(param_groups(net, 1.2))
    advance(net, optimizer, 3)
    other, twin = pickle.loads(pickle.dumps((net, optimizer)))  # noqa: S301
    advance(net, optimizer, 3, seed=2)
    advance(other, twin, 3, seed=2)
    assert all(map(torch.equal, values(net), values(other)))


@every_optimizer
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_dtypes_are_kept(build, dtype):
    net = Net(dtype)
    optimizer = build(param_groups(net, 1.2))
    before = values(net)
    advance(net, optimizer, 3)
    assert all(parameter.dtype == dtype for parameter in net.parameters())
    assert not any(map(torch.equal, before, values(net)))
    for state in optimizer.state.values():
        assert all(value.dtype == dtype for name, value in state.items() if name != "step")


@every_optimizer
def test_gradients_are_left_as_they_are(build):
    net = Net()
    optimizer = build(param_groups(net, 1.2))
    for parameter in net.parameters():
        parameter.grad = torch.randn_like(parameter)
    before = [parameter.grad.clone() for parameter in net.parameters()]
    optimizer.step()
    optimizer.step()
    assert all(map(torch.equal, before, (parameter.grad for parameter in net.parameters())))


@every_optimizer
def test_groups_are_moved_by_their_own_options(build):
    net = Net()
    groups = param_groups(net, 0.0)
    groups[1]["lr"] = 0.0
    before = values(net)
    advance(net, build(groups), 3)
    after = values(net)
    assert not torch.equal(before[0], after[0])
    assert torch.equal(before[1], after[1])


@pytest.mark.parametrize("name", sorted(DAMPING))
def test_the_others_are_never_damped(name):
    """With a curve that freezes all but 0, hidden weights that are pulled to zero stand still and gains do not."""
    net = Net()
    frozen = Tabulated((0.0, 1e-9), (1.0, 0.0))
    optimizer = OPTIMIZERS[name](param_groups(net, 1.0), consolidation=frozen)
    before = values(net)
    for parameter in net.parameters():
        parameter.grad = parameter.detach().clone()
    optimizer.step()
    after = values(net)
    assert torch.equal(before[0], after[0])
    assert (after[1] < before[1]).all()


@every_optimizer
def test_a_quadratic_is_descended(build):
    weight = HiddenWeight(torch.full((6,), 3.0, dtype=torch.float64))
    target = torch.linspace(-1, 1, 6, dtype=torch.float64)
    optimizer = build([weight], weight_decay=0.0)
    for _ in range(1000):
        optimizer.zero_grad()
        (weight - target).square().sum().backward()
        optimizer.step()
    torch.testing.assert_close(weight.detach(), target, rtol=0, atol=1e-3)


@every_optimizer
def test_a_closure_is_called_with_gradients_on_and_its_loss_returned(build):
    net = Net()
    optimizer = build(param_groups(net, 1.2))

    def closure():
        optimizer.zero_grad()
        loss = net(torch.ones(2, 4, dtype=torch.float64)).square().mean()
        loss.backward()
        return loss

    first = optimizer.step(closure)
    assert optimizer.step(closure) < first


@every_optimizer
def test_parameters_without_a_gradient_are_skipped(build):
    net = Net()
    optimizer = build(param_groups(net, 1.2))
    before = values(net)
    net.gain.grad = torch.ones_like(net.gain)
    optimizer.step()
    assert torch.equal(net.hidden, before[0])
    assert net.hidden not in optimizer.state
    assert not torch.equal(net.gain, before[1])
