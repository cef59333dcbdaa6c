"""Measuring side by side: every subject in a process of its own, taking turns, so that all meet the same machine."""

import contextlib
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

TUNED_ALLOCATOR = {
    "GLIBC_TUNABLES": "glibc.malloc.mmap_threshold=4294967296:glibc.malloc.trim_threshold=8589934592",
}
"""Keeps glibc from returning large blocks to the system, which is half of the published step's time."""


@dataclass(frozen=True)
class SubjectSpec:
    """What a worker process is to hold.

    Args:
        kind: Kind of subject, see `metaplastic.benchmark.worker`.
        options: What it is made of.
        environment: Variables set for the process.
    """

    kind: str
    options: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)


class Worker:
    """A subject in its process, which is still starting: `wait` for it before anything is measured.

    Args:
        spec: What it holds.
        threads: Threads it computes with.
    """

    def __init__(self, spec: SubjectSpec, threads: int) -> None:
        command = [sys.executable, "-m", "metaplastic.benchmark.worker", spec.kind, str(threads)]
        self.process = subprocess.Popen(
            [*command, json.dumps(dict(spec.options))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **spec.environment},
        )
        self.ready: dict[str, Any] = {}
        self.peak = 0

    def wait(self) -> None:
        """Wait until the subject is ready.

        Raises:
            RuntimeError: When it fails, with its traceback.
            ChildProcessError: When the system ends the process.
        """
        self.ready = self._answer()

    def measure(self, verb: str, repeats: int = 1) -> list[dict[str, float]]:
        """Do something some times.

        Args:
            verb: What to do.
            repeats: How often.

        Returns:
            What was measured each time.

        Raises:
            RuntimeError: When it fails, with its traceback.
            ChildProcessError: When the system ends the process.
        """
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # of a process that has ended, which the answer tells
            self.process.stdin.write(json.dumps({"verb": verb, "repeats": repeats}) + "\n")
            self.process.stdin.flush()
        answer = self._answer()
        self.peak = answer["peak"]
        return answer["measured"]

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise ChildProcessError(
                f"expected an answer from a process that measures, got its end with status {self.process.wait()}; "
                "systems end what takes more memory than there is: measure a smaller network or batch"
            )
        answer = json.loads(line)
        if "failed" in answer:
            raise RuntimeError(f"a process that measures failed\n{answer['failed']}")
        return answer

    def close(self) -> None:
        """End the process, which does at the end of its input."""
        with contextlib.suppress(BrokenPipeError):
            self.process.communicate()


@contextlib.contextmanager
def working(specs: Mapping[str, SubjectSpec], threads: int) -> Iterator[dict[str, Worker]]:
    """Start a process for each subject, and end them all.

    Args:
        specs: Subjects by name.
        threads: Threads each computes with; only one computes at a time.

    Yields:
        Workers by name, ready.
    """
    workers: dict[str, Worker] = {}
    try:
        for name, spec in specs.items():
            workers[name] = Worker(spec, threads)
        for worker in workers.values():
            worker.wait()
        yield workers
    finally:
        for worker in workers.values():
            worker.close()


Rounds = dict[str, dict[str, list[float]]]
"""What was measured, by subject and name: one number a round."""


def take_turns(workers: Mapping[str, Worker], verb: str, rounds: int, repeats: int) -> Rounds:
    """Let all subjects do the same in turn, after a first round that does not count.

    Args:
        workers: The subjects.
        verb: What they do.
        rounds: Rounds that count.
        repeats: How often each does it in a round; the median counts.

    Returns:
        The medians of each round.
    """
    found: Rounds = {name: {} for name in workers}
    for count in range(rounds + 1):
        for name, worker in workers.items():
            measured = worker.measure(verb, repeats)
            for what in measured[0] if count else ():
                median = statistics.median(one[what] for one in measured)
                found[name].setdefault(what, []).append(median)
    return found


@dataclass(frozen=True)
class Spread:
    """Median and quartiles of some measurements.

    Args:
        median: The median.
        low: The lower quartile.
        high: The upper quartile.

    Example:
        >>> Spread.of([1.0, 2.0, 3.0, 4.0, 100.0])
        Spread(median=3.0, low=2.0, high=4.0)
    """

    median: float
    low: float
    high: float

    @staticmethod
    def of(values: list[float]) -> "Spread":
        """Describe at least one value."""
        if len(values) == 1:
            return Spread(values[0], values[0], values[0])
        low, median, high = statistics.quantiles(values, n=4, method="inclusive")
        return Spread(median, low, high)


def ratio(slow: list[float], fast: list[float]) -> Spread:
    """Compare two subjects round by round.

    Args:
        slow: Seconds of the one.
        fast: Seconds of the other, in the same rounds.

    Returns:
        How many times as long the first takes.

    Example:
        >>> ratio([2.0, 4.0], [1.0, 2.0]).median
        2.0
    """
    return Spread.of([one / other for one, other in zip(slow, fast, strict=True)])
