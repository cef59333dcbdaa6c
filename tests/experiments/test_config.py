import json
from dataclasses import fields, is_dataclass, replace

import pytest

from metaplastic.experiments import PRESETS, Config, from_json, preset, to_json
from metaplastic.experiments.config import Family, Network, Optimizer, Reset, Rule, Running
from metaplastic.experiments.method_config import Method, Penalty
from metaplastic.experiments.scenario_config import Permuted, Sequence, Split, Stream
from metaplastic.learners import Weights
from metaplastic.nn import NormPolicy, Scope, Statistics
from metaplastic.optim import Beakers
from metaplastic.scenarios import Augmentation, Grouping, Increment

TOLD = Permuted(boundaries=True)

CONFIGS = [
    *(preset(name) for name in PRESETS),
    Config(scenario=Sequence(("a.npz", "b.csv"), shared_head=False)),
    Config(scenario=Sequence(("mnist", "usps"), samples=(2000, 1800), image_side=28)),
    Config(scenario=Split(increment=Increment.TASK, boundaries=True), norm=NormPolicy(scope=Scope.PER_TASK)),
    Config(scenario=Split("cifar-10", tasks=2, grouping=Grouping.VEHICLES_ANIMALS)),
    Config(scenario=Stream(parts=3), method=Method.JOINT, optimizer=Optimizer(metaplasticity=(0.0, 1.5, 2.0))),
    Config(scenario=Permuted(permutation_seed=7), network=Network(Family.REAL_CONV, hidden=())),
    Config(
        scenario=Permuted(boundaries=True),
        method=Method.SYNAPTIC_INTELLIGENCE,
        penalty=Penalty(2.0, Weights.HIDDEN, path=Weights.BINARY),
    ),
    Config(scenario=Stream("cifar-10", parts=20, augment=Augmentation.FLIP_AND_CROP_OR_ROTATE)),
    Config(network=Network(Family.BINARY_CONV, hidden=(), binarize_input=True)),
    Config(optimizer=Optimizer(rule=Rule.BEAKERS, beakers=Beakers((0.1, 0.01), (1.0, 2.0), feedback=0.0))),
]


@pytest.mark.parametrize("config", CONFIGS)
def test_json_gives_back_the_same_value(config):
    assert from_json(to_json(config)) == config


def test_fields_that_are_left_out_take_their_defaults():
    assert from_json('{"epochs": 3}') == Config(epochs=3)


