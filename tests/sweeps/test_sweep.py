"""A sweep: what is complete stays, what fails is said, what is killed goes on."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from metaplastic.cli import main
from metaplastic.experiments import Interrupted, Record, resume, run
from metaplastic.sweeps import Axis, Backend, State, Store, Sweep, Workers, parse_axis, run_sweep, worker
from metaplastic.sweeps import sweep as engine

HERE = Workers(jobs=1)
ROOT = hasattr(os, "geteuid") and os.geteuid() == 0


@pytest.fixture
def sweep(tiny):
    return Sweep(tiny, (parse_axis("metaplasticity=0,10"),), (0, 1))


def times(folder):
    return {path: path.stat().st_mtime_ns for path in (folder / "runs").rglob("*") if path.is_file()}


def test_a_run_of_a_sweep_is_the_run_alone(tiny, sweep, tmp_path):
    run_sweep(sweep, tmp_path / "s", HERE, progress=False)
    planned = sweep.runs[1]
    alone = run(planned.config, tmp_path / "alone", progress=False)
    record = Store(tmp_path / "s").record(planned)
    assert record.accuracy() == alone.matrix
    assert (record.folder / "network.safetensors").read_bytes() == (
        tmp_path / "alone" / "network.safetensors"
    ).read_bytes()


def test_what_came_out_is_the_mean_and_deviation_over_seeds(sweep, tmp_path):
    import numpy as np
    import pandas as pd

    results = run_sweep(sweep, tmp_path / "s", HERE, progress=False)
    runs = pd.read_csv(tmp_path / "s" / "runs.csv")
    finals = [Store(tmp_path / "s").record(run).accuracy().accuracy[-1].mean() for run in sweep.runs]
    assert np.allclose(runs.sort_values(["seed", "metaplasticity"])["accuracy"], finals, rtol=0, atol=1e-15)
    table = pd.read_csv(tmp_path / "s" / "results.csv")
    grouped = runs.groupby("metaplasticity")["accuracy"].agg(["count", "mean", "std"])
    assert np.allclose(table[["seeds", "mean", "sd"]], grouped, rtol=0, atol=1e-12)
    assert [one.label for one in results.settings] == ["metaplasticity = 0", "metaplasticity = 10"]


def test_finished_runs_are_left_alone_and_a_larger_sweep_adds_to_them(tiny, sweep, tmp_path):
    run_sweep(sweep, tmp_path / "s", HERE, progress=False)
    before = times(tmp_path / "s")
    larger = Sweep(tiny, (Axis("metaplasticity", (0, 5, 10)),), (0, 1))
    results = run_sweep(larger, tmp_path / "s", HERE, progress=False)
    after = times(tmp_path / "s")
    assert {path: after[path] for path in before} == before
    assert len(list((tmp_path / "s" / "runs").iterdir())) == 6
    assert not results.failures


def test_a_failed_run_is_reported_and_the_rest_goes_on(tiny, tmp_path, monkeypatch):
    sweep = Sweep(tiny, (Axis("lr", (5e-3, 7e-3, 9e-3)),), (0, 1))
    real, asked = worker.run, []

    def fails_once(config, *args, **options):
        asked.append(config)
        if (config.optimizer.lr, config.seed) == (7e-3, 0) and len(asked) < 7:
            raise ArithmeticError("expected a finite loss, got nan")
        return real(config, *args, **options)

    monkeypatch.setattr(worker, "run", fails_once)
    results = run_sweep(sweep, tmp_path / "s", HERE, progress=False)
    (failed,) = results.failures
    assert (failed.run.config.optimizer.lr, failed.run.config.seed) == (7e-3, 0)
    assert failed.failure == "ArithmeticError: expected a finite loss, got nan"
    assert "Traceback" in (tmp_path / "s" / "failures" / f"{failed.run.id}.txt").read_text()
    assert [len(one.accuracies) for one in results.settings] == [2, 1, 2]
    assert not run_sweep(sweep, tmp_path / "s", HERE, progress=False).failures, "it must be tried again"
    assert not list((tmp_path / "s" / "failures").iterdir())


def test_a_run_that_was_stopped_ends_with_the_same_bits(tiny, tmp_path, results_of, monkeypatch):
    sweep = Sweep(replace(tiny, epochs=2), (), (0, 1))
    run_sweep(sweep, tmp_path / "whole", HERE, progress=False)
    stopped = sweep.runs[0]
    saved, save = [], Record.save_checkpoint

    def killed_after_the_first_task(record, trial):
        save(record, trial)
        saved.append(trial.position)
        if len(saved) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(Record, "save_checkpoint", killed_after_the_first_task)
    with pytest.raises(Interrupted, match=r"go on with: the same command with --out .*killed"):
        run_sweep(sweep, tmp_path / "killed", HERE, progress=False)
    monkeypatch.undo()
    store = Store(tmp_path / "killed")
    assert store.state(stopped) is State.LEFT
    (store.place(stopped) / ".network.safetensors.0.part").write_bytes(b"half of a file")
    gone_on = []
    monkeypatch.setattr(worker, "resume", lambda place, **how: gone_on.append(place) or resume(place, **how))
    run_sweep(sweep, tmp_path / "killed", HERE, progress=False)
    assert gone_on == [store.place(stopped)]
    assert results_of(tmp_path / "killed") == results_of(tmp_path / "whole")
    assert not list((tmp_path / "killed").rglob("*.part"))


def test_a_folder_without_a_checkpoint_is_begun_again(sweep, tmp_path, results_of):
    run_sweep(sweep, tmp_path / "whole", HERE, progress=False)
    place = Store(tmp_path / "cut").place(sweep.runs[0])
    Store(tmp_path / "cut").claim({})
    place.mkdir(parents=True)
    (place / ".config.json.0.part").write_text('{"half of')
    run_sweep(sweep, tmp_path / "cut", HERE, progress=False)
    assert results_of(tmp_path / "cut") == results_of(tmp_path / "whole")


def test_the_folder_of_something_else_is_refused_and_kept(sweep, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ValueError, match=r"expected a new folder or that of a sweep, got"):
        run_sweep(sweep, tmp_path, HERE, progress=False)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_record_of_another_configuration_under_the_same_name_is_refused(sweep, tmp_path):
    run_sweep(sweep, tmp_path / "s", HERE, progress=False)
    path = Store(tmp_path / "s").place(sweep.runs[0]) / "config.json"
    path.write_text(path.read_text().replace('"epochs": 1', '"epochs": 9'))
    with pytest.raises(ValueError, match=r"expected in .* the record of what is to be run, got one of another"):
        run_sweep(sweep, tmp_path / "s", HERE, progress=False)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a place where nobody can write")
def test_a_place_where_nothing_can_be_written_is_an_error_before_training(sweep, tmp_path, monkeypatch):
    monkeypatch.setattr(engine, "dispatch", lambda *args: pytest.fail("training was begun"))
    place = "/proc/self/sweep"
    if not ROOT:
        (tmp_path / "locked").mkdir(mode=0o500)
        place = tmp_path / "locked" / "sweep"
    with pytest.raises(OSError, match=r"expected to write in .*sweep, got: .*; make room or choose another folder"):
        run_sweep(sweep, Path(place), HERE, progress=False)


def test_a_full_disk_is_an_error_before_training(sweep, tmp_path, monkeypatch):
    from collections import namedtuple

    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("shutil.disk_usage", lambda place: usage(2**30, 2**30, 2**20 + 100))
    monkeypatch.setattr(engine, "dispatch", lambda *args: pytest.fail("training was begun"))
    message = r"expected 1\.\d MB free for .*, got 1\.0 MB; make room or choose another folder"
    with pytest.raises(OSError, match=message):
        run_sweep(sweep, tmp_path / "s", HERE, progress=False)


def test_a_disk_that_fills_up_ends_the_sweep(sweep, tmp_path, monkeypatch):
    import errno

    def full(*args, **options):
        raise OSError(errno.ENOSPC, "cannot write there: No space left on device")

    monkeypatch.setattr(worker, "run", full)
    with pytest.raises(OSError, match=r"cannot write there: No space left on device"):
        run_sweep(sweep, tmp_path / "s", HERE, progress=False)


def test_data_that_are_missing_are_an_error_before_training(tiny, tmp_path):
    sweep = Sweep(replace(tiny, scenario=replace(tiny.scenario, data="nowhere.npz")))
    with pytest.raises(FileNotFoundError, match=r"expected nowhere.npz in .*, found nothing; check the path"):
        run_sweep(sweep, tmp_path / "s", HERE, progress=False)


SWEEP = ["sweep", "permuted-digits", "--tasks", "2", "--hidden", "32", "--batch-size", "25", "--engine", "plain"]
FINE = ["--epochs", "6", "--checkpoint-unit", "epoch", "--quiet"]


def command(folder, *more):
    words = [*SWEEP, *FINE, "--over", "metaplasticity=0,10", "--seeds", "2", "--out", folder, *more]
    return [sys.executable, "-m", "metaplastic", *map(str, words)]


def workers_of(process):
    """Processes that a sweep began to carry runs out."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    commands = {int(child): Path(f"/proc/{child}/cmdline").read_text() for child in children}
    return [child for child, words in commands.items() if "popen_loky" in words]


