"""Carry out experiments: with a record that survives anything, or without one in a line of Python."""

import contextlib
import datetime
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from metaplastic.choices import choose
from metaplastic.evaluation import AccuracyMatrix, Metric, summary
from metaplastic.experiments.build import (
    build_learner,
    build_network,
    build_optimizer,
    build_scenario,
    build_schedule,
    build_training,
)
from metaplastic.experiments.carry_out import begin, carry_out
from metaplastic.experiments.config import Config
from metaplastic.experiments.config_json import to_json
from metaplastic.experiments.interrupt import resumed_by
from metaplastic.experiments.loggers import Logger, MakeLogger, find_loggers, following
from metaplastic.experiments.progress import Shown, TrainingProgress
from metaplastic.experiments.record import Record, require_room_for
from metaplastic.experiments.trial import Line, Trial
from metaplastic.files import alone
from metaplastic.learners import Engine, FineTune, Learner, Schedule
from metaplastic.nn import Precision
from metaplastic.scenarios import Scenario


@dataclass(frozen=True)
class Result:
    """What a training came to.

    Args:
        matrix: Correct predictions after every task.
        network: The trained network.
        metrics: What was measured along the way, one entry per epoch and task end.
        folder: Folder of the record; None where none was kept.
    """

    matrix: AccuracyMatrix
    network: torch.nn.Module
    metrics: tuple[Line, ...]
    folder: Path | None = None

    @property
    def accuracy(self) -> Any:
        """R[i, j]: accuracy on test j after task i, in [0, 1]."""
        return self.matrix.accuracy

    def summary(self) -> dict[str, Metric]:
        """Compute what follows from R, each under the name of its convention."""
        return summary(self.matrix)


def train(
    network: torch.nn.Module,
    scenario: Scenario,
    optimizer: torch.optim.Optimizer,
    learner: Learner = FineTune(),
    *,
    epochs: int,
    batch_size: int = 100,
    seed: int = 0,
    reset_optimizer: bool = False,
    evaluate_epochs: int = 0,
    engine: Engine | str | None = None,
    precision: Precision | str | None = None,
    progress: bool | None = None,
    loggers: Sequence[Logger] = (),
) -> Result:
    """Train a network on a scenario and test it after every task, without writing anything.

    Args:
        network: Maps inputs to logits; it is trained in place.
        scenario: What is learned.
        optimizer: Holds the network's parameters.
        learner: The continual-learning method.
        epochs: Passes over each task, >= 1.
        batch_size: Samples per step at most, >= 1.
        seed: Seed of the order in which samples come.
        reset_optimizer: Whether the optimizer's state is cleared at each task; needs announced boundaries.
        evaluate_epochs: Test after every so many epochs; 0 for task ends only.
        engine: What training is computed with, `plain` or `fast`; None takes the fast one as far as it goes.
        precision: What the fast engine keeps gradients of weights in, `exact` for float32 or `fast` for bfloat16; None
            leaves it to the processor.
        progress: Whether to show a progress bar; None shows it on a terminal.
        loggers: What is given every line of the metrics as it is measured, e.g. `TensorBoardLogger(folder)`.

    Returns:
        Accuracy matrix, network and metrics.

    Raises:
        ValueError: When an engine or a precision is asked for by name that cannot be had.

    Example:
        >>> import metaplastic as mp
        >>> net = mp.BinaryMLP([64, 32, 10], norm="layer")
        >>> optimizer = mp.MetaplasticAdam(mp.param_groups(net, metaplasticity=10.0), lr=5e-3)
        >>> result = train(net, mp.permuted(mp.load("digits"), tasks=2), optimizer, epochs=1)
        >>> result.accuracy.shape
        (2, 2)
    """
    schedule = Schedule(epochs, batch_size, seed, reset_optimizer)
    trial = Trial(network, scenario, optimizer, learner, schedule, evaluate_epochs=evaluate_epochs)
    engine = None if engine is None else choose(Engine, engine)
    precision = None if precision is None else choose(Precision, precision)
    with (
        trial.accelerated(engine, precision),
        following(trial, loggers, scenario.name, {}) as followers,
        TrainingProgress(trial, scenario.name, progress) as bar,
    ):
        lines = [trial.begin()]
        followers.log(lines[0])
        for event, line in trial.run():
            bar.show(event, line)
            if line:
                lines.append(line)
                followers.log(line)
    return Result(trial.matrix, network, tuple(lines))


def run(
    config: Config,
    folder: Path | None = None,
    *,
    data_dir: Path | None = None,
    progress: Shown = None,
    loggers: Sequence[str | MakeLogger] = (),
) -> Result:
    """Carry out an experiment and keep its record.

    Args:
        config: What to run.
        folder: A new folder for the record; None makes one under `runs/` named after the preset, the time and the
            seed.
        data_dir: Where the data lie; None looks where `load` looks.
        progress: Whether, or where, to show a progress bar; None shows it on a terminal.
        loggers: What follows the run beside its record: `"tensorboard"`, `"wandb"`, or what makes a logger for the
            folder of the record.

    Returns:
        Accuracy matrix, network, metrics and folder.

    Raises:
        ImportError: When the package of a logger is not installed.
        OSError: When the record cannot be written, or there is no room for it; nothing was trained then.
        Interrupted: After Ctrl-C, with a checkpoint written.
    """
    makers = find_loggers(loggers)
    with computing(config.running.threads):
        trial, folder = make_trial(config, data_dir), folder or new_folder(f"{config.name}-seed{config.seed}")
        require_room_for(folder, [trial])
        with trial.accelerated(config.running.engine, config.running.precision) as chosen:
            record = Record.create(folder, config)
            with at_work([record]), resumed_by(_again(record)), followed_records([trial], [record], makers):
                begin([trial], [record], chosen.as_json())
                return _carry_out(trial, record, progress)


