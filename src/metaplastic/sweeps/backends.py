"""Where runs are carried out: all go through one call of joblib."""

import enum
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from joblib import Parallel, delayed, parallel_config

from metaplastic.choices import settle_choices
from metaplastic.experiments.scenario_config import at_least
from metaplastic.sweeps.plan import PlannedRun
from metaplastic.sweeps.store import Store
from metaplastic.sweeps.worker import carry_out_run


class Backend(enum.StrEnum):
    """Where runs are carried out."""

    PROCESSES = "processes"
    """Processes of this machine."""
    RAY = "ray"
    """A Ray cluster that is running; its machines share the folder of the sweep."""
    SLURM = "slurm"
    """Jobs of a Slurm cluster, whose machines share the folder of the sweep."""


@dataclass(frozen=True)
class Workers:
    """Who carries runs out.

    Args:
        backend: Where.
        jobs: Runs at once, at most; 0 takes one per core here, divided by the threads of a run, and leaves it to a
            cluster there.
        slurm: What `sbatch` is told, by its own names: partition, time (minutes), mem, ...
    """

    backend: Backend = Backend.PROCESSES
    jobs: int = 0
    slurm: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        settle_choices(self)
        at_least("jobs", self.jobs, 0)

    def at_once(self, runs: Sequence[PlannedRun]) -> int:
        """Count the runs that go on at once.

        Args:
            runs: What is to be run, at least one.

        Returns:
            Their number, >= 1.
        """
        cores = max(1, (os.cpu_count() or 1) // max(1, threads_of(runs)))
        return min(len(runs), self.jobs or (cores if self.backend is Backend.PROCESSES else len(runs)))


def threads_of(runs: Sequence[PlannedRun]) -> int:
    """Give the most threads that a run computes with."""
    return max(run.config.running.threads for run in runs)


def dispatch(
    runs: Sequence[PlannedRun], store: Store, workers: Workers, jobs: int, data_dir: Path | None = None
) -> list[str]:
    """Hand runs to workers and wait for them.

    Args:
        runs: The runs, at least one.
        store: Folder of the sweep.
        workers: Where they are carried out.
        jobs: Runs at once; with one, on this machine, nothing but this process is used.
        data_dir: Where the data lie.

    Returns:
        What `carry_out_run` has to say, a text per run.

    Raises:
        Exception: What the backend raises when a worker is lost.
    """
    here = workers.backend is Backend.PROCESSES
    parent = os.getpid() if here else None
    calls = (delayed(carry_out_run)(run, store, data_dir, parent) for run in runs)
    with parallel_config(**_backend(store, workers, jobs, threads_of(runs))):
        # On a cluster one run at once is still one there: joblib would make a call of one job in this process.
        n_jobs = jobs if here else max(2, jobs)
        return list(Parallel(n_jobs=n_jobs, pre_dispatch=_ahead(workers.backend, jobs), batch_size=1)(calls))


def dispatch_alone(run: PlannedRun, store: Store, workers: Workers, data_dir: Path | None = None) -> list[str]:
    """Hand one run to a worker of its own, which may die of it.

    Args:
        run: The run.
        store: Folder of the sweep.
        workers: Where it is carried out.
        data_dir: Where the data lie.

    Returns:
        As `dispatch`.
    """
    return dispatch([run], store, workers, 2, data_dir)


def _ahead(backend: Backend, jobs: int) -> int | str:
    """How many calls are handed on before one is done; Slurm has a queue of its own."""
    return "all" if backend is Backend.SLURM else jobs


def _backend(store: Store, workers: Workers, jobs: int, threads: int) -> dict[str, Any]:
    if workers.backend is Backend.RAY:
        from metaplastic.sweeps.ray_backend import RayTasks

        return {"backend": RayTasks(threads)}
    if workers.backend is Backend.SLURM:
        from metaplastic.sweeps.slurm_backend import SlurmJobs

        return {"backend": SlurmJobs(store.folder / "slurm", jobs, threads, workers.slurm)}
    return {"backend": "loky", "inner_max_num_threads": threads}
