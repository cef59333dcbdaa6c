"""Followers of a training get every line, are read back by their own readers, and cannot spoil a run."""

import json
import struct
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import metaplastic as mp
from metaplastic.experiments import Followed, Interrupted, Record, resume, run, run_seeds, scalars
from metaplastic.experiments.carry_out import TrainingProgress
from metaplastic.experiments.loggers import LOGGERS
from metaplastic.experiments.tensorboard_logger import TensorBoardLogger


class Notes:
    """Remembers what it is told; one for every folder."""

    every: dict[str, "Notes"] = {}  # noqa: RUF012

    def __init__(self, folder: Path) -> None:
        self.lines, self.closed = [], False
        self.every[folder.name] = self

    def open(self, followed):
        self.followed = followed

    def log(self, line):
        assert not self.closed
        self.lines.append(line)

    def close(self):
        self.closed = True


class Broken(Notes):
    def log(self, line):
        if line["event"] == "task":
            raise OSError("no network")
        super().log(line)


@pytest.fixture(autouse=True)
def no_notes():
    Notes.every.clear()


@pytest.fixture
def tensorboard_scalars():
    pytest.importorskip("tensorboard", reason="metaplastic[tensorboard] is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    def read(folder: Path) -> dict[str, list[tuple[int, float]]]:
        events = EventAccumulator(str(folder / "tensorboard"))
        events.Reload()
        return {tag: [(one.step, one.value) for one in events.Scalars(tag)] for tag in events.Tags()["scalars"]}

    return read


def expected(record: Record) -> dict[str, list[tuple[int, float]]]:
    """What a reader of a log should find, from the record."""
    matrix = record.accuracy()
    found: dict[str, list[tuple[int, float]]] = {}
    for line in record.metrics():
        at, numbers = scalars(Followed("", record.config.epochs, matrix.tests, matrix.totals), line)
        for name, value in numbers.items():
            found.setdefault(name, []).append((at, value))
    return found


def test_scalars_are_shares_and_bytes_against_the_epochs_of_all_tasks(small, tmp_path):
    run(small, tmp_path / "run", progress=False)
    record = Record(tmp_path / "run")
    found = expected(record)
    assert [at for at, _ in found["loss"]] == [1, 2, 3, 4]
    final = record.accuracy().accuracy[-1]
    assert [found[f"accuracy/permutation {test + 1}"][-1] for test in (0, 1)] == [(4, final[0]), (4, final[1])]
    assert [at for at, _ in found["flip_rate/layers.0.weight"]] == [0, 2, 4]
    assert found["memory/hidden_weights"] == [(2, 4736.0), (4, 4736.0)]


def test_a_logger_is_given_every_line_of_the_metrics_and_closed(small, tmp_path):
    run(small, tmp_path / "run", progress=False, loggers=[Notes])
    notes, record = Notes.every["run"], Record(tmp_path / "run")
    assert notes.lines == record.metrics()
    assert notes.closed
    assert notes.followed.config["optimizer"]["metaplasticity"] == [30.0]
    assert (notes.followed.epochs, notes.followed.done) == (2, 0)
    assert (notes.followed.tests, notes.followed.totals) == (record.accuracy().tests, record.accuracy().totals)


@pytest.mark.parametrize("stack", [False, True])
def test_every_seed_has_a_logger_of_its_own(stack, small, tmp_path):
    run_seeds(small, (0, 1), tmp_path, stack=stack, progress=False, loggers=[Notes])
    for seed in (0, 1):
        notes = Notes.every[f"seed{seed}"]
        assert notes.lines == Record(tmp_path / f"seed{seed}").metrics()
        assert notes.closed


def test_a_loop_without_a_record_can_be_followed_too(tmp_path):
    net, scenario = mp.BinaryMLP([64, 8, 10], norm="layer"), mp.permuted(mp.load("digits"), tasks=2)
    notes = Notes(tmp_path)
    result = mp.train(net, scenario, torch.optim.Adam(net.parameters()), epochs=1, progress=False, loggers=[notes])
    assert notes.lines == list(result.metrics)
    assert notes.closed


def test_a_logger_that_fails_is_left_out_and_the_run_is_the_same(small, tmp_path, caplog):
    plain = run(small, tmp_path / "plain", progress=False)
    followed = run(small, tmp_path / "run", progress=False, loggers=[Broken, Notes])
    assert "Broken failed (OSError: no network) and is left out from here on" in caplog.text
    assert [record.levelname for record in caplog.records].count("WARNING") == 1
    assert followed.matrix == plain.matrix
    assert Record(tmp_path / "run").complete


class Intruder(Notes):
    """Goes on with the run that it follows, as another process would."""

    def log(self, line):
        with pytest.raises(ValueError, match=r"to be free, got another process at work on it"):
            resume(self.folder, progress=False)
        super().log(line)

    def __init__(self, folder):
        super().__init__(folder)
        self.folder = folder


@pytest.mark.parametrize("stack", [False, True])
def test_nobody_else_goes_on_with_a_run_that_is_at_work(stack, small, tmp_path):
    run_seeds(small, [0, 1], tmp_path, stack=stack, progress=False, loggers=[Intruder])
    assert [len(notes.lines) for notes in Notes.every.values()] == [7, 7]
    assert not list(tmp_path.rglob("*.lock"))


class Closed(Notes):
    def open(self, followed):
        raise RuntimeError("no login")


def test_a_logger_that_cannot_begin_is_named_and_nothing_is_trained(small, tmp_path):
    with pytest.raises(ValueError, match=r"expected Closed to begin, got RuntimeError: no login; mend that, or leave"):
        run(small, tmp_path / "run", progress=False, loggers=[Closed])
    assert Record(tmp_path / "run").metrics() == []
    assert len(resume(tmp_path / "run", progress=False).matrix.correct) == 2


def stopped(config, folder, monkeypatch, moment="task", **how):
    """Run until the first task has ended, or its first epoch, which no checkpoint keeps."""

    def interrupt(bar, event, line):
        if event.moment == moment:
            raise Interrupted("again")

    with monkeypatch.context() as patch:
        patch.setattr(TrainingProgress, "show", interrupt)
        with pytest.raises(Interrupted):
            run(config, folder, progress=False, **how)


def test_a_run_that_was_stopped_is_followed_from_there(small, tmp_path, monkeypatch):
    stopped(small, tmp_path / "run", monkeypatch, loggers=[Notes])
    first = Notes.every["run"]
    assert first.closed
    resume(tmp_path / "run", progress=False, loggers=[Notes])
    second = Notes.every["run"]
    assert second.followed.done == 2
    assert first.lines + second.lines == Record(tmp_path / "run").metrics()


@pytest.mark.parametrize("moment", ["epoch", "task"])
def test_tensorboard_reads_back_what_the_record_holds(moment, small, tmp_path, monkeypatch, tensorboard_scalars):
    stopped(small, tmp_path / "run", monkeypatch, moment, loggers=["tensorboard"])
    resume(tmp_path / "run", progress=False, loggers=["tensorboard"])
    found, wanted = tensorboard_scalars(tmp_path / "run"), expected(Record(tmp_path / "run"))
    assert set(found) == set(wanted)
    for name, points in wanted.items():
        assert [at for at, _ in found[name]] == [at for at, _ in points]
        # An event holds a float32.
        assert [value for _, value in found[name]] == pytest.approx([value for _, value in points], rel=1e-6)


@pytest.mark.parametrize("checkpoint", [0, 1])
def test_tensorboard_takes_back_what_came_after_the_checkpoint(checkpoint, tmp_path, tensorboard_scalars):
    for done, loss in ((0, 3.0), (checkpoint, 5.0)):
        logger = TensorBoardLogger(tmp_path)
        logger.open(Followed("", 4, (), (), done))
        for epoch in range(done, 3):
            logger.log({"event": "epoch", "task": 0, "epoch": epoch, "loss": loss})
        logger.close()
    wanted = [(at, 3.0 if at <= checkpoint else 5.0) for at in (1, 2, 3)]
    assert tensorboard_scalars(tmp_path)["loss"] == wanted


def test_wandb_holds_offline_what_the_record_holds(small, tmp_path, monkeypatch):
    pytest.importorskip("wandb", reason="metaplastic[wandb] is not installed")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    stopped(small, tmp_path / "run", monkeypatch, loggers=["wandb"])
    resume(tmp_path / "run", progress=False, loggers=["wandb"])
    logs = sorted((tmp_path / "run" / "wandb").glob("offline-run-*/*.wandb"))
    runs, history = zip(*map(read_wandb, logs), strict=True)
    (run_id,) = set(runs)
    assert run_id == (tmp_path / "run" / "wandb-id").read_text()
    found: dict[str, list[tuple[int, float]]] = {}
    for row in (row for rows in history for row in rows):
        for name in set(row) - {"epochs", "_step", "_runtime", "_timestamp"}:
            found.setdefault(name, []).append((row["epochs"], row[name]))
    assert found == expected(Record(tmp_path / "run"))


def read_wandb(path: Path) -> tuple[str, list[dict]]:
    """Read the log of one run by wandb's own messages: its name, and what was logged step by step."""
    from wandb.proto.wandb_internal_pb2 import Record as Entry

    name, rows = "", []
    for entry in map(Entry.FromString, wandb_messages(path.read_bytes())):
        name = entry.run.run_id or name
        items = {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in entry.history.item}
        rows += [items] if items else []
    return name, rows


def wandb_messages(data: bytes) -> Iterator[bytes]:
    """Take a log apart, which is framed as those of LevelDB: checksum, length, kind; no frame crosses a block."""
    at, block, begun = 7, 32768, b""
    while len(data) - at >= 7:
        if block - at % block < 7:
            at += block - at % block
            continue
        length, kind = struct.unpack("<HB", data[at + 4 : at + 7])
        begun += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield begun
            begun = b""


@pytest.mark.parametrize("name", list(LOGGERS))
def test_a_missing_package_is_named_with_its_extra_before_anything_is_written(name, small, tmp_path, monkeypatch, said):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=rf"(?s)expected the package '{name}' to log to.*'metaplastic\[{name}\]'"):
        run(small, tmp_path / "run", progress=False, loggers=[name])
    status, _, err = said("run", "permuted-digits", "--log", name, "--out", tmp_path / "run")
    assert status == 2
    assert f"pip install 'metaplastic[{name}]'" in err
    assert not (tmp_path / "run").exists()


def test_an_unknown_logger_is_refused_with_the_nearest(small, tmp_path):
    with pytest.raises(ValueError, match=r"unknown logger 'tensorbored'; did you mean 'tensorboard'\?"):
        run(replace(small, seed=1), tmp_path / "run", progress=False, loggers=["tensorbored"])
    assert not (tmp_path / "run").exists()


def test_the_command_line_follows_runs(tmp_path, said, tensorboard_scalars):
    words = ["--tasks", 2, "--hidden", 8, "--epochs", 1, "--quiet", "--log", "tensorboard", "--out", tmp_path / "run"]
    assert said("run", "permuted-digits", *words)[0] == 0
    assert len(tensorboard_scalars(tmp_path / "run")["loss"]) == 2