def test_a_number_stands_for_a_list_of_one_and_an_int_for_a_float():
    config = from_json('{"optimizer": {"metaplasticity": 2, "lr": 1}}')
    assert config.optimizer == Optimizer(metaplasticity=(2.0,), lr=1.0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "expected a configuration in JSON"),
        ("[]", "expected config to be a JSON object, got \\[\\]"),
        ('{"epohs": 3}', "unknown field of config 'epohs'; did you mean 'epochs'"),
        ('{"optimizer": {"metaplasticty": 3}}', "did you mean 'metaplasticity'"),
        ('{"epochs": "3"}', "expected config.epochs to be of type int, got '3'"),
        ('{"epochs": true}', "expected config.epochs to be of type int, got True"),
        (
            '{"norm": {"statistics": "runing"}}',
            "unknown value of config.norm.statistics 'runing'; did you mean 'running'",
        ),
        ('{"scenario": {"kind": "permutd"}}', "unknown kind of config.scenario 'permutd'; did you mean 'permuted'"),
        ('{"scenario": {"tasks": 3}}', "unknown kind of config.scenario 'None'"),
        (
            '{"scenario": {"kind": ["stream"]}}',
            "unknown kind of config.scenario \"\\['stream'\\]\"; did you mean 'stream'",
        ),
        ('{"scenario": {"kind": "stream", "augment": "flop"}}', "augment 'flop'; did you mean 'flip'"),
        ('{"epochs": 0}', "expected epochs >= 1, got 0"),
        ('{"optimizer": {"beakers": {"conductances": [0.1]}}}', "got 1 conductances and 4 cross-sections"),
        ('{"optimizer": {"beakers": {"feedbak": 0}}}', "unknown field of config.optimizer.beakers 'feedbak'; did you"),
    ],
)
def test_bad_json_is_refused_with_the_place_and_the_nearest_name(text, message):
    with pytest.raises(ValueError, match=message):
        from_json(text)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Optimizer(metaplasticity=(-1.0,)), "expected metaplasticity >= 0 and finite, got -1.0"),
        (lambda: Optimizer(metaplasticity=(float("nan"),)), "expected metaplasticity >= 0 and finite, got nan"),
        (lambda: Optimizer(metaplasticity=()), "expected number of metaplasticities >= 1"),
        (lambda: Optimizer(lr=0.0), "expected lr > 0"),
        (lambda: Optimizer(weight_decay=-1e-7), "expected weight_decay >= 0"),
        (lambda: Optimizer(adam_eps=0.0), "expected adam_eps > 0"),
        (lambda: Optimizer(sgd_momentum=1.0), "expected sgd_momentum in"),
        (
            lambda: Optimizer(rule=Rule.BEAKERS, reset_optimizer=Reset.TASK),
            "expected reset_optimizer 'never' with rule 'beakers', got 'task': the slower beakers are state of",
        ),
        (lambda: Optimizer(consolidation="tanh"), "did you mean 'tanh-squared'"),
        (lambda: Network(hidden=(16, 0)), "expected width >= 1, got 0"),
        (
            lambda: Network(hidden=(16, 2**63)),
            "expected width within 64 bits, up to about 9.2e18, got 9223372036854775808",
        ),
        (lambda: Network(dropout=1.0), "expected dropout in"),
        (lambda: Network(Family.REAL_MLP, dropout=0.5), "only binary nets have it"),
        (lambda: Network(Family.REAL_CONV, binarize_input=True), "expected no binarize_input for 'real-conv', got it"),
        (lambda: Network(init_width=0.0), "expected a width > 0"),
        (lambda: Permuted(tasks=0), "expected tasks >= 1"),
        (lambda: Sequence(()), "expected number of data sets >= 1"),
        (lambda: Sequence(samples=(10,)), "expected one number of samples per data set, got 1 for 2"),
        (lambda: Sequence(samples=(10, 0)), "expected samples >= 1, got 0"),
        (lambda: Split(tasks=0), "expected tasks >= 1"),
        (lambda: Stream(parts=0), "expected parts >= 1"),
        (lambda: Running(checkpoint_every=0), "expected checkpoint_every >= 1"),
        (lambda: Running(threads=-1), "expected threads from 0 to 1024, got -1"),
        (lambda: Running(threads=2**40), "expected threads from 0 to 1024, got 1099511627776; take one per core"),
        (lambda: Config(batch_size=1), "a batch of one sample has no variance"),
        (lambda: Config(optimizer=Optimizer(reset_optimizer=Reset.TASK)), "expected announced boundaries"),
        (lambda: Config(optimizer=Optimizer(lr_division=2.0)), "expected announced boundaries with lr_division 2.0"),
        (lambda: Optimizer(lr_division=0.5), "expected lr_division >= 1 and finite, got 0.5"),
        (
            lambda: Config(method=Method.EWC, penalty=Penalty(strength=1.0)),
            "expected announced boundaries with method 'ewc', got scenario 'permuted'",
        ),
        (
            lambda: Config(
                method=Method.EWC,
                scenario=TOLD,
                penalty=Penalty(strength=1.0),
                norm=NormPolicy(statistics=Statistics.BATCH),
            ),
            "expected fixed statistics with method 'ewc', got 'batch'",
        ),
        (lambda: Penalty(strength=-1.0), "expected a strength >= 0 and finite, got -1.0"),
        (lambda: Penalty(fisher_samples=0), "expected fisher_samples >= 1, got 0"),
        (lambda: Penalty(online_decay=2.0), "expected online_decay in"),
        (
            lambda: Config(penalty=Penalty(strength=1.0)),
            "expected strength to be left alone with method 'finetune', got 1.0; it belongs to 'ewc', 'online-ewc'",
        ),
        (
            lambda: Config(method=Method.EWC, scenario=TOLD, penalty=Penalty(strength=1.0, path=Weights.BINARY)),
            "expected path to be left alone with method 'ewc', got binary; it belongs to 'si'",
        ),
        (
            lambda: Config(method=Method.SYNAPTIC_INTELLIGENCE, scenario=TOLD),
            "expected a strength of the penalty with method 'si', got none; give --strength",
        ),
        (
            lambda: Config(
                method=Method.EWC, scenario=TOLD, penalty=Penalty(strength=1.0), network=Network(frozen=True)
            ),
            "expected trained weights with method 'ewc', got a frozen network",
        ),
        (
            lambda: Config(network=Network(frozen=True), norm=NormPolicy(affine=False)),
            "expected something to train, got a frozen network whose normalisation has no gain and no offset; use "
            "--affine or --no-frozen",
        ),
        (
            lambda: Config(norm=NormPolicy(statistics=Statistics.NONE)),
            "expected a network with real weights with 'none' statistics, got 'binary-mlp'",
        ),
        (
            lambda: Config(method=Method.JOINT, scenario=TOLD, optimizer=Optimizer(lr_division=2.0)),
            "expected lr_division 1.0 with method 'joint', got 2.0: all tasks are learned at once",
        ),
        (
            lambda: Config(method=Method.JOINT, scenario=TOLD, optimizer=Optimizer(reset_optimizer=Reset.TASK)),
            "expected reset_optimizer 'never' with method 'joint', got 'task': all tasks are learned at once",
        ),
        (
            lambda: Optimizer(beakers=Beakers((0.1,), (1.0,))),
            "expected beakers to be left alone with rule 'adam', got Beakers",
        ),
        (lambda: Penalty(damping=0.0), "expected damping > 0, got 0.0"),
        (lambda: Config(norm=NormPolicy(scope=Scope.PER_TASK)), "expected boundaries and the task at test"),
    ],
)
def test_a_value_out_of_range_or_an_illegal_combination_cannot_be_made(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_layer_norm_allows_batches_of_one():
    assert Config(batch_size=1, norm=NormPolicy(statistics=Statistics.LAYER)).batch_size == 1
    unnormalised = NormPolicy(statistics=Statistics.NONE)
    assert Config(batch_size=1, network=Network(Family.REAL_MLP), norm=unnormalised).batch_size == 1


def leaves(kind):
    for item in fields(kind):
        default = item.default_factory() if callable(item.default_factory) else item.default
        yield from leaves(type(default)) if is_dataclass(default) else [item.name]


@pytest.mark.parametrize("scenario", [Permuted(), Sequence(), Split(), Stream()])
def test_field_names_are_unique_so_that_the_command_line_needs_no_prefix(scenario):
    names = [*leaves(Config), *leaves(type(scenario))]
    if isinstance(scenario, Permuted):
        names = list(leaves(Config))
    else:
        for name in leaves(Permuted):
            names.remove(name)
    assert len(names) == len(set(names))


def test_the_name_of_a_preset_is_its_name_in_the_registry():
    assert all(preset(name).name == name for name in PRESETS)
    assert len(PRESETS) == 6


def test_json_is_plain():
    plain = json.loads(to_json(replace(Config(), epochs=3)))
    assert plain["scenario"]["kind"] == "permuted"
    assert plain["norm"]["statistics"] == "recalibrated"


def test_a_string_stands_for_the_member_it_names():
    assert from_json('{"network": {"family": "real-mlp"}}').network.family is Family.REAL_MLP
    with pytest.raises(ValueError, match="'real-mpl'; did you mean 'real-mlp'"):
        from_json('{"network": {"family": "real-mpl"}}')
