"""Samples in a file, and what a packed network makes of them."""

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from metaplastic.packed.network import PackedNetwork

_INPUTS, _LABELS = ("x", "x_test"), ("y", "y_test")
"""Names of arrays, in the order in which they are looked for."""


@dataclass(frozen=True)
class Predictions:
    """Classes that were predicted for the samples of a file.

    Args:
        classes: `[samples]`, int64.
        labels: `[samples]`, what the file says they are, as outputs from 0; None where it does not say so.
        remark: Why labels of the file are left out; empty where they are not.
    """

    classes: np.ndarray
    labels: np.ndarray | None = None
    remark: str = ""

    @property
    def accuracy(self) -> float | None:
        """Share of samples that were predicted as they are labelled, in [0, 1]; None without labels or samples."""
        return None if self.labels is None or not len(self.labels) else float((self.classes == self.labels).mean())


def predict_file(network: PackedNetwork, path: Path, task: int | str | None = None) -> Predictions:
    """Predict the samples of a .npz file.

    Args:
        network: The network.
        path: A file with the array `x` or `x_test`, or with one array only, `[samples, ...]` as `predict` takes them;
            labels, if there are any, are integers from 0 in `y` or `y_test`, in the order of the network's outputs.
        task: Name or index of the task, where each has a table of its own.

    Returns:
        The predictions.

    Raises:
        ValueError: When there is no such array, or it cannot be what the network learned from.

    Example:
        >>> import tempfile
        >>> from metaplastic.packed import DenseLayer, Input, Readout
        >>> readout = Readout(np.ones((1, 2), np.float32), np.zeros((1, 2), np.float32))
        >>> network = PackedNetwork(Input.BYTES, (3,), (DenseLayer(np.array([[5], [3]], np.uint8), 3, readout),))
        >>> path = Path(tempfile.mkdtemp()) / "pixels.npz"
        >>> np.savez(path, x=np.array([[0, 0, 9], [0, 9, 0]], np.uint8), y=[0, 0])
        >>> predict_file(network, path)
        Predictions(classes=array([0, 1]), labels=array([0, 0]), remark='')
    """
    arrays = _arrays(path)
    inputs = _first(arrays, _INPUTS)
    if inputs is None:
        raise ValueError(
            f"{path}: expected an array {' or '.join(_INPUTS)}, or one array only, got {', '.join(arrays) or 'none'}; "
            "rename the samples to x"
        )
    try:
        classes = network.predict(inputs, task)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    labels = _first(arrays, _LABELS) if len(arrays) > 1 else None
    if labels is None or labels.dtype.kind not in "iu" or labels.shape != classes.shape:
        return Predictions(classes)
    if len(labels) and not (labels.min() >= 0 and labels.max() < network.classes):
        return Predictions(
            classes,
            remark=f"expected labels from 0 to {network.classes - 1}, in the order of the outputs, got some from "
            f"{labels.min()} to {labels.max()}; number the classes as they were trained",
        )
    return Predictions(classes, labels)


def _arrays(path: Path) -> dict[str, np.ndarray]:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored}
    except FileNotFoundError as error:
        raise ValueError(f"expected samples in {path}, got no file; check the path") from error
    except (ValueError, EOFError, TypeError, AttributeError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path}: expected a .npz file of numeric arrays, got {error}; save it anew") from error


def _first(arrays: dict[str, np.ndarray], names: tuple[str, ...]) -> np.ndarray | None:
    for name in names:
        if name in arrays:
            return arrays[name]
    return next(iter(arrays.values())) if len(arrays) == 1 else None
