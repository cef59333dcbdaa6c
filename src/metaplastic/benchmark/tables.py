"""What was measured, as tables for a terminal."""

from typing import Any

from rich.table import Table

STAGES = ("data", "forward", "backward", "optimizer", "step")


def tables(found: dict[str, Any]) -> list[Table]:
    """Show all that was measured.

    Args:
        found: What `bench` returned, with the other measurements under `epoch`, `start_seconds`, `stack` and
            `growth` if any.

    Returns:
        Tables, in the order in which they are best read.
    """
    made = [step_table(found), update_table(found), floor_table(found)]
    if "epoch" in found:
        made.append(epoch_table(found["epoch"]))
    if "start_seconds" in found:
        made.append(start_table(found["start_seconds"]))
    if "stack" in found:
        made.append(stack_table(found["stack"]))
    if "growth" in found:
        made.append(curve_table(found["growth"]))
    return made


def start_table(found: dict[str, float]) -> Table:
    """Show how long the first step takes.

    Args:
        found: What `bench_start` returned.

    Returns:
        A table.
    """
    table = Table("engine", "s", title="From the start of a process to the end of its first step")
    for name, seconds in found.items():
        table.add_row(name, f"{seconds:.1f}")
    return table


def stack_table(found: dict[str, Any]) -> Table:
    """Show what a stack of networks gains.

    Args:
        found: What `bench_stack` returned.

    Returns:
        A table.
    """
    table = Table("ms", "a step", title=f"{found['members']} networks at once")
    table.add_row("of the stack", _milliseconds(found["seconds"]["stack"]))
    table.add_row("of one network alone", _milliseconds(found["seconds"]["alone"]))
    table.add_row("steps of a network in the same time", _ratio(found["gain"]) + " times as many")
    return table


def step_table(found: dict[str, Any]) -> Table:
    """Show steps, tests, memory and ratios, a subject a column.

    Args:
        found: What `bench` returned.

    Returns:
        A table; medians, ratios with their quartiles.
    """
    subjects = found["seconds"]
    table = Table("milliseconds", *subjects, title=_title(found), caption=CAPTION)
    for stage in STAGES:
        table.add_row(stage, *(_milliseconds(stages.get(stage)) for stages in subjects.values()))
    tests = found["evaluation_seconds_per_1000"]
    table.add_row("test of 1,000", *(_milliseconds(tests[name]) for name in subjects))
    table.add_row("peak memory, MB", *(f"{found['peak_bytes'][name] / 1e6:.0f}" for name in subjects))
    table.add_section()
    for slow in ("published", "tuned"):
        ratios = (found["step_ratios"].get(f"{slow} / {name}") for name in subjects)
        table.add_row(f"step, {slow} / this", *map(_ratio, ratios))
    return table


CAPTION = (
    "published: the operations of the published code; tuned: the same with an allocator that keeps large blocks; "
    "plain, exact, fast: this package's loop, on the plain engine, on the fast one with gradients in float32, and on "
    "that as it comes. Memory is that above an empty torch process."
)


def update_table(found: dict[str, Any]) -> Table:
    """Show the update alone, and how much of the memory's bandwidth it takes.

    Args:
        found: What `bench` returned.

    Returns:
        A table.
    """
    weights, memory = found["workload"]["weights"], found["machine"]["memory"]
    table = Table("update alone", "ms", "GB/s", "of memory", "published / this", title=f"{weights:,} weights")
    for name, spread in found["update_seconds"].items():
        rate = found["update_bytes_per_second"][name]
        share = f"{100 * rate / memory:.0f} %"
        table.add_row(
            name,
            _milliseconds(spread),
            f"{rate / 1e9:.1f}",
            share,
            _ratio(found["update_ratios"].get(f"published / {name}")),
        )
    return table


def floor_table(found: dict[str, Any]) -> Table:
    """Show what the machine can do, and how far the fast engine is from it.

    Args:
        found: What `bench` returned.

    Returns:
        A table.
    """
    machine, floor = found["machine"], found["floor"]
    table = Table("this machine", "", title="The fast engine's floor: its products and its update at these rates")
    for dtype in ("float32", "bfloat16", "int8"):
        table.add_row(f"products, {dtype}", f"{machine[dtype] / 1e9:.0f} G operations/s")
    table.add_row("memory", f"{machine['memory'] / 1e9:.0f} GB/s")
    table.add_row("floor: products + update", f"{1e3 * floor['products']:.1f} + {1e3 * floor['update']:.1f} ms")
    step = found["seconds"]["fast"]["step"]["median"]
    table.add_row("fast / floor", f"{step / floor['step']:.2f}")
    return table


def epoch_table(found: dict[str, Any]) -> Table:
    """Show epochs with their tests.

    Args:
        found: What `bench_epoch` returned.

    Returns:
        A table.
    """
    table = Table("s", "training", "tests", "epoch", title=f"An epoch, hidden layers {found['workload']['hidden']}")
    for name, one in found["epoch_seconds"].items():
        table.add_row(name, *(f"{one[what]['median']:.1f}" for what in ("training", "tests", "epoch")))
    table.add_row("published / fast", "", "", _ratio(found["epoch_ratio"]))
    return table


def curve_table(found: dict[str, Any]) -> Table:
    """Show how cost grows, with the exponents of its growth.

    Args:
        found: What `bench_curves` returned.

    Returns:
        A table.
    """
    table = Table("cost of the fast engine", "", "ms", "MB", "time grows as", "memory grows as")
    for along, curve in found["curves"].items():
        exponents = f"{along}^{curve['time_exponent']:.2f}", f"{along}^{curve['memory_exponent']:.2f}"
        for value, seconds, peak in zip(curve["values"], curve["seconds"], curve["bytes"], strict=True):
            last = value == curve["values"][-1]
            table.add_row(
                along, str(value), f"{1e3 * seconds:.2f}", f"{peak / 1e6:.0f}", *exponents if last else ("", "")
            )
        table.add_section()
    return table


def _title(found: dict[str, Any]) -> str:
    work = found["workload"]
    sizes = "-".join(map(str, (784, *work["hidden"], 10)))
    how = f"batch {work['batch_size']}, {work['threads']} threads, {work['rounds']} rounds"
    return f"{sizes}, {how}: median (quartiles)"


def _milliseconds(spread: dict[str, float] | None) -> str:
    return "" if spread is None else f"{1e3 * spread['median']:.1f}"


def _ratio(spread: dict[str, float] | None) -> str:
    return "" if spread is None else f"{spread['median']:.1f} ({spread['low']:.1f}-{spread['high']:.1f})"
