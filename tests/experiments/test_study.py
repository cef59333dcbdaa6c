"""Studies: every panel of a figure or table, carried out, stopped and gone on with."""

import json
import re
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from metaplastic.cli import main
from metaplastic.data import Dataset, Samples, load, save_npz
from metaplastic.data.catalogue import CATALOGUE
from metaplastic.data.feature_files import feature_file
from metaplastic.evaluation import (
    LayerDivergence,
    QuadraticResult,
    TrainingLoss,
    divergence_report,
    predict,
    switch_signs,
)
from metaplastic.experiments import (
    STUDIES,
    Interrupted,
    QuadraticPanel,
    Record,
    Size,
    Study,
    SwitchingPanel,
    TrainingPanel,
    description,
    explanation,
    from_json,
    run_study,
    study,
    to_json,
)
from metaplastic.experiments.build import build_scenario
from metaplastic.experiments.config import Config, Family, Network, Running
from metaplastic.experiments.method_config import Method
from metaplastic.experiments.run import make_trial
from metaplastic.experiments.scenario_config import Features, Permuted, Sequence, Split, Stream
from metaplastic.experiments.stack import run_seeds
from metaplastic.learners import Engine, Fisher, NonFiniteLossError, Schedule
from metaplastic.nn import BinaryMLP, NormPolicy, Scope, Statistics, normalizations, recalibrate
from metaplastic.optim import MetaplasticAdam, param_groups
from metaplastic.report import compare_each
from metaplastic.scenarios import Augmentation, Grouping, Task, stream
from metaplastic.seeding import Purpose, generator

QUICK = {
    Permuted: {"data": "digits", "tasks": 2},
    Sequence: {"data": ("digits", "digits"), "samples": (), "image_side": 14},
    Split: {"data": "digits", "grouping": Grouping.IN_ORDER, "features": Features.PIXELS},
    Stream: {"data": "digits"},
}


FISHER = (Method.EWC, Method.ONLINE_EWC, Method.RANDOM_CONSOLIDATION)


def few_parts(config: Config) -> dict[str, object]:
    if not isinstance(config.scenario, Stream):
        return {}
    return {"parts": min(2, config.scenario.parts), "augment": Augmentation.NONE}


def small(network: Network) -> Network:
    convolutional = network.family in (Family.BINARY_CONV, Family.BINARY_CIFAR)
    family = Family.BINARY_CONV if convolutional else network.family
    return replace(network, family=family, hidden=() if convolutional else (8,), channels=(2, 2), dropout=0.0)


def quick(config: Config) -> Config:
    return replace(
        config,
        scenario=replace(config.scenario, **QUICK[type(config.scenario)] | few_parts(config)),
        network=small(config.network),
        optimizer=replace(config.optimizer, metaplasticity=config.optimizer.metaplasticity[:1]),
        penalty=replace(config.penalty, fisher_samples=20) if config.method in FISHER else config.penalty,
        epochs=1,
        batch_size=200,
        running=Running(calibration_samples=200, evaluate_epochs=0, threads=1),
    )


def quick_panel(panel):
    if isinstance(panel, QuadraticPanel):
        return panel
    if isinstance(panel, SwitchingPanel):
        return replace(panel, config=quick(panel.config), counts=(5, 5), draws=2, samples=30, importance_samples=20)
    return replace(panel, config=quick(panel.config))


def quick_study(name):
    whole = study(name)
    names = list(whole.panels)
    few = names if len(names) <= 6 else names[:4] + names[-2:]
    return replace(whole, panels={name: quick_panel(whole.panels[name]) for name in few})


def test_the_registry_is_whole():
    assert len(STUDIES) == 18


@pytest.mark.parametrize("size", Size)
@pytest.mark.parametrize("name", STUDIES)
def test_a_study_builds_at_both_sizes_and_its_configurations_round_trip(name, size):
    made = study(name, size)
    assert (made.name, made.size) == (name, size)
    for panel in made.panels.values():
        if not isinstance(panel, QuadraticPanel):
            assert from_json(to_json(panel.config)) == panel.config


