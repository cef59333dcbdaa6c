"""The folder of a sweep. It is all that workers and whoever watches them have in common: files, whole at any moment."""

import enum
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from metaplastic.experiments import Record
from metaplastic.files import require_room, write_json, write_text
from metaplastic.sweeps.plan import PlannedRun

FORMAT = 1
"""Number of the format of `sweep.json`; a folder of another format is refused."""


class State(enum.StrEnum):
    """What became of a run."""

    COMPLETE = "complete"
    """Its record is complete."""
    FAILED = "failed"
    """It ended with an error, which is kept."""
    LEFT = "left"
    """It was not begun, or not ended."""


@dataclass(frozen=True)
class Store:
    """The folder of a sweep.

    | file | holds |
    |---|---|
    | `sweep.json` | what was asked for last, and the number of the format |
    | `runs/ID` | the record of a run, as of a run alone |
    | `failures/ID.txt` | why a run failed; removed when it is begun again |
    | `results.csv`, `runs.csv` | what came out, per setting and per run |

    Args:
        folder: The folder.
    """

    folder: Path

    def claim(self, plan: dict[str, Any]) -> None:
        """Begin the folder, or go on with it; a folder of something else is left alone.

        Args:
            plan: What is asked for, as JSON values.

        Raises:
            ValueError: When the folder holds something else, or a sweep of another format.
            OSError: When nothing can be written there.
        """
        path = self.folder / "sweep.json"
        if path.exists():
            if (found := json.loads(path.read_text(encoding="utf-8")).get("format")) != FORMAT:
                raise ValueError(
                    f"expected format {FORMAT} in {path}, got {found}: it comes from another version of metaplastic; "
                    "choose another folder with --out"
                )
        elif self.folder.exists() and (not self.folder.is_dir() or any(self.folder.iterdir())):
            raise ValueError(f"expected a new folder or that of a sweep, got {self.folder}; choose another with --out")
        require_room(self.folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        write_json(path, {"format": FORMAT, **plan}, indent=2)

    def place(self, run: PlannedRun) -> Path:
        """Name the folder of a run's record."""
        return self.folder / "runs" / run.id

    def state(self, run: PlannedRun) -> State:
        """Say what became of a run."""
        if (self.place(run) / "summary.json").exists():
            return State.COMPLETE
        return State.FAILED if self._failure(run).exists() else State.LEFT

    def record(self, run: PlannedRun) -> Record:
        """Open the record of a run.

        Args:
            run: The run.

        Returns:
            Its record.

        Raises:
            ValueError: When there is none, or it is of another configuration.
        """
        record = Record(self.place(run))
        if record.config != run.config:
            raise ValueError(
                f"expected in {record.folder} the record of what is to be run, got one of another configuration, which "
                "an earlier version may have called the same; choose another folder with --out"
            )
        return record

    def fail(self, run: PlannedRun, why: str) -> None:
        """Keep why a run failed.

        Args:
            run: The run.
            why: Text; its last line says it in short.
        """
        self._failure(run).parent.mkdir(parents=True, exist_ok=True)
        write_text(self._failure(run), why.rstrip() + "\n")

    def forgive(self, run: PlannedRun) -> None:
        """Forget that a run failed, because it is begun again."""
        self._failure(run).unlink(missing_ok=True)

    def failure(self, run: PlannedRun) -> str:
        """Say in a line why a run failed; nothing where it did not."""
        path = self._failure(run)
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        return lines[-1] if lines else ""

    def begun_since(self, run: PlannedRun, moment: float) -> bool:
        """Say whether a worker took a run up since a moment, in seconds since 1970."""
        path = self._lock(run)
        return path.exists() and path.stat().st_mtime >= moment - 2  # file systems count in steps of up to two seconds

    @contextmanager
    def taken(self, run: PlannedRun) -> Iterator[None]:
        """Keep other workers from a run; where another has it, wait until it is done.

        Args:
            run: The run.

        Yields:
            Nothing. A process that dies lets go.
        """
        path = self._lock(run)
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path):
            path.touch()  # says when
            yield

    def clear(self, run: PlannedRun) -> bool:
        """Make what a killed process left behind fit to go on with.

        Args:
            run: The run, taken.

        Returns:
            Whether there is something to go on with. Without a checkpoint nothing was learned, and nothing is kept.
        """
        place = self.place(run)
        if not (place / "config.json").exists() or not (place / "checkpoint.safetensors").exists():
            shutil.rmtree(place, ignore_errors=True)
            return False
        for part in place.glob(".*.part"):
            part.unlink()
        return True

    def _failure(self, run: PlannedRun) -> Path:
        return self.folder / "failures" / f"{run.id}.txt"

    def _lock(self, run: PlannedRun) -> Path:
        return self.folder / ".locks" / run.id
