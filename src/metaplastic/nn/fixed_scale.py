"""A factor that nothing trains."""

from jaxtyping import Float
from torch import Tensor, nn


class FixedScale(nn.Module):
    r"""Multiply by a number that is not trained.

    .. math:: y = s x

    with :math:`s` the `scale`. It stands behind the last layer where nothing but synapses may change and layer norm
    cannot stand: over the two logits of two classes layer norm gives +1 and -1 whatever they were.

    Args:
        scale: The factor, > 0.

    Raises:
        ValueError: When the factor is not above 0.

    Example:
        >>> import torch
        >>> FixedScale(0.5)(torch.tensor([[4.0, -2.0]])).tolist()
        [[2.0, -1.0]]

    Deviation from the paper and the authors' code: there a batch norm stands behind the last layer too.
    """

    def __init__(self, scale: float) -> None:
        super().__init__()
        if not 0 < scale < float("inf"):
            raise ValueError(f"expected a finite scale > 0, got {scale}; 1 / sqrt(fan_in) gives logits of about 1")
        self.scale = scale

    def forward(self, x: Float[Tensor, "batch features"]) -> Float[Tensor, "batch features"]:
        """Multiply.

        Args:
            x: `[batch, features]`.

        Returns:
            Same shape as `x`.
        """
        return x * self.scale

    def extra_repr(self) -> str:
        """Show the factor."""
        return f"{self.scale}"
