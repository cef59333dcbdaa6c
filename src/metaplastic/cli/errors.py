"""What is said of errors that end a command, in the place of a traceback."""

import contextlib
import re
from collections.abc import Iterator

_NO_MEMORY = re.compile(
    r"MemoryError|bad_alloc|can't allocate memory|unable to allocate|not enough memory|out of memory"
    r"|storage size calculation overflow",
    re.I,
)
"""What torch and NumPy say where there is not enough memory; torch does so without an exception of its own for it."""


def explained(error: Exception) -> str:
    """Say what is wrong, and what to do.

    Args:
        error: What ended a command.

    Returns:
        A sentence.

    Example:
        >>> explained(FileNotFoundError(2, "No such file or directory", "digits.npz"))
        'expected to use digits.npz, got: No such file or directory; check the path, or choose another'
    """
    if isinstance(error, MemoryError):
        return _explained_memory(error)
    return _explained_system(error) if isinstance(error, OSError) else str(error)


@contextlib.contextmanager
def torch_memory_errors() -> Iterator[None]:
    """Tell torch's lack of memory from its other errors, as Python and NumPy do.

    Yields:
        Nothing.

    Raises:
        MemoryError: In the place of what torch raises for it.
        RuntimeError: Any other, as it is.
    """
    try:
        yield
    except RuntimeError as error:
        if not _NO_MEMORY.search(str(error)):
            raise
        raise MemoryError(str(error)) from error


def _explained_memory(error: MemoryError) -> str:
    asked = re.search(r"allocate ([\d.]+) (\w+)", str(error))
    amount = f" for {_readable(*asked.groups())} more" if asked else ""
    return (
        f"expected room in memory{amount}, got none; make the network, the batches or the data smaller (--hidden, "
        "--batch-size, --test-batch), or do fewer things at once"
    )


def _readable(amount: str, unit: str) -> str:
    return f"{float(amount) / 1e9:.1f} GB" if unit == "bytes" else f"{amount} {unit}"


def _explained_system(error: OSError) -> str:
    """Leave out the number; what comes without a file is a whole sentence, which names it where there is one."""
    if error.filename is None or error.strerror is None:
        return error.strerror or str(error)
    return f"expected to use {error.filename}, got: {error.strerror}; check the path, or choose another"
