"""Fetching public data sets: mirrors in order, contents checked before a file takes its place."""

import enum
import hashlib
import io
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from metaplastic.data import catalogue
from metaplastic.data.catalogue import Entry, Form, Layout, SourceFile
from metaplastic.data.images import locate, parse_content, roots, unwrap
from metaplastic.files import replacing

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

TIMEOUT = (10.0, 30.0)
"""Seconds to wait for a connection, and for the next bytes."""

_CHUNK = 1 << 16


class State(enum.StrEnum):
    """Whether a data set can be loaded now."""

    COMPLETE = "complete"
    """All its files are there."""
    MISSING = "missing files"
    """Some or all of its files are not there."""
    EMBEDDED = "embedded"
    """It comes with a package and needs no files."""


@dataclass(frozen=True)
class Availability:
    """One line of the list of data sets.

    Args:
        name: What it is loaded by.
        title: Its name in print.
        state: Whether it can be loaded now.
        folder: Where its files lie, or None.
        missing: Files that are not there.
        size: Bytes on the disk, of the files that are there.
        download_size: About how many bytes are fetched.
        command: What to type to fetch it; empty when there is nothing to fetch.
    """

    name: str
    title: str
    state: State
    folder: Path | None
    missing: tuple[str, ...]
    size: int
    download_size: int
    command: str


class _MirrorFailedError(Exception):
    """Why one address did not give one file; not an OSError, so that it is never taken for a full disk."""


def available(data_dir: str | Path | None = None) -> tuple[Availability, ...]:
    """List every data set that can be loaded by name, and whether its files are there.

    Args:
        data_dir: Folder that is searched first, see `load`.

    Returns:
        One value per data set. Only the presence of files is looked at, not their contents.

    Example:
        >>> available()[0].name, available()[0].state.value
        ('digits', 'embedded')
    """
    return tuple(_availability(entry, data_dir) for entry in catalogue.CATALOGUE.values())


def _availability(entry: Entry, data_dir: str | Path | None) -> Availability:
    found: dict[str, Path | None] = {}
    places = list(roots(data_dir))
    for form in entry.forms:
        found = {file.name: locate(entry, file, places) for file in form.files}
        if all(found.values()):
            break
    paths = [path for path in found.values() if path]
    missing = tuple(name for name, path in found.items() if not path)
    state = State.EMBEDDED if entry.embedded else State.MISSING if missing else State.COMPLETE
    return Availability(
        name=entry.name,
        title=entry.title,
        state=state,
        folder=paths[0].parent if paths else None,
        missing=missing,
        size=sum(path.stat().st_size for path in paths),
        download_size=entry.download_size,
        command=f"metaplastic data fetch {entry.name}" if missing else "",
    )


def fetch(
    name: str,
    data_dir: str | Path | None = None,
    mirrors: Sequence[str] | None = None,
    progress: bool | None = None,
) -> tuple[Path, ...]:
    """Fetch the files of a data set that are not there yet.

    The content of every file is compared with the known hash before the file takes its place. A mirror that cannot
    be reached, lacks the file or gives another content is passed over for the next one.

    Args:
        name: A name in the catalogue.
        data_dir: Folder to put files into; by default the one named by METAPLASTIC_DATA, else the user's cache.
        mirrors: Addresses to use instead of the catalogue's. `{file}` in one stands for the name of a file without
            `.gz`; without it `/{file}.gz` is added. What follows `#` is a member of a .zip or .tar.gz archive.
        progress: Whether to show a bar with rate and remaining time; by default where standard error is a terminal.

    Returns:
        Where the files lie; nothing for a set that comes with a package.

    Raises:
        ValueError: When there is no set of that name.
        ConnectionError: When no mirror gave a file, with the reason of each.
        OSError: When a file cannot be written, e.g. on a full disk; nothing half written is left behind.

    Example:
        >>> fetch("digits")
        ()
    """
    entry = catalogue.entry(name)
    if entry.embedded:
        return ()
    # A folder that was asked for gets the files even where they lie somewhere else too.
    places = list(roots(data_dir))[: None if data_dir is None else 1]
    present = _present(entry, places)
    if present:
        return present
    addresses = [address if "{file}" in address else f"{address.rstrip('/')}/{{file}}.gz" for address in mirrors or ()]
    folder = places[0] / entry.folders[0]
    with ExitStack() as stack:
        fetcher = _Fetcher(entry, folder, addresses or list(entry.mirrors), stack, _progress(stack, progress))
        form = entry.forms[-1]
        return tuple(_good(entry, form, file, places) or fetcher.fetch(file) for file in form.files)


def _present(entry: Entry, places: list[Path]) -> tuple[Path, ...]:
    """Files of the first form that is there whole and with the right content."""
    for form in entry.forms:
        paths = [_good(entry, form, file, places) for file in form.files]
        if all(paths):
            return tuple(path for path in paths if path)
    return ()


def _good(entry: Entry, form: Form, file: SourceFile, places: list[Path]) -> Path | None:
    path = locate(entry, file, places)
    if path is None:
        return None
    try:
        check(entry, form.layout, file, path.read_bytes())
    except ValueError:
        return None
    return path


