"""Images that are moved at random while they are learned."""

import enum
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int64, Shaped
from torch import Tensor

from metaplastic.scenarios.view import IndexView
from metaplastic.seeding import Purpose, generator

FARTHEST = 4
"""Pixels that a crop shifts an image by at most, up or down and left or right."""
STEEPEST = 10.0
"""Degrees that a rotation turns an image by at most, either way."""


class Augmentation(enum.StrEnum):
    """How training images are moved at random. Tests and statistics see them as they are."""

    NONE = "none"
    """Not at all."""
    FLIP = "flip"
    """Mirrored left to right, every other time."""
    FLIP_AND_CROP = "flip-and-crop"
    """Mirrored so, and shifted by up to 4 pixels each way; what comes in repeats the border."""
    FLIP_AND_ROTATE = "flip-and-rotate"
    """Mirrored so, and turned by up to 10 degrees either way; what comes in is black."""
    FLIP_AND_CROP_OR_ROTATE = "flip-and-crop-or-rotate"
    """Mirrored so, and either shifted or turned, each image at random: as published for CIFAR-10."""


@dataclass(frozen=True)
class Moves:
    """How each of several images is moved: mirrored, then turned, then shifted.

    Args:
        flipped: `[images]`: whether left and right are exchanged.
        angle: `[images]`: degrees that it is turned by about its middle, counter-clockwise.
        shift: `[images, 2]`: rows and columns that it is shifted by, up and to the left.
    """

    flipped: Bool[Tensor, " images"]
    angle: Float[Tensor, " images"]
    shift: Int64[Tensor, "images 2"]

    def of(self, rows: Int64[Tensor, " batch"]) -> "Moves":
        """Pick the moves of some images.

        Args:
            rows: Which images.

        Returns:
            Their moves.
        """
        rows = rows.to(self.flipped.device)
        return Moves(self.flipped[rows], self.angle[rows], self.shift[rows])

    def to(self, device: torch.device) -> "Moves":
        """Move the numbers.

        Args:
            device: Where to.

        Returns:
            The same moves there.
        """
        return Moves(self.flipped.to(device), self.angle.to(device), self.shift.to(device))


def draw_moves(augmentation: Augmentation, images: int, source: torch.Generator) -> Moves:
    """Draw how images are moved, each for itself.

    Args:
        augmentation: What may be drawn.
        images: How many.
        source: Where the numbers come from. As many are drawn whatever the augmentation, so that two of them flip the
            same images.

    Returns:
        The moves, on the CPU.
    """
    flipped = torch.rand(images, generator=source) < 0.5
    angle = (torch.rand(images, generator=source) * 2 - 1) * STEEPEST
    shift = torch.randint(-FARTHEST, FARTHEST + 1, (images, 2), generator=source)
    coin = torch.rand(images, generator=source) < 0.5
    turned = {Augmentation.FLIP_AND_ROTATE: torch.ones_like(coin), Augmentation.FLIP_AND_CROP_OR_ROTATE: coin}
    shifted = {Augmentation.FLIP_AND_CROP: torch.ones_like(coin), Augmentation.FLIP_AND_CROP_OR_ROTATE: ~coin}
    never = torch.zeros_like(coin)
    return Moves(
        flipped & (augmentation is not Augmentation.NONE),
        angle * turned.get(augmentation, never),
        shift * shifted.get(augmentation, never)[:, None],
    )


