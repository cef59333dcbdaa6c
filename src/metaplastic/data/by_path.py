"""Data of your own, of whatever kind lies at a path."""

from collections.abc import Callable
from pathlib import Path

from metaplastic.data.arrays import existing, load_csv, load_npz
from metaplastic.data.dataset import Dataset
from metaplastic.data.folder import load_folder


def load_path(path: Path) -> Dataset:
    """Load a file or folder, as its kind demands.

    Args:
        path: A .npz file, a .csv file or a folder of images.

    Returns:
        The data set, with the defaults of `load_npz`, `load_csv` or `load_folder`.

    Raises:
        ValueError: When it is of another kind.
    """
    if existing(path).is_dir():
        return load_folder(path)
    loaders: dict[str, Callable[[Path], Dataset]] = {".npz": load_npz, ".csv": load_csv}
    suffix = path.suffix.lower()
    if suffix not in loaders:
        raise ValueError(f"expected a .npz file, a .csv file or a folder of images, got {path}; convert it to one")
    return loaders[suffix](path)