def check(entry: Entry, layout: Layout, file: SourceFile, content: bytes) -> None:
    """Compare the content of a file with the known hash.

    Args:
        entry: The set.
        layout: How its samples lie in files.
        file: What is expected.
        content: As it lies on the disk, compressed or not.

    Raises:
        ValueError: When the content is damaged or another one.
    """
    plain = unwrap(content)
    if layout is Layout.DIGIT_TEXT:
        plain = b"".join(array.tobytes() for array in parse_content(entry, layout, file, plain))
    algorithm = file.digest.partition(":")[0]
    got = f"{algorithm}:{hashlib.new(algorithm, plain, usedforsecurity=False).hexdigest()}"
    if got != file.digest:
        raise ValueError(f"expected content {file.digest}, got {got} ({len(plain)} bytes)")


@dataclass
class _Fetcher:
    """Fetches the files of one data set; an archive that holds several of them is fetched once."""

    entry: Entry
    folder: Path
    mirrors: list[str]
    stack: ExitStack
    progress: "Progress"
    archives: dict[str, io.BufferedIOBase] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    def fetch(self, file: SourceFile) -> Path:
        """Fetch one file from the first mirror that gives the right content."""
        reasons = []
        # A mirror that failed for an earlier file comes last, so that a dead one is waited for only once.
        for mirror in sorted(self.mirrors, key=lambda mirror: mirror in self.failed):
            address = mirror.replace("{file}", file.name)
            try:
                content = self._content(address)
                check(self.entry, self.entry.forms[-1].layout, file, content)
            except (_MirrorFailedError, ValueError) as error:
                self.failed[mirror] = str(error)
                reasons.append(f"\n  {address}: {error}")
            else:
                return self._place(file, content)
        raise ConnectionError(
            f"expected {file.name} from one of {len(self.mirrors)} mirrors, got it from none; try again later, give "
            f"other mirrors, or put the file into {self.folder} yourself:{''.join(reasons)}"
        )

    def _place(self, file: SourceFile, content: bytes) -> Path:
        suffix = {b"\x1f\x8b": ".gz", b"\xfd7": ".xz"}.get(content[:2], "")
        path = self.folder / f"{file.name}{suffix}"
        self._make_folder()
        with replacing(path) as out:
            out.write(content)
        # What lay there before in another wrapping was damaged, or nothing would have been fetched.
        for other in {"", ".gz", ".xz"} - {suffix}:
            path.with_name(f"{file.name}{other}").unlink(missing_ok=True)
        return path

    def _make_folder(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OSError(
                error.errno, f"cannot make the folder {self.folder}: {error.strerror}. Choose another data folder."
            ) from error

    def _content(self, address: str) -> bytes:
        url, _, member = address.partition("#")
        if member:
            if url not in self.archives:
                self.archives[url] = self._fetch_archive(url)
            return _read_member(self.archives[url], member)
        content = io.BytesIO()
        self._download(url, content)
        return content.getvalue()

    def _fetch_archive(self, url: str) -> io.BufferedIOBase:
        self._make_folder()
        try:
            archive = tempfile.TemporaryFile(dir=self.folder)  # noqa: SIM115  (the stack closes it)
            self.stack.callback(_close, archive)
            self._download(url, archive)
        except OSError as error:
            raise OSError(
                error.errno,
                f"cannot write the archive {url} into {self.folder}: {error.strerror or error}; nothing was left "
                "behind. Make room or choose another folder.",
            ) from error
        return archive

    def _download(self, url: str, out: io.BufferedIOBase) -> None:
        import requests
        from pooch import HTTPDownloader

        bar = _Bar(self.progress, url.rpartition("/")[2])
        # A server that unpacks .gz on the way would make the bar and the size wrong.
        headers = {"Accept-Encoding": "identity"}
        download = HTTPDownloader(progressbar=bar, chunk_size=_CHUNK, timeout=TIMEOUT, headers=headers)
        try:
            download(url, out, None)
        except requests.RequestException as error:
            raise _MirrorFailedError(f"{type(error).__name__}: {error}") from error
        finally:
            bar.close()


def _close(archive: io.BufferedIOBase) -> None:
    # What a full disk did not take is tried again at closing, and would hide the first error.
    with suppress(OSError):
        archive.close()


def _read_member(archive: io.BufferedIOBase, member: str) -> bytes:
    archive.seek(0)
    try:
        if zipfile.is_zipfile(archive):
            return zipfile.ZipFile(archive).read(member)
        archive.seek(0)
        with tarfile.open(fileobj=archive) as tar:
            found = tar.extractfile(member)
            if found is not None:
                return found.read()
    except (KeyError, EOFError, OSError, tarfile.TarError, zipfile.BadZipFile, zlib.error) as error:
        raise _MirrorFailedError(f"expected {member} in a .zip or .tar.gz archive, got {error}") from error
    raise _MirrorFailedError(f"expected a file {member} in the archive, got a folder")


def _progress(stack: ExitStack, shown: bool | None) -> "Progress":
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    disable = not (console.is_terminal if shown is None else shown)
    return stack.enter_context(Progress(*columns, TimeRemainingColumn(), console=console, disable=disable))


class _Bar:
    """What pooch asks of a progress bar, shown by rich."""

    def __init__(self, progress: "Progress", description: str) -> None:
        self._progress = progress
        self._task: TaskID = progress.add_task(description, total=None)

    @property
    def total(self) -> float | None:
        """Bytes expected, None where the server does not say."""
        return self._progress.tasks[self._task].total

    @total.setter
    def total(self, total: int) -> None:
        self._progress.update(self._task, total=total or None)

    def update(self, step: int) -> None:
        """Show that so many bytes more have come."""
        self._progress.update(self._task, advance=step)

    def reset(self) -> None:
        """Start at nothing."""
        self._progress.update(self._task, completed=0)

    def close(self) -> None:
        """Stop the clock."""
        self._progress.stop_task(self._task)
