"""Several calls at once, each in a process of its own."""

import os
import threading
import time
import warnings
from collections.abc import Callable, Generator, Mapping
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from joblib import Parallel, delayed, parallel_config

Returned = TypeVar("Returned")

_WATCH = "ends with its parent"


def side_by_side(calls: Mapping[str, Callable[[], Returned]], jobs: int) -> Generator[tuple[str, Returned], None, None]:
    """Carry calls out in processes that share the cores of this machine.

    Args:
        calls: What is called, by a name of each; all of it must be picklable, as what it returns.
        jobs: Calls at once, >= 2.

    Yields:
        The name of a call that ended, and what it returned, in the order in which they end.

    Raises:
        ChildProcessError: When a process was lost, as where memory ran out.
        Exception: What a call raises. Either way the others are stopped where they are.
    """
    threads = max(1, (os.cpu_count() or 1) // jobs)
    work = (delayed(_call)(name, call, os.getpid()) for name, call in calls.items())
    with parallel_config(backend="loky", inner_max_num_threads=threads):
        ended = Parallel(n_jobs=jobs, return_as="generator_unordered", pre_dispatch=jobs, batch_size=1)(work)
        try:
            for one in ended:  # noqa: UP028  (`yield from` would close it before the warning can be silenced)
                yield one
        except BrokenProcessPool as error:
            raise ChildProcessError(
                f"expected {jobs} processes that work to the end, and lost one: out of memory? Fewer jobs need less; "
                "the same call goes on with what was done"
            ) from error
        finally:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # joblib warns whoever stops before the end
                ended.close()


def _call(name: str, call: Callable[[], Returned], parent: int) -> tuple[str, Returned]:
    work_for(parent)
    return name, call()


def work_for(parent: int) -> None:
    """Let this process end as soon as another does, so that nobody goes on writing after that was killed.

    What it compiles it compiles itself: else each worker keeps processes that do.

    Args:
        parent: Number of the process that began this one.
    """
    os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")
    if any(thread.name == _WATCH for thread in threading.enumerate()):
        return

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.2)
        os._exit(1)

    threading.Thread(target=watch, name=_WATCH, daemon=True).start()
