import errno
import json
import os
import shutil
from dataclasses import replace

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from metaplastic import files
from metaplastic.evaluation import AccuracyMatrix, MagnitudeHistogram
from metaplastic.experiments import Interrupted, Record, resume, run
from metaplastic.experiments.config import Network, Optimizer, Rule, Running, Unit
from metaplastic.experiments.method_config import Method, Penalty
from metaplastic.experiments.run import at_work, make_trial
from metaplastic.learners import NonFiniteLossError
from metaplastic.nn import NormPolicy, Statistics

EVERY_STEP = Running(calibration_samples=1000, checkpoint_every=1, checkpoint_unit=Unit.STEP)


def test_a_record_holds_what_happened(small, tmp_path):
    result = run(small, tmp_path / "run", progress=False)
    record = Record(tmp_path / "run")
    assert record.config == small
    assert record.complete
    assert record.accuracy() == result.matrix
    assert [line["event"] for line in record.metrics()] == ["begin", "epoch", "epoch", "task", "epoch", "epoch", "task"]
    assert record.metrics()[-1]["correct"] == list(result.matrix.correct[-1])
    assert set(record.metrics()[-1]["layers"]) == {"layers.0.weight", "layers.2.weight"}
    for name, layer in record.metrics()[-1]["layers"].items():
        histogram = MagnitudeHistogram.from_json(layer["histogram"])
        assert sum(histogram.counts) == result.network.get_parameter(name).numel()
    saved = load_file(tmp_path / "run" / "network.safetensors")
    assert all(torch.equal(saved[name], tensor) for name, tensor in result.network.state_dict().items())
    environment = json.loads((tmp_path / "run" / "environment.json").read_text())
    assert environment["versions"]["torch"] == torch.__version__
    assert environment["threads"] == torch.get_num_threads()


def test_the_summary_says_what_was_announced_and_names_every_metric(small, tmp_path):
    small = replace(small, optimizer=Optimizer(metaplasticity=(10.0,)))
    run(small, tmp_path / "run", progress=False)
    summary = Record(tmp_path / "run").summary()
    assert summary["scenario"]["task_known_at_test"] is True
    assert summary["scenario"]["statistics"] == "recalibrated"
    assert summary["metrics"]["bwt"]["value"] is not None
    assert summary["cautions"] == []


def test_synapses_that_are_consolidated_before_training_are_a_caution(small, tmp_path):
    config = replace(small, optimizer=Optimizer(metaplasticity=(80.0,)))
    run(config, tmp_path / "run", progress=False)
    (caution,) = Record(tmp_path / "run").summary()["cautions"]
    assert "consolidated before training" in caution


def test_a_frozen_network_keeps_its_synapses_and_learns_by_its_normalisation(small, tmp_path):
    config = replace(small, network=replace(small.network, frozen=True))
    result = run(config, tmp_path / "run", progress=False)
    drawn = make_trial(config).network
    assert torch.equal(result.network.layers[0].weight, drawn.layers[0].weight)
    assert not torch.equal(result.network.layers[1].gain, drawn.layers[1].gain)


def test_batch_statistics_are_a_caution(small, tmp_path):
    config = replace(small, norm=NormPolicy(statistics=Statistics.BATCH), optimizer=Optimizer(metaplasticity=(1.0,)))
    run(config, tmp_path / "run", progress=False)
    (caution,) = Record(tmp_path / "run").summary()["cautions"]
    assert "predictions depend on how the test set is split" in caution


def test_a_folder_with_something_in_it_is_refused(small, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(FileExistsError, match=r"expected a new or empty folder.*exists; choose another with --out"):
        run(small, tmp_path, progress=False)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_folder_with_a_run_in_it_says_how_to_go_on(small, tmp_path):
    Record.create(tmp_path / "run", small)
    with pytest.raises(FileExistsError, match=r"go on with it by 'metaplastic run --resume"):
        run(small, tmp_path / "run", progress=False)


def test_a_run_that_another_process_is_at_is_left_to_it(small, tmp_path, monkeypatch):
    interrupted(small, tmp_path / "run", monkeypatch, after=9)
    before = (tmp_path / "run" / "metrics.jsonl").read_text()
    message = r"expected the run in .*run to be free, got another process at work on it; wait until it ends"
    with at_work([Record(tmp_path / "run")]), pytest.raises(ValueError, match=message):
        resume(tmp_path / "run", progress=False)
    assert (tmp_path / "run" / "metrics.jsonl").read_text() == before
    resume(tmp_path / "run", progress=False)
    assert not (tmp_path / "run" / "at-work.lock").exists()


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"got a folder without config.json"):
        resume(tmp_path)
    with pytest.raises(ValueError, match="got no such folder"):
        resume(tmp_path / "nowhere")


