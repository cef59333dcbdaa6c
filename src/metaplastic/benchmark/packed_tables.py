"""What was measured of packed networks, as tables for a terminal."""

from typing import Any

from rich.table import Table

from metaplastic.benchmark.packed import OURS, RIVALS


def packed_tables(found: dict[str, Any]) -> list[Table]:
    """Show all that was measured of packed networks.

    Args:
        found: What `bench_packed` returned.

    Returns:
        Tables, in the order in which they are best read.
    """
    bars = [bars_table(found["bars"])] if found["bars"] else []
    return [speed_table(found), *bars, size_table(found["sizes"])]


def speed_table(found: dict[str, Any]) -> Table:
    """Show times and ratios, a subject a row.

    Args:
        found: What `bench_packed` returned.

    Returns:
        A table; medians, ratios with their quartiles.
    """
    work, ratios = found["workload"], found["ratios"]
    rivals = [rival for rival in RIVALS if rival in found["seconds"]]
    table = Table("batch", "", "time", *(f"{rival} / this" for rival in rivals), title=_title(work))
    for batch in map(str, work["batches"]):
        for name, seconds in found["seconds"].items():
            cells = [_ratio(ratios[batch].get(f"{rival} / {name}")) for rival in rivals] if name in OURS else []
            table.add_row(batch, name, _time(seconds[batch]["median"]), *cells)
        table.add_section()
    table.caption = "; ".join([f"{name}: {how}" for name, how in found["computed_by"].items()] + found["notes"])
    return table


def bars_table(bars: list[dict[str, Any]]) -> Table:
    """Show what is asked for beside what was measured.

    Args:
        bars: What `judged` returned.

    Returns:
        A table.
    """
    table = Table("batch", "", "asked for", "measured", "", title="Bars")
    for bar in bars:
        said = "" if bar["met"] else "missed"
        table.add_row(
            str(bar["batch"]), f"{bar['rival']} / {bar['ours']}", f"{bar['least']:g}", _ratio(bar["ratio"]), said
        )
    return table


def size_table(sizes: list[dict[str, Any]]) -> Table:
    """Show what networks take.

    Args:
        sizes: What `sizes` returned, for each.

    Returns:
        A table.
    """
    shapes = ["-".join(map(str, (784, *one["hidden"], 10))) for one in sizes]
    table = Table("bytes", *shapes, title="Sizes")
    for what, name in SIZES.items():
        table.add_row(name, *(f"{one[what]:,}" for one in sizes))
    return table


SIZES = {
    "file_bytes": "packed file",
    "float32_bytes": "weights as float32",
    "bytes_per_task": "a further task in the file",
    "c_flash_bytes": "C export, tables in flash",
    "c_memory_bytes": "C export, working memory",
}


def _title(work: dict[str, Any]) -> str:
    sizes = "-".join(map(str, (784, *work["hidden"], 10)))
    return f"Predictions, {sizes}, {work['threads']} threads, {work['rounds']} rounds: median (quartiles)"


def _time(seconds: float) -> str:
    return f"{1e6 * seconds:.0f} us" if seconds < 1e-3 else f"{1e3 * seconds:.2f} ms"


def _ratio(spread: dict[str, float] | None) -> str:
    return "" if spread is None else f"{spread['median']:.1f} ({spread['low']:.1f}-{spread['high']:.1f})"
