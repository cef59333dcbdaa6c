"""One run in a worker: begun, gone on with or left alone, and never a reason for others to stop."""

import contextlib
import errno
import logging
import os
import traceback
from collections.abc import Iterator
from pathlib import Path

from threadpoolctl import threadpool_limits

from metaplastic.experiments import Interrupted, resume, run
from metaplastic.experiments.side_by_side import work_for
from metaplastic.sweeps.plan import PlannedRun
from metaplastic.sweeps.store import State, Store

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


def carry_out_run(planned: PlannedRun, store: Store, data_dir: Path | None = None, parent: int | None = None) -> str:
    """Carry a run out to its end, from its last checkpoint where there is one.

    A complete run is not done again. An error is kept in the store, for whoever reports on the sweep.

    Args:
        planned: The run.
        store: Folder of the sweep, the same for all workers.
        data_dir: Where the data lie; None looks where `load` looks.
        parent: The process that this one must not outlive; None for one that something else looks after.

    Returns:
        Why no run can be carried out any more; nothing where others can.

    Raises:
        Interrupted: After Ctrl-C, with a checkpoint written.
    """
    if parent not in (None, os.getpid()):
        work_for(parent)
    try:
        if not (store.folder / "sweep.json").exists():
            return f"expected the folder of the sweep at {store.folder}, got none; give a folder that all workers share"
        with store.taken(planned), threadpool_limits(planned.config.running.threads), _quiet():
            if store.state(planned) is not State.COMPLETE:
                store.forgive(planned)
                _carry_out(planned, store, data_dir)
    except Interrupted:
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno in _NO_ROOM:
            return str(error)
        store.fail(planned, f"{traceback.format_exc()}\n{type(error).__name__}: {' '.join(str(error).split())}")
    return ""


def _carry_out(planned: PlannedRun, store: Store, data_dir: Path | None) -> None:
    place = store.place(planned)
    if store.clear(planned):
        resume(store.record(planned).folder, data_dir=data_dir, progress=False)
    else:
        run(planned.config, place, data_dir=data_dir, progress=False)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Leave out what runs say of themselves one by one; it is in their records."""
    logger = logging.getLogger("metaplastic")
    before = logger.level
    try:
        logger.setLevel(logging.WARNING)
        yield
    finally:
        logger.setLevel(before)