def wait_until_both_work(process, folder):
    before = {path: path.stat().st_mtime_ns for path in folder.glob("runs/*/checkpoint.safetensors")}
    while True:
        assert process.poll() is None, "the sweep ended before it was killed; make it longer"
        now = {path: path.stat().st_mtime_ns for path in folder.glob("runs/*/checkpoint.safetensors")}
        if sum(now[path] != before.get(path) for path in now) >= 2:
            return
        time.sleep(0.01)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds the workers under /proc")
def test_killed_at_work_it_ends_with_the_results_of_one_process(tmp_path, results_of):
    """First one of two workers is killed, then the whole sweep, and what is left of it must not go on."""
    subprocess.run(command(tmp_path / "one", "--jobs", 1), check=True, capture_output=True)
    two = os.environ | {"OMP_NUM_THREADS": "2"}
    process = subprocess.Popen(command(tmp_path / "two", "--jobs", 2), stdout=subprocess.DEVNULL, env=two)
    wait_until_both_work(process, tmp_path / "two")
    for child in workers_of(process):
        assert "OMP_NUM_THREADS=1" in Path(f"/proc/{child}/environ").read_text().split("\0"), "threads must be pinned"
    os.kill(workers_of(process)[0], signal.SIGKILL)
    wait_until_both_work(process, tmp_path / "two")
    orphans = workers_of(process)
    process.kill()
    process.wait()
    done = subprocess.run(command(tmp_path / "two", "--jobs", 2), check=True, capture_output=True, text=True)
    assert "metaplasticity = 10" in done.stdout
    assert not any(Path(f"/proc/{orphan}").exists() for orphan in orphans)
    assert results_of(tmp_path / "two") == results_of(tmp_path / "one")


