"""Data of your own: a folder of images."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from metaplastic.data.arrays import dataset_of, existing, stratified_split
from metaplastic.data.dataset import Dataset

if TYPE_CHECKING:
    from PIL import Image

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".pgm", ".ppm", ".tif", ".tiff", ".webp")
"""Files that are read as images; others in the same folder are passed over."""

_GRAYSCALE = ("1", "L", "LA")


def load_folder(path: str | Path, test_fraction: float = 0.2, seed: int = 0) -> Dataset:
    """Load a folder of images, one folder a class.

    Args:
        path: Either with the folders `train/<class>/` and `test/<class>/`, or with `<class>/` alone. All images have
            one size; grayscale ones become `[samples, rows, columns]`, others `[samples, 3, rows, columns]`.
        test_fraction: Share held out for testing, class by class, in (0, 1), where there is no folder `test`.
        seed: Of that split.

    Returns:
        The data set; classes are the sorted names of the folders.

    Raises:
        ImportError: When Pillow is not installed.
        ValueError: When an image cannot be read or differs in size, or a class is empty, naming it.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> root = Path(tempfile.mkdtemp())
        >>> for i in range(10):
        ...     (root / "ab"[i % 2]).mkdir(exist_ok=True)
        ...     Image.new("L", (4, 3), i).save(root / "ab"[i % 2] / f"{i}.png")
        >>> load_folder(root).train.inputs.shape
        torch.Size([8, 3, 4])
    """
    path = existing(path)
    if (path / "train").is_dir() != (path / "test").is_dir():
        raise ValueError(f"{path}: expected both folders train and test, or neither, got one; add the other")
    divided = (path / "train").is_dir()
    parts = [_image_files(path / part) for part in (("train", "test") if divided else ("",))]
    images = _read_images([file for part in parts for file in part])
    labels = np.array([file.parent.name for part in parts for file in part])
    if divided:
        border = len(parts[0])
        return dataset_of(path.resolve().name, images[:border], labels[:border], images[border:], labels[border:])
    train, test = stratified_split(labels, test_fraction, seed)
    return dataset_of(path.resolve().name, images[train], labels[train], images[test], labels[test])


def _image_files(root: Path) -> list[Path]:
    folders = sorted(folder for folder in root.iterdir() if folder.is_dir() and not folder.name.startswith("."))
    if not folders:
        raise ValueError(f"{root}: expected one folder per class, got none; sort the images into such folders")
    found: list[Path] = []
    for folder in folders:
        files = sorted(file for file in folder.iterdir() if file.suffix.lower() in SUFFIXES)
        if not files:
            raise ValueError(f"{folder}: expected images ({', '.join(SUFFIXES)}), got none; add some or remove it")
        found += files
    return found


def _read_images(files: list[Path]) -> np.ndarray:
    modes, images = zip(*_open_images(files), strict=True)
    if set(modes) <= set(_GRAYSCALE):
        return np.stack([np.asarray(image.convert("L")) for image in images])
    return np.stack([np.asarray(image.convert("RGB")).transpose(2, 0, 1) for image in images])


def _open_images(files: list[Path]) -> Iterator[tuple[str, "Image.Image"]]:
    try:
        from PIL import Image
    except ImportError as error:
        raise ImportError("a folder of images is read with Pillow: pip install metaplastic[images]") from error
    first = None
    for file in files:
        try:
            with Image.open(file) as image:
                image.load()
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise ValueError(f"{file}: expected an image, got {error}; replace or remove it") from error
        first = first or image.size
        if image.size != first:
            sizes = f"{files[0]} of {first[0]}x{first[1]} and {file} of {image.size[0]}x{image.size[1]}"
            raise ValueError(f"expected images of one size, got {sizes} pixels; resize them")
        if image.mode.startswith(("I", "F")):
            raise ValueError(f"{file}: expected 8 bits a channel, got mode {image.mode}; convert it to 8 bits")
        yield image.mode, image
