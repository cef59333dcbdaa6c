"""How fast and how small packed networks are on this machine, beside torch and onnxruntime in the same rounds."""

import dataclasses
import importlib.metadata
import importlib.util
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from metaplastic.benchmark.pairing import Rounds, Spread, SubjectSpec, Worker, ratio, take_turns, working
from metaplastic.experiments.environment import environment, require_threads
from metaplastic.packed import Backend, PackedNetwork
from metaplastic.packed.products import kernel

Say = Callable[[str], None]

RIVALS = {
    "torch": SubjectSpec("eager"),
    "onnxruntime": SubjectSpec("onnx"),
    "onnxruntime int8": SubjectSpec("onnx-int8"),
    "onnxruntime quantised": SubjectSpec("onnx-quantised"),
}
"""torch in float32, eager; onnxruntime on our export to plain ONNX, on the same network in int8, exactly, and on what
its own quantiser makes of the export."""

OURS = {
    "kernel": SubjectSpec("packed", {"backend": Backend.KERNEL, "compiled": True}),
    "no compiler": SubjectSpec("packed", {"backend": Backend.BEST, "compiled": False}),
}
"""Packed networks by the compiled kernel, and by NumPy and torch as where no kernel was compiled."""


@dataclass(frozen=True)
class Bar:
    """How many times as fast as another a packed network is to be.

    Args:
        batch: Samples of a batch.
        rival: The other.
        ours: How the packed network computes.
        least: How many times at least.
    """

    batch: int
    rival: str
    ours: str
    least: float


BARS = (
    Bar(1, "torch", "kernel", 100),
    Bar(1, "torch", "no compiler", 8),
    Bar(1, "onnxruntime", "kernel", 50),
    Bar(1, "onnxruntime int8", "kernel", 10),
    Bar(1000, "torch", "kernel", 12),
    Bar(1000, "torch", "no compiler", 3),
    Bar(1000, "onnxruntime", "kernel", 8),
    Bar(1000, "onnxruntime int8", "kernel", 2.5),
)
"""What is asked for, of hidden layers of 4096 on two threads."""

BARS_HIDDEN, BARS_THREADS = (4096, 4096), 2


@dataclass(frozen=True)
class PackedWorkload:
    """What is measured.

    Args:
        hidden: Widths of the hidden layers between 784 inputs and 10 outputs.
        batches: Samples of a batch, each size measured.
        rounds: Turns that each subject takes.
        turn: Seconds of a turn for each size, > 0; the median counts.
        threads: Threads to compute with.

    Raises:
        ValueError: When a number is below 1, or a turn takes no time.
    """

    hidden: tuple[int, ...] = (4096, 4096)
    batches: tuple[int, ...] = (1, 1000)
    rounds: int = 9
    turn: float = 0.15
    threads: int = 1

    def __post_init__(self) -> None:
        for name in ("hidden", "batches"):
            if not getattr(self, name) or min(getattr(self, name)) < 1:
                raise ValueError(f"expected {name} of numbers >= 1, got {getattr(self, name)}; e.g. 1 1000")
        if self.rounds < 1:
            raise ValueError(f"expected rounds >= 1, got {self.rounds}")
        require_threads(self.threads, 1)
        if not self.turn > 0:
            raise ValueError(f"expected a turn that takes time, got {self.turn} s; 0.15 is enough")

    def as_json(self) -> dict[str, Any]:
        """Give the fields as JSON values."""
        return asdict(self) | {"hidden": list(self.hidden), "batches": list(self.batches)}

    def options(self, **more: Any) -> dict[str, Any]:
        """Give what a worker needs to know."""
        return self.as_json() | more


def bench_packed(work: PackedWorkload, say: Say) -> dict[str, Any]:
    """Measure predictions of a packed network and of its rivals, and what it takes.

    Args:
        work: What is measured.
        say: Told what is going on.

    Returns:
        JSON values; seconds of a batch as median and quartiles over the rounds, ratios taken round by round.
    """
    subjects, notes = _subjects()
    say("the subjects, each in a process of its own")
    specs = {
        name: SubjectSpec(spec.kind, work.options(**spec.options), {"OMP_NUM_THREADS": str(work.threads)})
        for name, spec in subjects.items()
    }
    with working(specs, work.threads) as workers:
        rounds: Rounds = {name: {} for name in workers}
        for batch in work.batches:
            say(f"batches of {batch}, {work.rounds} rounds")
            for name, found in take_turns(workers, "predict", work.rounds, 1).items():
                rounds[name] |= found
            for worker in workers.values():
                worker.measure("advance")
        agreement = {name: worker.measure("agreement")[0]["agreement"] for name, worker in workers.items()}
        chosen = {name: worker.ready["chosen"] for name, worker in workers.items()}
        versions = _versions(workers)
    ratios = against(rounds)
    say("sizes")
    return {
        "environment": environment() | {"threads": work.threads, "runtimes": versions},
        "workload": work.as_json(),
        "computed_by": chosen,
        "seconds": {name: _spreads(found) for name, found in rounds.items()},
        "ratios": ratios,
        "agreement": agreement,
        "bars": judged(ratios) if (work.hidden, work.threads) == (BARS_HIDDEN, BARS_THREADS) else [],
        "sizes": [sizes(work.hidden), sizes((512, 512))],
        "notes": notes,
    }


