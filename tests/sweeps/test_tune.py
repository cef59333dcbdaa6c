"""The search for settings: on what it chooses, and what it keeps."""

import json
from dataclasses import replace

import pytest
import torch

from metaplastic.data import held_out, load
from metaplastic.experiments import Record, read_config
from metaplastic.experiments.build import build_scenario
from metaplastic.experiments.config import Tuning
from metaplastic.experiments.scenario_config import Permuted, Split
from metaplastic.sweeps import (
    Among,
    Between,
    Protocol,
    Search,
    Store,
    Trial,
    Workers,
    parse_search,
    tune,
    tuning_config,
    worker,
)
from metaplastic.sweeps.tune import ranking

distributions = pytest.importorskip("optuna.distributions", reason="comes with metaplastic[tune]")
HERE = Workers(jobs=1)


@pytest.fixture
def search(tiny):
    return Search(tiny, {"metaplasticity": Between(0.5, 20, log=True)}, Protocol.TWO_PHASE, trials=2, seeds=2)


def test_held_out_samples_are_training_samples_and_none_is_in_both_parts():
    whole, part = load("digits"), held_out(load("digits"), 0.25, seed=3)
    rows = [tuple(row.tolist()) for row in torch.cat([part.train.inputs, part.test.inputs]).flatten(1)]
    assert sorted(rows) == sorted(tuple(row.tolist()) for row in whole.train.inputs.flatten(1))
    counts = torch.bincount(part.test.labels).float() / torch.bincount(whole.train.labels)
    assert torch.allclose(counts, torch.full((10,), 0.25), atol=0.01)


def test_no_scenario_that_settings_are_chosen_by_shows_a_test_sample(tiny):
    train = {tuple(row.tolist()) for row in load("digits").train.inputs.flatten(1)}
    for protocol in (Protocol.FIRST_TASK, Protocol.TWO_PHASE):
        config = tuning_config(replace(tiny, scenario=Split("digits", tasks=5)), protocol)
        scenario = build_scenario(config).stored()
        for view in [part.view for part in (*scenario.tasks, *scenario.tests)]:
            inputs, _ = view.batch(torch.arange(len(view)))
            assert {tuple(row.tolist()) for row in inputs.flatten(1)} <= train


def test_the_first_task_alone_is_the_first_task_of_the_whole(tiny):
    whole = build_scenario(replace(tiny, scenario=Split("digits", tasks=5)))
    first = build_scenario(replace(tiny, scenario=Split("digits", tasks=5), tuning=Tuning(first_tasks=1)))
    assert [task.name for task in first.tasks] == [whole.tasks[0].name]
    assert [test.name for test in first.tests] == [whole.tests[test].name for test in whole.tasks[0].tests]
    with pytest.raises(ValueError, match=r"expected 1 to 2 tasks of .* to be learned, got 3"):
        build_scenario(replace(tiny, tuning=Tuning(first_tasks=3)))


def test_two_phases_have_other_seeds_and_permutations_even_where_those_were_fixed(tiny):
    fixed = replace(tiny, scenario=Permuted("digits", tasks=2, permutation_seed=7))
    chosen_by = tuning_config(fixed, Protocol.TWO_PHASE)
    assert (chosen_by.seed, chosen_by.scenario.permutation_seed) == (1000, 1007)
    assert chosen_by.tuning == Tuning(held_out=0.2)


def test_tasks_left_out_of_what_is_reported_are_left_out_of_the_search(search, tiny):
    first = replace(tiny, tuning=Tuning(first_tasks=1))
    assert tuning_config(first, Protocol.TWO_PHASE).tuning == Tuning(held_out=0.2, first_tasks=1)
    with pytest.raises(ValueError, match=r"expected no held_out with protocol 'two-phase', which holds out 0.2 .* 0.5"):
        replace(search, base=replace(tiny, tuning=Tuning(held_out=0.5)))
    with pytest.raises(ValueError, match=r"expected fields of training to search with protocol .*, got 'first_tasks'"):
        replace(search, space={"first_tasks": Among((1, 2))})


def test_a_setting_is_ranked_by_its_mean_over_seeds_and_not_where_a_seed_failed():
    lucky, steady, broken = (
        Trial(0, {"lr": 1}, (0.9, 0.5)),
        Trial(1, {"lr": 2}, (0.75, 0.75)),
        Trial(2, {"lr": 3}, (0.99, None)),
    )
    assert ranking([lucky, steady, broken]) == [steady, lucky]