def test_a_run_that_its_worker_dies_of_is_given_up_and_costs_no_other_run(tiny, tmp_path, monkeypatch):
    """Workers as they are, but that whoever meets one run is lost, with what the others have in work."""
    sweep = Sweep(tiny, (Axis("metaplasticity", (0, 10)),), (0, 1, 2))
    deadly, calls = sweep.runs[2], []

    def dispatch(runs, store, workers, jobs, data_dir):
        calls.append([run.id for run in runs])
        for place, planned in enumerate(runs):
            if planned == deadly:
                for lost in runs[place : place + 2]:
                    with store.taken(lost):
                        pass
                raise RuntimeError("a worker process was terminated")
            assert worker.carry_out_run(planned, store) == ""
        return [""]

    monkeypatch.setattr(engine, "dispatch", dispatch)
    monkeypatch.setattr(engine, "dispatch_alone", lambda run, *rest: dispatch([run], *rest[:2], 1, rest[2]))
    results = run_sweep(sweep, tmp_path / "s", HERE, progress=False)
    (failed,) = results.failures
    assert failed.run == deadly
    assert failed.failure == "its worker was lost 3 times, the last time alone: out of memory?"
    assert [deadly.id] in calls


def test_workers_that_begin_nothing_are_an_error(sweep, tmp_path, monkeypatch):
    def dispatch(*args):
        raise TypeError("cannot pickle it")

    monkeypatch.setattr(engine, "dispatch", dispatch)
    with pytest.raises(ChildProcessError, match=r"expected workers that begin a run, got none: cannot pickle it"):
        run_sweep(sweep, tmp_path / "s", HERE, progress=False)


def test_workers_that_do_not_see_the_folder_say_so(sweep, tmp_path):
    said = worker.carry_out_run(sweep.runs[0], Store(tmp_path / "elsewhere"))
    assert said.startswith("expected the folder of the sweep at")
    assert said.endswith("give a folder that all workers share")


