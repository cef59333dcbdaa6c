"""The command line: a thin face over the library. Each command parses its arguments and makes one call.

torch is imported only when a command needs it, so that help comes at once.
"""

import contextlib
import dataclasses
import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import tyro
from tyro.conf import Positional

from metaplastic.choices import unknown

if TYPE_CHECKING:
    from metaplastic.experiments import Config

USAGE = """usage: metaplastic COMMAND [ARGUMENTS]

Binary neural networks that keep what they learned.

  demo                         plain against metaplastic against joint learning, on built-in data, in a minute
  list                         the experiments that are ready to run, with what each shows
  run PRESET [--FIELD VALUE]   run one and keep its record; `run PRESET --help` lists the fields
  run STUDY [--size paper]     run all panels of a figure or table of the paper, or one as STUDY/PANEL
  run --from FILE [...]        run a configuration of your own, e.g. the config.json of an earlier run
  run --resume FOLDER          go on with a run that was stopped
  report FOLDER...             table and pictures of runs
  report --paper FOLDER...     the paper's figures from studies, as one page
  bench                        how fast this machine trains, beside the published code and the machine's limits
  data list                    data sets, and which of them are here
  data fetch NAME...           download data sets

`metaplastic COMMAND --help` says more."""

Options = TypeVar("Options")


def main(arguments: list[str] | None = None) -> None:
    """Run a command. What a user can mend ends it with a message and status 2, without a traceback.

    Args:
        arguments: Words of the command line; None takes those of the process.
    """
    words = sys.argv[1:] if arguments is None else arguments
    if not words or words[0] in ("-h", "--help"):
        print(USAGE)
        return
    if words[0] not in COMMANDS:
        _fail(unknown("command", words[0], COMMANDS))
    _show_log()
    try:
        COMMANDS[words[0]](words[1:])
    except (ValueError, OSError, ArithmeticError, ImportError) as error:
        _fail(str(error))
    except KeyboardInterrupt:
        _fail("stopped; what was written so far is whole", status=130)


def _show_log() -> None:
    """Show on standard error what the library has to say; what it writes there itself is for people only."""
    logger, handler = logging.getLogger("metaplastic"), logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger.handlers = [handler]
    logger.setLevel(logging.INFO)


def _fail(message: str, status: int = 2) -> NoReturn:
    print(f"metaplastic: {message}", file=sys.stderr)
    raise SystemExit(status)


def _parse(options: type[Options], words: list[str], command: str, default: Options | None = None) -> Options:
    """Parse the words of a command into a frozen dataclass; nested fields go by their own names."""
    markers = (tyro.conf.OmitArgPrefixes, tyro.conf.AvoidSubcommands, tyro.conf.EnumChoicesFromValues)
    given: dict[str, Any] = {} if default is None else {"default": default}
    return tyro.cli(options, args=words, prog=f"metaplastic {command}", config=markers, **given)


@dataclasses.dataclass(frozen=True)
class DemoOptions:
    """Learn four permutations of handwritten digits: plain, metaplastic, and all at once."""

    seeds: int = 1
    """Number of seeds; each takes less than a minute."""
    out: Path | None = None
    """Folder for the runs; by default one under runs/ named after the time."""


def _demo(words: list[str]) -> None:
    options = _parse(DemoOptions, words, "demo")
    from metaplastic.experiments import new_folder, run_demo

    folder = options.out or new_folder("demo")
    with _resumable():
        run_demo(folder, options.seeds, lambda title: print(f"{title} ...", flush=True))
    _show([folder], folder)


@dataclasses.dataclass(frozen=True)
class ListOptions:
    """Show the experiments that are ready to run."""


def _list(words: list[str]) -> None:
    _parse(ListOptions, words, "list")
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
class ResumeOptions:
    """Go on with a run from its last checkpoint."""

    resume: Path
    """Folder of the run."""
    data_dir: Path | None = None
    """Where the data lie; by default METAPLASTIC_DATA, then the cache."""
    quiet: bool = False
    """Show no progress bar."""


def _run(words: list[str]) -> None:
    if words in (["-h"], ["--help"]):
        print(USAGE)
        return
    words = [part for word in words for part in _spaced(word)]
    if "--resume" in words:
        _resume(words)
        return
    if words and words[0] in _studies():
        _run_study(words[0], words[1:])
        return
    config, words, command = _base_config(words)
    options = _parse(*_run_options(config, words, command))
    from metaplastic.experiments import new_folder, run, run_seeds

    how = {"data_dir": options.data_dir, "progress": _shown(options.quiet)}
    with _resumable():
        if options.seeds:
            folder = options.out or new_folder(options.config.name)
            run_seeds(options.config, range(options.config.seed, options.config.seed + options.seeds), folder, **how)
        else:
            folder = run(options.config, options.out, **how).folder or Path()
    _show([folder])


