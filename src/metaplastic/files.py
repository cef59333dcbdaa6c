"""Files that are either whole or not there, and what one process has at a time."""

import contextlib
import errno
import json
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from filelock import FileLock, Timeout


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
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> with replacing(folder / "note.txt") as file:
        ...     _ = file.write(b"whole")
        >>> (folder / "note.txt").read_text()
        'whole'
    """
    part = path.parent / f".{path.name}.{uuid.uuid4().hex}.part"
    try:
        with part.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        kept = "the previous version was kept" if path.exists() else "nothing was left behind"
        message = f"cannot write {path}: {error.strerror or error}; {kept}. Make room or choose another folder."
        raise OSError(error.errno, message) from error
    finally:
        part.unlink(missing_ok=True)


@contextlib.contextmanager
def alone(path: Path, what: str) -> Iterator[None]:
    """Keep other processes from something for a while; one that dies lets go.

    Args:
        path: The file that stands for it, which must not be there for anything else; it may be left behind, empty.
        what: What they are kept from, for the message.

    Yields:
        Nothing.

    Raises:
        ValueError: When another process has it.
        OSError: When the file cannot be written.

    Example:
        >>> import tempfile
        >>> lock = Path(tempfile.mkdtemp()) / "lock"
        >>> with alone(lock, "the folder"):
        ...     lock.exists()
        True
        >>> lock.exists()
        False
    """
    lock = FileLock(path, timeout=0)
    try:
        lock.acquire()
    except (PermissionError, NotImplementedError) as error:
        message = f"expected to write {path}, got: {error}; choose a folder that can be written, on another file system"
        raise OSError(errno.EACCES, message) from error
    except Timeout as error:
        raise ValueError(
            f"expected {what} to be free, got another process at work on it; wait until it ends"
        ) from error
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # Windows does not remove what is open
            path.unlink()  # before others can have it: a lock on a file that is gone is not taken for one
        lock.release()


def require_room(folder: Path, size: int = 2**20) -> None:
    """Fail unless files can be written in a folder, and there is room for them: before hours of work, not after.

    Args:
        folder: The folder, which need not exist yet.
        size: Bytes that must be free.

    Raises:
        OSError: When nothing can be written there, or less is free.

    Example:
        >>> require_room(Path(tempfile.gettempdir()) / "new" / "folder")
    """
    place = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    try:
        with tempfile.TemporaryFile(dir=place) as file:
            file.write(bytes(4096))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        message = f"expected to write in {folder}, got: {error.strerror or error}; make room or choose another folder"
        raise OSError(error.errno, message) from error
    if (free := shutil.disk_usage(place).free) < size:
        message = f"expected {_megabytes(size)} free for {folder}, got {_megabytes(free)}; make room or choose another"
        raise OSError(errno.ENOSPC, f"{message} folder")


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file, whole or not at all.

    Args:
        path: The file to write; its folder must exist.
        data: Its contents.
    """
    with replacing(path) as file:
        file.write(data)


def write_text(path: Path, text: str) -> None:
    """Write a text file in UTF-8, whole or not at all.

    Args:
        path: The file to write; its folder must exist.
        text: Its contents.
    """
    write_bytes(path, text.encode())


def write_json(path: Path, plain: Any, indent: int | None = None) -> None:
    """Write JSON, whole or not at all.

    Args:
        path: The file to write; its folder must exist.
        plain: JSON values.
        indent: Spaces per level, for people; None for one line.
    """
    write_text(path, json.dumps(plain, indent=indent) + "\n")
