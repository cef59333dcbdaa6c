"""The paper's extractor, a ResNet-18 that was trained on ImageNet, and files of its features."""

import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import torch
from torch import nn

from metaplastic.data.arrays import require_same_when_read, save_npz
from metaplastic.data.dataset import Dataset
from metaplastic.data.feature_files import feature_file
from metaplastic.data.features import AUTHORS, Divisor, Recipe, extracted_features, normalised_samples
from metaplastic.data.images import load, roots
from metaplastic.files import require_room

FEATURES = 512
"""Number of features of ResNet-18."""


def resnet18() -> nn.Module:
    """Make the paper's extractor: ResNet-18 trained on ImageNet, without its last layer.

    Returns:
        A network from `[batch, 3, rows, columns]`, pixels from 0 to 1, to `[batch, 512]`.

    Raises:
        ImportError: When torchvision is not installed, or was built for another torch.
        OSError: When its weights are not here and cannot be fetched; they are 45 MB.
    """
    models = _torchvision_models()
    weights = models.ResNet18_Weights.IMAGENET1K_V1
    try:
        network = models.resnet18(weights=weights)
    except OSError as error:
        folder = Path(torch.hub.get_dir()) / "checkpoints"
        raise OSError(
            f"expected the weights of ResNet-18 in {folder} or from {weights.url}, got neither ({error}); try again "
            "later, or put that file there yourself"
        ) from error
    network.fc = nn.Identity()
    return network


def _torchvision_models() -> ModuleType:
    # By name: torchvision is large, often built for another torch, and nothing else here needs it.
    try:
        return importlib.import_module("torchvision.models")
    except ImportError as error:
        raise ImportError(
            f"expected torchvision, which ResNet-18 comes from, got {error}; install it with\n"
            "  pip install 'metaplastic[features]'"
        ) from error
    except RuntimeError as error:
        # What torchvision says when its compiled half could not be loaded.
        raise ImportError(
            f"expected a torchvision that fits torch {torch.__version__}, got {error}; install torch and torchvision "
            "from one index, in one command"
        ) from error


def write_features(
    name_or_path: str | Path,
    out: str | Path | None = None,
    *,
    authors: bool = False,
    data_dir: str | Path | None = None,
    device: str | None = None,
    progress: bool | None = None,
) -> Path:
    """Compute the ResNet-18 features of a data set, and write them to a file that is loaded by its name.

    It takes hours without a GPU and is not gone on with when it was stopped. Whether the file can be written is seen
    before. The file holds the training images ten times, each cropped and mirrored anew, and the test images once; for
    CIFAR-10 and CIFAR-100 it has 1 GB, and 4 GB of memory are needed.

    Args:
        name_or_path: A data set of color images, as for `load`.
        out: File to write; None is `<name>-resnet18.npz`, with `authors` `<name>-resnet18-authors.npz`, in the first
            folder that `load` searches for data sets.
        authors: Whether to do as the paper's code, with ResNet-18 in training mode (`AUTHORS`) and features divided by
            their variance; by default it is in evaluation mode (`Recipe`) and the standard deviation divides.
        data_dir: Where the data lie; None looks where `load` looks.
        device: Where to compute, as torch names it; None takes a GPU where torch finds one.
        progress: Whether to show a progress bar; None shows it on a terminal.

    Returns:
        The file.

    Raises:
        FileExistsError: When there is such a file.
        ValueError: When inputs are no color images, or what is computed could not be saved.
        ImportError: When torchvision cannot be imported.
        OSError: When weights or data are missing, or there is no room for the file.
    """
    network = resnet18()
    dataset = load(name_or_path, data_dir)
    recipe, divisor = (AUTHORS, Divisor.VARIANCE) if authors else (Recipe(), Divisor.DEVIATION)
    path = next(roots(data_dir)) / feature_file(dataset.name, authors) if out is None else Path(out).expanduser()
    images = recipe.passes * len(dataset.train) + len(dataset.test)
    _require_color(dataset)
    _require_new_file(path, dataset, images)
    network.to(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    with _bar(f"{dataset.name}, {recipe.passes} passes", images, progress) as after_batch:
        features = extracted_features(dataset, network, recipe, after_batch=after_batch)
    return save_npz(normalised_samples(features, divisor), path)


def _require_color(dataset: Dataset) -> None:
    if len(dataset.input_shape) != 3 or dataset.input_shape[0] != 3:
        raise ValueError(
            f"expected color images [samples, 3, rows, columns], which ResNet-18 was trained on, got inputs of shape "
            f"{dataset.input_shape} in {dataset.name!r}; choose another set, such as cifar-10 or cifar-100"
        )


def _require_new_file(path: Path, dataset: Dataset, samples: int) -> None:
    """Fail now and not after hours of work."""
    if path.exists():
        raise FileExistsError(
            f"expected a new file for features, got {path}, which is there; delete it or choose --out"
        )
    require_same_when_read(dataset, path)
    longest = max(len(name) for name in dataset.class_names)
    require_room(path.parent, samples * 4 * (FEATURES + longest) + 2**20)
    path.parent.mkdir(parents=True, exist_ok=True)


@contextmanager
def _bar(title: str, images: int, shown: bool | None) -> Iterator[Callable[[int], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("images"))
    disable = not (console.is_terminal if shown is None else shown)
    with Progress(*columns, TimeRemainingColumn(), console=console, disable=disable) as progress:
        task = progress.add_task(title, total=images)
        yield lambda count: progress.update(task, advance=count)
