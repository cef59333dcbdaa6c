"""What the commands share: parsing, failing, showing."""

import contextlib
import dataclasses
import functools
import shutil
import sys
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import tyro

USAGE = """usage: metaplastic COMMAND [ARGUMENTS]

Binary neural networks that keep what they learned.

  demo                         plain against metaplastic against joint learning, on built-in data, in a minute
  list                         the experiments that are ready to run, with what each shows
  run PRESET [--FIELD VALUE]   run one and keep its record; `run PRESET --help` lists the fields
  run STUDY [--size paper]     run all panels of a figure or table of the paper, or one as STUDY/PANEL
  run --from FILE [...]        run a configuration of your own, e.g. the config.json of an earlier run
  run --resume FOLDER          go on with a run that was stopped
  sweep PRESET --over FIELD=VALUE,VALUE --seeds N   run all combinations, several at once
  tune PRESET --search FIELD=log:LOW:HIGH --protocol NAME   search for good settings
  report FOLDER...             table, pictures and a page of runs
  report --paper FOLDER...     the paper's figures from studies, as one page
  bench                        how fast this machine trains, beside the published code and the machine's limits
  bench-packed                 how fast packed networks predict here, beside torch and onnxruntime
  data list                    data sets, and which of them are here
  data fetch NAME...           download data sets
  data features NAME           compute ResNet-18 features of images, as figures 4e to 4h learn from
  pack RUN -o FILE             pack the trained network of a run into one bit a weight
  export FILE --format KIND    write a packed network as onnx, onnx-packed, qonnx or c, verified layer by layer
  predict FILE SAMPLES.npz     the class of every sample, by a packed network
  summary FILE                 parameters, bytes and operations of a packed network
  verify FILE [EXPORTED]       check a packed network, or what was exported from it

`metaplastic COMMAND --help` says more; run, sweep and tune want a preset first: `metaplastic run PRESET --help`."""

Options = TypeVar("Options")


def fail(message: str, status: int = 2) -> NoReturn:
    """End the program with a message and no traceback.

    Args:
        message: What is wrong, and what to do.
        status: Status of the process.

    Raises:
        SystemExit: Always.
    """
    print(f"metaplastic: {message}", file=sys.stderr)
    raise SystemExit(status)


def parse(
    options: type[Options], words: list[str], command: str, default: Options | None = None, about: str | None = None
) -> Options:
    """Parse the words of a command into a frozen dataclass; nested fields go by their own names.

    Args:
        options: The dataclass, whose docstrings are the help.
        words: What follows the command.
        command: What help calls it.
        default: Values of fields that are not given.
        about: What help says of the command, a line for each paragraph; by default the docstring of the dataclass.

    Returns:
        The options.

    Raises:
        ValueError: When a whole number has more digits than PyTorch and NumPy count with.
    """
    markers = (tyro.conf.OmitArgPrefixes, tyro.conf.AvoidSubcommands, tyro.conf.EnumChoicesFromValues)
    given: dict[str, Any] = {} if default is None else {"default": default}
    if about:
        columns = min(shutil.get_terminal_size().columns, 100)
        # tyro joins lines again, but for those that begin with a space.
        wrap = functools.partial(textwrap.fill, width=columns, subsequent_indent=" ", break_on_hyphens=False)
        given["description"] = "\n".join(map(wrap, about.splitlines()))
    parsed = tyro.cli(options, args=words, prog=f"metaplastic {command}", config=markers, **given)
    for name, number in _whole_numbers(parsed):
        if not -(2**63) <= number < 2**63:
            raise ValueError(f"expected --{name.replace('_', '-')} within 64 bits, up to about 9.2e18, got {number}")
    return parsed


def _whole_numbers(options: Any) -> Iterator[tuple[str, int]]:
    """Find the whole numbers in a dataclass, each with the name of the field that holds it."""
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        if dataclasses.is_dataclass(value):
            yield from _whole_numbers(value)
        for item in value if isinstance(value, tuple) else (value,):
            if isinstance(item, int):
                yield field.name, item


def shown(quiet: bool) -> bool | None:
    """Say whether progress is shown: never where quiet is asked for, else on a terminal.

    Args:
        quiet: Whether it is asked for.

    Returns:
        What runs take for their progress.
    """
    return False if quiet else None


@contextlib.contextmanager
def resumable() -> Iterator[None]:
    """End the program with what to do next when a training in it is stopped or diverges.

    Yields:
        Nothing.
    """
    from metaplastic.experiments import Interrupted
    from metaplastic.learners import NonFiniteLossError

    try:
        yield
    except Interrupted as interrupted:
        fail(str(interrupted), status=130)
    except NonFiniteLossError as error:
        fail(str(error))


def show(folders: Sequence[Path], pictures: Path | None = None, against: str | None = None) -> None:
    """Print a table for every set of runs on the same tests, and draw them where pictures are asked for.

    Args:
        folders: Folders of runs or of studies.
        pictures: Folder for the pictures and the page; None draws none.
        against: Label of the group that the others are tested against on the page.
    """
    from rich.console import Console

    from metaplastic.report import compare_each, report, table

    console = Console()
    written = report(folders, pictures, against) if pictures else folders
    for comparison in compare_each(folders):
        console.print(table(comparison))
    for path in written:
        console.print(str(path), highlight=False, markup=False, soft_wrap=True)
