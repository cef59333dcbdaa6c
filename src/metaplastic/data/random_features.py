"""Features of images from one layer of random filters: no pretrained network, no label."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Shaped
from torch import Tensor
from torch.nn import functional

from metaplastic.data.dataset import Dataset, Samples
from metaplastic.seeding import Purpose, generator

Images = Float[Tensor, "samples channels rows columns"]

QUADRANTS = 4
CONTRAST = 10 / 255**2
"""Added to the variance of a patch, in squared units of a pixel from 0 to 1: patches without contrast stay small."""
WHITENING = 0.1
"""Added to the variances of patches before they are made equal."""

_PATCHES, _TOGETHER = 20_000, 50


@dataclass(frozen=True)
class Filters:
    """Linear filters of contrast-normalised patches.

    Args:
        weight: `[filters, channels, size, size]`.
        offset: `[filters]`: added to the responses.
    """

    weight: Float[Tensor, "filters channels size size"]
    offset: Float[Tensor, " filters"]


def whitened_filters(images: Images, filters: int, size: int, source: torch.Generator) -> Filters:
    r"""Draw patches of images, and make filters of them that answer to what is rare in patches.

    .. math:: r_j(p) = d_j^T Z (\hat p - \mu), \quad \hat p = \frac{p - \bar p}{\sqrt{\mathrm{var}(p) + c}},
              \quad Z = V (\Lambda + w)^{-1/2} V^T

    :math:`\mu` and :math:`V \Lambda V^T` are mean and covariance of 20,000 contrast-normalised patches :math:`\hat p`,
    :math:`d_j` is one of them, whitened and of length 1, :math:`c` is `CONTRAST` and :math:`w` `WHITENING`. The filters
    are :math:`d_j^T Z`, the offsets :math:`-d_j^T Z \mu`.

    Args:
        images: `[samples, channels, rows, columns]`, pixels from 0 to 1.
        filters: Their number, >= 1.
        size: Rows and columns of a patch, in pixels.
        source: Source of randomness.

    Returns:
        The filters.

    References:
        Coates, Ng and Lee 2011, AISTATS; Coates and Ng 2011, ICML ("The importance of encoding versus training").
    """
    patches = _normalised(_patches(images, size, max(_PATCHES, filters), source))
    mean = patches.mean(0)
    variances, directions = torch.linalg.eigh(torch.cov(patches.T))
    whitening = directions * (variances + WHITENING).rsqrt() @ directions.T
    drawn = functional.normalize((patches[:filters] - mean) @ whitening)
    weight = drawn @ whitening
    shape = (filters, images.shape[1], size, size)
    return Filters(weight.to(torch.float32).reshape(shape), -(weight @ mean).to(torch.float32))


def _patches(images: Tensor, size: int, count: int, source: torch.Generator) -> Tensor:
    """Patches `[count, channels * size * size]` in float64, from anywhere in any image."""
    samples, _, rows, columns = images.shape
    which, top, left = (
        torch.randint(high, (count, 1, 1), generator=source) for high in (samples, rows - size + 1, columns - size + 1)
    )
    inside = torch.arange(size)
    # Index tensors on both sides of a slice put the channels last.
    patches = images[which, :, top + inside[:, None], left + inside]
    return patches.movedim(3, 1).flatten(1).to(torch.float64)


def _normalised(patches: Tensor) -> Tensor:
    centred = patches - patches.mean(1, keepdim=True)
    return centred / (patches.var(1, keepdim=True) + CONTRAST).sqrt()


def pooled_responses(images: Images, filters: Filters, threshold: float) -> Float[Tensor, "samples features"]:
    r"""Average the responses to the patches of every quarter of an image.

    .. math:: f_{jq} = \mathrm{mean}_{p \in q} \max(0, r_j(p) - \theta)

    :math:`r_j` is the response of `whitened_filters` and :math:`\theta` is `threshold`; q is a quarter of the positions
    of a patch. Neighbouring quarters share a row or column of positions where their number is odd.

    Args:
        images: `[samples, channels, rows, columns]`, pixels from 0 to 1.
        filters: The filters.
        threshold: What a response must exceed, in units of a whitened patch's standard deviation.

    Returns:
        `[samples, 4 filters]`, the quarters of a filter side by side.
    """
    weight, size = filters.weight, filters.weight.shape[-1]
    entries = weight[0].numel()
    mean = functional.avg_pool2d(images.mean(1, keepdim=True), size, 1)
    square = functional.avg_pool2d(images.square().mean(1, keepdim=True), size, 1)
    variance = (square - mean.square()).clamp_(min=0) * (entries / (entries - 1))
    # A filter is linear, so the mean of a patch can be taken off its response.
    response = functional.conv2d(images, weight) - mean * weight.sum((1, 2, 3))[:, None, None]
    response = response.div_((variance + CONTRAST).sqrt()).add_((filters.offset - threshold)[:, None, None])
    return functional.adaptive_avg_pool2d(response.relu_(), 2).flatten(1)


def random_convolutional_features(
    dataset: Dataset,
    features: int = 512,
    seed: int = 0,
    *,
    size: int = 6,
    threshold: float = 0.5,
    patches_from: Dataset | None = None,
) -> Dataset:
    """Describe images by the responses of random filters, averaged over their quarters.

    The filters are whitened patches drawn at random, see `whitened_filters`, and the features their responses above a
    threshold, see `pooled_responses`. They were chosen by a linear probe (linear discriminant analysis) of 512 features
    of CIFAR-10, 6,000 lossless training images against 2,000 others, one draw of each kind: pixels averaged to 13x13,
    37 %; Gaussian filters, 50 %; Gaussian filters of contrast-normalised patches, 56 %; whitened Gaussian filters,
    58 %; these, 59 %. A network with binary inputs sees less, the signs around the mean of each sample's features:
    49 %. With a threshold of 0 it is 60 % and 48 %, with 1 59 % and 51 %.

    The filters never see a label. They do see training images of all classes, so in a scenario where these come one
    after the other, they know a little of what is to come; give another data set in `patches_from` where that matters.

    Args:
        dataset: Images `[samples, rows, columns]` or `[samples, channels, rows, columns]`.
        features: Number of features, a multiple of 4, >= 4.
        seed: Seed of the filters.
        size: Rows and columns of a patch, in pixels, >= 2 and at most one less than those of the images.
        threshold: What a response must exceed.
        patches_from: Whose training images the patches are drawn from; None takes those of `dataset`.

    Returns:
        The data set with inputs `[samples, features]` in float32, scale 1.

    Raises:
        ValueError: When inputs are no images, patches do not fit, or the number of features is no multiple of 4.

    Example:
        >>> from metaplastic.data.images import load
        >>> digits = random_convolutional_features(load("digits"), features=32, size=3)
        >>> digits.input_shape, digits.train.inputs.dtype
        ((32,), torch.float32)

    Deviation from Coates and Ng: the patches have no dictionary trained on them; random ones are nearly as good there.
    Nothing of it is in the metaplasticity paper, whose features come from a pretrained network; see
    `extracted_features`.
    """
    if features < QUADRANTS or features % QUADRANTS:
        raise ValueError(f"expected a multiple of 4 features, one per quarter of an image and filter, got {features}")
    drawn_from = dataset if patches_from is None else patches_from
    for data in (dataset, drawn_from):
        _require_images(data, size)
    source = generator(seed, Purpose.FEATURES)
    filters = whitened_filters(images(drawn_from.train.inputs, drawn_from.scale), features // QUADRANTS, size, source)

    def described(samples: Samples) -> Samples:
        parts = (images(part, dataset.scale) for part in samples.inputs.split(_TOGETHER))
        return Samples(torch.cat([pooled_responses(part, filters, threshold) for part in parts]), samples.labels)

    return Dataset(
        f"{dataset.name} random features", described(dataset.train), described(dataset.test), dataset.class_names
    )


def _require_images(dataset: Dataset, size: int) -> None:
    shape = dataset.input_shape
    if len(shape) not in (2, 3) or min(shape[-2:]) <= size or size < 2:
        raise ValueError(
            f"expected images of more than {size} rows and columns, and patches of at least 2, got inputs of shape "
            f"{shape} in {dataset.name!r} and size {size}; choose a smaller or larger size, or another data set"
        )


def images(inputs: Shaped[Tensor, "samples ..."], scale: float) -> Images:
    """Show inputs as images in float32.

    Args:
        inputs: `[samples, rows, columns]` or `[samples, channels, rows, columns]`.
        scale: What pixels are multiplied by.

    Returns:
        `[samples, channels, rows, columns]`.
    """
    shown = inputs.to(torch.float32) * scale
    return shown[:, None] if shown.dim() == 3 else shown
