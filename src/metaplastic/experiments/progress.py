"""A progress bar over the steps of a training."""

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from metaplastic.experiments.trial import Line, Trial
from metaplastic.learners import Event


class TrainingProgress:
    """Show task, epoch, rate, remaining time, loss and accuracy on a terminal; stay quiet elsewhere.

    Args:
        trial: The training; its position is where the bar begins.
        title: What is trained.
        show: Whether to show it; None shows it where standard error is a terminal.
    """

    def __init__(self, trial: Trial, title: str, show: bool | None = None) -> None:
        console = Console(stderr=True)
        self.trial = trial
        self.progress = Progress(
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
        total = trial.steps()
        self.bar = self.progress.add_task(title, total=total, completed=self._done(), rate="", note="")

    def __enter__(self) -> "TrainingProgress":
        self.progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.progress.stop()

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
        speed = self.progress.tasks[self.bar].speed
        self.progress.update(self.bar, completed=self._done(), rate=f"{speed:.0f} steps/s" if speed else "")
