"""Data of your own: a .npz file or a .csv file."""

import csv
import math
import re
import zipfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int64, Shaped

from metaplastic.data.dataset import Dataset, Samples
from metaplastic.files import replacing
from metaplastic.seeding import Purpose, generator

_LARGEST = float(np.finfo(np.float32).max)


def existing(path: str | Path) -> Path:
    """Find what lies at a path.

    Args:
        path: A file or folder; `~` is the user's home.

    Returns:
        The path.

    Raises:
        FileNotFoundError: When nothing is there.
    """
    path = Path(path).expanduser()
    if not path.exists():
        raise FileNotFoundError(f"expected a file or folder at {path.absolute()}, found nothing; check the path")
    return path


def load_npz(path: str | Path, test_fraction: float = 0.2, seed: int = 0) -> Dataset:
    """Load arrays from a .npz file.

    Args:
        path: A file with the arrays `x_train`, `y_train`, `x_test`, `y_test`, or with `x` and `y`. Inputs are
            `[samples, ...]`: uint8 images (`[samples, rows, columns]` or `[samples, channels, rows, columns]`, scale
            1/256) or floating-point numbers (scale 1). Labels are `[samples]`, numbers or text.
        test_fraction: Share of `x` and `y` held out for testing, class by class, in (0, 1).
        seed: Of that split.

    Returns:
        The data set; classes are the sorted values of the training labels.

    Raises:
        ValueError: When the file is damaged, keys are missing, or an array cannot be used, naming it.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "blobs.npz"
        >>> np.savez(path, x=np.eye(10, dtype=np.float32), y=["a", "b"] * 5)
        >>> blobs = load_npz(path)
        >>> blobs.class_names, len(blobs.train), len(blobs.test)
        (('a', 'b'), 8, 2)
    """
    path = existing(path)
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            arrays = {key: stored[key] for key in stored}
    except (ValueError, EOFError, TypeError, AttributeError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path}: expected a .npz file of numeric arrays, got {error}; save it anew") from error
    four, two = ("x_train", "y_train", "x_test", "y_test"), ("x", "y")
    for keys in (four, two):
        if set(keys) <= set(arrays):
            for x, y in zip(keys[::2], keys[1::2], strict=True):
                _check_inputs(f"{path}: {x}", arrays[x])
                _check_labels(f"{path}: {y}", arrays[y], len(arrays[x]))
            return _from_arrays(path, [arrays[key] for key in keys], test_fraction, seed)
    got = ", ".join(arrays) or "none"
    raise ValueError(f"{path}: expected the arrays {', '.join(four)}, or x and y, got {got}; rename them")


def save_npz(dataset: Dataset, path: str | Path) -> Path:
    """Save a data set as a .npz file that `load_npz` and `--data` take, e.g. features that took long to compute.

    Args:
        dataset: Inputs in float32 with scale 1, or bytes with scale 1/256, which is what is read back.
        path: The file, with the suffix `.npz`.

    Returns:
        The path.

    Raises:
        ValueError: When the data set would not come back as it is.

    Example:
        >>> import tempfile
        >>> inputs, labels = torch.eye(4), torch.tensor([0, 1, 0, 1])
        >>> blobs = Dataset("blobs", Samples(inputs, labels), Samples(inputs, labels), ("a", "b"))
        >>> load_npz(save_npz(blobs, Path(tempfile.mkdtemp()) / "blobs.npz")).class_names
        ('a', 'b')
    """
    path, names = Path(path).expanduser(), np.array(dataset.class_names)
    require_same_when_read(dataset, path)
    x_train, x_test = dataset.train.inputs.numpy(), dataset.test.inputs.numpy()
    y_train, y_test = names[dataset.train.labels.numpy()], names[dataset.test.labels.numpy()]
    with replacing(path) as file:
        np.savez(file, x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)
    return path


def require_same_when_read(dataset: Dataset, path: Path) -> None:
    """Fail unless a data set would be read back from a file as it is.

    Args:
        dataset: The data set.
        path: The file.

    Raises:
        ValueError: When it would not.
    """
    kinds = {torch.float32: 1.0, torch.uint8: 1 / 256}
    for samples in (dataset.train, dataset.test):
        if kinds.get(samples.inputs.dtype) != dataset.scale:
            raise ValueError(
                f"expected inputs in float32 with scale 1 or bytes with scale 1/256, got {samples.inputs.dtype} with "
                f"scale {dataset.scale} in {dataset.name!r}; multiply them by it"
            )
        if not samples.inputs.isfinite().all():
            raise ValueError(f"expected finite inputs in {dataset.name!r}, got others; remove or correct those samples")
    if dataset.offset:
        raise ValueError(
            f"expected inputs without an offset, which a file does not keep, got {dataset.offset} in {dataset.name!r}; "
            "write the data set as it was before two_signed"
        )
    if path.suffix != ".npz":
        raise ValueError(f"expected a path that ends in .npz, got {path}; add it")
    if (
        sorted(dataset.class_names) != list(dataset.class_names)
        or len(set(dataset.train.labels.tolist())) < dataset.classes
    ):
        raise ValueError(
            f"expected class names in alphabetical order, each with training samples, got {dataset.class_names} in "
            f"{dataset.name!r}; rename or renumber them"
        )


