"""The command line: a thin face over the library. Each command parses its arguments and makes one call.

torch is imported only when a command needs it, so that help comes at once.
"""

import logging
import sys
from collections.abc import Callable

from metaplastic.choices import unknown
from metaplastic.cli.commands import bench, bench_packed, data, demo, list_experiments, report
from metaplastic.cli.errors import explained, torch_memory_errors
from metaplastic.cli.options import USAGE, fail
from metaplastic.cli.packing import export, pack, predict, summary, verify
from metaplastic.cli.running import run
from metaplastic.cli.sweeping import sweep, tune


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
        fail(unknown("command", words[0], COMMANDS))
    _show_log()
    try:
        with torch_memory_errors():
            COMMANDS[words[0]](words[1:])
    except (ValueError, OSError, ArithmeticError, ImportError, MemoryError) as error:
        fail(explained(error))
    except KeyboardInterrupt:
        fail("stopped; what was written so far is whole", status=130)


def _show_log() -> None:
    """Show on standard error what the library has to say; what it writes there itself is for people only."""
    logger, handler = logging.getLogger("metaplastic"), logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger.handlers = [handler]
    logger.setLevel(logging.INFO)


COMMANDS: dict[str, Callable[[list[str]], None]] = {
    "demo": demo,
    "list": list_experiments,
    "run": run,
    "sweep": sweep,
    "tune": tune,
    "report": report,
    "bench": bench,
    "bench-packed": bench_packed,
    "data": data,
    "pack": pack,
    "export": export,
    "predict": predict,
    "summary": summary,
    "verify": verify,
}
