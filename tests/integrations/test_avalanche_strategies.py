"""Avalanche's own strategies with our optimizer."""

import pytest
import torch
from torch import nn
from torch.nn import functional

pytest.importorskip("avalanche", reason="needs Avalanche: pip install 'metaplastic[avalanche]'")

from avalanche.core import SupervisedPlugin
from avalanche.training.supervised import EWC, Naive, Replay, SynapticIntelligence

from metaplastic.integrations.avalanche import MetaplasticPlugin, as_benchmark
from metaplastic.nn import BinaryMLP
from metaplastic.optim import MetaplasticAdam, param_groups

pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning:avalanche"),
    pytest.mark.filterwarnings("ignore:__array_wrap__ must accept:DeprecationWarning"),
]


def network(norm):
    return BinaryMLP([64, 32, 10], norm=norm, generator=torch.Generator().manual_seed(0))


class Reseed(SupervisedPlugin):
    """Gives every epoch the same order whatever a strategy drew before it."""

    def before_training_epoch(self, strategy, **kwargs):
        torch.manual_seed(strategy.clock.train_iterations)


def learn(scenario, make, *plugins, norm="recalibrated", metaplasticity=10.0, epochs=3, **options):
    torch.manual_seed(0)
    net = network(norm)
    optimizer = MetaplasticAdam(param_groups(net, metaplasticity=metaplasticity), lr=1e-2)
    strategy = make(
        model=net,
        optimizer=optimizer,
        criterion=nn.CrossEntropyLoss(),
        train_mb_size=20,
        train_epochs=epochs,
        eval_mb_size=100,
        plugins=[MetaplasticPlugin(), Reseed(), *plugins],
        evaluator=None,
        **options,
    )
    for experience in as_benchmark(scenario).train_stream:
        strategy.train(experience)
    return net.eval()


def accuracy(net, scenario):
    shown = [test.view.batch(torch.arange(len(test.view))) for test in scenario.tests]
    with torch.no_grad():
        return [float((net(inputs).argmax(1) == labels).float().mean()) for inputs, labels in shown]


def same_bits(net, other):
    return all(torch.equal(one, another) for one, another in zip(net.parameters(), other.parameters(), strict=True))


STRATEGIES = {
    "naive": (Naive, {}),
    "ewc": (EWC, {"ewc_lambda": 1.0}),
    "si": (SynapticIntelligence, {"si_lambda": 1.0}),
    "replay": (Replay, {"mem_size": 50}),
}


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_strategy_learns_with_our_optimizer_and_recalibrated_statistics(two_tasks, name):
    make, options = STRATEGIES[name]
    assert accuracy(learn(two_tasks, make, **options), two_tasks)[-1] > 0.6


def test_naive_makes_the_same_bits_as_a_bare_loop(two_tasks):
    class Recorder(SupervisedPlugin):
        def before_forward(self, strategy, **kwargs):
            batches.append((strategy.mb_x.clone(), strategy.mb_y.clone()))

    batches = []
    trained = learn(two_tasks, Naive, Recorder(), norm="layer")
    net = network("layer")
    optimizer = MetaplasticAdam(param_groups(net, metaplasticity=10.0), lr=1e-2)
    for inputs, labels in batches:
        optimizer.zero_grad()
        functional.cross_entropy(net(inputs), labels).backward()
        optimizer.step()
    assert len(batches) == 2 * 3 * 10
    assert same_bits(net, trained)


def test_ewc_without_strength_is_naive_and_with_it_holds_on(two_tasks):
    naive = learn(two_tasks, Naive)
    assert same_bits(naive, learn(two_tasks, EWC, ewc_lambda=0.0))
    first, held = learn(two_tasks, Naive, metaplasticity=0.0), learn(two_tasks, EWC, metaplasticity=0.0, ewc_lambda=1e3)
    assert accuracy(held, two_tasks)[0] > accuracy(first, two_tasks)[0]


def test_replay_remembers_more_than_naive(two_tasks):
    naive, replay = (learn(two_tasks, *STRATEGIES[name][:1], **STRATEGIES[name][1]) for name in ("naive", "replay"))
    assert accuracy(replay, two_tasks)[0] > accuracy(naive, two_tasks)[0] + 0.1


def test_si_of_avalanche_0_6_is_naive_on_a_processor_whatever_the_optimizer(two_tasks):
    """Its copies of the weights share their memory, so that no weight seems to have moved; docs/avalanche.md warns."""
    assert same_bits(learn(two_tasks, Naive), learn(two_tasks, SynapticIntelligence, si_lambda=1e6))
