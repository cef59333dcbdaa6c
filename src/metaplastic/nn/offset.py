"""What is trained where nothing is normalised."""

import torch
from jaxtyping import Float
from torch import Tensor, nn


class Offset(nn.Module):
    """Add a trained offset to each feature, and nothing else: what stands in the place of a normalisation without any.

    Args:
        features: Number of features (of channels, for images), >= 1.
        dim: The dimension that they lie along: 1, or -1 behind a linear layer that may see sequences.

    Example:
        >>> Offset(3)(torch.ones(2, 3)).tolist()
        [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]
    """

    def __init__(self, features: int, *, dim: int = 1) -> None:
        super().__init__()
        self.dim = dim
        self.offset = nn.Parameter(torch.zeros(features))

    def forward(self, x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """Add the offsets.

        Args:
            x: `[batch, features]` or `[batch, channels, height, width]`; with dim -1 `[..., features]`.

        Returns:
            Same shape as `x`.
        """
        behind = x.dim() - 1 - self.dim % x.dim()
        return x + self.offset.view(-1, *[1] * behind)

    def extra_repr(self) -> str:
        """Show the number of features."""
        return f"{len(self.offset)}" + (f", dim={self.dim}" if self.dim != 1 else "")
