"""What is to be run: axes, settings, and names that stay."""

from dataclasses import replace

import pytest

from metaplastic.experiments import Config
from metaplastic.experiments.config import Network, Optimizer, Running
from metaplastic.experiments.scenario_config import Permuted, Split, Stream
from metaplastic.sweeps import Axis, Sweep, parse_axis, run_id, with_fields

KNOWN = {
    "99d4a70f57366549": Config(),
    "32a7acd7e3a66471": Config(seed=3, optimizer=Optimizer(metaplasticity=(0.5, 1.35)), network=Network(hidden=(64,))),
    "6a9077d54f35db1e": Config(scenario=Split()),
}


@pytest.mark.parametrize(("name", "config"), KNOWN.items())
def test_the_name_of_a_run_never_changes_with_process_machine_or_version(name, config):
    assert run_id(config) == name


def test_whatever_differs_makes_another_name():
    base = Config()
    others = [
        replace(base, seed=1),
        replace(base, name="other"),
        replace(base, epochs=6),
        replace(base, scenario=Split(data="digits")),
        replace(base, scenario=Stream(data="digits")),
        replace(base, scenario=Permuted(tasks=5)),
        replace(base, running=Running(threads=1)),
        replace(base, optimizer=Optimizer(metaplasticity=(0.0,))),
        replace(base, optimizer=Optimizer(metaplasticity=(1.35, 1.35))),
    ]
    assert len({run_id(config) for config in [base, *others]}) == 10


def test_a_sweep_is_every_combination_for_every_seed(tiny):
    sweep = Sweep(tiny, (parse_axis("metaplasticity=0,1.35"), parse_axis("epochs=1,2,3")), (5, 6))
    found = [(run.config.seed, run.config.optimizer.metaplasticity[0], run.config.epochs) for run in sweep.runs]
    assert found == [(seed, m, epochs) for seed in (5, 6) for m in (0.0, 1.35) for epochs in (1, 2, 3)]
    assert len({run.id for run in sweep.runs}) == 12


def test_a_field_goes_by_its_own_name_or_by_its_path_or_by_its_flag(tiny):
    same = [with_fields(tiny, {name: 7}) for name in ("batch_size", "batch-size")]
    assert {config.batch_size for config in same} == {7}
    assert with_fields(tiny, {"optimizer.lr": 0.5}).optimizer.lr == with_fields(tiny, {"lr": 0.5}).optimizer.lr == 0.5


def test_threads_that_are_left_open_are_one_whatever_the_machine_has(tiny):
    threads = [Sweep(replace(tiny, running=Running(threads=given))).runs[0].config.running.threads for given in (0, 3)]
    assert threads == [1, 3]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("metaplasticity", r"expected FIELD=VALUE,VALUE,\.\.\., got 'metaplasticity'"),
        ("=1,2", r"expected FIELD=VALUE,VALUE,\.\.\., got '=1,2'"),
        ("epochs=1,1", r"expected different values of 'epochs', at least one, got \[1, 1\]"),
        ("epohcs=1,2", r"unknown field 'epohcs'; did you mean 'epochs'"),
        ("seed=1,2", r"runs of several seeds are made by --seeds"),
        ("epochs=0,1", r"expected epochs >= 1, got 0"),
        ("epochs=1.5", r"expected config.epochs to be of type int, got 1.5"),
        ("method=finetune,ewk", r"unknown value of config.method 'ewk'; did you mean 'ewc'"),
        ("metaplasticity=1,[1.0]", r"expected settings that differ, got two that come to the same"),
    ],
)
def test_what_cannot_be_run_is_refused_before_anything_starts(tiny, text, message):
    with pytest.raises(ValueError, match=message):
        Sweep(tiny, (parse_axis(text),))


def test_a_field_or_a_seed_twice_is_refused(tiny):
    with pytest.raises(ValueError, match=r"expected different fields, got \['epochs', 'epochs'\]"):
        Sweep(tiny, (Axis("epochs", (1,)), Axis("epochs", (2,))))
    with pytest.raises(ValueError, match=r"expected different fields, got \['optimizer.lr', 'optimizer.lr'\]"):
        Sweep(tiny, (Axis("lr", (0.1,)), Axis("optimizer.lr", (0.2,))))
    for seeds in ((), (1, 1)):
        with pytest.raises(ValueError, match=r"expected different seeds, got"):
            Sweep(tiny, (), seeds)