def moved(images: Shaped[Tensor, "batch ..."], moves: Moves) -> Shaped[Tensor, "batch ..."]:
    r"""Move images by taking each pixel from another place of the same image.

    .. math:: y_{ij} = x_{kl}, \qquad (k, l) = \lfloor c + R(\theta) \, ((i, j) + \tfrac12 - c) \rfloor + (s_1, s_2)

    with :math:`c` the middle of the image, :math:`R(\theta)` the rotation by `angle` and :math:`s` the `shift`; in a
    mirrored image, column :math:`l` counts from the right. No values are mixed, so bytes stay bytes. What a shift takes
    from outside is the nearest pixel within, what a rotation takes from outside is 0.

    Args:
        images: `[batch, ..., height, width]`.
        moves: One move per image.

    Returns:
        The images moved, in a tensor of their own.

    Example:
        >>> moves = Moves(torch.tensor([True]), torch.tensor([0.0]), torch.tensor([[1, 0]]))
        >>> moved(torch.tensor([[[1, 2], [3, 4]]]), moves)
        tensor([[[4, 3],
                 [4, 3]]])

    References:
        Laborieux et al. 2021, whose code has torchvision crop with repeated borders, and rotate by nearest pixels.
    """
    height, width = images.shape[-2:]
    moves = moves.to(images.device)
    y, x = (
        torch.arange(size, device=images.device, dtype=moves.angle.dtype) - (size - 1) / 2 for size in (height, width)
    )
    theta = moves.angle.deg2rad()[:, None, None]
    rows = (theta.cos() * y[:, None] + theta.sin() * x + height / 2).floor().long() + moves.shift[:, 0, None, None]
    columns = (theta.cos() * x - theta.sin() * y[:, None] + width / 2).floor().long() + moves.shift[:, 1, None, None]
    outside = (rows < 0) | (rows >= height) | (columns < 0) | (columns >= width)
    rows, columns = rows.clamp(0, height - 1), columns.clamp(0, width - 1)
    columns = torch.where(moves.flipped[:, None, None], width - 1 - columns, columns)
    between = (1,) * (images.dim() - 3)  # channels, which move together
    source = (rows * width + columns).reshape(len(images), *between, height * width)
    taken = images.flatten(-2).gather(-1, source.expand(*images.shape[:-2], -1)).reshape(images.shape)
    black = outside & (theta != 0)
    return taken.masked_fill(black.reshape(len(images), *between, height, width), 0)


@dataclass(frozen=True)
class AugmentedView:
    """Images of a view, moved in every epoch in another way.

    Outside of epochs, as for statistics, they are shown as they are. Within one, how an image is moved depends on seed,
    part, epoch and the image alone: an epoch that is shown again, whole or from its middle, is the same.

    Args:
        view: The images, not permuted.
        augmentation: How they are moved.
        seed: Seed of the moves.
        part: Tells views of one seed apart.
        moves: How each image is moved now; None shows them as they are.

    Raises:
        ValueError: When the view does not show images.
    """

    view: IndexView
    augmentation: Augmentation
    seed: int
    part: int = 0
    moves: Moves | None = None

    def __post_init__(self) -> None:
        shape = tuple(self.view.samples.inputs.shape[1:])
        if len(shape) < 2 or self.view.permutation is not None:
            raise ValueError(
                f"expected images [..., height, width] for augmentation {self.augmentation.value!r}, got "
                f"{'permuted ' if self.view.permutation is not None else ''}inputs of shape {shape}; use --augment none"
            )

    def __len__(self) -> int:
        return len(self.view)

    def batch(self, rows: Int64[Tensor, " batch"]) -> tuple[Shaped[Tensor, "batch ..."], Int64[Tensor, " batch"]]:
        """Gather some images, and move them if it is during an epoch.

        Args:
            rows: Positions within the view.

        Returns:
            Inputs and labels, as the view shows them.
        """
        images, labels = self.view.stored().batch(rows)
        if self.moves is not None:
            images = moved(images, self.moves.of(rows))
        return self.view.as_shown(images), labels

    def in_epoch(self, epoch: int) -> "AugmentedView":
        """Return the view as it is shown in an epoch.

        Args:
            epoch: Index of the epoch.

        Returns:
            The same images, moved.
        """
        source = generator(self.seed, Purpose.AUGMENTATION, self.part, epoch)
        moves = draw_moves(self.augmentation, len(self), source)
        return replace(self, moves=moves.to(self.view.samples.inputs.device))

    @property
    def unit_of_bytes(self) -> float | None:
        """What one step of a byte is worth to a network; None where the view's inputs cannot be shown as bytes."""
        return self.view.unit_of_bytes

    def stored(self) -> "AugmentedView":
        """Return the view with inputs shown as they are stored, not scaled."""
        return replace(self, view=self.view.stored())

    def to(self, device: torch.device) -> "AugmentedView":
        """Move the view.

        Args:
            device: Where to.

        Returns:
            The same view there.
        """
        return replace(self, view=self.view.to(device), moves=self.moves and self.moves.to(device))