def _resume(words: list[str]) -> None:
    options = _parse(ResumeOptions, words, "run")
    from metaplastic.experiments import resume

    with _resumable():
        result = resume(options.resume, data_dir=options.data_dir, progress=_shown(options.quiet))
    _show([result.folder or Path()])


def _studies() -> Sequence[str]:
    from metaplastic.experiments import STUDIES

    return list(STUDIES)


def _run_study(name: str, words: list[str]) -> None:
    from metaplastic.experiments import Size, new_folder, run_study, study

    @dataclasses.dataclass(frozen=True)
    class StudyOptions:
        """Run the panels of a figure or table of the paper. The same command with the same folder goes on with it."""

        size: Size = Size.LAPTOP
        """How large the runs are."""
        seeds: int = 1
        """Run so many seeds."""
        seed: int = 0
        """The first of them."""
        panels: tuple[str, ...] = ()
        """Run these panels only."""
        out: Path | None = None
        """Folder of the study; by default one under runs/ named after it and the time."""
        data_dir: Path | None = None
        """Where the data lie; by default METAPLASTIC_DATA, then the cache."""
        quiet: bool = False
        """Show no progress bars."""

    options = _parse(StudyOptions, words, f"run {name}")
    chosen, folder = study(name, options.size).only(options.panels), options.out or new_folder(name)
    with _resumable():
        run_study(
            chosen,
            range(options.seed, options.seed + options.seeds),
            folder,
            data_dir=options.data_dir,
            progress=_shown(options.quiet),
            before=lambda title: print(f"{title} ...", flush=True),
        )
    _show_study(folder)


def _show_study(folder: Path) -> None:
    """Print a table for every set of runs on the same tests."""
    from rich.console import Console

    from metaplastic.report import compare_each, table

    console = Console()
    for comparison in compare_each([folder]):
        console.print(table(comparison))
    console.print(str(folder), highlight=False, soft_wrap=True)


def _panel_config(word: str, words: list[str]) -> tuple["Config", list[str]]:
    """Find the configuration of STUDY/PANEL, and what is left of the words when the size is taken out."""
    from metaplastic.choices import choose
    from metaplastic.experiments import Size, study

    size, rest = Size.LAPTOP, list(words)
    if "--size" in rest[:-1]:
        place = rest.index("--size")
        size, rest = choose(Size, rest[place + 1]), rest[:place] + rest[place + 2 :]
    name, _, panel = word.partition("/")
    return study(name, size).config(panel), rest


def _base_config(words: list[str]) -> tuple["Config", list[str], str]:
    """Find the configuration that the fields on the command line change."""
    from metaplastic.experiments import preset, read_config

    if words and "/" in words[0] and not words[0].startswith("-"):
        return *_panel_config(words[0], words[1:]), f"run {words[0]}"
    if words and not words[0].startswith("-"):
        return preset(words[0]), words[1:], f"run {words[0]}"
    if "--from" in words[:-1]:
        place = words.index("--from")
        path, rest = words[place + 1], words[:place] + words[place + 2 :]
        return read_config(Path(path)), rest, f"run --from {path}"
    raise ValueError("expected a preset, --from FILE or --resume FOLDER; `metaplastic list` shows presets and studies")


def _run_options(config: "Config", words: list[str], command: str) -> tuple[type[Any], list[str], str, Any]:
    from metaplastic.experiments import Config

    @dataclasses.dataclass(frozen=True)
    class RunOptions:
        """Run an experiment and keep its record."""

        config: Config
        seeds: int = 0
        """Run so many seeds, counted from --seed, each with a record of its own in the folder; small networks are
        trained as one stack. 0 runs --seed only, with its record as the folder."""
        out: Path | None = None
        """A new folder for the record; by default one under runs/ named after preset, time and seed."""
        data_dir: Path | None = None
        """Where the data lie; by default METAPLASTIC_DATA, then the cache."""
        quiet: bool = False
        """Show no progress bar."""

    return RunOptions, [_own_name(word) for word in words], command, RunOptions(config)


def _spaced(word: str) -> list[str]:
    """Take --from=FILE and --resume=FOLDER apart, which are looked for before anything is parsed."""
    return word.split("=", 1) if word.startswith(("--from=", "--resume=")) else [word]


