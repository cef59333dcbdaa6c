"""Image data sets by name: finding their files, and reading them into tensors."""

import gzip
import io
import lzma
import math
import os
import zlib
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8

from metaplastic.data import catalogue
from metaplastic.data.arrays import stratified_split
from metaplastic.data.by_path import load_path
from metaplastic.data.catalogue import Entry, Form, Layout, SourceFile
from metaplastic.data.dataset import Dataset, Samples, samples
from metaplastic.data.feature_files import command_for

ENVIRONMENT = "METAPLASTIC_DATA"
"""Environment variable that names a data folder."""

Images = UInt8[np.ndarray, "samples ..."]
Labels = UInt8[np.ndarray, " samples"]
Arrays = tuple[np.ndarray, ...]

_GZIP, _XZ = b"\x1f\x8b", b"\xfd7zXZ\x00"
_PIXELS = 3 * 32 * 32
_FILES = (".npz", ".csv")


def load(name_or_path: str | Path, data_dir: str | Path | None = None) -> Dataset:
    """Load a data set by name, or data of your own by path.

    Images stay bytes, with `scale` 1/256 (`digits`: 1/16). `digits` comes with scikit-learn and is split 80/20 into
    training and test samples, class by class, always the same way. EMNIST letters are turned upright and numbered
    from 0. `cifar-10-part` is a nonstandard split, for use where the whole set is not to be had: batches 1 and 2 to
    train on, batch 5, which is no test data of the published set, to test on; say so wherever it is used.

    Args:
        name_or_path: A name in the catalogue (`digits`, `mnist`, `fashion-mnist`, `usps`, `emnist-letters`,
            `cifar-10`, `cifar-10-part`, `cifar-100`), or the path of a .npz file, a .csv file or a folder of images (a
            folder that has the name of a set: as `./name`). The name of a file without a folder, given as text, is
            looked for in `data_dir`, the current folder, the one named by METAPLASTIC_DATA and the user's cache.
        data_dir: Folder that is searched before the one named by METAPLASTIC_DATA and the user's cache; files lie
            there as `<set name>/<file>`, plain, .gz or .xz.

    Returns:
        The data set.

    Raises:
        ValueError: When there is no set of that name, or a file is damaged.
        FileNotFoundError: When files are missing, with the places searched and the command that fetches or makes
            them.

    Example:
        >>> digits = load("digits")
        >>> len(digits.train), len(digits.test), digits.input_shape, digits.scale
        (1437, 360, (8, 8), 0.0625)
    """
    name = str(name_or_path)
    if isinstance(name_or_path, Path):
        return load_path(name_or_path)
    if name not in catalogue.CATALOGUE and _is_path(name):
        bare = name.endswith(_FILES) and Path(name).name == name
        return load_path(_own_file(name, data_dir) if bare else Path(name))
    entry = catalogue.entry(name)
    if entry.embedded:
        return _digits(entry)
    form, paths = _find(entry, data_dir)
    train, test = read(entry, form, paths)
    return Dataset(entry.name, train, test, entry.class_names, entry.scale)


def _is_path(name: str) -> bool:
    separators = {os.sep, os.altsep, "/"} - {None}
    return name.endswith(_FILES) or any(mark in name for mark in separators if mark) or Path(name).exists()


def _own_file(name: str, data_dir: str | Path | None) -> Path:
    """Find a file that is named without a folder."""
    searched = []
    for place in _file_places(data_dir):
        if (place / name).exists():
            return place / name
        searched.append(str(place.absolute()))
    command = command_for(name)
    advice = f"make it by `{command}`" if command else "check the path"
    raise FileNotFoundError(f"expected {name} in {', '.join(searched)}, found nothing; {advice}")


def _file_places(data_dir: str | Path | None) -> Iterator[Path]:
    if data_dir is not None:
        yield Path(data_dir).expanduser()
    yield Path.cwd()
    yield from roots()


def _digits(entry: Entry) -> Dataset:
    from sklearn.datasets import load_digits

    digits = load_digits()
    inputs = torch.from_numpy(digits.images.astype(np.uint8))
    labels = torch.from_numpy(digits.target.astype(np.int64))
    train, test = stratified_split(digits.target, fraction=0.2, seed=0)
    parts = [Samples(inputs[part], labels[part]) for part in (train, test)]
    return Dataset(entry.name, parts[0], parts[1], entry.class_names, entry.scale)


