"""The other commands; each parses its arguments and makes one call."""

import contextlib
import dataclasses
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tyro.conf import Positional

from metaplastic.cli.options import USAGE, parse, resumable, show, shown

if TYPE_CHECKING:
    from rich.table import Table


@dataclasses.dataclass(frozen=True)
class DemoOptions:
    """Learn four permutations of handwritten digits: plain, metaplastic, and all at once."""

    seeds: int = 1
    """Number of seeds; each takes less than a minute."""
    out: Path | None = None
    """Folder for the runs; by default one under runs/ named after the time."""


def demo(words: list[str]) -> None:
    """Run the demonstration.

    Args:
        words: What follows the command.
    """
    options = parse(DemoOptions, words, "demo")
    from metaplastic.experiments import new_folder, run_demo

    folder = options.out or new_folder("demo")
    with resumable():
        run_demo(folder, options.seeds, lambda title: print(f"{title} ...", flush=True))
    show([folder], folder)


@dataclasses.dataclass(frozen=True)
class ListOptions:
    """Show the experiments that are ready to run."""


def list_experiments(words: list[str]) -> None:
    """Show the experiments that are ready to run.

    Args:
        words: What follows the command.
    """
    parse(ListOptions, words, "list")
    from rich.console import Console
    from rich.table import Table

    from metaplastic.experiments import PRESETS, STUDIES, description, study

    presets = Table("preset", "what it shows")
    for name in PRESETS:
        presets.add_row(name, description(name))
    studies = Table("study", "panels", "what it shows")
    for name in STUDIES:
        studies.add_row(name, str(len(study(name).panels)), description(name))
    Console().print(presets, studies)


@dataclasses.dataclass(frozen=True)
class ReportOptions:
    """Table, pictures and a page of runs; runs that differ only in their seed are put together."""

    folders: Positional[tuple[Path, ...]] = ()
    """Folders of runs, or folders that hold them."""
    out: Path = Path()
    """Folder for pictures, table and page."""
    against: str | None = None
    """Label of the group that the others are tested against on the page, as the page names it; by default the plain
    network. Not with --paper."""
    paper: bool = False
    """Draw the figures of the paper, all on one page that needs no network; the folders are those of studies, or
    hold them, and LABEL=FOLDER where two are of one study and size."""


def report(words: list[str]) -> None:
    """Report on runs.

    Args:
        words: What follows the command.

    Raises:
        ValueError: When no folder is given, or a group to test against for the paper's page.
    """
    options = parse(ReportOptions, words, "report")
    if not options.folders:
        raise ValueError("expected the folder of a run, got none; give one or more, e.g. runs/*")
    if options.paper and options.against is not None:
        raise ValueError(
            "expected --paper or --against, got both; leave one of them out, for the paper's page always tests against "
            "EWC"
        )
    if options.paper:
        from metaplastic.report import paper_report

        paper_report(options.folders, options.out, lambda path: print(path, flush=True))
        return
    show(options.folders, options.out, options.against)


@dataclasses.dataclass(frozen=True)
class DataListOptions:
    """Show the data sets, and which of them are here."""

    data_dir: Path | None = None
    """Where to look first; by default METAPLASTIC_DATA, then the cache."""


@dataclasses.dataclass(frozen=True)
class DataFetchOptions:
    """Download data sets and check what came."""

    names: Positional[tuple[str, ...]] = ()
    """Names of data sets."""
    data_dir: Path | None = None
    """Where to put them; by default METAPLASTIC_DATA, then the cache."""


@dataclasses.dataclass(frozen=True)
class DataFeaturesOptions:
    """Compute the ResNet-18 features that figures 4e to 4h learn from at the paper's size; hours without a GPU.

    It needs torchvision, which fetches 45 MB of weights. For CIFAR-10 or CIFAR-100 it needs 4 GB of memory and writes a
    file of 1 GB.
    """

    name: Positional[str]
    """Name or path of a data set of color images."""
    authors: bool = False
    """Do as the paper's code: ResNet-18 in training mode, so that features depend on the other images of a batch, and
    divided by their variance. By default it is in evaluation mode."""
    out: Path | None = None
    """File to write; by default NAME-resnet18.npz or, with --authors, NAME-resnet18-authors.npz, where data are fetched
    to."""
    data_dir: Path | None = None
    """Where the data lie, and the file is written to; by default METAPLASTIC_DATA, then the cache."""
    device: str | None = None
    """Where to compute: cpu, cuda, ...; by default a GPU where torch finds one."""
    quiet: bool = False
    """Show no progress bar."""


def data(words: list[str]) -> None:
    """List or fetch data sets, or compute features of one.

    Args:
        words: What follows the command.

    Raises:
        ValueError: When none of these is asked for.
    """
    commands = {"list": _data_list, "fetch": _data_fetch, "features": _data_features}
    if words in (["-h"], ["--help"]):
        print(USAGE)
        return
    if not words or words[0] not in commands:
        got = words[0] if words else "nothing"
        ways = "`metaplastic data list`, `metaplastic data fetch NAME...` or `metaplastic data features NAME`"
        raise ValueError(f"expected {ways}, got {got!r}")
    commands[words[0]](words[1:])