def _own_name(word: str) -> str:
    """Let a nested field be named by its path too: --optimizer.lr is --lr."""
    option, equals, value = word.partition("=")
    return "--" + option.rpartition(".")[2] + equals + value if option.startswith("--") and "." in option else word


def _shown(quiet: bool) -> bool | None:
    return False if quiet else None


@contextlib.contextmanager
def _resumable() -> Iterator[None]:
    from metaplastic.experiments import Interrupted
    from metaplastic.learners import NonFiniteLossError

    try:
        yield
    except Interrupted as interrupted:
        _fail(str(interrupted), status=130)
    except NonFiniteLossError as error:
        _fail(str(error))


def _show(folders: Sequence[Path], pictures: Path | None = None) -> None:
    """Print the table of some runs, and draw them where there is a folder for the pictures."""
    from rich.console import Console

    from metaplastic.report import compare, report, table

    console = Console()
    console.print(table(compare(folders)))
    for path in report(folders, pictures) if pictures else folders:
        console.print(str(path), highlight=False, soft_wrap=True)


@dataclasses.dataclass(frozen=True)
class ReportOptions:
    """Table and pictures of runs; runs that differ only in their seed are put together."""

    folders: Positional[tuple[Path, ...]] = ()
    """Folders of runs, or folders that hold them."""
    out: Path = Path()
    """Folder for the pictures."""
    paper: bool = False
    """Draw the figures of the paper, all on one page that needs no network; the folders are those of studies, and
    LABEL=FOLDER where two are of one study and size."""


def _report(words: list[str]) -> None:
    options = _parse(ReportOptions, words, "report")
    if not options.folders:
        raise ValueError("expected the folder of a run, got none; give one or more, e.g. runs/*")
    if options.paper:
        from metaplastic.report import paper_report

        for path in paper_report(options.folders, options.out):
            print(path)
        return
    _show(options.folders, options.out)


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


def _data(words: list[str]) -> None:
    commands = {"list": _data_list, "fetch": _data_fetch}
    if words in (["-h"], ["--help"]):
        print(USAGE)
        return
    if not words or words[0] not in commands:
        got = words[0] if words else "nothing"
        raise ValueError(f"expected `metaplastic data list` or `metaplastic data fetch NAME...`, got {got!r}")
    commands[words[0]](words[1:])


def _data_list(words: list[str]) -> None:
    options = _parse(DataListOptions, words, "data list")
    from rich.console import Console
    from rich.table import Table

    from metaplastic.data import available

    table = Table("name", "data set", "state", "to get it")
    for entry in available(options.data_dir):
        table.add_row(entry.name, entry.title, entry.state.value, entry.command)
    Console().print(table)


def _data_fetch(words: list[str]) -> None:
    options = _parse(DataFetchOptions, words, "data fetch")
    from metaplastic.data import fetch

    if not options.names:
        raise ValueError("expected the name of a data set, got none; `metaplastic data list` shows them")
    for name in options.names:
        for path in fetch(name, options.data_dir):
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


def _bench(words: list[str]) -> None:
    options = _parse(BenchOptions, words, "bench")
    from rich.console import Console

    from metaplastic import benchmark

    if not options.out.parent.is_dir():
        raise ValueError(f"expected a folder for {options.out}, got none at {options.out.parent}; make it first")
    console, notes = Console(), Console(stderr=True)
    work = benchmark.Workload(
        options.hidden, options.batch_size, rounds=options.rounds, threads=options.threads or os.cpu_count() or 1
    )
    with notes.status("") as status:

        def say(text: str) -> None:
            status.update(text)
            if not notes.is_terminal:
                notes.print(text)

        found = benchmark.bench(work, say)
        if options.epochs:
            found["epoch"] = benchmark.bench_epoch(work, options.epochs, say)
        if options.start:
            found["start_seconds"] = benchmark.bench_start(work, say)
        if options.stack:
            found["stack"] = benchmark.bench_stack(work, options.stack, say)
        if options.curves:
            found["growth"] = benchmark.bench_curves(work, say)
    for table in benchmark.tables(found):
        console.print(table)
    benchmark.write(found, options.out)
    console.print(str(options.out), highlight=False)


COMMANDS: dict[str, Callable[[list[str]], None]] = {
    "demo": _demo,
    "list": _list,
    "run": _run,
    "report": _report,
    "bench": _bench,
    "data": _data,
}
