"""What a configuration says of learners, optimizers, time, scenarios and networks is what is built."""

from dataclasses import fields, replace

import pytest
import torch

from metaplastic.data import load
from metaplastic.experiments import Config
from metaplastic.experiments.build import (
    build_learner,
    build_network,
    build_optimizer,
    build_scenario,
    build_schedule,
)
from metaplastic.experiments.config import Family, Network, Optimizer, Reset, Rule, Running
from metaplastic.experiments.method_config import Method, Penalty
from metaplastic.experiments.scenario_config import Permuted, Sequence, Split, Stream
from metaplastic.learners import EWC, Fisher, FisherKind, Shuffled, SynapticIntelligence, Weights
from metaplastic.nn import Activation, Distribution, GainInit, NormPolicy, SignDropout, Statistics, normalizations
from metaplastic.optim import BeakerAdam, Beakers, EpsPlacement, Exponential, MetaplasticAdam, MetaplasticSGD
from metaplastic.scenarios import Announced, Augmentation, AugmentedView, Grouping, Increment, permuted

TOLD = Config(scenario=Permuted(tasks=2, boundaries=True), network=Network(hidden=(8,)), seed=4)


def network_of(config):
    return build_network(config, build_scenario(config))


def configured(config):
    network = network_of(config)
    return network, build_learner(config, network)


def holds(consolidated, network, weights):
    """Whether a method looks at this face of the hidden weights."""
    hidden = dict(network.named_parameters())
    faces = {name: hidden[name].sign() if weights is Weights.BINARY else hidden[name] for name in consolidated.values()}
    return all(torch.equal(value, faces[name]) for name, value in consolidated.values().items())


@pytest.mark.parametrize("weights", Weights)
@pytest.mark.parametrize("method", [Method.EWC, Method.ONLINE_EWC, Method.RANDOM_CONSOLIDATION])
def test_methods_with_a_fisher_information_get_their_penalty(method, weights):
    online = method is Method.ONLINE_EWC
    penalty = Penalty(3.0, weights, FisherKind.SAMPLED, fisher_samples=70, online_decay=0.5 if online else 1.0)
    network, learner = configured(replace(TOLD, method=method, penalty=penalty))
    fisher = Fisher(FisherKind.SAMPLED, 70, seed=4)
    assert isinstance(learner, EWC)
    assert learner.importance == (Shuffled(fisher, 4) if method is Method.RANDOM_CONSOLIDATION else fisher)
    assert (learner.strength, learner.decay) == (3.0, 0.5 if online else None)
    assert holds(learner.weights, network, weights)


@pytest.mark.parametrize(("weights", "path"), [(Weights.HIDDEN, Weights.BINARY), (Weights.BINARY, Weights.HIDDEN)])
def test_synaptic_intelligence_gets_its_penalty(weights, path):
    penalty = Penalty(2.0, weights, path=path, damping=0.7, signed=True)
    network, learner = configured(replace(TOLD, method=Method.SYNAPTIC_INTELLIGENCE, penalty=penalty))
    assert isinstance(learner, SynapticIntelligence)
    assert (learner.strength, learner.damping, learner.signed) == (2.0, 0.7, True)
    assert holds(learner.weights, network, weights)
    assert holds(learner.path_weights, network, path)


BEAKERS = Beakers((0.1, 0.01), (1.0, 2.0), feedback=0.0)
EPS = {"eps": 1e-3, "eps_placement": EpsPlacement.AFTER_CORRECTION}


@pytest.mark.parametrize(
    ("rule", "kind", "fields_of_rule", "own"),
    [
        (Rule.ADAM, MetaplasticAdam, {}, EPS),
        (Rule.SGD, MetaplasticSGD, {"sgd_momentum": 0.6}, {"momentum": 0.6}),
        (Rule.BEAKERS, BeakerAdam, {"beakers": BEAKERS}, EPS | {"beakers": BEAKERS}),
    ],
)
def test_an_optimizer_gets_its_options(rule, kind, fields_of_rule, own):
    options = Optimizer(
        rule,
        lr=0.2,
        metaplasticity=(2.0, 3.0),
        consolidation="exponential",
        weight_decay=0.1,
        **({} if rule is Rule.SGD else {"adam_eps": 1e-3, "eps_placement": EpsPlacement.AFTER_CORRECTION}),
        **fields_of_rule,
    )
    config = replace(TOLD, optimizer=options)
    optimizer = build_optimizer(config, network_of(config))
    assert type(optimizer) is kind
    assert [group["metaplasticity"] for group in optimizer.param_groups] == [2.0, 3.0, 0.0]
    asked = {"lr": 0.2, "weight_decay": 0.1, "consolidation": Exponential()} | own
    for group in optimizer.param_groups:
        assert {name: group[name] for name in asked} == asked


def test_the_schedule_gets_what_is_said_of_time():
    config = replace(
        TOLD,
        epochs=3,
        batch_size=7,
        optimizer=Optimizer(reset_optimizer=Reset.TASK, lr_division=2.0),
        running=Running(calibration_samples=1234),
    )
    schedule = build_schedule(config)
    asked = {"epochs": 3, "batch_size": 7, "seed": 4, "reset_optimizer": True, "lr_division": 2.0}
    asked["calibration_samples"] = 1234
    assert {field.name: getattr(schedule, field.name) for field in fields(schedule)} == asked
    assert not build_schedule(TOLD).reset_optimizer


