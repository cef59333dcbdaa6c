"""One display for all runs, wherever they are carried out: it looks at their folder."""

import logging
import threading
from collections.abc import Sequence
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from metaplastic.sweeps.plan import PlannedRun
from metaplastic.sweeps.store import State, Store

logger = logging.getLogger("metaplastic.sweeps")
logger.setLevel(logging.INFO)  # of its own: runs in this process are told to say nothing

_SECONDS = 0.5
"""How often the folder is looked at."""


class Display:
    """Show how many runs are done: a bar on a terminal, elsewhere a line for every run that ended.

    Args:
        runs: The runs.
        store: Folder of the sweep.
        show: Whether to show anything; None shows a bar on a terminal and lines elsewhere.
    """

    def __init__(self, runs: Sequence[PlannedRun], store: Store, show: bool | None = None) -> None:
        console = Console(stderr=True)
        self.store, self.show = store, show
        self.waiting = list(runs)
        self.total, self.failed = len(self.waiting), 0
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            console=console,
            disable=not (console.is_terminal if show is None else show),
            transient=True,
        )
        self.task = self.bar.add_task("runs", total=self.total, note="")
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "Display":
        self.bar.start()
        self._look(quiet=True)  # what is complete already is nothing new
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
        self._look()
        self.bar.stop()

    def _watch(self) -> None:
        while not self._ended.wait(_SECONDS):
            self._look()

    def _look(self, *, quiet: bool = False) -> None:
        ended = [(run, state) for run in self.waiting if (state := self.store.state(run)) is not State.LEFT]
        for run, state in ended:
            self.waiting.remove(run)
            self.failed += state is State.FAILED
            if not quiet:
                self._say(run, state)
        note = f"{self.failed} failed" if self.failed else ""
        self.bar.update(self.task, completed=self.total - len(self.waiting), note=note)

    def _say(self, run: PlannedRun, state: State) -> None:
        line = f"{self.total - len(self.waiting)} of {self.total}: {run.label}: {self._outcome(run, state)}"
        if self.bar.disable:
            logger.log(logging.DEBUG if self.show is False else logging.INFO, line)
        elif state is State.FAILED:
            self.bar.console.print(line, markup=False, highlight=False)

    def _outcome(self, run: PlannedRun, state: State) -> str:
        if state is State.FAILED:
            return f"failed, {self.store.failure(run)}"
        share = self.store.record(run).summary()["metrics"]["average_accuracy"]["value"]
        return f"{100 * share:.1f} %"