def _from_arrays(path: Path, arrays: Sequence[np.ndarray], test_fraction: float, seed: int) -> Dataset:
    if len(arrays) == 2:
        x, y = arrays
        train, test = stratified_split(y, test_fraction, seed)
        arrays = x[train], y[train], x[test], y[test]
    return dataset_of(path.stem, *arrays)


def _check_inputs(name: str, x: np.ndarray) -> None:
    if x.ndim < 2 or not len(x):
        raise ValueError(f"{name}: expected [samples, ...] with at least one sample, got shape {x.shape}; reshape it")
    if x.dtype != np.uint8 and not np.issubdtype(x.dtype, np.floating):
        raise ValueError(f"{name}: expected uint8 or floating-point numbers, got {x.dtype}; convert it with astype")
    if x.dtype == np.uint8 and x.ndim == 4 and x.shape[1] not in (1, 3) and x.shape[3] in (1, 3):
        raise ValueError(
            f"{name}: expected [samples, channels, rows, columns], got channels last, {x.shape}; "
            "use x.transpose(0, 3, 1, 2)"
        )
    with np.errstate(over="ignore"):
        finite = np.isfinite(x if x.dtype == np.uint8 else x.astype(np.float32))
    if not finite.all():
        at = tuple(int(i) for i in np.argwhere(~finite)[0])
        raise ValueError(f"{name}: expected finite float32 numbers, got {x[at]} at {list(at)}; remove such samples")


def _check_labels(name: str, y: np.ndarray, count: int) -> None:
    if y.shape != (count,):
        raise ValueError(f"{name}: expected one label per sample, shape ({count},), got {y.shape}; reshape it")
    if np.issubdtype(y.dtype, np.floating) and not np.isfinite(y).all():
        raise ValueError(f"{name}: expected a label for every sample, got {y[~np.isfinite(y)][0]}; remove such samples")


def dataset_of(name: str, x_train: np.ndarray, y_train: np.ndarray, x_test: np.ndarray, y_test: np.ndarray) -> Dataset:
    """Make a data set of checked arrays.

    Args:
        name: What it is called, and what messages begin with.
        x_train: Training inputs, bytes or numbers.
        y_train: Their labels, numbers or text.
        x_test: Test inputs, of the same kind.
        y_test: Their labels, each one of the training labels.

    Returns:
        The data set; classes are the sorted values of the training labels.

    Raises:
        ValueError: When the parts do not fit each other.
    """
    if (x_train.dtype == np.uint8) != (x_test.dtype == np.uint8):
        raise ValueError(
            f"{name}: expected training and test inputs of one kind, got {x_train.dtype} and {x_test.dtype}; "
            "convert one of them with astype"
        )
    classes = np.unique(y_train)
    strangers = np.setdiff1d(y_test, classes)
    if len(strangers):
        raise ValueError(
            f"{name}: expected every test label among the training labels, got {strangers[0]} in the test part only; "
            "add training samples of it or remove it"
        )
    parts = ((x_train, y_train), (x_test, y_test))
    train, test = (Samples(_tensor(x), torch.from_numpy(np.searchsorted(classes, y))) for x, y in parts)
    scale = 1 / 256 if x_train.dtype == np.uint8 else 1.0
    return Dataset(name, train, test, tuple(str(value) for value in classes), scale)


def _tensor(array: np.ndarray) -> torch.Tensor:
    dtype = np.uint8 if array.dtype == np.uint8 else np.float32
    return torch.from_numpy(np.array(array, dtype, order="C"))


def stratified_split(
    labels: Shaped[np.ndarray, " samples"], fraction: float, seed: int
) -> tuple[Int64[np.ndarray, " train"], Int64[np.ndarray, " test"]]:
    """Divide samples into training and test samples so that every class is in both.

    Args:
        labels: `[samples]`, of any type that can be sorted.
        fraction: Share of the test samples, in (0, 1).
        seed: The same seed gives the same split.

    Returns:
        Positions of the training and of the test samples.

    Raises:
        ValueError: When a class is too small to be in both parts.
    """
    from sklearn.model_selection import train_test_split

    if not 0 < fraction < 1:
        raise ValueError(f"expected a test fraction between 0 and 1, got {fraction}; 0.2 is usual")
    draw = int(torch.randint(2**31 - 1, (), generator=generator(seed, Purpose.SPLIT)))
    try:
        train, test = train_test_split(np.arange(len(labels)), test_size=fraction, stratify=labels, random_state=draw)
    except ValueError as error:
        smallest, count = Counter(labels.tolist()).most_common()[-1]
        raise ValueError(
            f"expected enough samples to hold out {fraction} of {len(labels)} with every class in both parts, got a "
            f"smallest class {smallest!r} of {count} ({error}); add samples, or give training and test data separately"
        ) from error
    return train.astype(np.int64), test.astype(np.int64)


