"""Progress bars: over the steps of a training, and above it over the runs of a study."""

import contextlib
from collections.abc import Callable, Iterator
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from metaplastic.experiments.trial import Line, Trial
from metaplastic.learners import Event


class StudyProgress:
    """One display for a study: a line for the whole of it, above the line of what is at hand.

    Args:
        title: What is carried out.
        runs: Runs of all panels and seeds.
        show: Whether to show it; None shows it where standard error is a terminal.
    """

    def __init__(self, title: str, runs: int, show: bool | None = None) -> None:
        self.bars = _bars(show)
        self.whole = self.bars.add_task(title, total=runs, rate="runs", note="")
        self.done = 0

    def __enter__(self) -> "StudyProgress":
        self.bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bars.stop()

    @property
    def shown(self) -> bool:
        """Whether there is anything to be seen."""
        return not self.bars.disable

    def turn_to(self, panel: str, done: int) -> None:
        """Turn to a panel.

        Args:
            panel: What it is called.
            done: Runs of the panels before it.
        """
        self.done = done
        self.bars.update(self.whole, completed=done, note=panel)

    def move(self, runs: float) -> None:
        """Move the line of the whole by a part of what is at hand.

        Args:
            runs: Runs at hand, times the share of them that is done.
        """
        self.bars.update(self.whole, completed=self.done + runs)

    def finish(self, runs: int) -> None:
        """Be done with some runs, now or before.

        Args:
            runs: How many.
        """
        self.done += runs
        self.move(0.0)


Shown = bool | StudyProgress | None
"""Whether progress is shown; None where standard error is a terminal; a display to show it in, below its first line."""


def _bars(show: bool | None) -> Progress:
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=console,
        disable=not (console.is_terminal if show is None else show),
        transient=True,
    )


@contextlib.contextmanager
def counting(title: str, total: int, show: Shown = None) -> Iterator[Callable[[], None]]:
    """Show how many of something are done.

    Args:
        title: What is done.
        total: How many there are.
        show: Whether, or where, to show it.

    Yields:
        What is called after each.
    """
    with contextlib.ExitStack() as own:
        bars = show.bars if isinstance(show, StudyProgress) else own.enter_context(_bars(show))
        bar = bars.add_task(title, total=total, rate="", note="")
        own.callback(bars.remove_task, bar)
        yield lambda: bars.advance(bar)


class TrainingProgress:
    """Show task, epoch, rate, remaining time, loss and accuracy on a terminal; stay quiet elsewhere.

    Args:
        trial: The training; its position is where the bar begins.
        title: What is trained.
        show: Whether, or where, to show it.
        runs: Runs that are trained together.
    """

    def __init__(self, trial: Trial, title: str, show: Shown = None, runs: int = 1) -> None:
        self.trial, self.runs, self.total = trial, runs, trial.steps()
        self.study = show if isinstance(show, StudyProgress) else None
        self.progress = show.bars if isinstance(show, StudyProgress) else _bars(show)
        self.bar = self.progress.add_task(title, total=self.total, completed=self._done(), rate="", note="")

    def __enter__(self) -> "TrainingProgress":
        self.progress.start()  # that of a study goes on
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.study is None:
            self.progress.stop()
        else:
            self.progress.remove_task(self.bar)
            self.study.finish(self.runs if kind is None else 0)

    def _done(self) -> int:
        position, schedule, tasks = self.trial.position, self.trial.schedule, self.trial.scenario.tasks
        before = sum(schedule.epochs * schedule.steps(task) for task in tasks[: position.task])
        current = tasks[position.task] if position.task < len(tasks) else None
        return before + position.step + (position.epoch * schedule.steps(current) if current else 0)

    def show(self, event: Event, line: Line | None) -> None:
        """Move the bar to an event.

        Args:
            event: What happened.
            line: What was measured at it.
        """
        if self.progress.disable:
            return
        tasks, totals = len(self.trial.scenario.tasks), self.trial.matrix.totals
        note = f"task {event.task + 1}/{tasks}, epoch {event.epoch + 1}/{self.trial.schedule.epochs}"
        if line and line.get("correct"):
            shares = [f"{100 * count / total:.0f}" for count, total in zip(line["correct"], totals, strict=True)]
            self.progress.update(self.bar, note=f"{note}, accuracy {' '.join(shares)} %")
        (speed,) = (task.speed for task in self.progress.tasks if task.id == self.bar)
        done = self._done()
        self.progress.update(self.bar, completed=done, rate=f"{speed:.0f} steps/s" if speed else "")
        if self.study is not None:
            self.study.move(self.runs * done / self.total)
