"""Several seeds of one experiment, trained as one stack of networks where that is faster."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from metaplastic.experiments.build import build_optimizer
from metaplastic.experiments.carry_out import Happening, begin, carry_out
from metaplastic.experiments.config import Config, Family
from metaplastic.experiments.interrupt import resumed_by
from metaplastic.experiments.loggers import MakeLogger, find_loggers
from metaplastic.experiments.method_config import Method
from metaplastic.experiments.progress import Shown, StudyProgress
from metaplastic.experiments.record import Record, require_room_for
from metaplastic.experiments.run import Result, at_work, computing, followed_records, make_trial, resume, run
from metaplastic.experiments.scenario_config import Split
from metaplastic.experiments.trial import Line
from metaplastic.learners import Event, Moment, NonFiniteLossError, accelerated, learn
from metaplastic.nn import StackedMLP, Statistics, keep_task
from metaplastic.scenarios import stacked

WIDEST = 1024
"""Hidden width up to which a stack trains faster than its members one after another; measured on two cores. On a GPU it
does at any width."""


def can_stack(config: Config) -> bool:
    """Tell whether networks of a configuration can be trained as a stack.

    Args:
        config: The experiment.

    Returns:
        True for fully connected binary networks with normalisation and without dropout, whose tasks train all outputs.
    """
    fits = config.network.family is Family.BINARY_MLP and config.network.dropout == 0
    fits = fits and config.norm.statistics is not Statistics.NONE
    return fits and config.method is Method.FINETUNE and not isinstance(config.scenario, Split)


class Stack:
    """Trials of one configuration but for their seeds, trained as one network.

    Each trial's network holds views of the stack's parameters and statistics, and its optimizer views of the stack's
    moments, so that every trial can be tested and saved as if it were alone. Its record is that of a run alone, and a
    run that was stopped is gone on with alone, with batch norm to other last bits.

    Args:
        configs: The configurations; they differ in nothing but the seed.
        data_dir: Where the data lie; None looks where `load` looks.

    Raises:
        ValueError: When they differ in more, or cannot be stacked.
    """

    def __init__(self, configs: Sequence[Config], data_dir: Path | None = None) -> None:
        first = configs[0]
        if any(replace(config, seed=first.seed) != first for config in configs) or not can_stack(first):
            raise ValueError(
                "expected configurations of fully connected binary networks that differ in their seeds only, got "
                f"{len(configs)} of {first.name!r} that do not; run them one after another"
            )
        self.config = first
        self.trials = [make_trial(config, data_dir) for config in configs]
        self.network = StackedMLP([trial.network for trial in self.trials])  # type: ignore[misc]
        self.optimizer = build_optimizer(first, self.network)
        for trial in self.trials:
            trial.optimizer = build_optimizer(first, trial.network)  # of the parameters that it has now
        self.schedule = replace(self.trials[0].schedule, seed=tuple(config.seed for config in configs))

    @contextlib.contextmanager
    def accelerated(self) -> Iterator[Line]:
        """Compute with the engine that the configuration names, for a while.

        Yields:
            What the engine found to do, for the records.
        """
        running = self.config.running
        scenario = stacked([trial.scenario for trial in self.trials])
        with contextlib.ExitStack() as engines:
            chosen = engines.enter_context(
                accelerated(self.network, self.optimizer, scenario, running.engine, running.precision)
            )
            self.scenario = chosen.shown(scenario)
            for trial in self.trials:
                engines.enter_context(trial.accelerated(running.engine, running.precision, quiet=True))
            yield chosen.as_json()

    def run(self) -> Iterator[Happening]:
        """Learn from the beginning to the end.

        Yields:
            Every event, with what each trial measured at it.
        """
        members = range(len(self.trials))
        for event in learn(self.network, self.scenario, self.optimizer, schedule=self.schedule):
            if event.moment is Moment.TASK:
                self.share_state()  # what is metaplastic may be in it
                for trial in self.trials:
                    keep_task(trial.network, event.task)  # what the loop kept is the stack's, and members are tested
            yield event, [self.trials[member].observe(_of_member(event, member)) for member in members]

    def share_state(self) -> None:
        """Let every trial's optimizer see its part of the stack's state, as checkpoints and reports need it."""
        for member, trial in enumerate(self.trials):
            for whole, part in zip(self.network.parameters(), trial.network.parameters(), strict=True):
                state = self.optimizer.state.get(whole, {})
                trial.optimizer.state[part] = {
                    name: self.network.part(tensor, member) for name, tensor in state.items()
                }


def _of_member(event: Event, member: int) -> Event:
    """Show an event of a stack as one of its members would have seen it alone."""

    def own(numbers: tuple[float, ...]) -> tuple[float, ...]:
        return numbers[member : member + 1] if len(numbers) > 1 else numbers

    position = replace(event.position, loss_sums=own(event.position.loss_sums))
    return replace(event, losses=own(event.losses), position=position)


def run_seeds(
    config: Config,
    seeds: Sequence[int],
    folder: Path,
    *,
    stack: bool | None = None,
    data_dir: Path | None = None,
    progress: Shown = None,
    loggers: Sequence[str | MakeLogger] = (),
) -> list[Result]:
    """Carry out an experiment for several seeds, each with a record of its own.

    Args:
        config: What to run.
        seeds: The seeds, all different.
        folder: Folder for the records, `seed0` and so on; those that are there already are gone on with.
        stack: Whether to train those that are not there yet as one stack of networks; None does so where it is faster.
        data_dir: Where the data lie; None looks where `load` looks.
        progress: Whether, or where, to show a progress bar; None shows it on a terminal.
        loggers: As in `run`; every seed has its own.

    Returns:
        A result per seed, in their order.

    Raises:
        ValueError: When there is no seed, one comes twice, or a record that is there is of another configuration.
        ImportError: When the package of a logger is not installed.
        NonFiniteLossError: When a training diverged; all others were carried out before.
        Interrupted: After Ctrl-C, with checkpoints written.
    """
    require_seeds(seeds)
    makers = find_loggers(loggers)
    places = {seed: folder / f"seed{seed}" for seed in seeds}
    fresh = [seed for seed, place in places.items() if not kept_record(replace(config, seed=seed), place)]
    if stack is None:
        narrow = max(config.network.hidden, default=0) <= WIDEST
        stack = can_stack(config) and (narrow or not config.running.device.startswith("cpu"))
    results: dict[int, Result] = {}
    diverged: NonFiniteLossError | None = None
    how: dict[str, Any] = {"data_dir": data_dir, "progress": progress, "loggers": makers}
    with resumed_by(f"the same command with --out {folder}"):
        if stack and len(fresh) > 1:
            together = [replace(config, seed=seed) for seed in fresh]
            with contextlib.suppress(NonFiniteLossError):  # whose it is is found when each goes on alone
                results |= _run_stack(together, folder, places, data_dir, progress, makers)
        for seed in (seed for seed in seeds if seed not in results):
            try:
                if (places[seed] / "config.json").exists():
                    results[seed] = resume(places[seed], **how)
                else:
                    results[seed] = run(replace(config, seed=seed), places[seed], **how)
            except NonFiniteLossError as error:
                diverged = error
    if diverged is not None:
        raise diverged
    return [results[seed] for seed in seeds]


def run_remaining_seeds(
    config: Config,
    seeds: Sequence[int],
    folder: Path,
    *,
    data_dir: Path | None = None,
    progress: Shown = None,
    afterwards: Callable[[Record], None] = lambda record: None,
) -> None:
    """Carry out an experiment for those seeds whose records are not complete; the others are not touched.

    Args:
        config: What to run.
        seeds: The seeds, all different.
        folder: Folder for the records, as in `run_seeds`.
        data_dir: Where the data lie; None looks where `load` looks.
        progress: Whether, or where, to show a progress bar; None shows it on a terminal.
        afterwards: Called with the record of every seed that is complete, when all were carried out.

    Raises:
        ValueError: When there is no seed, one comes twice, or a record that is there is of another configuration.
        NonFiniteLossError: When a training diverged; all others were carried out, and what follows, before.
    """
    require_seeds(seeds)
    places = {seed: folder / f"seed{seed}" for seed in seeds}
    kept = {seed: kept_record(replace(config, seed=seed), place) for seed, place in places.items()}
    remaining = [seed for seed, record in kept.items() if not (record and record.complete)]
    if isinstance(progress, StudyProgress):
        progress.finish(len(seeds) - len(remaining))
    diverged: NonFiniteLossError | None = None
    try:
        if remaining:
            run_seeds(config, remaining, folder, data_dir=data_dir, progress=progress)
    except NonFiniteLossError as error:
        diverged = error
    for record in map(Record, places.values()):
        if record.complete:
            afterwards(record)
    if diverged is not None:
        raise diverged


def require_seeds(seeds: Sequence[int]) -> None:
    """Fail unless there is a seed, and none comes twice.

    Args:
        seeds: The seeds.

    Raises:
        ValueError: When that is not so.
    """
    if not seeds or len(set(seeds)) < len(seeds):
        raise ValueError(f"expected different seeds, at least one, got {list(seeds)}")


def kept_record(config: Config, place: Path) -> Record | None:
    """Open the record of an experiment, where there is one.

    Args:
        config: What is to be run.
        place: Where its record would be.

    Returns:
        The record; None where there is none.

    Raises:
        ValueError: When it is of another configuration.
    """
    if not (place / "config.json").exists():
        return None
    record = Record(place)
    if record.config != config:
        raise ValueError(
            f"expected in {place} a record of what is to be run, got one of another configuration; choose another "
            "folder with --out"
        )
    return record


def _run_stack(
    configs: list[Config],
    folder: Path,
    places: dict[int, Path],
    data_dir: Path | None,
    progress: Shown,
    makers: Sequence[MakeLogger],
) -> dict[int, Result]:
    with computing(configs[0].running.threads):
        stack = Stack(configs, data_dir)
        require_room_for(folder, stack.trials)
        with stack.accelerated() as chosen:
            records = [Record.create(places[config.seed], config) for config in configs]
            with at_work(records), followed_records(stack.trials, records, makers):
                begin(stack.trials, records, chosen)
                carry_out(
                    stack.run(),
                    stack.trials,
                    records,
                    title=f"{configs[0].name}, {len(configs)} seeds at once",
                    before_checkpoint=stack.share_state,
                    progress=progress,
                )
    return {
        record.config.seed: Result(trial.matrix, trial.network, tuple(record.metrics()), record.folder)
        for trial, record in zip(stack.trials, records, strict=True)
    }