def roots(data_dir: str | Path | None = None) -> Iterator[Path]:
    """Name the folders that are searched for data sets; the first is where new files go.

    Args:
        data_dir: A folder given by the caller.

    Yields:
        That folder, the one named by METAPLASTIC_DATA, and the user's cache, where each is given.
    """
    if data_dir is not None:
        yield Path(data_dir).expanduser()
    if os.environ.get(ENVIRONMENT):
        yield Path(os.environ[ENVIRONMENT]).expanduser()
    import pooch

    yield Path(pooch.os_cache("metaplastic"))


def locate(entry: Entry, file: SourceFile, places: Iterable[Path]) -> Path | None:
    """Find one file of a data set.

    Args:
        entry: The set.
        file: One of its files.
        places: Data folders, searched in this order.

    Returns:
        Where it lies, or None.
    """
    for root in places:
        for folder in entry.folders:
            for wrapper in ("", ".gz", ".xz"):
                path = root / folder / f"{file.name}{wrapper}"
                if path.is_file():
                    return path
    return None


def _find(entry: Entry, data_dir: str | Path | None) -> tuple[Form, list[Path]]:
    missing: list[str] = []
    searched = list(roots(data_dir))
    for form in entry.forms:
        found = {file.name: locate(entry, file, searched) for file in form.files}
        paths = [path for path in found.values() if path is not None]
        if len(paths) == len(form.files):
            return form, paths
        missing = [name for name, path in found.items() if path is None]
    places = ", ".join(str(root / entry.folders[0]) for root in searched)
    raise FileNotFoundError(
        f"data set {entry.name!r}: expected {', '.join(missing)} (plain, .gz or .xz), found none of them in {places}. "
        f"Run `metaplastic data fetch {entry.name}`, or put the files there yourself.{entry.hint and ' ' + entry.hint}"
    )


def read(entry: Entry, form: Form, paths: list[Path]) -> tuple[Samples, Samples]:
    """Read the files of a data set.

    Args:
        entry: The set.
        form: How it lies in the files.
        paths: One path per file of `form`.

    Returns:
        Training and test samples.

    Raises:
        ValueError: When a file is damaged or of another kind, naming it.
    """
    # Decompression leaves the interpreter's lock, so files are read at the same time.
    with ThreadPoolExecutor() as pool:
        contents = pool.map(lambda file, path: parse(entry, form.layout, file, path), form.files, paths)
        arrays = list(contents)
    if form.layout is Layout.IDX:
        arrays = [arrays[0] + arrays[1], arrays[2] + arrays[3]]
    images, labels = (np.concatenate(part) if len(part) > 1 else part[0] for part in zip(*arrays[:-1], strict=True))
    return _samples(entry, images, labels), _samples(entry, *arrays[-1])


def _samples(entry: Entry, images: Images, labels: Labels) -> Samples:
    upright = images.swapaxes(1, 2) if entry.transposed else images
    numbered = labels.astype(np.int64) - entry.first_label
    return samples(torch.from_numpy(np.array(upright, order="C")), torch.from_numpy(numbered))


def parse(entry: Entry, layout: Layout, file: SourceFile, path: Path) -> Arrays:
    """Read one file of a data set and check that it is what it should be.

    Args:
        entry: The set.
        layout: How its samples lie in files.
        file: What is expected.
        path: Where it lies.

    Returns:
        Images and labels, or the one of them that an idx file holds.

    Raises:
        ValueError: When the file is damaged or of another kind, naming it.
    """
    try:
        return parse_content(entry, layout, file, unwrap(path.read_bytes()))
    except ValueError as error:
        raise ValueError(
            f"{path}: {error}. Delete the file and run `metaplastic data fetch {entry.name}`, or copy it again."
        ) from error


def unwrap(content: bytes) -> bytes:
    """Undo the compression of a file's content.

    The kind of compression is taken from the content, not from the file's name, because some servers undo it on the
    way.

    Args:
        content: Plain, gzip or xz.

    Returns:
        The uncompressed content.

    Raises:
        ValueError: When the compressed content is damaged.

    Example:
        >>> unwrap(gzip.compress(b"pixels"))
        b'pixels'
    """
    try:
        if content.startswith(_GZIP):
            return gzip.decompress(content)
        if content.startswith(_XZ):
            return lzma.decompress(content)
    except (EOFError, OSError, zlib.error, lzma.LZMAError) as error:
        raise ValueError(f"expected a whole compressed file, got a truncated or damaged one ({error})") from error
    return content