def shown(scenario, task):
    view = scenario.tasks[task].view
    return view.batch(torch.arange(len(view)))[0]


def test_permutations_are_drawn_as_the_configuration_says():
    scenario = Permuted("digits", tasks=2, permute_first=False, permutation_seed=9, boundaries=True, task_at_test=True)
    built = build_scenario(replace(TOLD, scenario=scenario))
    theirs = permuted(load("digits"), 2, seed=9, permute_first=False)
    assert built.announced == Announced(boundaries=True, task_at_test=True)
    for task in range(2):
        assert torch.equal(shown(built, task), shown(theirs, task))
    assert torch.equal(shown(built, 0), load("digits").train.inputs.flatten(1) * load("digits").scale)
    of_the_run = build_scenario(replace(TOLD, scenario=Permuted("digits", tasks=1)))
    assert torch.equal(shown(of_the_run, 0), shown(permuted(load("digits"), 1, seed=4), 0))


@pytest.mark.parametrize("increment", Increment)
def test_a_split_has_its_increment_and_its_classes(increment):
    norm = NormPolicy(statistics=Statistics.RECALIBRATED)
    built = build_scenario(Config(scenario=Split("digits", tasks=5, increment=increment, boundaries=True), norm=norm))
    assert built.kind == f"{increment.value}-incremental"
    assert built.announced == Announced(boundaries=True, task_at_test=increment is Increment.TASK)
    assert [sorted(set(load("digits").train.labels[task.view.rows].tolist())) for task in built.tasks] == [
        [2 * task, 2 * task + 1] for task in range(5)
    ]


def test_classes_are_grouped_as_the_configuration_says():
    scenario = Split("digits", tasks=2, grouping=Grouping.VEHICLES_ANIMALS)
    with pytest.raises(ValueError, match=r"expected .*CIFAR-10"):
        build_scenario(Config(scenario=scenario))


@pytest.mark.parametrize("shared", [True, False])
def test_a_sequence_has_one_head_or_several(shared):
    scenario = Sequence(("digits", "digits"), shared_head=shared, boundaries=True, task_at_test=True)
    built = build_scenario(Config(scenario=scenario))
    assert built.classes == (10 if shared else 20)
    assert built.announced == Announced(boundaries=True, task_at_test=True)


@pytest.mark.parametrize("augment", Augmentation)
def test_images_of_a_stream_are_moved_as_the_configuration_says(augment):
    views = [task.view for task in build_scenario(Config(scenario=Stream("digits", parts=2, augment=augment))).tasks]
    assert len(views) == 2
    if augment is Augmentation.NONE:
        assert not any(isinstance(view, AugmentedView) for view in views)
    else:
        assert [view.augmentation for view in views] == [augment] * 2


@pytest.mark.parametrize("family", Family)
def test_weights_are_drawn_as_the_configuration_says(family):
    """Each hidden weight within half of the width, and not within half of the usual one."""
    images = Sequence(("digits",), image_side=32)
    config = Config(scenario=images, network=Network(family, hidden=(8,), channels=(3,), init_width=0.5))
    network = network_of(config)
    weights = [weight for weight in network.parameters() if weight.dim() > 1]
    assert weights
    assert all(0.05 < weight.abs().max() <= 0.25 for weight in weights)
    gaussian = replace(config, network=replace(config.network, distribution=Distribution.GAUSS))
    assert network_of(gaussian).layers[0].weight.abs().max() > 0.5


@pytest.mark.parametrize("family", [Family.BINARY_MLP, Family.BINARY_CONV])
def test_hidden_units_are_dropped_as_often_as_the_configuration_says(family):
    network = network_of(
        Config(scenario=Stream("digits", parts=1), network=Network(family, (8,), channels=(3,), dropout=0.3))
    )
    assert [module.p for module in network.modules() if isinstance(module, SignDropout)] == [0.3]


@pytest.mark.parametrize("family", [Family.REAL_MLP, Family.REAL_CONV])
def test_real_networks_have_their_activation(family):
    network = Network(family, (8,), channels=(3,), activation=Activation.TANH)
    names = [
        type(module) for module in network_of(Config(scenario=Stream("digits", parts=1), network=network)).modules()
    ]
    assert torch.nn.Tanh in names
    assert torch.nn.ReLU not in names


@pytest.mark.parametrize("family", [family for family in Family if family is not Family.BINARY_CIFAR])
def test_every_normalisation_has_the_policy(family):
    policy = NormPolicy(statistics=Statistics.RUNNING, gain_init=GainInit.UNIFORM, momentum=0.3, eps=1e-3)
    config = Config(scenario=Stream("digits", parts=1), network=Network(family, (8,), channels=(3,)), norm=policy)
    layers = list(normalizations(network_of(config)))
    assert len(layers) == (2 if family in (Family.BINARY_MLP, Family.REAL_MLP) else 3)
    assert all(layer.policy == policy for layer in layers)
    assert not any(torch.equal(layer.gain, torch.ones_like(layer.gain)) for layer in layers)
