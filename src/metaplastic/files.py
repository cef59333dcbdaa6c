"""Files that are either whole or not there."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO


def _usual_mode() -> int:
    """Permissions that a new file gets, which `mkstemp` does not give it."""
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


_MODE = _usual_mode()  # read once: asking changes the mask for a moment


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Open a file for writing that takes the place of `path` only when it is complete and on the disk.

    An exception, a full disk or a killed process leaves what was at `path` before.

    Args:
        path: The file to write; its folder must exist.

    Yields:
        A binary file beside `path`, renamed to it at the end.

    Raises:
        OSError: When the file cannot be written, with the path and what was kept.

    Example:
        >>> folder = Path(tempfile.mkdtemp())
        >>> with replacing(folder / "note.txt") as file:
        ...     _ = file.write(b"whole")
        >>> (folder / "note.txt").read_text()
        'whole'
    """
    try:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    except OSError as error:
        raise OSError(
            error.errno, f"cannot write {path}: {error.strerror}. Make room or choose another folder."
        ) from error
    part = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.chmod(_MODE)
        part.replace(path)
    except OSError as error:
        kept = "the previous version was kept" if path.exists() else "nothing was left behind"
        message = f"cannot write {path}: {error.strerror or error}; {kept}. Make room or choose another folder."
        raise OSError(error.errno, message) from error
    finally:
        part.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file, whole or not at all.

    Args:
        path: The file to write; its folder must exist.
        text: Its contents.
    """
    with replacing(path) as file:
        file.write(text.encode())