def resume(
    folder: Path,
    *,
    data_dir: Path | None = None,
    progress: Shown = None,
    loggers: Sequence[str | MakeLogger] = (),
) -> Result:
    """Go on with a run from its last checkpoint; it ends with the same bits as a run that was never stopped.

    A run that was begun in a stack of several goes on alone, and what is computed with may change with the machine. The
    metrics say so then, and with batch norm the last bits differ.

    Args:
        folder: Folder of the run.
        data_dir: Where the data lie; None looks where `load` looks.
        progress: Whether, or where, to show a progress bar; None shows it on a terminal.
        loggers: As in `run`.

    Returns:
        Accuracy matrix, network, metrics and folder. For a complete run they are what its record holds.

    Raises:
        ValueError: When the folder holds no run, one that cannot be gone on with, or one that another process is at.
        ImportError: When the package of a logger is not installed.
        Interrupted: After Ctrl-C, with a checkpoint written.
    """
    record, makers = Record(folder), find_loggers(loggers)
    with at_work([record]), resumed_by(_again(record)), computing(record.config.running.threads):
        trial, running = make_trial(record.config, data_dir), record.config.running
        require_room_for(folder, [trial])
        with trial.accelerated(running.engine, running.precision) as chosen:
            found = record.load_checkpoint(trial)
            with followed_records([trial], [record], makers):
                if not found:
                    begin([trial], [record], chosen.as_json())
                elif not record.complete:
                    record.note_engine(chosen.as_json())
                return _carry_out(trial, record, progress)


@contextlib.contextmanager
def at_work(records: Sequence[Record]) -> Iterator[None]:
    """Keep other processes from some runs while they are carried out.

    Args:
        records: Their records.

    Yields:
        Nothing.

    Raises:
        ValueError: When another process works on one of them.
    """
    with contextlib.ExitStack() as held:
        for record in records:
            held.enter_context(alone(record.folder / "at-work.lock", f"the run in {record.folder}"))
        yield


@contextlib.contextmanager
def followed_records(
    trials: Sequence[Trial], records: Sequence[Record], makers: Sequence[MakeLogger]
) -> Iterator[None]:
    """Let loggers follow records for a while, each its own.

    Args:
        trials: The trainings.
        records: Their records.
        makers: What makes the loggers of a record.

    Yields:
        Nothing.
    """
    with contextlib.ExitStack() as open_ones:
        for trial, record in zip(trials, records, strict=True):
            name, config = f"{record.config.name}, seed {record.config.seed}", json.loads(to_json(record.config))
            loggers = [make(record.folder) for make in makers]
            record.tell = open_ones.enter_context(following(trial, loggers, name, config)).log
        yield


@contextlib.contextmanager
def computing(threads: int) -> Iterator[None]:
    """Set how torch computes, and leave it as it was found.

    Numbers below the normal range, as moments of gradients that stay zero become, slow an update down and are taken for
    zero. Threads that are started later do the same.

    Args:
        threads: Number of threads; 0 leaves torch's choice.

    Yields:
        Nothing.
    """
    before = torch.get_num_threads()
    try:
        torch.set_flush_denormal(True)
        torch.set_num_threads(threads or before)
        yield
    finally:
        torch.set_flush_denormal(False)
        torch.set_num_threads(before)


def make_trial(config: Config, data_dir: Path | None = None) -> Trial:
    """Make everything that a configuration describes, ready to begin.

    Args:
        config: The experiment.
        data_dir: Where the data lie; None looks where `load` looks.

    Returns:
        The training, at its beginning.
    """
    device = _device(config.running.device)
    scenario = build_scenario(config, data_dir).to(device)
    network = build_network(config, scenario).to(device)
    return Trial(
        network,
        scenario,
        build_optimizer(config, network),
        build_learner(config, network),
        build_schedule(config),
        training=build_training(config),
        evaluate_epochs=config.running.evaluate_epochs,
        test_batch=config.running.test_batch,
    )


def _again(record: Record) -> str:
    return f"metaplastic run --resume {record.folder}"


def _carry_out(trial: Trial, record: Record, progress: Shown) -> Result:
    carry_out(
        ((event, [line]) for event, line in trial.run()),
        [trial],
        [record],
        title=f"{record.config.name}, seed {record.config.seed}",
        progress=progress,
    )
    return Result(trial.matrix, trial.network, tuple(record.metrics()), record.folder)


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()  # one that holds numbers, as "meta" does not
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        why = str(error).splitlines()[0].partition(". This could be")[0]  # torch goes on with all its backends
        raise ValueError(
            f"expected a device that torch can use here, got {name!r} ({why}); use --device cpu"
        ) from error
    return device


def new_folder(name: str) -> Path:
    """Name a folder under `runs/` after what is run and the time.

    Args:
        name: What is run.

    Returns:
        A path that does not exist yet, unless two runs begin in the same second.
    """
    return Path("runs") / f"{name}-{datetime.datetime.now():%Y%m%d-%H%M%S}"