def parse_content(entry: Entry, layout: Layout, file: SourceFile, content: bytes) -> Arrays:
    """Turn the uncompressed content of a file into images and labels.

    Args:
        entry: The set.
        layout: How its samples lie in files.
        file: What is expected.
        content: Uncompressed.

    Returns:
        Images and labels, or the one of them that an idx file holds.

    Raises:
        ValueError: When the content is not what is expected.
    """
    match layout:
        case Layout.IDX:
            arrays: Arrays = (_parse_idx(content, entry.image_shape, holds_images="idx3" in file.name),)
        case Layout.DIGIT_TEXT:
            arrays = _parse_digit_text(content, entry.image_shape)
        case Layout.CIFAR:
            arrays = _parse_cifar(content, file.samples, labels=1)
        case Layout.CIFAR_FINE:
            arrays = _parse_cifar(content, file.samples, labels=2)
    got = len(arrays[0])
    if got != file.samples:
        raise ValueError(f"expected {file.samples} samples, got {got}; the file is truncated or belongs to another set")
    if arrays[-1].ndim == 1:
        _expect_labels(arrays[-1], entry)
    return arrays


def _expect_labels(labels: Labels, entry: Entry) -> None:
    last = entry.first_label + len(entry.class_names) - 1
    if len(labels) and not entry.first_label <= int(labels.min()) <= int(labels.max()) <= last:
        span = f"{int(labels.min())} to {int(labels.max())}"
        raise ValueError(f"expected labels from {entry.first_label} to {last}, got {span}")


def _parse_idx(content: bytes, image_shape: tuple[int, ...], holds_images: bool) -> Images | Labels:
    # The header is two zeros, the type (8: bytes), the number of dimensions, and each dimension in four bytes.
    dimensions = 3 if holds_images else 1
    magic = bytes([0, 0, 8, dimensions])
    if not content.startswith(magic):
        raise ValueError(f"expected an idx file that begins {magic.hex(' ')}, got {content[:4].hex(' ') or 'nothing'}")
    header = 4 + 4 * dimensions
    if len(content) < header:
        raise ValueError(f"expected a header of {header} bytes, got a file of {len(content)} bytes; it is truncated")
    shape = tuple(int(size) for size in np.frombuffer(content, ">u4", dimensions, offset=4))
    expected = header + math.prod(shape)
    if len(content) != expected:
        raise ValueError(f"expected {expected} bytes for shape {shape}, got {len(content)}; the file is truncated")
    if holds_images and shape[1:] != image_shape:
        raise ValueError(f"expected images of {image_shape}, got {shape[1:]}; the file belongs to another set")
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)


def _parse_cifar(content: bytes, count: int, labels: int) -> tuple[Images, Labels]:
    """Take records of so many labels, of which the last is the one to learn, and pixels apart."""
    record = labels + _PIXELS
    if len(content) != count * record:
        raise ValueError(
            f"expected {count} records of {record} bytes ({count * record} bytes), got {len(content)} bytes; "
            "the file is truncated or of another kind"
        )
    records = np.frombuffer(content, np.uint8).reshape(-1, record)
    return records[:, labels:].reshape(-1, 3, 32, 32), records[:, labels - 1]


def _parse_digit_text(content: bytes, image_shape: tuple[int, ...]) -> tuple[Images, Labels]:
    columns = 1 + math.prod(image_shape)
    try:
        table = np.loadtxt(io.BytesIO(content), ndmin=2) if content.strip() else np.empty((0, columns))
    except ValueError as error:
        raise ValueError(f"expected lines of {columns} numbers, got something else ({error})") from error
    if table.shape[1] != columns:
        raise ValueError(f"expected lines of {columns} numbers, got {table.shape[1]}; the file is of another kind")
    if not (np.abs(table[:, 1:]) <= 1).all():
        raise ValueError("expected pixels from -1 to 1, got others; the file is of another kind")
    images = np.round((table[:, 1:] + 1) * 127.5).astype(np.uint8).reshape(-1, *image_shape)
    return images, table[:, 0].astype(np.uint8)
