"""Follow a training to its end, keeping the records of what happened."""

from collections.abc import Callable, Iterable, Sequence

from metaplastic.experiments.config import Config, Unit
from metaplastic.experiments.interrupt import deferred_interrupt
from metaplastic.experiments.progress import Shown, TrainingProgress
from metaplastic.experiments.record import Record
from metaplastic.experiments.trial import Line, Trial
from metaplastic.learners import Event, Moment, NonFiniteLossError

Happening = tuple[Event, Sequence[Line | None]]
"""An event, and what each of the trials that are trained together measured at it."""


def begin(trials: Sequence[Trial], records: Sequence[Record], engine: Line) -> None:
    """Measure untrained networks, and keep them, so that there is a checkpoint from the first moment on.

    Args:
        trials: The trainings.
        records: Their records.
        engine: What they are computed with.
    """
    for trial, record in zip(trials, records, strict=True):
        record.append(trial.begin() | {"engine": engine})
        record.save_checkpoint(trial)


def carry_out(
    happenings: Iterable[Happening],
    trials: Sequence[Trial],
    records: Sequence[Record],
    *,
    title: str,
    before_checkpoint: Callable[[], None] = lambda: None,
    progress: Shown = None,
) -> None:
    """Follow trials that are trained together to their end.

    Args:
        happenings: The training.
        trials: What is trained, one network or several.
        records: Their records, in the same order.
        title: What the progress bar calls it.
        before_checkpoint: Called before checkpoints are written.
        progress: Whether, or where, to show a progress bar; None shows it on a terminal.

    Raises:
        KeyboardInterrupt: After Ctrl-C, with checkpoints written.
        NonFiniteLossError: When training diverges; the last good checkpoints are kept.
    """
    due = _Interval(records[0].config)
    checkpoint = all(record.complete for record in records)
    with deferred_interrupt() as interrupt, TrainingProgress(trials[0], title, progress, len(trials)) as bar:
        try:
            for event, lines in happenings:
                stop = interrupt.asked  # read once: it may be asked for while the lines are written
                checkpoint = due(event) or stop
                if checkpoint:
                    before_checkpoint()
                for trial, record, line in zip(trials, records, lines, strict=True):
                    if line:
                        record.append(line)
                    if event.moment is Moment.TASK:
                        record.write_accuracy(trial.matrix)
                    if checkpoint:
                        record.save_checkpoint(trial)
                if stop:
                    raise KeyboardInterrupt
                bar.show(event, lines[0])
            if not checkpoint:  # what is complete stands at its end when it is gone on with
                before_checkpoint()
                for trial, record in zip(trials, records, strict=True):
                    record.save_checkpoint(trial)
        except NonFiniteLossError as error:
            folders = ", ".join(str(record.folder) for record in records)
            raise NonFiniteLossError(f"{error}. The last good checkpoint is kept in {folders}") from None
    for trial, record in zip(trials, records, strict=True):
        record.finish(trial)


class _Interval:
    """Tells at which events a checkpoint is due.

    It is every so many steps, epochs or tasks; where steps or epochs are counted, at the end of every task too.
    """

    def __init__(self, config: Config) -> None:
        self.every = config.running.checkpoint_every
        self.moment = {Unit.STEP: Moment.STEP, Unit.EPOCH: Moment.EPOCH, Unit.TASK: Moment.TASK}[
            config.running.checkpoint_unit
        ]
        self.passed = 0

    def __call__(self, event: Event) -> bool:
        if event.moment is not self.moment:
            return event.moment is Moment.TASK and self.moment is not Moment.TASK
        self.passed += 1
        return self.passed % self.every == 0
