"""How fast the engines are on this machine, beside the published step and beside what the machine can do."""

from metaplastic.benchmark.measurements import (
    Workload,
    bench,
    bench_curves,
    bench_epoch,
    bench_stack,
    bench_start,
    write,
)
from metaplastic.benchmark.tables import tables

__all__ = [
    "Workload",
    "bench",
    "bench_curves",
    "bench_epoch",
    "bench_stack",
    "bench_start",
    "tables",
    "write",
]