def interrupted(small, folder, monkeypatch, after):
    """Run with a checkpoint at every step until the disk is full; of each, metrics and weights are synchronised."""
    written = []
    synchronise = os.fsync

    def fsync(descriptor):
        written.append(descriptor)
        if len(written) > 2 * after:
            raise OSError(errno.ENOSPC, "No space left on device")
        synchronise(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(files.os, "fsync", fsync)
        with pytest.raises(OSError, match=r"checkpoint.safetensors.*No space left.*previous version was kept") as error:
            run(replace(small, running=EVERY_STEP), folder, progress=False)
    assert error.value.errno == errno.ENOSPC


def test_a_full_disk_keeps_the_previous_checkpoint_which_can_be_gone_on_with(small, tmp_path, monkeypatch):
    interrupted(small, tmp_path / "full", monkeypatch, after=9)
    assert not list((tmp_path / "full").glob("*.part"))
    resumed = resume(tmp_path / "full", progress=False)
    whole = run(replace(small, running=EVERY_STEP), tmp_path / "whole", progress=False)
    assert resumed.matrix == whole.matrix
    for name, tensor in whole.network.state_dict().items():
        assert torch.equal(resumed.network.state_dict()[name], tensor)


BEAKERS = Optimizer(rule=Rule.BEAKERS, metaplasticity=(30.0,))


@pytest.mark.parametrize("after", [20, 50])  # in the first task, and in the second
@pytest.mark.parametrize(
    "change",
    [
        {"method": Method.EWC, "penalty": Penalty(strength=50.0, fisher_samples=100)},
        {"method": Method.SYNAPTIC_INTELLIGENCE, "penalty": Penalty(strength=5.0)},
        {"optimizer": BEAKERS},
    ],
    ids=["ewc", "si", "beakers"],
)
def test_springs_path_integrals_and_beakers_are_gone_on_with_too(small, tmp_path, monkeypatch, change, after):
    config = replace(small, **change)
    interrupted(config, tmp_path / "cut", monkeypatch, after)
    assert Record(tmp_path / "cut").complete is False
    resumed = resume(tmp_path / "cut", progress=False)
    whole = run(replace(config, running=EVERY_STEP), tmp_path / "whole", progress=False)
    assert resumed.matrix == whole.matrix
    for name, tensor in whole.network.state_dict().items():
        assert torch.equal(resumed.network.state_dict()[name], tensor)


def test_a_record_of_another_format_is_refused(small, tmp_path, monkeypatch):
    interrupted(small, tmp_path / "run", monkeypatch, after=9)
    path = tmp_path / "run" / "config.json"
    plain = json.loads(path.read_text())
    path.write_text(json.dumps(plain | {"format": 99}))
    with pytest.raises(ValueError, match=r"expected format 1 in .*config.json, got 99: it comes from another version"):
        resume(tmp_path / "run")


def test_a_checkpoint_of_another_format_is_refused(small, tmp_path, monkeypatch):
    interrupted(small, tmp_path / "run", monkeypatch, after=9)
    save_file({"x": torch.zeros(1)}, tmp_path / "run" / "checkpoint.safetensors")
    with pytest.raises(ValueError, match=r"expected format 1 in .*checkpoint.safetensors, got None"):
        resume(tmp_path / "run")


@pytest.mark.parametrize(
    "damage", [lambda data: data[: len(data) // 2], lambda data: b"\x80\x04pickle", lambda data: b""]
)
def test_a_damaged_checkpoint_is_refused(small, tmp_path, monkeypatch, damage):
    interrupted(small, tmp_path / "run", monkeypatch, after=9)
    path = tmp_path / "run" / "checkpoint.safetensors"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=r"expected a checkpoint in .*, got a damaged or foreign file"):
        resume(tmp_path / "run")


def edit(path, change):
    plain = json.loads(path.read_text())
    change(plain)
    path.write_text(json.dumps(plain))


def test_a_configuration_changed_since_the_checkpoint_is_refused(small, tmp_path, monkeypatch):
    interrupted(small, tmp_path / "run", monkeypatch, after=9)
    edit(tmp_path / "run" / "config.json", lambda plain: plain["optimizer"].update(lr=0.5))
    with pytest.raises(ValueError, match=r"expected the configuration that .* was written under, got another"):
        resume(tmp_path / "run")


def test_tensors_that_do_not_fit_are_refused(small, tmp_path, monkeypatch):
    interrupted(small, tmp_path / "run", monkeypatch, after=9)
    path = tmp_path / "run" / "checkpoint.safetensors"
    with safe_open(path, framework="pt") as file:
        tensors, metadata = {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118
    tensors["network/layers.0.weight"] = torch.zeros(17, 64)
    save_file(tensors, path, metadata)
    with pytest.raises(ValueError, match=r"'layers.0.weight' as \(16, 64\), got \(17, 64\) \(1 do not fit\)"):
        resume(tmp_path / "run")


def test_metrics_that_were_cut_are_refused(small, tmp_path, monkeypatch):
    interrupted(small, tmp_path / "run", monkeypatch, after=40)
    (tmp_path / "run" / "metrics.jsonl").unlink()
    with pytest.raises(ValueError, match=r"expected at least \d+ lines in .*metrics.jsonl, got 0"):
        resume(tmp_path / "run")


def test_a_line_that_was_not_finished_is_left_out(small, tmp_path):
    run(small, tmp_path / "run", progress=False)
    record = Record(tmp_path / "run")
    whole = record.metrics()
    with (tmp_path / "run" / "metrics.jsonl").open("a") as file:
        file.write('{"event": "epo')
    assert record.metrics() == whole


def test_weights_that_are_not_finite_are_never_saved(small, tmp_path):
    record = Record.create(tmp_path / "run", small)
    trial = make_trial(small)
    trial.begin()
    with torch.no_grad():
        next(trial.network.parameters())[0, 0] = torch.nan
    with pytest.raises(NonFiniteLossError, match="expected finite weights at"):
        record.save_checkpoint(trial)
    assert not (tmp_path / "run" / "checkpoint.safetensors").exists()


def test_a_run_killed_before_its_first_checkpoint_begins_again(small, tmp_path):
    whole = run(small, tmp_path / "whole", progress=False)
    for name in ("config.json", "environment.json", "metrics.jsonl"):
        (tmp_path / name).write_bytes(
            (tmp_path / "whole" / name).read_bytes()[: None if name != "metrics.jsonl" else 50]
        )
    assert resume(tmp_path, progress=False).matrix == whole.matrix
    assert len(Record(tmp_path).metrics()) == len(Record(tmp_path / "whole").metrics())


@pytest.mark.parametrize("interval", [1, 2, 5])
def test_resuming_a_complete_run_gives_its_result_and_changes_nothing(small, tmp_path, interval):
    small = replace(small, running=Running(checkpoint_every=interval))
    whole = run(small, tmp_path / "run", progress=False)
    before = {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()}
    assert resume(tmp_path / "run", progress=False).matrix == whole.matrix
    assert {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()} == before


def test_an_incomplete_run_has_no_accuracy(small, tmp_path, monkeypatch):
    interrupted(small, tmp_path / "run", monkeypatch, after=9)
    with pytest.raises(ValueError, match="no task of this run is complete"):
        Record(tmp_path / "run").accuracy()


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_good_checkpoint(small, tmp_path, monkeypatch):
    from metaplastic.experiments import trial as trials

    calls = []
    genuine = trials.learn

    def poisoned(network, *arguments, **options):
        for event in genuine(network, *arguments, **options):
            calls.append(event)
            yield event
            if len(calls) == 20:  # the 15 steps of an epoch, its event, and 4 steps
                with torch.no_grad():
                    next(network.parameters()).fill_(torch.nan)

    monkeypatch.setattr(trials, "learn", poisoned)
    with pytest.raises(NonFiniteLossError, match=r"task 1.*epoch 2, step 5.*last good checkpoint is kept in"):
        run(replace(small, running=replace(EVERY_STEP, checkpoint_every=5)), tmp_path / "run", progress=False)
    assert all(
        bool(t.isfinite().all())
        for n, t in load_file(tmp_path / "run" / "checkpoint.safetensors").items()
        if "weight" in n
    )


@pytest.mark.parametrize("device", ["warp", "meta"])
def test_a_device_that_is_not_here_or_holds_nothing_is_refused(small, tmp_path, device):
    with pytest.raises(ValueError, match=rf"expected a device that torch can use here, got '{device}'"):
        run(replace(small, running=Running(device=device)), tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


def test_metaplasticity_per_layer_must_match_the_layers(small, tmp_path):
    config = replace(small, optimizer=Optimizer(metaplasticity=(1.0, 2.0, 3.0)), network=Network(hidden=(16,)))
    with pytest.raises(ValueError, match="expected one metaplasticity per hidden weight, 2, got 3"):
        run(config, tmp_path / "run", progress=False)


def test_interrupted_says_how_to_go_on():
    command = "metaplastic run --resume runs/one"
    assert str(Interrupted(command)) == f"interrupted; go on with: {command}"


def test_the_accuracy_matrix_reads_as_written(small, tmp_path):
    result = run(small, tmp_path / "run", progress=False)
    assert AccuracyMatrix.from_csv((tmp_path / "run" / "accuracy.csv").read_text()) == result.matrix


def resuming_is_refused(folder, message):
    before = (folder / "metrics.jsonl").read_bytes()
    with pytest.raises(ValueError, match=message):
        resume(folder, progress=False)
    assert (folder / "metrics.jsonl").read_bytes() == before


def test_a_damaged_summary_is_named_and_comes_back_where_it_is_removed(small, tmp_path):
    run(small, tmp_path / "run", progress=False)
    path = tmp_path / "run" / "summary.json"
    whole = path.read_bytes()
    path.write_bytes(whole[:20])
    with pytest.raises(
        ValueError, match=r"expected JSON in .*summary.json, got .*; remove the file and resume the run"
    ):
        Record(tmp_path / "run").summary()
    path.unlink()
    resume(tmp_path / "run", progress=False)
    assert path.read_bytes() == whole


def test_a_complete_run_without_its_checkpoint_is_left_alone(small, tmp_path):
    run(small, tmp_path / "run", progress=False)
    (tmp_path / "run" / "checkpoint.safetensors").unlink()
    resuming_is_refused(tmp_path / "run", r"got none beside a complete run: there is nothing to go on with")


def test_a_complete_run_with_an_earlier_checkpoint_is_left_alone(small, tmp_path, monkeypatch):
    interrupted(small, tmp_path / "run", monkeypatch, after=9)
    path = tmp_path / "run" / "checkpoint.safetensors"
    earlier = path.read_bytes()
    resume(tmp_path / "run", progress=False)
    path.write_bytes(earlier)
    resuming_is_refused(
        tmp_path / "run",
        r"expected the checkpoint of its end .* got an earlier one of a complete run: there is nothing",
    )


def test_what_a_run_goes_on_with_is_noted_where_it_changes(small, tmp_path, monkeypatch):
    interrupted(small, tmp_path / "run", monkeypatch, after=9)
    interrupted_again = tmp_path / "other"
    shutil.copytree(tmp_path / "run", interrupted_again)
    events = [line["event"] for line in resume(tmp_path / "run", progress=False).metrics]
    assert "resume" not in events
    lines = (interrupted_again / "metrics.jsonl").read_text().splitlines()
    begun = json.loads(lines[0])
    begun["engine"]["members"] = 3
    (interrupted_again / "metrics.jsonl").write_text("\n".join([json.dumps(begun), *lines[1:]]) + "\n")
    noted = [line for line in resume(interrupted_again, progress=False).metrics if line["event"] == "resume"]
    assert [line["engine"].get("members", 1) for line in noted] == [1]


def test_a_run_that_was_stopped_at_its_end_can_be_gone_on_with_again_and_again(small, tmp_path):
    """It stands at its last checkpoint without a summary, and was begun by another engine."""
    run(small, tmp_path / "run", progress=False)
    (tmp_path / "run" / "summary.json").unlink()
    path = tmp_path / "run" / "metrics.jsonl"
    first, *others = path.read_text().splitlines()
    begun = json.loads(first)
    begun["engine"]["members"] = 3
    path.write_text("\n".join([json.dumps(begun), *others]) + "\n")
    matrices = [resume(tmp_path / "run", progress=False).matrix for _ in range(3)]
    assert matrices[0] == matrices[1] == matrices[2]
    assert [line["event"] for line in Record(tmp_path / "run").metrics()].count("resume") == 1


def test_the_memory_that_a_method_keeps_is_recorded_at_every_task_end(small, tmp_path):
    penalised = replace(small, method=Method.EWC, penalty=Penalty(strength=1.0, fisher_samples=10))
    plain, held = (run(config, tmp_path / config.method.value, progress=False) for config in (small, penalised))
    first, last = (line["memory"] for line in plain.metrics if line["event"] == "task")
    weights = 4 * (64 * 16 + 16 * 10)
    assert first["hidden_weights"] == last["hidden_weights"] == weights
    assert last["optimizer"] > 2 * weights
    assert last["learner"] == 0
    # The terms of EWC are one quadratic form: two numbers per weight, however many tasks.
    kept = [line["memory"]["learner"] for line in held.metrics if line["event"] == "task"]
    assert kept[0] == kept[1] >= 2 * weights
