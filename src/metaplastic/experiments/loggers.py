"""Followers of a training: they are given every line of its metrics as it is measured, and pass it on.

What happened is in the record whether anybody follows or not: `metrics.jsonl` line by line, and `accuracy.csv`.
"""

import contextlib
import importlib
import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol, runtime_checkable

from metaplastic.choices import unknown
from metaplastic.experiments.trial import Line, Trial

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Followed:
    """What a logger is told before the first line.

    Args:
        name: What is trained.
        epochs: Epochs per task.
        tests: Names of the tests.
        totals: Samples of each.
        done: Epochs that were trained before, when a run is gone on with.
        config: The configuration, as JSON values; empty where there is none.
    """

    name: str
    epochs: int
    tests: tuple[str, ...]
    totals: tuple[int, ...]
    done: int = 0
    config: Mapping[str, Any] = field(default_factory=dict)


@runtime_checkable
class Logger(Protocol):
    """Follows one training."""

    def open(self, followed: Followed) -> None:
        """Prepare.

        Args:
            followed: What will be trained.
        """
        ...

    def log(self, line: Line) -> None:
        """Take note.

        Args:
            line: A line of the metrics, JSON values.
        """
        ...

    def close(self) -> None:
        """Finish; the training ended, was stopped or failed."""
        ...


MakeLogger = Callable[[Path], Logger]
"""What makes a logger for the folder of a record."""


def _tensorboard(folder: Path) -> Logger:
    from metaplastic.experiments.tensorboard_logger import TensorBoardLogger

    return TensorBoardLogger(folder)


def _wandb(folder: Path) -> Logger:
    from metaplastic.experiments.wandb_logger import WandbLogger

    return WandbLogger(folder)


LOGGERS: dict[str, tuple[str, MakeLogger]] = {"tensorboard": ("tensorboard", _tensorboard), "wandb": ("wandb", _wandb)}
"""Loggers by name: the package that each needs, which is also its extra, and what makes it."""


def find_loggers(given: Sequence[str | MakeLogger]) -> list[MakeLogger]:
    """Find loggers, and see before anything is trained that they can be had.

    Args:
        given: Names of loggers, or what makes one for the folder of a record.

    Returns:
        What makes them.

    Raises:
        ValueError: When there is none of that name.
        ImportError: When the package of one is not installed, with the command that installs it.

    Example:
        >>> find_loggers(["tensorbored"])
        Traceback (most recent call last):
        ValueError: unknown logger 'tensorbored'; did you mean 'tensorboard'? Known: tensorboard, wandb
    """
    found = []
    for one in given:
        if not isinstance(one, str):
            found.append(one)
            continue
        if one not in LOGGERS:
            raise ValueError(unknown("logger", one, LOGGERS))
        package, make = LOGGERS[one]
        require_package(package)
        found.append(make)
    return found


def require_package(package: str) -> ModuleType:
    """Import the package of a logger.

    Args:
        package: Its name, which is also that of the extra.

    Returns:
        The module.

    Raises:
        ImportError: When it is not installed, with the command that installs it.
    """
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise ImportError(
            f"expected the package {package!r} to log to, got {error}; install it with\n"
            f"  pip install 'metaplastic[{package}]'"
        ) from error


class Followers:
    """Loggers of one training. One that fails is left out from then on, and the training goes on.

    Args:
        loggers: The loggers.
    """

    def __init__(self, loggers: Sequence[Logger]) -> None:
        self.loggers = list(loggers)

    def open(self, followed: Followed) -> None:
        """Prepare; what fails here fails before training.

        Args:
            followed: What will be trained.

        Raises:
            ValueError: When a logger cannot begin.
        """
        for logger in self.loggers:
            try:
                logger.open(followed)
            except Exception as error:  # anybody's code, and anybody's network
                raise ValueError(
                    f"expected {type(logger).__name__} to begin, got {type(error).__name__}: {error}; mend that, or "
                    "leave it out"
                ) from error

    def log(self, line: Line) -> None:
        """Pass a line on.

        Args:
            line: A line of the metrics.
        """
        self._each(lambda logger: logger.log(line))

    def close(self) -> None:
        """Finish."""
        self._each(lambda logger: logger.close())

    def _each(self, call: Callable[[Logger], None]) -> None:
        for logger in list(self.loggers):
            try:
                call(logger)
            except Exception as error:  # anybody's code, and anybody's network
                self.loggers.remove(logger)
                _LOG.warning(
                    "%s failed (%s: %s) and is left out from here on; the record is not touched by it",
                    type(logger).__name__,
                    type(error).__name__,
                    error,
                )


@contextlib.contextmanager
def following(trial: Trial, loggers: Sequence[Logger], name: str, config: Mapping[str, Any]) -> Iterator[Followers]:
    """Let loggers follow a training for a while.

    Args:
        trial: The training; its position is where they begin.
        loggers: The loggers.
        name: What is trained.
        config: The configuration, as JSON values.

    Yields:
        What passes lines on.
    """
    epochs, at = trial.schedule.epochs, trial.position
    done = at.task * epochs + at.epoch
    followers = Followers(loggers)
    try:
        followers.open(Followed(name, epochs, trial.matrix.tests, trial.matrix.totals, done, config))
        yield followers
    finally:
        followers.close()


def scalars(followed: Followed, line: Line) -> tuple[int, dict[str, float]]:
    """Take from a line of the metrics what can be drawn against time.

    Args:
        followed: What is trained.
        line: The line.

    Returns:
        Epochs trained so far, over all tasks, and numbers by name: `loss`, `seconds`, `accuracy/TEST` in [0, 1], and at
        the end of a task `flip_rate/LAYER`, `consolidated_fraction/LAYER`, `mean_magnitude/LAYER` and bytes as
        `memory/PART`.

    Example:
        >>> followed = Followed("two tasks", 5, ("first", "second"), (100, 50))
        >>> scalars(followed, {"event": "epoch", "task": 1, "epoch": 0, "loss": 0.5, "correct": [90, 40]})
        (6, {'loss': 0.5, 'accuracy/first': 0.9, 'accuracy/second': 0.8})
    """
    at = {
        "epoch": lambda: line["task"] * followed.epochs + line["epoch"] + 1,
        "task": lambda: (line["task"] + 1) * followed.epochs,
    }.get(line["event"], lambda: 0)()
    found: dict[str, float] = {name: line[name] for name in ("loss", "seconds") if line.get(name) is not None}
    counts = line.get("correct") or []
    for test, count, total in zip(followed.tests, counts, followed.totals, strict=False):
        found[f"accuracy/{test}"] = count / total
    for layer, numbers in line.get("layers", {}).items():
        found |= {f"{name}/{layer}": value for name, value in numbers.items() if isinstance(value, int | float)}
    found |= {f"memory/{part}": float(count) for part, count in line.get("memory", {}).items()}
    return at, {name: value for name, value in found.items() if math.isfinite(value)}
