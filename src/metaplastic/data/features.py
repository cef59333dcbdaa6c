"""Features of images from a network that was trained elsewhere, and their normalisation sample by sample."""

import copy
import enum
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from metaplastic.choices import choose, settle_choices
from metaplastic.data.dataset import Dataset, Samples
from metaplastic.data.random_features import images
from metaplastic.seeding import Purpose, generator


class ExtractorStatistics(enum.StrEnum):
    """Where the batch normalisation of an extractor takes its mean and variance from."""

    EVALUATION = "evaluation"
    """What it learned: the features of an image are its own."""
    BATCH = "batch"
    """Each batch of images, test images included: the features of an image depend on its neighbours."""


@dataclass(frozen=True)
class Recipe:
    """How images are shown to an extractor.

    Args:
        resize: Rows or columns of an image after enlarging, whichever are fewer, in pixels; None leaves images as
            they are.
        crop: Rows and columns that are shown: anywhere in a training image, in the centre of a test image; None shows
            all.
        flip: Whether half of the training images are mirrored.
        passes: Passes over the training images, each cropped and mirrored anew, >= 1.
        statistics: What the extractor's batch normalisation uses.
        batch_size: Images per forward pass, >= 1; they come in their order.

    Raises:
        ValueError: When a value is out of range.
    """

    resize: int | None = 220
    crop: int | None = 200
    flip: bool = True
    passes: int = 10
    statistics: ExtractorStatistics = ExtractorStatistics.EVALUATION
    batch_size: int = 500

    def __post_init__(self) -> None:
        settle_choices(self)
        for name in ("resize", "crop", "passes", "batch_size"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"expected {name} >= 1, got {value}")


_TOGETHER = 10_000

AUTHORS = Recipe(statistics=ExtractorStatistics.BATCH)
"""The recipe of the paper's code, which left ResNet-18 in training mode; the default differs in nothing else. Its
features were divided by their variance, see `Divisor`."""


def extracted_features(
    dataset: Dataset,
    extractor: nn.Module,
    recipe: Recipe = Recipe(),
    *,
    seed: int = 0,
    after_batch: Callable[[int], None] = lambda images: None,
) -> Dataset:
    """Describe images by what a network makes of them.

    Bytes are shown as k/255, as pretrained networks expect them; a normalisation of colours, if any, belongs into the
    extractor. Images of one channel are shown as such.

    Args:
        dataset: Images `[samples, rows, columns]` or `[samples, channels, rows, columns]`.
        extractor: Maps `[batch, channels, rows, columns]` to features, which are flattened; it is left as it was found,
            running statistics included. Images go to the device of its parameters.
        recipe: How images are shown.
        seed: Seed of crops and mirrored images.
        after_batch: Called after each batch with the number of images in it.

    Returns:
        The data set with inputs `[samples, features]` in float32 on the CPU, scale 1: the training samples once per
        pass, pass after pass, and the test samples.

    Raises:
        ValueError: When inputs are no images, or smaller than the crop.

    Example:
        >>> from metaplastic.data.images import load
        >>> brightness = nn.AdaptiveAvgPool2d(2)
        >>> digits = extracted_features(load("digits"), brightness, Recipe(resize=16, crop=12, passes=2))
        >>> digits.input_shape, len(digits.train), len(digits.test)
        ((4,), 2874, 360)

    References:
        Laborieux et al. 2021, CIFAR-10 and CIFAR-100 features: ResNet-18 pretrained on ImageNet, without its last
        layer, with 512 features.

    Deviations from the authors' code: by default the extractor is in evaluation mode, see `AUTHORS`. Enlarged images
    are not rounded to bytes. Dropout, which ResNet-18 does not have, is off in both modes.
    """
    if len(dataset.input_shape) not in (2, 3):
        raise ValueError(
            f"expected images, got inputs of shape {dataset.input_shape} in {dataset.name!r}; reshape them to "
            "[samples, channels, rows, columns]"
        )
    network = _prepared(extractor, recipe.statistics)

    def features(samples: Samples, source: torch.Generator | None = None) -> Iterator[Tensor]:
        for batch in _shown(samples, dataset, network, recipe, source):
            yield _described(batch, network)
            after_batch(len(batch))

    sources = [generator(seed, Purpose.AUGMENTATION, number) for number in range(recipe.passes)]
    train = torch.cat([part for source in sources for part in features(dataset.train, source)])
    return Dataset(
        f"{dataset.name} features",
        Samples(train, dataset.train.labels.repeat(recipe.passes)),
        Samples(torch.cat(list(features(dataset.test))), dataset.test.labels),
        dataset.class_names,
    )