@pytest.mark.parametrize("name", STUDIES)
def test_a_study_says_what_it_shows_and_how_to_run_it(name):
    assert description(name).endswith(".")
    _, *said = explanation(name).split("\n\n")
    assert [text.split()[0].rstrip(":") for text in said if text.startswith(("Claim", "Expected", "Command"))] == [
        "Claim",
        "Expected",
        "Command",
    ]
    expected, command = said[-2:]
    assert re.search(r"\d", expected)
    assert "`results/" in expected
    assert command.startswith(f"Command: `metaplastic run {name} --size laptop|paper")
    assert re.search(r"(second|minute|hour)s?.* core", command)
    assert re.search(r"paper's size|both sizes", command)


@pytest.mark.parametrize("name", STUDIES)
def test_a_study_ends_at_its_quick_size_and_is_not_done_again(name, tmp_path):
    whole = quick_study(name)
    run_study(whole, (0, 1), tmp_path / name, progress=False)
    written = {path: path.stat().st_mtime_ns for path in (tmp_path / name).rglob("*") if path.is_file()}
    for label, panel in whole.panels.items():
        inside = tmp_path / name / label
        if isinstance(panel, QuadraticPanel):
            result = QuadraticResult.from_json(json.loads((inside / "quadratic.json").read_text()))
            assert len(result.losses) > 1
            continue
        for seed in (0, 1):
            record = Record(inside / f"seed{seed}")
            assert record.complete
            assert record.config == replace(panel.config, seed=seed)
    run_study(whole, (0, 1), tmp_path / name, progress=False)
    assert written == {path: path.stat().st_mtime_ns for path in written}


def test_a_probe_keeps_what_it_found(tmp_path):
    panel = quick_panel(study("fig6ce").panels["cde"])
    panel = replace(panel, counts=(5, 3), config=replace(panel.config, running=PLAIN, epochs=2))
    run_study(Study("mine", Size.LAPTOP, {"p": panel}), (3,), tmp_path / "s", progress=False)
    divergence, switching = (
        json.loads((tmp_path / "s" / "p" / "seed3" / file).read_text())
        for file in ("divergence.json", "sign_switch.json")
    )
    assert list(divergence) == list(switching) == ["layers.0.weight", "layers.2.weight"]
    network, task, expected = by_hand(panel)
    assert all(layer.rank_correlation is not None for layer in expected.values())
    for name, layer in expected.items():
        assert divergence[name] == approximately(layer.as_json())
    source = generator(3, Purpose.PROBE)
    rows = torch.randperm(1437, generator=source)[:30]
    for name, count in zip(switching, (5, 3), strict=True):
        loss = TrainingLoss(network, task, rows)
        found = switch_signs(loss, name, count=count, generator=source, draws=2, bins=15)
        assert switching[name] == approximately(found.as_json())


def test_fresh_statistics_are_those_of_the_weights_at_the_end(tmp_path):
    """With the current state alone, set to gains and offsets of each task in turn and recalibrated by its images."""
    panel = quick_panel(study("width-decay").panels["decay-512"])
    run_study(Study("mine", Size.LAPTOP, {"p": panel}), (3,), tmp_path / "s", progress=False)
    record = Record(tmp_path / "s" / "p" / "seed3")
    found = json.loads((record.folder / "fresh_statistics.json").read_text())
    assert found["kept"] == record.accuracy().accuracy[-1].tolist()

    trial = make_trial(record.config)
    trial.network.load_state_dict(load_file(record.folder / "network.safetensors"))
    expected = []
    for index, (task, test) in enumerate(zip(trial.scenario.tasks, trial.scenario.tests, strict=True)):
        with torch.no_grad():
            for layer in normalizations(trial.network):
                layer.gain.copy_(layer.kept[index][0])
                layer.offset.copy_(layer.kept[index][1])
        recalibrate(trial.network, task.view.batch(trial.schedule.calibration_rows(task, index))[0])
        _, labels = test.view.batch(torch.arange(len(test.view)))
        expected.append(float((predict(trial.network, test) == labels).double().mean()))
    assert found["fresh"] == pytest.approx(expected)
    assert found["fresh"][0] != found["kept"][0]


