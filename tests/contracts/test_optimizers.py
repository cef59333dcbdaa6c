"""What every optimizer of the package promises."""

import io

import pytest
import torch

import metaplastic.optim
from metaplastic.hidden_weight import HiddenWeight
from metaplastic.optim import BeakerAdam, Beakers, MetaplasticAdam, MetaplasticSGD, PowerLaw, Tabulated, param_groups
from metaplastic.testing import OPTIMIZER_RULES
from metaplastic.testing.optimizers import OneLayer, advance, values

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
@pytest.mark.parametrize("rule", OPTIMIZER_RULES, ids=lambda rule: rule.__name__)
def test_the_contract_is_kept(build, rule):
    rule(build)


@every_optimizer
@pytest.mark.parametrize("function", [PowerLaw(1.5), CURVE], ids=["power-law", "tabulated"])
def test_the_consolidation_function_is_restored_with_the_state(build, function):
    net = OneLayer()
    optimizer = build(param_groups(net, 1.2), consolidation=function)
    advance(net, optimizer, 5)
    file = io.BytesIO()
    torch.save({"net": net.state_dict(), "optimizer": optimizer.state_dict()}, file)
    advance(net, optimizer, 5, seed=1)

    file.seek(0)
    saved = torch.load(file)
    other = OneLayer()
    other.load_state_dict(saved["net"])
    restored = build(param_groups(other, 0.0))
    restored.load_state_dict(saved["optimizer"])
    assert restored.param_groups[0]["consolidation"] == function
    advance(other, restored, 5, seed=1)
    assert all(map(torch.equal, values(net), values(other)))


@pytest.mark.parametrize("name", sorted(DAMPING))
def test_the_others_are_never_damped(name):
    """With a curve that freezes all but 0, hidden weights that are pulled to zero stand still and gains do not."""
    net = OneLayer()
    frozen = Tabulated((0.0, 1e-9), (1.0, 0.0))
    optimizer = OPTIMIZERS[name](param_groups(net, 1.0), consolidation=frozen)
    before = values(net)
    for parameter in net.parameters():
        parameter.grad = parameter.detach().clone()
    optimizer.step()
    after = values(net)
    assert torch.equal(before[0], after[0])
    assert (after[1] < before[1]).all()