def test_a_search_reports_on_other_seeds_and_goes_on_where_it_was(search, tmp_path, monkeypatch):
    tuned = tune(search, tmp_path / "t", HERE, progress=False)
    trials = json.loads((tmp_path / "t" / "trials.json").read_text())
    assert [trial["number"] for trial in trials] == [0, 1]
    assert tuned.best.number == max(trials, key=lambda trial: trial["mean"])["number"]
    chosen = read_config(tmp_path / "t" / "chosen.json")
    assert chosen == tuned.config
    assert chosen.optimizer.metaplasticity == (tuned.best.setting["metaplasticity"],)
    assert chosen.tuning == Tuning()
    reported = [Record(path).config for path in (tmp_path / "t" / "reported" / "runs").iterdir()]
    tried = [Record(path).config for path in (tmp_path / "t" / "trials" / "runs").iterdir()]
    assert {config.seed for config in reported} == {0, 1, 2, 3, 4}
    assert {config.seed for config in tried} == {1000, 1001}
    assert all(config.tuning == Tuning(held_out=0.2) for config in tried)
    said = [Record(path).summary()["cautions"] for path in (tmp_path / "t" / "trials" / "runs").iterdir()]
    assert all("tested on training samples that were held out, not on the test samples" in one for one in said)
    assert json.loads((tmp_path / "t" / "tuning.json").read_text())["tuned_on_test"] is False
    monkeypatch.setattr(worker, "run", lambda *args, **options: pytest.fail("a run was done again"))
    assert tune(search, tmp_path / "t", HERE, progress=False).trials == tuned.trials
    with pytest.raises(ValueError, match=r"expected in .* the same search, got another"):
        tune(replace(search, protocol=Protocol.FIRST_TASK), tmp_path / "t", HERE, progress=False)


def test_a_choice_on_what_is_reported_is_flagged_and_makes_no_run_twice(search, tmp_path):
    same = replace(search, protocol=Protocol.END_OF_TRAINING, report_seeds=2)
    tuned = tune(same, tmp_path / "t", HERE, progress=False)
    found = json.loads((tmp_path / "t" / "tuning.json").read_text())
    assert found["tuned_on_test"] is True
    assert found["cautions"] == ["settings were chosen on the test samples that are reported: the figures are too good"]
    assert "Caution: settings were chosen on the test samples" in tuned.lines()[-1]
    assert len(list((tmp_path / "t" / "reported" / "runs").iterdir())) == 4
    (reported,) = tuned.reported.settings
    assert tuple(reported.accuracies) == tuned.best.accuracies
    assert all(Store(tmp_path / "t" / "reported").record(out.run).complete for out in reported.outcomes)


def test_a_search_on_one_task_says_that_it_cannot_see_forgetting(search):
    said = replace(search, protocol=Protocol.FIRST_TASK).as_json()["cautions"]
    assert said == ["one task shows no forgetting: metaplasticity should be chosen by two-phase"]


@pytest.mark.parametrize(
    ("text", "place", "drawn_from"),
    [
        ("lr=float:0.001:0.1", Between(0.001, 0.1), distributions.FloatDistribution(0.001, 0.1)),
        (
            "lr=log:0.001:0.1",
            Between(0.001, 0.1, log=True),
            distributions.FloatDistribution(0.001, 0.1, log=True),
        ),
        ("epochs=int:1:5", Between(1, 5, whole=True), distributions.IntDistribution(1, 5)),
    ],
)
def test_numbers_that_are_searched_are_read_from_words(text, place, drawn_from):
    assert parse_search(text)[1] == place
    assert place.distribution() == drawn_from
    assert place.value(3) == 3


def test_whole_numbers_are_drawn_by_their_logarithm_where_that_is_asked_for():
    assert Between(1, 1000, log=True, whole=True).distribution() == distributions.IntDistribution(1, 1000, log=True)


@pytest.mark.parametrize("name", ["tasks", "scenario.data", "first_tasks"])
def test_what_is_learned_is_not_searched(tiny, name):
    with pytest.raises(ValueError, match=f"got '{name}', which says what is learned or tested on"):
        Search(tiny, {name: Among((1, 2))}, Protocol.TWO_PHASE)


def test_values_that_are_searched_are_read_from_words():
    place = parse_search("hidden=[32],[64,64]")[1]
    assert place == Among(([32], [64, 64]))
    choices = place.distribution().choices
    assert [place.value(choice) for choice in choices] == [[32], [64, 64]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lr", r"expected FIELD=log:LOW:HIGH, .*, got 'lr'"),
        ("lr=log:1", r"expected FIELD=log:LOW:HIGH, .*, got 'lr=log:1'"),
        ("lr=log:0:1", r"expected 0 < LOW < HIGH to search between, got 0 and 1"),
        ("lr=float:2:1", r"expected LOW < HIGH to search between, got 2 and 1"),
    ],
)
def test_what_cannot_be_searched_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        parse_search(text)
