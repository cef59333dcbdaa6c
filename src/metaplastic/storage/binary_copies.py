"""The binary weights behind hidden weights, kept in the formats in which they are multiplied."""

import torch
from jaxtyping import BFloat16, Int8
from torch import Tensor

from metaplastic.storage.streams import allocate_stream


class BinaryCopies:
    """Signs of a hidden weight as int8, as bfloat16, or as both.

    Both types hold -1 and +1 exactly. The copies follow the weight: whoever asks for them gets those of the weight as
    it is, because a change in place counts up the version of a tensor and a replacement of its memory moves it. A fused
    optimizer writes them in the pass that moves the weight and says so by `mark_written`; after any other change they
    are written anew when next asked for. What is written in place through `weight.data` or through numpy is not seen.

    Args:
        weight: The hidden weight.
        integer: Whether there is an int8 copy.
        half: Whether there is a bfloat16 copy.

    Example:
        >>> weight = torch.tensor([[0.5, -0.5, 0.0]])
        >>> copies = BinaryCopies(weight)
        >>> copies.integer().tolist()
        [[1, -1, 1]]
        >>> _ = weight.neg_()
        >>> copies.integer().tolist()
        [[-1, 1, 1]]
    """

    def __init__(self, weight: Tensor, *, integer: bool = True, half: bool = False) -> None:
        self.weight = weight
        self._integer = allocate_stream(weight, 4, torch.int8) if integer else None
        self._half = allocate_stream(weight, 5, torch.bfloat16) if half else None
        self._written: tuple[int, int] | None = None
        self._zero = torch.zeros((), device=weight.device)

    def integer(self) -> Int8[Tensor, "..."]:
        """Return the signs as int8, in the shape of the weight.

        Raises:
            RuntimeError: When the copies were made without them.
        """
        if self._integer is None:
            raise RuntimeError("expected copies made with integer=True, got integer=False; take those of half()")
        self.follow()
        return self._integer

    def half(self) -> BFloat16[Tensor, "..."]:
        """Return the signs as bfloat16, in the shape of the weight.

        Raises:
            RuntimeError: When the copies were made without them.
        """
        if self._half is None:
            raise RuntimeError("expected copies made with half=True, got half=False; take those of integer()")
        self.follow()
        return self._half

    def zero(self) -> Tensor:
        """Return 0, or NaN where somebody put into the weight what is not finite and has no sign.

        Weights that a fused optimizer moves are not looked at again in every step; the loop looks at them every epoch.
        """
        self.follow()
        return self._zero

    def tensors(self) -> tuple[Tensor, ...]:
        """Return every copy, for whoever writes them; they may be out of date."""
        return tuple(copy for copy in (self._integer, self._half) if copy is not None)

    def mark_written(self) -> None:
        """Say that every copy was written from the weight as it now is."""
        self._written = self.state

    @property
    def state(self) -> tuple[int, int]:
        """Tells one state of the weight from another, for whoever keeps what was made from it."""
        return self.weight._version, self.weight.data_ptr()

    @torch.no_grad()
    def follow(self) -> None:
        """Write the copies anew if the weight has changed, for whoever reads them where they lie."""
        if self._written == self.state:
            return
        for copy in self.tensors():
            torch.ge(self.weight, 0, out=copy)
            copy.mul_(2).sub_(1)
        low, high = torch.aminmax(self.weight.detach())
        self._zero.copy_((low + high) * 0)  # in place, where graphs read it
        self.mark_written()
