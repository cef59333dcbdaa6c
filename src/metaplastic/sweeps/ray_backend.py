"""Runs as tasks of a Ray cluster.

Ray brings a backend for joblib, a pool of actors whose number is fixed when a call begins, and whose whole call fails
when a machine is lost. Tasks are given to another machine instead, and follow a cluster that grows.
"""

from collections.abc import Callable
from typing import Any

from joblib._parallel_backends import ParallelBackendBase

from metaplastic.sweeps.optional import require

MOST_RETRIES = 3
"""How often Ray gives a task to another worker when the one that has it is lost."""


class RayTasks(ParallelBackendBase):
    """A backend of joblib that makes every call a task.

    Args:
        threads: Processors that a task keeps.

    Raises:
        ImportError: When Ray is not installed.
        ConnectionError: When no cluster is running.
    """

    supports_retrieve_callback = True

    def __init__(self, threads: int, **options: Any) -> None:
        super().__init__(**options)
        self.ray = require("ray", "ray")
        if not self.ray.is_initialized():
            _connect(self.ray)
        self.task = self.ray.remote(num_cpus=threads, max_retries=MOST_RETRIES)(_call)

    def effective_n_jobs(self, n_jobs: int) -> int:
        """Return the number of calls at once as it is; the cluster may have room for fewer."""
        return n_jobs

    def submit(self, func: Callable[[], Any], callback: Callable[[Any], None] | None = None) -> Any:
        """Make a call a task.

        Args:
            func: A call without arguments.
            callback: Told of its end.

        Returns:
            A future.
        """
        future = self.task.remote(func).future()
        if callback is not None:
            future.add_done_callback(callback)
        return future

    def retrieve_result_callback(self, out: Any) -> list[str]:
        """Return what a call gave.

        Args:
            out: Its future.

        Returns:
            The result; for a task that was lost too often a list of one empty text, because the folder of the sweep
            shows what became of the run.
        """
        try:
            return list(out.result())
        except self.ray.exceptions.RayError:
            return [""]


def _call(func: Callable[[], Any]) -> Any:
    return func()


def _connect(ray: Any) -> None:
    try:
        ray.init(address="auto", log_to_driver=False, logging_level="error")
    except ConnectionError as error:
        raise ConnectionError(
            "expected a Ray cluster that is running, got none; begin one by `ray start --head`, or say where it is in "
            "RAY_ADDRESS"
        ) from error