def load_csv(
    path: str | Path, label: str = "label", test_fraction: float = 0.2, seed: int = 0, standardise: bool = True
) -> Dataset:
    r"""Load a table with one sample a line.

    Args:
        path: A file in UTF-8, comma separated, with a header line. Every column but the label is a number.
        label: Name of the column of labels, numbers or text.
        test_fraction: Share held out for testing, class by class, in (0, 1).
        seed: Of that split.
        standardise: Whether each feature has the mean of the training samples subtracted and is divided by their
            standard deviation (1 where they are all equal).

    Returns:
        The data set, inputs `[samples, features]` in float32; classes are the sorted labels.

    Raises:
        ValueError: When the table cannot be used, naming line and column.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "iris.csv"
        >>> _ = path.write_text("width,label\n" + "0.2,setosa\n1.3,versicolor\n" * 5)
        >>> load_csv(path).class_names
        ('setosa', 'versicolor')
    """
    path = existing(path)
    features, texts = _read_table(path, label)
    names, labels = _classes(texts)
    train, test = stratified_split(labels, test_fraction, seed)
    if standardise:
        features = _standardised(features, features[train])
    parts = [Samples(_tensor(features[part]), torch.from_numpy(labels[part])) for part in (train, test)]
    return Dataset(path.stem, parts[0], parts[1], names)


def _standardised(features: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Standardise columns by some rows; one in which these are equal has that value as its mean, not rounded."""
    constant = (train == train[0]).all(0)
    mean, deviation = np.where(constant, train[0], train.mean(0)), train.std(0)
    return (features - mean) / np.where(constant | (deviation == 0), 1, deviation)


def _read_table(path: Path, label: str) -> tuple[np.ndarray, list[str]]:
    values, texts = [], []
    with path.open(newline="", encoding="utf-8-sig") as file:
        try:
            lines = csv.reader(file, strict=True)
            header = [name.strip() for name in next(lines, [])]
            column = _label_column(path, header, label)
            for cells in lines:
                if cells:
                    row, text = _read_line(f"{path}, line {lines.line_num}", cells, header, column)
                    values.append(row)
                    texts.append(text)
        except (csv.Error, UnicodeDecodeError) as error:
            raise ValueError(
                f"{path}, line {lines.line_num}: expected comma separated text in UTF-8, got {error}; export it anew"
            ) from error
    if not values:
        raise ValueError(f"{path}: expected samples below the header line, got none; add some")
    return np.array(values), texts


def _label_column(path: Path, header: list[str], label: str) -> int:
    if header.count(label) != 1:
        got = f"{header.count(label)} of that name" if label in header else ", ".join(header) or "an empty file"
        raise ValueError(
            f"{path}, line 1: expected one column {label!r}, got {got}; name the column of labels with label=..."
        )
    if len(header) < 2:
        raise ValueError(f"{path}, line 1: expected a column of features beside {label!r}, got none; add one")
    return header.index(label)


def _read_line(place: str, cells: list[str], header: list[str], column: int) -> tuple[list[float], str]:
    if len(cells) != len(header):
        raise ValueError(f"{place}: expected {len(header)} cells as in the header, got {len(cells)}; complete the line")
    text = cells[column].strip()
    if not text:
        raise ValueError(f"{place}, column {header[column]!r}: expected a label, got an empty cell; fill it in")
    row = [_number(place, name, cell) for i, (name, cell) in enumerate(zip(header, cells, strict=True)) if i != column]
    return row, text


def _number(place: str, name: str, cell: str) -> float:
    try:
        value = math.nan if "_" in cell else float(cell)  # Python reads 1_0 as ten
    except ValueError:
        value = math.nan
    # Beyond the largest float32 a number would turn into infinity later on.
    if not abs(value) <= _LARGEST:
        raise ValueError(
            f"{place}, column {name!r}: expected a finite number, got {cell!r}; correct it or remove the line"
        )
    return value


def _classes(texts: list[str]) -> tuple[tuple[str, ...], np.ndarray]:
    """Number the labels, in numeric order where all are plain numbers: 10 comes after 9, and 1 equals 1.0."""
    # 007 and 1_2 are names, and so are numbers so large that float64 does not tell neighbours apart.
    numbers = all(map(_PLAIN_NUMBER.fullmatch, set(texts)))
    keys = np.array([float(text) for text in texts] if numbers else texts)
    if numbers and np.abs(keys).max() >= 2**53:
        keys = np.array(texts)
    _, first, labels = np.unique(keys, return_index=True, return_inverse=True)
    return tuple(texts[i] for i in first), labels.astype(np.int64)


_PLAIN_NUMBER = re.compile(r"[+-]?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