def _prepared(extractor: nn.Module, statistics: ExtractorStatistics) -> nn.Module:
    """Copy an extractor, so that running statistics of batches do not reach the caller's."""
    network = copy.deepcopy(extractor).eval()
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.train(statistics is ExtractorStatistics.BATCH)
    return network


@torch.no_grad()
def _described(batch: Tensor, network: nn.Module) -> Tensor:
    return network(batch).flatten(1).to("cpu", torch.float32)


def _shown(
    samples: Samples, dataset: Dataset, network: nn.Module, recipe: Recipe, source: torch.Generator | None
) -> Iterator[Tensor]:
    """Batches of images, training images moved by the source, test images without one."""
    unit = 1 / 255 if dataset.scale == 1 / 256 else dataset.scale
    device = next((parameter.device for parameter in network.parameters()), torch.device("cpu"))
    for batch in samples.inputs.split(recipe.batch_size):
        shown = _resized(images(batch.to(device), unit), recipe.resize)
        yield _cropped(shown, recipe.crop, recipe.flip, source)


def _resized(batch: Tensor, resize: int | None) -> Tensor:
    if resize is None:
        return batch
    rows, columns = (round(side * resize / min(batch.shape[2:])) for side in batch.shape[2:])
    return functional.interpolate(batch, (rows, columns), mode="bilinear", antialias=True)


def _cropped(batch: Tensor, crop: int | None, flip: bool, source: torch.Generator | None) -> Tensor:
    """Crop and mirror each image by itself; without a source, show the centre."""
    spare = torch.tensor([side - (crop or side) for side in batch.shape[2:]])
    if int(spare.min()) < 0:
        raise ValueError(
            f"expected images of at least {crop} rows and columns to crop, got {tuple(batch.shape[2:])}; enlarge them "
            "with resize, or crop less"
        )
    rows, columns = (side - int(more) for side, more in zip(batch.shape[2:], spare, strict=True))
    if source is None:
        top, left = (spare // 2).tolist()
        return batch[:, :, top : top + rows, left : left + columns]
    places = (torch.rand(len(batch), 2, generator=source) * (spare + 1)).long().tolist()
    mirrored = ((torch.rand(len(batch), generator=source) < 0.5) & flip).tolist()
    shown = [
        image[:, top : top + rows, left : left + columns] for image, (top, left) in zip(batch, places, strict=True)
    ]
    return torch.stack([image.flip(2) if back else image for image, back in zip(shown, mirrored, strict=True)])


class Divisor(enum.StrEnum):
    """What centred features are divided by."""

    DEVIATION = "deviation"
    """The standard deviation over the features of the sample."""
    VARIANCE = "variance"
    """The variance, as in the authors' code. A network that takes only signs of its inputs does not see which."""


def normalised_samples(dataset: Dataset, divisor: Divisor | str = Divisor.DEVIATION) -> Dataset:
    r"""Normalise each sample over its features.

    .. math:: x' = (x - \bar x) / s \quad \text{or} \quad (x - \bar x) / s^2

    :math:`\bar x` is the mean and :math:`s^2` the variance over the features of one sample, divided by their number. A
    sample whose features are all equal becomes 0, one with NaN is NaN.

    Args:
        dataset: Inputs of any shape, flattened.
        divisor: What is divided by.

    Returns:
        The data set with inputs `[samples, features]` in float32, scale 1.

    Example:
        >>> from metaplastic.data.images import load
        >>> digits = normalised_samples(load("digits"))
        >>> digits.train.inputs.mean(1).abs().max() < 1e-6
        tensor(True)
    """
    divisor = choose(Divisor, divisor)

    def normalised(samples: Samples) -> Samples:
        # Part by part: ten passes over a large set fill a gigabyte, and every step of the formula would hold another.
        parts = (part.to(torch.float32) * dataset.scale for part in samples.inputs.flatten(1).split(_TOGETHER))
        return Samples(torch.cat([_normalised(part, divisor) for part in parts]), samples.labels)

    return Dataset(dataset.name, normalised(dataset.train), normalised(dataset.test), dataset.class_names)


def _normalised(inputs: Float[Tensor, "samples features"], divisor: Divisor) -> Float[Tensor, "samples features"]:
    centred = inputs - inputs.mean(1, keepdim=True)
    variance = centred.square().mean(1, keepdim=True)
    by = variance if divisor is Divisor.VARIANCE else variance.sqrt()
    # A mean of equal numbers is rounded, so that they are told by themselves and not by their variance.
    equal = (inputs == inputs[:, :1]).all(1, keepdim=True)
    return torch.where(equal | (by == 0), 0.0, centred / by)