def test_records_are_tested_with_fresh_statistics_later_where_their_network_is_at_hand(tmp_path, caplog):
    one = Study("mine", Size.LAPTOP, {"p": quick_panel(study("width-decay").panels["decay-512"])})
    run_study(one, (3, 4), tmp_path / "s", progress=False)
    with_network, without = (tmp_path / "s" / "p" / f"seed{seed}" for seed in (3, 4))
    first = (with_network / "fresh_statistics.json").read_text()
    (without / "network.safetensors").unlink()
    for inside in (with_network, without):
        (inside / "fresh_statistics.json").unlink()
    with caplog.at_level("INFO", "metaplastic"):
        run_study(one, (3, 4), tmp_path / "s", progress=False)
    assert (with_network / "fresh_statistics.json").read_text() == first
    assert not (without / "fresh_statistics.json").exists()
    assert f"{without} is not tested with fresh statistics: it was kept without its network" in caplog.messages


@pytest.mark.parametrize("norm", [NormPolicy(), NormPolicy(Statistics.RUNNING, Scope.PER_TASK)])
def test_only_exact_statistics_kept_per_task_are_taken_anew(norm):
    config = replace(study("width-decay").panels["decay-512"].config, norm=norm)
    with pytest.raises(ValueError, match="expected recalibrated statistics kept per task, to be taken anew, got"):
        TrainingPanel(config, fresh_statistics=True)


def test_a_probe_is_not_taken_for_another(tmp_path):
    panel = quick_panel(study("fig6ce").panels["cde"])
    run_study(Study("mine", Size.LAPTOP, {"p": panel}), (3,), tmp_path / "s", progress=False)
    with pytest.raises(
        ValueError, match=r"expected in .*'?p'? results of .*\"draws\": 3.*, got those of .*\"draws\": 2"
    ):
        run_study(Study("mine", Size.LAPTOP, {"p": replace(panel, draws=3)}), (3,), tmp_path / "s", progress=False)


PLAIN = Running(calibration_samples=200, evaluate_epochs=0, threads=1, engine=Engine.PLAIN)


def by_hand(panel: SwitchingPanel) -> tuple[BinaryMLP, Task, dict[str, LayerDivergence]]:
    """Train the network of seed 3 of a quick panel, and compare importance with divergence."""
    options, seed = panel.config.optimizer, 3
    task = stream(load("digits"), 1, seed=seed).tasks[0]
    network = BinaryMLP([64, 8, 10], panel.config.norm, generator=generator(seed, Purpose.INITIALIZATION))
    first, last = network.layers[0].weight, network.layers[2].weight
    start = {"layers.0.weight": first.detach().clone(), "layers.2.weight": last.detach().clone()}
    optimizer = MetaplasticAdam(
        param_groups(network, options.metaplasticity[0]), lr=options.lr, weight_decay=options.weight_decay
    )
    schedule, steps = Schedule(epochs=2, batch_size=200, seed=seed), 0
    for epoch in range(2):
        for rows in schedule.batches(task, 0, epoch):
            inputs, labels = task.view.batch(rows)
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(network.train()(inputs), labels).backward()
            optimizer.step()
            steps += 1
    recalibrate(network, task.view.batch(Schedule(1, seed=seed, calibration_samples=200).calibration_rows(task, 0))[0])
    network.eval()
    end = {"layers.0.weight": first, "layers.2.weight": last}
    importance = Fisher(samples=20, seed=seed)(network, end, task, 0)
    return network, task, divergence_report(importance, start, end, steps)


def approximately(plain):
    """Compare numbers up to what another order of sums does to them; a None stays one."""
    return {
        name: [value if value is None else pytest.approx(value, rel=1e-4, abs=1e-9) for value in values]
        if isinstance(values, list)
        else pytest.approx(values, rel=1e-4)
        for name, values in plain.items()
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"counts": (5, 5, 5)}, r"expected as many counts as layers, 2, got 3"),
        ({"draws": 1}, r"expected draws >= 2, got 1"),
        ({"samples": 0}, r"expected samples >= 1, got 0"),
        ({"config": Config(network=Network(hidden=(8,)))}, r"expected a stream of one part to probe, got Permuted"),
    ],
)
def test_a_probe_that_makes_no_sense_cannot_be_written(change, message):
    panel = quick_panel(study("fig6ce").panels["cde"])
    with pytest.raises(ValueError, match=message):
        replace(panel, **change)


def test_other_quadratic_tasks_were_not_published():
    with pytest.raises(ValueError, match=r"expected 2 or 500 dimensions, those of the published tasks, got 7"):
        QuadraticPanel(7)