def _subjects() -> tuple[dict[str, SubjectSpec], list[str]]:
    """List who takes part here, and say why others do not."""
    subjects, notes = RIVALS | OURS, []
    if not kernel():
        del subjects["kernel"]
        notes.append("no kernel was compiled when the package was installed, so it is not measured")
    missing = [name for name in ("onnx", "onnxruntime") if importlib.util.find_spec(name) is None]
    if missing:
        subjects = {name: spec for name, spec in subjects.items() if not spec.kind.startswith("onnx")}
        notes.append(
            f"{' and '.join(missing)} not installed, so onnxruntime is not measured; install metaplastic[export]"
        )
    return subjects, notes


def _versions(workers: dict[str, Worker]) -> dict[str, str]:
    names = ["onnxruntime"] if "onnxruntime" in workers else []
    return {name: importlib.metadata.version(name) for name in ["torch", "numpy", *names]}


def _spreads(found: dict[str, list[float]]) -> dict[str, Any]:
    return {what: asdict(Spread.of(values)) for what, values in found.items()}


def against(rounds: Rounds) -> dict[str, dict[str, Any]]:
    """Compare every rival with every way of ours.

    Args:
        rounds: Seconds by subject and size of a batch, one a round.

    Returns:
        By size of a batch and `rival / ours`, how many times as long the rival takes.
    """
    sizes_of_batches = next(iter(rounds.values()), {})
    return {
        batch: {
            f"{rival} / {ours}": asdict(ratio(rounds[rival][batch], rounds[ours][batch]))
            for rival in RIVALS
            for ours in OURS
            if rival in rounds and ours in rounds
        }
        for batch in sizes_of_batches
    }


def judged(ratios: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Hold ratios against what is asked for.

    Args:
        ratios: What `against` returned.

    Returns:
        For each bar that was measured its fields, the ratio, and whether its median is reached.
    """
    found = []
    for bar in BARS:
        spread = ratios.get(str(bar.batch), {}).get(f"{bar.rival} / {bar.ours}")
        if spread:
            found.append(asdict(bar) | {"ratio": spread, "met": spread["median"] >= bar.least})
    return found


def sizes(hidden: tuple[int, ...]) -> dict[str, Any]:
    """Count what a network of these widths takes.

    Args:
        hidden: Widths of the hidden layers.

    Returns:
        Bytes: of the packed file, of its weights as float32, of a further task in the file, of the tables of the C
        export, which lie in flash, and of its working memory.
    """
    from metaplastic.benchmark.packed_subjects import UNIT, calibrated
    from metaplastic.packed import pack
    from metaplastic.packed.export.c import footprint

    network = pack(calibrated(list(hidden)), unit=UNIT)
    total, flash = network.summary().total, footprint(network)
    two, three = (_with_tasks(network, count).summary().total.file_bytes for count in (2, 3))
    return {
        "hidden": list(hidden),
        "file_bytes": total.file_bytes,
        "float32_bytes": 4 * total.one_bit,
        "bytes_per_task": three - two,
        "c_flash_bytes": flash.tables,
        "c_memory_bytes": flash.memory,
    }


def _with_tasks(network: PackedNetwork, count: int) -> PackedNetwork:
    """Give a network so many tables, all the same."""

    def repeated(after: Any) -> Any:
        tables = {
            name: np.repeat(value, count, 0) for name, value in vars(after).items() if isinstance(value, np.ndarray)
        }
        return dataclasses.replace(after, **tables)

    layers = tuple(dataclasses.replace(layer, after=repeated(layer.after)) for layer in network.layers)
    names = tuple(f"task {index}" for index in range(count))
    return dataclasses.replace(network, layers=layers, tasks=names)
