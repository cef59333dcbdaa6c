"""How fast the engines and packed networks are on this machine, beside others and beside what the machine can do."""

from metaplastic.benchmark.measurements import (
    Workload,
    bench,
    bench_curves,
    bench_epoch,
    bench_stack,
    bench_start,
    write,
)
from metaplastic.benchmark.packed import PackedWorkload, bench_packed
from metaplastic.benchmark.packed_tables import packed_tables
from metaplastic.benchmark.tables import tables

__all__ = [
    "PackedWorkload",
    "Workload",
    "bench",
    "bench_curves",
    "bench_epoch",
    "bench_packed",
    "bench_stack",
    "bench_start",
    "packed_tables",
    "tables",
    "write",
]