def test_slurm_that_is_not_there_is_an_error(sweep, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    pytest.importorskip("submitit", reason="comes with metaplastic[slurm]")
    with pytest.raises(FileNotFoundError, match=r"expected Slurm's sbatch on this machine, got none"):
        run_sweep(sweep, tmp_path / "s", Workers("slurm"), progress=False)


def test_slurm_is_told_what_the_command_line_says(monkeypatch, tmp_path):
    submitit = pytest.importorskip("submitit", reason="comes with metaplastic[slurm]")
    from metaplastic.sweeps import slurm_backend

    words = ["--over", "epochs=1,2", "--backend", "slurm", "--jobs", "3", "--slurm", "partition=cpu", "time=60"]
    asked = []
    monkeypatch.setattr("metaplastic.sweeps.run_sweep", lambda *_, **how: asked.append(how["workers"]) or sys.exit())
    with pytest.raises(SystemExit):
        main(["sweep", "permuted-digits", *words, "--quiet", "--out", str(tmp_path / "s")])
    assert asked == [Workers(Backend.SLURM, 3, {"partition": "cpu", "time": 60})]
    told = []
    monkeypatch.setattr(submitit.AutoExecutor, "update_parameters", lambda _, **named: told.append(named))
    slurm_backend.SlurmJobs(tmp_path / "jobs", 3, 2, asked[0].slurm, "local")
    expected = {"cpus_per_task": 2, "slurm_array_parallelism": 3, "slurm_partition": "cpu", "slurm_time": 60}
    assert told == [expected]


def test_as_many_runs_go_on_at_once_as_their_threads_leave_cores_for(tiny, monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    runs = Sweep(replace(tiny, running=replace(tiny.running, threads=3)), (Axis("epochs", (1, 2)),), (0, 1)).runs
    assert len(runs) == 4
    assert [Workers(jobs=jobs).at_once(runs) for jobs in (0, 1, 3, 9)] == [2, 1, 3, 4]
    assert Workers(Backend.SLURM).at_once(runs) == 4
    assert Workers(jobs=0).at_once(runs[:1]) == 1
    assert Workers(jobs=0).at_once(Sweep(tiny, (Axis("threads", (0,)),)).runs) == 1


@pytest.mark.slow
def test_jobs_of_submitit_carry_a_sweep_out(tiny, tmp_path, monkeypatch):
    """Processes of this machine stand for Slurm; a job that is stopped is submitted again as it is."""
    pytest.importorskip("submitit", reason="comes with metaplastic[slurm]")
    from metaplastic.sweeps import slurm_backend

    monkeypatch.setattr(slurm_backend.SlurmJobs.__init__, "__defaults__", ("local",))
    results = run_sweep(Sweep(tiny), tmp_path / "s", Workers("slurm"), progress=False)
    assert not results.failures
    assert len(list((tmp_path / "s" / "slurm").glob("*_submitted.pkl"))) == 1
    again = slurm_backend._Resumable(lambda: [""])
    assert again.checkpoint().function is again


def test_the_command_line_sweeps_and_says_what_failed(said, tmp_path, monkeypatch):
    words = ["sweep", "permuted-digits", "--tasks", 1, "--hidden", 8, "--epochs", 1, "--engine", "plain", "--jobs", 1]
    words += ["--over", "metaplasticity=0,10", "--over", "norm.affine=true,false", "--seeds", 1, "--quiet"]
    real = worker.run

    def fails(config, *args, **options):
        if config.norm.affine and config.optimizer.metaplasticity == (10.0,):
            raise ValueError("expected better data")
        return real(config, *args, **options)

    monkeypatch.setattr(worker, "run", fails)
    status, out, err = said(*words, "--out", tmp_path / "s")
    assert status == 1
    assert "average accuracy in %" in out
    assert "1 runs failed" in err
    assert "metaplasticity = 10, norm.affine = true, seed 0: ValueError: expected better data" in err
    monkeypatch.undo()
    status, out, _ = said("report", tmp_path / "s", "--out", tmp_path / "pictures")
    assert status == 0


def test_the_command_line_tunes(said, tmp_path):
    pytest.importorskip("optuna", reason="comes with metaplastic[tune]")
    words = ["tune", "permuted-digits", "--tasks", 2, "--hidden", 8, "--epochs", 1, "--engine", "plain", "--jobs", 1]
    words += ["--search", "metaplasticity=1,10", "--protocol", "first-task", "--trials", 1, "--seeds", 1]
    status, out, _ = said(*words, "--report-seeds", 1, "--quiet", "--out", tmp_path / "t")
    assert status == 0
    assert "chosen by first-task, mean accuracy of 1 seeds in %:" in out
    assert "Caution: one task shows no forgetting: metaplasticity should be chosen by two-phase." in out
    assert str(tmp_path / "t" / "reported") in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["sweep"], "expected a preset, STUDY/PANEL or --from FILE"),
        (
            ["sweep", "fig2"],
            "expected a preset or a panel, got the study 'fig2'; sweep one of its panels as fig2/PANEL",
        ),
        (["sweep", "permuted-digits", "--over", "epohcs=1,2"], "unknown field 'epohcs'; did you mean 'epochs'"),
        (["sweep", "permuted-digits", "--slurm", "fast"], "expected NAME=VALUE after --slurm, got 'fast'"),
        (["sweep", "permuted-digits", "--seeds", "0"], "expected different seeds, got []"),
        (["tune", "permuted-digits"], "expected number of fields to search >= 1, got 0"),
        (["tune", "permuted-digits", "--search", "lr=log:1"], "expected FIELD=log:LOW:HIGH"),
        (
            ["tune", "permuted-digits", "--search", "lr=1,2", "--search", "lr=3,4"],
            "expected every field once with --search, got 'lr' twice",
        ),
    ],
)
def test_a_mistake_ends_with_status_2_and_leaves_nothing_behind(said, tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    status, _, err = said(*words)
    assert status == 2
    assert message in err
    assert not list(tmp_path.iterdir())