def test_what_was_stopped_is_gone_on_with(tmp_path, monkeypatch):
    whole = quick_study("fig2")
    carry_out, done = TrainingPanel.carry_out, []

    def stopped_at_the_third(panel, *args, **options):
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(panel)
        carry_out(panel, *args, **options)

    monkeypatch.setattr(TrainingPanel, "carry_out", stopped_at_the_third)
    with pytest.raises(Interrupted):
        run_study(whole, (0,), tmp_path / "s", progress=False)
    monkeypatch.setattr(TrainingPanel, "carry_out", carry_out)
    run_study(whole, (0,), tmp_path / "s", progress=False)
    assert all(Record(tmp_path / "s" / name / "seed0").complete for name in "abcd")
    (comparison,) = compare_each([tmp_path / "s"])
    assert [len(group.runs) for group in comparison.groups] == [1, 1, 1, 1]


def test_a_panel_that_diverges_does_not_stop_the_others(tmp_path):
    good = quick_panel(study("fig2").panels["a"])
    bad = replace(good.config, optimizer=replace(good.config.optimizer, lr=3e38, weight_decay=3.0), epochs=4)
    whole = Study("mine", Size.LAPTOP, {"bad": TrainingPanel(bad), "good": good})
    with pytest.raises(NonFiniteLossError):
        run_study(whole, (0,), tmp_path / "s", progress=False)
    assert Record(tmp_path / "s" / "good" / "seed0").complete


def test_a_seed_that_diverges_does_not_keep_the_others_from_being_probed(tmp_path, monkeypatch):
    panel = quick_panel(study("fig6ce").panels["cde"])

    def all_but_the_last(config, seeds, *args, **options):
        run_seeds(config, seeds[:-1], *args, **options)
        Record.create(tmp_path / f"seed{seeds[-1]}", replace(config, seed=seeds[-1]))
        raise NonFiniteLossError

    monkeypatch.setattr("metaplastic.experiments.stack.run_seeds", all_but_the_last)
    with pytest.raises(NonFiniteLossError):
        panel.carry_out(tmp_path, (0, 1), progress=False)
    assert [(tmp_path / f"seed{seed}" / "sign_switch.json").exists() for seed in (0, 1)] == [True, False]


def test_the_folder_of_something_else_is_refused_and_kept(tmp_path):
    small = quick_study("fig6ab")
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ValueError, match=r"expected a new or empty folder for the study, got"):
        run_study(small, (0,), tmp_path, progress=False)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
    run_study(small, (0,), tmp_path / "s", progress=False)
    with pytest.raises(ValueError, match=r"expected in .* the study 'fig6ab' at size 'paper', got .*'laptop'"):
        run_study(replace(small, size=Size.PAPER), (0,), tmp_path / "s", progress=False)


FILES = {
    (name, file): label
    for name in STUDIES
    for size in Size
    for label, panel in study(name, size).panels.items()
    if isinstance(panel, TrainingPanel)
    for file in (panel.config.scenario.data, *panel.config.scenario.data)
    if isinstance(file, str) and file.endswith(".npz")
}


def test_the_files_that_studies_need_are_features_of_two_data_sets():
    assert set(FILES) == {("fig4ef", "cifar-10-resnet18.npz"), ("fig4gh", "cifar-100-resnet18.npz")}