def _data_list(words: list[str]) -> None:
    options = parse(DataListOptions, words, "data list")
    from rich.console import Console
    from rich.table import Table

    from metaplastic.data import available

    table = Table("name", "data set", "state", "to get it")
    for entry in available(options.data_dir):
        table.add_row(entry.name, entry.title, entry.state.value, entry.command)
    Console().print(table)


def _data_fetch(words: list[str]) -> None:
    options = parse(DataFetchOptions, words, "data fetch")
    from metaplastic.data import fetch

    if not options.names:
        raise ValueError("expected the name of a data set, got none; `metaplastic data list` shows them")
    for name in options.names:
        for path in fetch(name, options.data_dir):
            print(path)


def _data_features(words: list[str]) -> None:
    options = parse(DataFeaturesOptions, words, "data features")
    from metaplastic.data import write_features

    path = write_features(
        options.name,
        options.out,
        authors=options.authors,
        data_dir=options.data_dir,
        device=options.device,
        progress=shown(options.quiet),
    )
    print(path)


@dataclasses.dataclass(frozen=True)
class BenchOptions:
    """Measure training steps of ours and of the published code, taking turns, and what the machine could do.

    The published code is a transcription of its operations. It runs with the system's allocator as it is and with one
    that keeps large blocks, which halves its time. Give 4 GB of memory at width 4096, and close what else computes.
    """

    hidden: tuple[int, ...] = (4096, 4096)
    """Widths of the hidden layers."""
    batch_size: int = 100
    """Samples per step."""
    rounds: int = 9
    """Turns that each subject takes."""
    repeats: int = 3
    """Steps in a turn, of which the median counts; the first finds the caches full of what others left."""
    threads: int = 0
    """Threads to compute with; 0 takes one per core."""
    epochs: int = 0
    """Measure so many whole epochs too, tests included: with the published code some seven minutes each."""
    start: bool = False
    """Measure too how long it takes from the start of a process to its first step, compilation included."""
    stack: int = 0
    """Measure too what is gained by training so many networks at once."""
    curves: bool = False
    """Measure too how the cost of a step grows with width, batch and tasks."""
    out: Path = Path("bench.json")
    """File for what was measured."""


def bench(words: list[str]) -> None:
    """Measure speed.

    Args:
        words: What follows the command.
    """
    options = parse(BenchOptions, words, "bench")
    from metaplastic import benchmark

    _require_folder(options.out)
    work = benchmark.Workload(
        options.hidden,
        options.batch_size,
        rounds=options.rounds,
        repeats=options.repeats,
        threads=options.threads or os.cpu_count() or 1,
    )
    with _saying() as say:
        found = benchmark.bench(work, say)
        if options.epochs:
            found["epoch"] = benchmark.bench_epoch(work, options.epochs, say)
        if options.start:
            found["start_seconds"] = benchmark.bench_start(work, say)
        if options.stack:
            found["stack"] = benchmark.bench_stack(work, options.stack, say)
        if options.curves:
            found["growth"] = benchmark.bench_curves(work, say)
    _print_and_write(benchmark.tables(found), found, options.out)


@dataclasses.dataclass(frozen=True)
class BenchPackedOptions:
    """Measure predictions of a packed network by each of its backends, beside torch and onnxruntime, taking turns.

    torch computes the same network eagerly in float32, onnxruntime computes our export to ONNX, the same network in
    int8, and what its own quantiser makes of the export. Without onnxruntime it is left out. Close what else computes.
    """

    hidden: tuple[int, ...] = (4096, 4096)
    """Widths of the hidden layers."""
    batches: tuple[int, ...] = (1, 1000)
    """Samples of a batch; every size is measured."""
    rounds: int = 9
    """Turns that each subject takes."""
    turn: float = 0.15
    """Seconds of a turn for each size."""
    threads: int = 0
    """Threads to compute with; 0 takes one per core."""
    out: Path = Path("bench-packed.json")
    """File for what was measured."""


def bench_packed(words: list[str]) -> None:
    """Measure packed networks.

    Args:
        words: What follows the command.
    """
    options = parse(BenchPackedOptions, words, "bench-packed")
    from metaplastic import benchmark

    _require_folder(options.out)
    threads = options.threads or os.cpu_count() or 1
    work = benchmark.PackedWorkload(options.hidden, options.batches, options.rounds, options.turn, threads)
    with _saying() as say:
        found = benchmark.bench_packed(work, say)
    _print_and_write(benchmark.packed_tables(found), found, options.out)


def _require_folder(out: Path) -> None:
    if not out.parent.is_dir():
        raise ValueError(f"expected a folder for {out}, got none at {out.parent}; make it first")


@contextlib.contextmanager
def _saying() -> Iterator[Callable[[str], None]]:
    """Show on standard error what is going on."""
    from rich.console import Console

    notes = Console(stderr=True)
    with notes.status("") as status:

        def say(text: str) -> None:
            status.update(text)
            if not notes.is_terminal:
                notes.print(text)

        yield say


def _print_and_write(tables: "list[Table]", found: dict[str, Any], out: Path) -> None:
    from rich.console import Console

    from metaplastic.benchmark import write

    console = Console()
    for table in tables:
        console.print(table)
    write(found, out)
    console.print(str(out), highlight=False, markup=False, soft_wrap=True)
