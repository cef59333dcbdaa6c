"""Runs of classifiers in closed form: the same records, from what has neither loss nor optimizer."""

import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from metaplastic.experiments import Config, Interrupted, Record, can_stack, from_json, resume, run, to_json
from metaplastic.experiments import carry_out as following
from metaplastic.experiments.config import Running, Unit
from metaplastic.experiments.method_config import Method
from metaplastic.experiments.run import make_trial
from metaplastic.experiments.scenario_config import Split
from metaplastic.experiments.trial import by_observation
from metaplastic.learners import Engine
from metaplastic.report import compare, table
from metaplastic.scenarios import Increment

METHODS = [Method.NEAREST_MEAN, Method.STREAMING_LDA]


def config(method=Method.STREAMING_LDA, increment=Increment.CLASS, **options):
    return Config(
        scenario=Split("digits", tasks=5, increment=increment), method=method, epochs=1, batch_size=32, **options
    )


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("increment", Increment)
def test_a_run_keeps_a_record_and_does_not_forget(method, increment, tmp_path):
    result = run(config(method, increment), tmp_path / "run", progress=False)
    record = Record(tmp_path / "run")
    assert record.complete
    assert record.config == config(method, increment)
    assert [line["event"] for line in record.metrics()] == ["begin", *["epoch", "task"] * 5]
    least = {Increment.TASK: 0.93, Increment.DOMAIN: 0.5, Increment.CLASS: 0.8}[increment]
    assert result.accuracy[-1].mean() > least
    saved = load_file(tmp_path / "run" / "network.safetensors")
    assert int(saved["counts"].sum()) == 1437
    assert saved.keys() == result.network.state_dict().keys()


def test_its_record_is_json_and_says_nothing_of_a_network_that_is_not_used(tmp_path):
    run(config(), tmp_path, progress=False)

    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    for line in (tmp_path / "metrics.jsonl").read_text().splitlines():
        assert json.loads(line, parse_constant=refuse).get("loss") is None
    summary = json.loads((tmp_path / "summary.json").read_text(), parse_constant=refuse)
    assert summary["cautions"] == []
    assert summary["scenario"]["statistics"] is None
    (group,) = compare([tmp_path]).groups
    assert group.label == "streaming-lda"
    assert "norm" not in group.runs[0].announced()
    assert table(compare([tmp_path])).row_count > 0
    begin = Record(tmp_path).metrics()[0]
    assert (begin["engine"]["engine"], begin["engine"]["update"]) == ("plain", "none")


@pytest.mark.parametrize("method", METHODS)
def test_stopped_and_resumed_it_ends_with_the_same_bits(method, tmp_path, monkeypatch):
    often = config(method, running=Running(checkpoint_unit=Unit.STEP))
    run(often, tmp_path / "whole", progress=False)
    asked = iter([False] * 17 + [True])

    class Stop:
        @property
        def asked(self):
            return next(asked)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

    with monkeypatch.context() as patched:
        patched.setattr(following, "deferred_interrupt", Stop)
        with pytest.raises(Interrupted):
            run(often, tmp_path / "stopped", progress=False)
    assert not Record(tmp_path / "stopped").complete
    resume(tmp_path / "stopped", progress=False)
    for name in ("network.safetensors", "accuracy.csv", "summary.json"):
        assert (tmp_path / "stopped" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


def test_nothing_depends_on_network_or_optimizer():
    other = replace(
        config(), network=replace(Config().network, hidden=(7,)), optimizer=replace(Config().optimizer, lr=1.0)
    )
    first, second = make_trial(config()), make_trial(other)
    for trial in (first, second):
        trial.begin()
        list(trial.run())
    assert first.matrix == second.matrix
    assert first.training is by_observation
    assert [parameter for group in first.optimizer.param_groups for parameter in group["params"]] == []


@pytest.mark.parametrize("method", METHODS)
def test_more_than_one_epoch_is_refused(method):
    with pytest.raises(ValueError, match=f"expected epochs 1 with method '{method.value}', got 5: .*use --epochs 1"):
        Config(method=method)


def test_a_batch_of_one_is_enough_because_nothing_is_normalised():
    assert replace(config(), batch_size=1).batch_size == 1
    assert from_json(to_json(config())) == config()
    assert not can_stack(config())


def test_a_fast_engine_by_name_is_refused(tmp_path):
    with pytest.raises(ValueError, match="leave the engine to the program"):
        run(config(running=Running(engine=Engine.FAST)), tmp_path / "run", progress=False)


def test_a_network_that_cannot_observe_is_refused():
    trial = make_trial(config())
    trial.network = torch.nn.Linear(64, 10)
    with pytest.raises(ValueError, match="expected a classifier that observes samples, got Linear"):
        next(trial.run())
