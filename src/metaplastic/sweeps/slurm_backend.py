"""Runs as jobs of a Slurm cluster, by submitit."""

import contextlib
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from joblib._parallel_backends import ParallelBackendBase

from metaplastic.sweeps.optional import require


class SlurmJobs(ParallelBackendBase):
    """A backend of joblib that makes every call a job of one array.

    Args:
        folder: Folder for what submitit and the jobs write.
        jobs: Jobs at once, at most.
        threads: Processors of a job.
        told: What `sbatch` is told, by its own names.
        cluster: `slurm`, or `local` for processes of this machine in its place.

    Raises:
        ImportError: When submitit is not installed.
        FileNotFoundError: When there is no Slurm here.
    """

    supports_retrieve_callback = False

    def __init__(
        self,
        folder: Path,
        jobs: int,
        threads: int,
        told: Mapping[str, Any],
        cluster: str = "slurm",
        **options: Any,
    ) -> None:
        super().__init__(**options)
        submitit = require("submitit", "slurm")
        if cluster == "slurm" and shutil.which("sbatch") is None:
            raise FileNotFoundError(
                "expected Slurm's sbatch on this machine, got none; begin the sweep where jobs are submitted, or use "
                "another backend"
            )
        folder.mkdir(parents=True, exist_ok=True)
        self.executor = submitit.AutoExecutor(folder=folder, cluster=cluster)
        named = {f"slurm_{name}": value for name, value in told.items()}
        self.executor.update_parameters(cpus_per_task=threads, slurm_array_parallelism=jobs, **named)
        self._array = contextlib.ExitStack()

    def effective_n_jobs(self, n_jobs: int) -> int:
        """Return the number of jobs as it is; Slurm has a queue of its own."""
        return n_jobs

    def start_call(self) -> None:
        """Gather jobs from now on."""
        self._array.enter_context(self.executor.batch())

    def submit(self, func: Callable[[], Any], callback: Callable[[Any], None] | None = None) -> Any:
        """Make a call a job.

        Args:
            func: A call without arguments.
            callback: Told when the result is there, by which joblib counts.

        Returns:
            The job, and whom to tell.
        """
        return self.executor.submit(_Resumable(func)), callback

    @contextlib.contextmanager
    def retrieval_context(self) -> Iterator[None]:
        """Submit what was gathered as one array, then wait.

        Yields:
            Nothing.
        """
        self._array.close()
        yield

    def retrieve_result(self, out: Any, timeout: float | None = None) -> list[str]:
        """Wait for a job.

        Args:
            out: What `submit` gave.
            timeout: Not used.

        Returns:
            Its result; for a job that failed a list of one empty text, because the folder of the sweep shows what
            became of the run.
        """
        job, callback = out
        try:
            return list(job.result())
        except Exception:  # of whatever kind: a job that was cancelled, ran out of memory, left no result
            return [""]
        finally:
            if callback is not None:
                callback(job)


class _Resumable:
    """A call that Slurm may stop, and submitit then submits again: the run goes on from its checkpoint."""

    def __init__(self, func: Callable[[], Any]) -> None:
        self.func = func

    def __call__(self) -> Any:
        return self.func()

    def checkpoint(self) -> Any:
        return require("submitit", "slurm").helpers.DelayedSubmission(self)
