"""A process that holds one subject and does what it is told: one JSON line in, one out."""

import json
import math
import resource
import sys
import time
import traceback
from collections.abc import Iterator
from typing import Any

from metaplastic.data import Dataset


def make(kind: str, options: dict[str, Any]) -> Any:
    """Make a subject.

    Args:
        kind: `published`, `plain`, `exact`, `fast`, `stack`, `update` or `machine`; or a kind of `packed_subjects`.
        options: Widths, batch size, tasks, members and samples, or the kind of update.

    Returns:
        The subject.
    """
    from metaplastic.benchmark import packed_subjects, subjects
    from metaplastic.learners import Engine
    from metaplastic.nn import Precision, Statistics

    if kind in packed_subjects.KINDS:
        return packed_subjects.make(kind, options)
    if kind == "machine":
        return subjects.Machine()
    if kind == "update":
        return subjects.Update(options["hidden"], options["optimizer"])
    data = _data(options)
    if kind == "published":
        return subjects.Published(options["hidden"], options["batch_size"], options["tasks"], data)
    if kind == "stack":
        return subjects.Stacked(options["hidden"], options["batch_size"], options["members"], data)
    return subjects.Ours(
        options["hidden"],
        options["batch_size"],
        options["tasks"],
        data,
        Engine.PLAIN if kind == "plain" else None,
        Precision.EXACT if kind == "exact" else None,
        Statistics(options.get("statistics", "recalibrated")),
    )


def _data(options: dict[str, Any]) -> Dataset:
    from metaplastic.benchmark.subjects import synthetic

    # Whole batches of the size that is asked for: those of an epoch are made as equal as they can be.
    size = options["batch_size"]
    return synthetic(options.get("train", size * math.ceil(6000 / size)), options.get("test", 1000))


def peak_bytes() -> int:
    """Give the largest amount of memory that this process has held, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def answers(kind: str, threads: int, options: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Make the subject, then carry out the verbs that come on standard input.

    Args:
        kind: What to make.
        threads: Threads to compute with.
        options: What it is made of.

    Yields:
        First how long it took to be ready and what memory an empty torch process has; then what each verb measured.
    """
    started = time.perf_counter()
    import torch

    torch.set_num_threads(threads)
    empty = peak_bytes()
    subject = make(kind, options)
    ready = {"ready": time.perf_counter() - started, "empty": empty, "versions": {"torch": torch.__version__}}
    yield ready | {"chosen": str(getattr(subject, "chosen", ""))}
    for line in sys.stdin:
        order = json.loads(line)
        measured = [getattr(subject, order["verb"])() for _ in range(order["repeats"])]
        yield {"measured": measured, "peak": peak_bytes()}


def main(kind: str, threads: str, options: str) -> None:
    """Answer on standard output, a line each; an error is the last answer.

    Args:
        kind: What to make.
        threads: Threads to compute with.
        options: What it is made of, as JSON.
    """
    try:
        for answer in answers(kind, int(threads), json.loads(options)):
            print(json.dumps(answer), flush=True)
    except Exception:
        # Whoever asked knows better what to say of it: a lack of memory can be mended, others are ours.
        print(json.dumps({"failed": traceback.format_exc()}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