@pytest.mark.parametrize(("name", "file"), FILES)
def test_features_that_are_not_there_are_asked_for_with_places_and_a_command_that_works(
    name, file, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("METAPLASTIC_DATA", str(tmp_path / "environment"))
    monkeypatch.setattr("pooch.os_cache", lambda _: tmp_path / "cache")
    panel, messages = FILES[name, file], []
    for what in ([name, "--panels", panel, "--out", "s"], [f"{name}/{panel}", "--out", "p"]):
        with pytest.raises(SystemExit):
            main(["run", *what, "--size", "paper", "--data-dir", "own", "--quiet"])
        messages.append(capsys.readouterr().err)
    assert messages[0] == messages[1]
    for place in ("own", "", "environment", "cache"):
        assert re.search(rf"{re.escape(str(tmp_path / place))}[,/ ]", messages[0])
    (command,) = re.findall(r"make it by `metaplastic (data features [^`]+)`", messages[0])
    made = []
    monkeypatch.setattr("metaplastic.data.write_features", lambda data, *_, **options: made.append((data, options)))
    main(command.split())
    ((data, options),) = made
    assert CATALOGUE[data].image_shape == (3, 32, 32)
    assert feature_file(data, options["authors"]) == file


@pytest.fixture
def no_data(tmp_path, monkeypatch):
    """A folder without any data set, where there are none elsewhere."""
    monkeypatch.delenv("METAPLASTIC_DATA", raising=False)
    monkeypatch.setattr("pooch.os_cache", lambda _: tmp_path / "cache")
    (tmp_path / "own").mkdir()
    return tmp_path / "own"


@pytest.mark.parametrize("name", ["fig2", "fig6ce"])
def test_a_study_whose_data_are_missing_says_where_it_looked_and_leaves_nothing_behind(name, no_data, tmp_path):
    message = rf"(?s)mnist.*{re.escape(str(no_data))}.*metaplastic data fetch mnist"
    (tmp_path / "empty").mkdir()
    for folder in ("new/folder", "empty"):
        with pytest.raises(FileNotFoundError, match=message):
            run_study(study(name), (0,), tmp_path / folder, data_dir=no_data, progress=False)
    assert not (tmp_path / "new").exists()
    assert not list((tmp_path / "empty").iterdir())


def test_a_study_whose_folder_cannot_be_written_in_says_so(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=rf"expected to write in {re.escape(str(tmp_path / 'file' / 'study'))}, got: Not"):
        run_study(study("fig6ab"), (0,), tmp_path / "file" / "study", progress=False)


def test_what_a_study_has_done_stays_where_it_fails_later(no_data, tmp_path):
    panels = {"b": QuadraticPanel(2), "learns": study("fig1").panels["a"]}
    with pytest.raises(FileNotFoundError):
        run_study(Study("mine", Size.LAPTOP, panels), (0,), tmp_path / "s", data_dir=no_data, progress=False)
    assert (tmp_path / "s" / "b" / "quadratic.json").exists()


def test_features_that_were_made_are_learned_from(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own").mkdir()
    for name, file in FILES:
        classes = CATALOGUE[file.removesuffix("-resnet18.npz")].class_names
        labels = torch.arange(len(classes))
        samples = Samples(torch.randn(len(classes), 512), labels)
        save_npz(Dataset("features", samples, samples, classes), tmp_path / "own" / file)
        scenario = build_scenario(study(name, Size.PAPER).config(FILES[name, file]), tmp_path / "own")
        assert (scenario.classes, scenario.input_shape, len(scenario.tasks)) == (len(classes), (512,), 2)


@pytest.mark.parametrize("seeds", [(), (1, 1)])
def test_no_seed_or_a_seed_twice_is_refused_before_anything_is_written(seeds, tmp_path):
    with pytest.raises(ValueError, match=r"expected different seeds, at least one, got"):
        run_study(quick_study("fig2"), seeds, tmp_path / "s", progress=False)
    assert not (tmp_path / "s").exists()


def test_panels_go_by_name():
    assert list(study("fig2").only(["b", "d"]).panels) == ["b", "d"]
    with pytest.raises(ValueError, match=r"unknown panel of 'table1' 'ewk'; did you mean 'ewc'"):
        study("table1").only(["ewk"])
    with pytest.raises(ValueError, match=r"unknown study 'fig22'; did you mean 'fig2"):
        study("fig22")
    with pytest.raises(ValueError, match=r"expected a panel that is a training, got 'a' of 'fig6ab'; run it by"):
        study("fig6ab").config("a")


def test_the_command_line_runs_a_study_and_a_panel(capsys, tmp_path, monkeypatch):
    monkeypatch.setitem(STUDIES, "fig2", lambda size: replace(quick_study_of_two, size=size))
    main(["run", "fig2", "--seeds", "2", "--seed", "5", "--out", str(tmp_path / "s"), "--quiet"])
    said = capsys.readouterr().out
    assert "fig2 a, 1 of 2" in said
    assert "m = 0" in said
    assert (tmp_path / "s" / "b" / "seed6" / "summary.json").exists()
    main(["run", "fig2/b", "--size=paper", "--lr", "0.002", "--out", str(tmp_path / "b"), "--quiet"])
    assert Record(tmp_path / "b").config.optimizer.lr == 0.002
    assert Record(tmp_path / "b").config.optimizer.metaplasticity == (1.0,)


quick_study_of_two = Study("fig2", Size.LAPTOP, {name: quick_panel(study("fig2").panels[name]) for name in ("a", "b")})
