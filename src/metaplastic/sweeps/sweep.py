"""Carry a sweep out: whatever happens to workers, every run that can end does, and no run that ended is done again."""

import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from metaplastic.experiments import Interrupted, resumed_by
from metaplastic.experiments.record import require_room_for
from metaplastic.experiments.run import make_trial
from metaplastic.sweeps.backends import Backend, Workers, dispatch, dispatch_alone
from metaplastic.sweeps.display import Display
from metaplastic.sweeps.plan import PlannedRun, Sweep
from metaplastic.sweeps.results import Results, read_results
from metaplastic.sweeps.store import State, Store

LOST_TOO_OFTEN = 3
"""A run whose worker was lost so many times, the last time alone, has failed."""


def run_sweep(
    sweep: Sweep,
    folder: Path,
    workers: Workers = Workers(),
    *,
    data_dir: Path | None = None,
    progress: bool | None = None,
) -> Results:
    """Carry out all runs of a sweep.

    It can be stopped or killed at any moment and called again with the same folder: runs that are complete are left as
    they are, those that were begun go on from their checkpoints, those that failed are tried again. A larger sweep in
    the same folder carries out what is new.

    Args:
        sweep: What is run.
        folder: A new folder, or that of a sweep; all workers must see it.
        workers: Where runs are carried out, and how many at once.
        data_dir: Where the data lie; None looks where `load` looks.
        progress: Whether to show progress; None shows a bar on a terminal and a line per run elsewhere.

    Returns:
        What came out, which is also in `results.csv` and `runs.csv`.

    Raises:
        ValueError: When the folder holds something else.
        OSError: When records cannot be written there, or there is no room for them.
        Interrupted: After Ctrl-C.
    """
    store = Store(folder)
    store.claim(sweep.as_json())
    carry_out_runs(sweep.runs, store, workers, data_dir=data_dir, progress=progress)
    results = read_results(sweep.runs, store)
    results.write(folder)
    return results


def carry_out_runs(
    runs: Sequence[PlannedRun],
    store: Store,
    workers: Workers,
    *,
    data_dir: Path | None = None,
    progress: bool | None = None,
) -> None:
    """Carry runs out, each to its end or its error.

    Args:
        runs: The runs.
        store: A folder that was claimed.
        workers: Where they are carried out.
        data_dir: Where the data lie.
        progress: Whether to show progress.

    Raises:
        OSError: When records cannot be written.
        ChildProcessError: When no worker can be had.
        Interrupted: After Ctrl-C.
    """
    for run in runs:
        store.forgive(run)
    lost: Counter[str] = Counter()
    _rehearse(_left(runs, store), store, workers, data_dir)
    with Display(runs, store, progress), resumed_by(f"the same command with --out {store.folder}"):
        while left := _left(runs, store):
            begun = time.time()
            batch, error = _one_round(left, lost, store, workers, data_dir)
            # Of those that did not end, whoever was in work may have been what its worker died of.
            suspects = [run for run in _left(batch, store) if store.begun_since(run, begun)]
            lost.update(run.id for run in suspects)
            for run in suspects:
                if lost[run.id] >= LOST_TOO_OFTEN:
                    store.fail(run, f"its worker was lost {lost[run.id]} times, the last time alone: out of memory?")
            if len(_left(batch, store)) == len(batch) and not suspects:
                raise ChildProcessError(f"expected workers that begin a run, got none: {error or 'no reason is known'}")


def _left(runs: Sequence[PlannedRun], store: Store) -> list[PlannedRun]:
    return [run for run in runs if store.state(run) is State.LEFT]


def _rehearse(left: Sequence[PlannedRun], store: Store, workers: Workers, data_dir: Path | None) -> None:
    """Find out before anything starts that data are missing or a disk is full."""
    if left and workers.backend is Backend.PROCESSES:
        require_room_for(store.folder, [make_trial(left[0].config, data_dir)])


def _one_round(
    left: Sequence[PlannedRun], lost: Counter[str], store: Store, workers: Workers, data_dir: Path | None
) -> tuple[Sequence[PlannedRun], Exception | None]:
    """Hand out what is left, until all of it ended or a worker was lost; the suspicious last, and then alone."""
    batch = sorted((run for run in left if lost[run.id] < LOST_TOO_OFTEN - 1), key=lambda run: lost[run.id])
    try:
        if batch:
            said = dispatch(batch, store, workers, workers.at_once(batch), data_dir)
        else:
            batch = list(left[:1])
            said = dispatch_alone(batch[0], store, workers, data_dir)
    except (Interrupted, ImportError, OSError):
        raise
    except Exception as error:  # of whatever kind a backend raises when a worker is lost; runs themselves raise nothing
        return batch, error
    for text in filter(None, said):
        raise OSError(text)
    return batch, None
