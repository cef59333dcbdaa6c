"""The values that the data room hands on: samples, and data sets made of them."""

from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Int64, Shaped
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class Samples:
    """Inputs and their labels, held in memory as they were stored.

    Args:
        inputs: `[samples, ...]`, uint8 for images, float32 for other data.
        labels: `[samples]`, int64, from 0.

    Raises:
        ValueError: When the two differ in length or a label is negative.
    """

    inputs: Shaped[Tensor, "samples ..."]
    labels: Int64[Tensor, " samples"]

    def __post_init__(self) -> None:
        if len(self.inputs) != len(self.labels):
            raise ValueError(
                f"expected one label per input, got {len(self.inputs)} inputs and {len(self.labels)} labels; "
                "check that both files belong together"
            )
        if len(self.labels) and int(self.labels.min()) < 0:
            raise ValueError(f"expected labels from 0, got {int(self.labels.min())}; number the classes from 0")

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Dataset:
    r"""Training and test samples of one classification problem.

    Args:
        name: What the records call it.
        train: Samples to learn from.
        test: Samples to be tested on, never learned from.
        class_names: One name per label; their number is the number of classes.
        scale: What an entry of `inputs` is multiplied by before a network sees it. For images it is a power of two
            (1/256 for bytes), so that every sum of pixels with signs is exact in float32 whatever the order of
            summation, and predictions cannot depend on how a test set is cut into batches.
        offset: What is added after that; see `two_signed`.

    Raises:
        ValueError: When a label is outside `class_names`, or train and test inputs differ in shape.

    Deviation from the paper and the authors' code: there pixels are k/255. The factor 255/256 is absorbed by the
    normalisation behind the first layer.
    """

    name: str
    train: Samples
    test: Samples
    class_names: tuple[str, ...] = field(repr=False)
    scale: float = 1.0
    offset: float = 0.0

    def __post_init__(self) -> None:
        if self.train.inputs.shape[1:] != self.test.inputs.shape[1:]:
            raise ValueError(
                f"expected training and test inputs of one shape, got {tuple(self.train.inputs.shape[1:])} and "
                f"{tuple(self.test.inputs.shape[1:])} in {self.name!r}; resize one of them"
            )
        for part, samples in (("training", self.train), ("test", self.test)):
            if len(samples) and int(samples.labels.max()) >= self.classes:
                raise ValueError(
                    f"expected labels below {self.classes} in the {part} samples of {self.name!r}, got "
                    f"{int(samples.labels.max())}; give one class name per label"
                )

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one input, without the sample dimension."""
        return tuple(self.train.inputs.shape[1:])

    def padded(self, side: int) -> "Dataset":
        """Surround images with zeros, so that sets of different sizes can be learned in one sequence.

        Args:
            side: Height and width of the images when padded, in pixels. The image is in the middle; where that cannot
                be, one pixel nearer to the upper left.

        Returns:
            The same data set of larger images; itself where they have that size.

        Raises:
            ValueError: When inputs are no images `[..., height, width]`, or larger ones.

        Example:
            >>> from metaplastic.data import load
            >>> load("digits").padded(12).input_shape
            (12, 12)

        References:
            Laborieux et al. 2021: USPS, padded by 6 pixels on each side to the 28 x 28 of MNIST.
        """
        if len(self.input_shape) < 2 or max(self.input_shape[-2:]) > side:
            raise ValueError(
                f"expected images of at most {side} x {side} pixels to pad, got inputs of shape {self.input_shape} in "
                f"{self.name!r}; pad to the size of the largest"
            )
        height, width = (side - size for size in self.input_shape[-2:])
        if height == width == 0:
            return self
        margins = (width // 2, width - width // 2, height // 2, height - height // 2)
        train, test = (Samples(functional.pad(part.inputs, margins), part.labels) for part in (self.train, self.test))
        return replace(self, train=train, test=test)

    def two_signed(self) -> "Dataset":
        r"""Show inputs with two signs, for a network that computes with the signs of its input.

        .. math:: x = s \, (k - 1/2), \qquad \mathrm{sign}(x) = -1 \text{ if } k = 0 \text{ else } +1

        with :math:`k` a byte as it is stored and :math:`s` the `scale`. Pixels are never negative and sign(0) = +1, so
        without the offset of half a step such a network would see +1 everywhere.

        Returns:
            The same data set with an offset; inputs that are no bytes are left as they are if they have two signs.

        Raises:
            ValueError: When inputs are no bytes and none is negative: what is to count as dark is not known.

        Example:
            >>> import torch
            >>> pixels = Samples(torch.tensor([[0, 1, 255]], dtype=torch.uint8), torch.tensor([0]))
            >>> data = Dataset("tiny", pixels, pixels, ("a",), scale=1 / 256).two_signed()
            >>> (pixels.inputs * data.scale + data.offset).sign().tolist()
            [[-1.0, 1.0, 1.0]]

        Deviation from the authors' code: there the signs :math:`x` of one-channel pixels are {0, 1}, because sign(0) =
        0. Ours are :math:`2 x - 1`, which a layer turns from :math:`y` into :math:`2 y - \sum w`, and a normalisation
        over samples takes that back. Two differences are left: where a convolution pads with zeros, theirs are
        background and ours are between background and ink; and a normalisation of each sample by itself does not take
        :math:`\sum w` back.
        """
        if self.train.inputs.dtype is torch.uint8:
            return replace(self, offset=-self.scale / 2)
        if not bool((self.train.inputs < 0).any()):
            raise ValueError(
                f"expected inputs of two signs, or bytes, for a network that computes with their signs, got none below "
                f"0 in {self.name!r}; subtract what lies between dark and bright, or do not binarize the input"
            )
        return self


def samples(inputs: Shaped[Tensor, "samples ..."], labels: Tensor) -> Samples:
    """Make `Samples` from tensors of any integer label type.

    Args:
        inputs: `[samples, ...]`.
        labels: `[samples]`, any integer type.

    Returns:
        The samples, labels as int64.
    """
    return Samples(inputs, labels.to(torch.int64))
