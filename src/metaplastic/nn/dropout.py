"""Dropout in front of a sign."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from metaplastic.nn.sign import binary_sign


class SignDropout(nn.Module):
    r"""Silence units in front of a binarisation, drawing from a generator of its own.

    In training each entry is kept with probability 1 - p:

    .. math:: y_i = k_i \, \mathrm{sign}(x_i), \qquad k_i \in \{0, 1\}

    A silenced unit must stay silent, so the layer that follows has `binarize_input=False` and this layer
    binarises: outputs are in {-1, 0, +1} in training, in {-1, +1} in evaluation. The backward pass multiplies the
    gradient of kept units by `1 / (1 - p)`, as published, while the forward pass does not, because a scale would not
    survive the sign; `rescale=True` applies the factor forward as well.

    Args:
        p: Probability that a unit is silenced, in [0, 1).
        rescale: Whether kept units are multiplied by 1 / (1 - p) in training.
        seed: Seed of the layer's own generator; its state is part of `state_dict`, so a resumed run drops the same
            units.

    Raises:
        ValueError: When p is outside [0, 1).

    Example:
        >>> dropout = SignDropout(0.5, seed=1)
        >>> sorted(set(dropout(torch.randn(100)).tolist()))
        [-1.0, 0.0, 1.0]
        >>> sorted(set(dropout.eval()(torch.randn(100)).tolist()))
        [-1.0, 1.0]
    """

    def __init__(self, p: float, *, rescale: bool = False, seed: int = 0) -> None:
        super().__init__()
        if not 0 <= p < 1:
            raise ValueError(f"expected a dropout probability in [0, 1), got {p}; 0 switches it off")
        self.p = p
        self.rescale = rescale
        self.generator = torch.Generator().manual_seed(seed)

    def forward(self, x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """Binarise, and in training silence a random part of the units.

        Args:
            x: Any shape.

        Returns:
            Signs, zeros where a unit was silenced.
        """
        signs = binary_sign(x)
        if not self.training or self.p == 0:
            return signs
        kept = (torch.rand(x.shape, generator=self.generator) >= self.p).to(x)
        scale = 1 / (1 - self.p)
        if self.rescale:
            return signs * kept * scale
        scaled = signs * kept * scale
        return scaled + (signs * kept - scaled).detach()  # value of the unscaled signs, gradient of the scaled ones

    def get_extra_state(self) -> Tensor:
        """Return the generator's state, for `state_dict`."""
        return self.generator.get_state()

    def set_extra_state(self, state: Tensor) -> None:
        """Put the generator back where it was."""
        self.generator.set_state(state.cpu())

    def extra_repr(self) -> str:
        """Show the probability."""
        return f"p={self.p}, rescale={self.rescale}"
