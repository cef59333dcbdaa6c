"""The measurements of a machine: our step against the published one, and against what the machine could do."""

import itertools
import math
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from metaplastic.benchmark.pairing import TUNED_ALLOCATOR, Rounds, Spread, SubjectSpec, ratio, take_turns, working
from metaplastic.experiments.environment import environment, require_threads
from metaplastic.files import write_json

SUBJECTS = {
    "published": SubjectSpec("published"),
    "tuned": SubjectSpec("published", environment=TUNED_ALLOCATOR),
    "plain": SubjectSpec("plain"),
    "exact": SubjectSpec("exact"),
    "fast": SubjectSpec("fast"),
}
"""The published code with the system's allocator and with a tuned one; ours on the plain engine, and on the fast one
with gradients in float32 and in whatever the processor is best at."""

PUBLISHED, OURS = "published", "fast"

UPDATES = {
    "published": SubjectSpec("update", {"optimizer": "published"}),
    "tuned": SubjectSpec("update", {"optimizer": "published"}, TUNED_ALLOCATOR),
    "plain": SubjectSpec("update", {"optimizer": "blocks"}),
    "fast": SubjectSpec("update", {"optimizer": "fused"}),
    "torch.optim.Adam(fused=True)": SubjectSpec("update", {"optimizer": "adam"}),
}
UPDATE_BYTES = 28
"""Bytes that an update moves per weight at least: weight and two moments in and out, the gradient in."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class Workload:
    """What is measured.

    Args:
        hidden: Widths of the hidden layers between 784 inputs and 10 outputs.
        batch_size: Samples per step.
        tasks: Permutations that are tested.
        rounds: Turns that each subject takes.
        repeats: Steps in a turn, of which the median counts.
        threads: Threads to compute with.

    Raises:
        ValueError: When a number is below 1.
    """

    hidden: tuple[int, ...] = (4096, 4096)
    batch_size: int = 100
    tasks: int = 6
    rounds: int = 9
    repeats: int = 3
    threads: int = 1

    def __post_init__(self) -> None:
        for name in ("batch_size", "tasks", "rounds", "repeats"):
            if getattr(self, name) < 1:
                raise ValueError(f"expected {name} >= 1, got {getattr(self, name)}")
        require_threads(self.threads, 1)
        if not self.hidden or min(self.hidden) < 1:
            raise ValueError(f"expected widths of hidden layers, all >= 1, got {self.hidden}; e.g. 1024 1024")

    @property
    def weights(self) -> int:
        """Number of binary weights."""
        sizes = [784, *self.hidden, 10]
        return sum(fan_in * fan_out for fan_in, fan_out in itertools.pairwise(sizes))

    @property
    def first_weights(self) -> int:
        """Number of binary weights of the first layer, which passes no gradient on."""
        return 784 * self.hidden[0]

    def as_json(self) -> dict[str, Any]:
        """Give the fields as JSON values."""
        return asdict(self) | {"hidden": list(self.hidden), "weights": self.weights}

    def options(self, **more: Any) -> dict[str, Any]:
        """Give what a worker needs to know."""
        return {"hidden": list(self.hidden), "batch_size": self.batch_size, "tasks": self.tasks, **more}


def bench(work: Workload, say: Say, repeats: int = 15) -> dict[str, Any]:
    """Measure steps, their stages, tests, updates, memory and the machine.

    Args:
        work: What is measured.
        say: Told what is going on.
        repeats: How often the machine's rates are measured.

    Returns:
        JSON values; times in seconds, each as median and quartiles over the rounds, ratios taken round by round.
    """
    say("the machine: products and memory")
    machine = measure_machine(work.threads, repeats)
    steps, memory, tests = _measure_steps(work, say)
    say(f"the update alone, {work.weights:,} weights")
    updates = _measure_updates(work)
    return {
        "environment": environment() | {"threads": work.threads},
        "workload": work.as_json(),
        "machine": machine,
        "seconds": {name: _spreads(found) for name, found in steps.items()},
        "evaluation_seconds_per_1000": {name: _spreads(found)["evaluation"] for name, found in tests.items()},
        "step_ratios": _against(steps, "step"),
        "evaluation_ratios": _against(tests, "evaluation"),
        "peak_bytes": memory,
        "update_seconds": {name: _spreads(found)["update"] for name, found in updates.items()},
        "update_ratios": _against(updates, "update"),
        "update_bytes_per_second": {
            name: UPDATE_BYTES * work.weights / statistics.median(found["update"]) for name, found in updates.items()
        },
        "floor": floor(work, machine),
    }


def measure_machine(threads: int, repeats: int) -> dict[str, float]:
    """Measure what the machine can do.

    Args:
        threads: Threads to compute with.
        repeats: How often, at least twice; the upper quartile counts.

    Returns:
        Operations per second of products in float32, bfloat16 and int8, and bytes per second of memory.
    """
    with working({"machine": SubjectSpec("machine")}, threads) as workers:
        rates = workers["machine"].measure("rates", repeats)
    # The upper quartile: the best of many is sometimes better than the machine.
    return {name: statistics.quantiles([rate[name] for rate in rates], n=4)[2] for name in rates[0]}


def _measure_steps(work: Workload, say: Say) -> tuple[Rounds, dict[str, int], Rounds]:
    say("the subjects, each in a process of its own")
    specs = {name: SubjectSpec(spec.kind, work.options(), spec.environment) for name, spec in SUBJECTS.items()}
    with working(specs, work.threads) as workers:
        say(f"{work.rounds} rounds of {work.repeats} steps")
        steps = take_turns(workers, "step", work.rounds, work.repeats)
        memory = {name: worker.peak - worker.ready["empty"] for name, worker in workers.items()}
        say("tests")
        tests = take_turns(workers, "evaluation", max(3, work.rounds // 3), 1)
    return steps, memory, tests


def _measure_updates(work: Workload) -> Rounds:
    specs = {
        name: SubjectSpec(spec.kind, work.options(**spec.options), spec.environment) for name, spec in UPDATES.items()
    }
    with working(specs, work.threads) as workers:
        return take_turns(workers, "update", work.rounds, work.repeats)


def _spreads(found: dict[str, list[float]]) -> dict[str, Any]:
    return {what: asdict(Spread.of(values)) for what, values in found.items()}


def _against(rounds: Rounds, what: str) -> dict[str, Any]:
    """How many times as long as each of the others the published code takes, with either allocator."""
    return {
        f"{slow} / {fast}": asdict(ratio(rounds[slow][what], rounds[fast][what]))
        for slow in ("published", "tuned")
        for fast in rounds
        if fast != slow
    }


def floor(work: Workload, machine: dict[str, float]) -> dict[str, float]:
    """Compute what a step of the fast engine would take at the machine's own rates.

    Args:
        work: What is measured.
        machine: The rates.

    Returns:
        Seconds of the products, of the update with its gradient and its copies, and of both.
    """
    operations, passed = 2 * work.batch_size * work.weights, 2 * work.batch_size * (work.weights - work.first_weights)
    products = operations / machine["int8"] + (operations + passed) / machine["bfloat16"]
    # Weight and moments in and out; the gradient in bfloat16 out and in; the copies in int8 and, but for the first
    # layer, in bfloat16.
    moved = (24 + 4 + 1) * work.weights + 2 * (work.weights - work.first_weights)
    update = moved / machine["memory"]
    return {"products": products, "update": update, "step": products + update}


def bench_epoch(work: Workload, rounds: int, say: Say, train: int = 60_000, test: int = 10_000) -> dict[str, Any]:
    """Measure an epoch of permuted MNIST's size, tests included, as the published code carries it out and as ours does.

    Theirs tests on the training set besides the test sets of all tasks, and each sample goes through a loader.

    Args:
        work: What is measured.
        rounds: How often.
        say: Told what is going on.
        train: Training samples.
        test: Test samples of each task.

    Returns:
        JSON values as in `bench`.
    """
    options = work.options(train=train, test=test)
    specs = {name: SubjectSpec(SUBJECTS[name].kind, options) for name in (PUBLISHED, OURS)}
    found: Rounds = {name: {} for name in specs}
    with working(specs, work.threads) as workers:
        for count in range(rounds):
            for name, worker in workers.items():
                say(f"epoch {count + 1} of {rounds}, {name}")
                for what, seconds in worker.measure("epoch")[0].items():
                    found[name].setdefault(what, []).append(seconds)
    return {
        "workload": work.as_json(),
        "epoch_seconds": {name: _spreads(one) for name, one in found.items()},
        "epoch_ratio": asdict(ratio(found[PUBLISHED]["epoch"], found[OURS]["epoch"])),
        "tests_share": Spread.of(
            [tests / whole for tests, whole in zip(found[OURS]["tests"], found[OURS]["epoch"], strict=True)]
        ).median,
    }


def bench_start(work: Workload, say: Say) -> dict[str, float]:
    """Measure from the start of a process to the end of its first step.

    Args:
        work: What is measured.
        say: Told what is going on.

    Returns:
        Seconds: of the plain engine, of the fast one with nothing compiled before, and with everything.
    """
    say("first steps")
    with tempfile.TemporaryDirectory() as cache:
        fresh = {"TORCHINDUCTOR_CACHE_DIR": cache}
        specs = {
            "plain": SubjectSpec("plain", work.options()),
            "fast, nothing compiled before": SubjectSpec("fast", work.options(), fresh),
            "fast": SubjectSpec("fast", work.options(), fresh),
        }
        return {name: _first_step(spec, work.threads) for name, spec in specs.items()}


def _first_step(spec: SubjectSpec, threads: int) -> float:
    started = time.perf_counter()
    with working({"one": spec}, threads) as workers:
        workers["one"].measure("step")
        return time.perf_counter() - started


def bench_stack(work: Workload, members: int, say: Say) -> dict[str, Any]:
    """Measure what is gained by training several networks as one stack rather than one after another.

    Args:
        work: What is measured.
        members: Number of networks.
        say: Told what is going on.

    Returns:
        JSON values: seconds of a step of all and of one, and how many times as many steps of a network are made.
    """
    say(f"a stack of {members}")
    specs = {"stack": SubjectSpec("stack", work.options(members=members)), "alone": SubjectSpec("fast", work.options())}
    with working(specs, work.threads) as workers:
        found = take_turns(workers, "step", work.rounds, 20)
    gain = Spread.of(
        [members * one / all_ for one, all_ in zip(found["alone"]["step"], found["stack"]["step"], strict=True)]
    )
    seconds = {name: _spreads(one)["step"] for name, one in found.items()}
    return {"workload": work.as_json(), "members": members, "seconds": seconds, "gain": asdict(gain)}


@dataclass(frozen=True)
class Curve:
    """How cost grows with one number.

    Args:
        along: What grows.
        values: Its values, ascending.
        seconds: Time at each.
        bytes: Peak memory at each, above an empty process.
    """

    along: str
    values: tuple[int, ...]
    seconds: tuple[float, ...]
    bytes: tuple[int, ...]

    def exponent(self, costs: tuple[float, ...]) -> float:
        """Fit cost = c value^k to the upper half of the values, where what is constant no longer counts.

        Args:
            costs: Seconds or bytes.

        Returns:
            The exponent k.

        Example:
            >>> round(Curve("width", (1, 2, 4, 8), (1.0, 4.0, 16.0, 64.0), (0, 0, 0, 0)).exponent((1, 4, 16, 64)), 6)
            2.0
        """
        upper = len(self.values) // 2 if len(self.values) > 3 else 0
        if len(self.values) < 2:
            return math.nan
        x = [math.log(value) for value in self.values[upper:]]
        y = [math.log(max(cost, 1e-9)) for cost in costs[upper:]]
        return statistics.linear_regression(x, y).slope


CURVES: dict[str, tuple[str, tuple[int, ...]]] = {
    "width": ("step", (256, 512, 1024, 2048, 4096, 8192)),
    "batch_size": ("step", (1, 10, 100, 400, 1000, 4000)),
    "tasks": ("evaluation", (1, 3, 10, 30, 100)),
}
"""What is varied, what is timed, and the values."""


def bench_curves(work: Workload, say: Say) -> dict[str, Any]:
    """Measure how the cost of the fast engine grows with width, batch and tasks.

    Args:
        work: What stays the same.
        say: Told what is going on.

    Returns:
        JSON values: per curve the values, seconds (of a step, or of testing all tasks), bytes, and both exponents.
    """
    found = {}
    for along, (verb, values) in CURVES.items():
        seconds, peaks = [], []
        for value in values:
            say(f"{along} {value}")
            # Layer norm, because a batch of one has no batch statistics.
            options = work.options(statistics="layer")
            options |= {"hidden": [value, value]} if along == "width" else {along: value}
            with working({"one": SubjectSpec("fast", options)}, work.threads) as workers:
                worker = workers["one"]
                worker.measure(verb, 2)
                measured = [one[verb] for one in worker.measure(verb, 5)]
                share = value * 1.0 if along == "tasks" else 1.0  # a test's time is given per 1,000 samples, a task's
                seconds.append(statistics.median(measured) * share)
                peaks.append(worker.peak - worker.ready["empty"])
        curve = Curve(along, values, tuple(seconds), tuple(peaks))
        found[along] = asdict(curve) | {
            "time_exponent": curve.exponent(curve.seconds),
            "memory_exponent": curve.exponent(tuple(map(float, curve.bytes))),
        }
    return {"workload": work.as_json(), "curves": found}


def write(found: dict[str, Any], path: Path) -> None:
    """Write what was measured.

    Args:
        found: JSON values.
        path: The file; its folder must exist.
    """
    write_json(path, found, indent=2)
