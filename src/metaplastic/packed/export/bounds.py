"""How large the sums of a layer can become, and with them the numbers that a runtime must hold."""

from metaplastic.packed.layers import BYTE_LIMIT, Input
from metaplastic.packed.network import PackedNetwork

_SQUARE_FITS = 3_037_000_499
"""Largest integer whose square is an int64."""


def bound(network: PackedNetwork, index: int) -> int | None:
    """Give the largest sum that a layer can reach.

    Args:
        network: The network.
        index: Which layer, from 0.

    Returns:
        The bound; None where sums are real.
    """
    if index == 0 and network.input is Input.REAL:
        return None
    return network.layers[index].bound(BYTE_LIMIT if index == 0 and network.input is Input.BYTES else 1)


def require_squares_fit(index: int, features: int, largest: int) -> None:
    """Fail where n times the squares of a sample's sums may not be an integer of 64 bits.

    Args:
        index: Which layer, for the message.
        features: Number of sums of a sample.
        largest: Largest of them.

    Raises:
        ValueError: When they may not.

    Example:
        >>> require_squares_fit(1, 2**20, 2**20)
        Traceback (most recent call last):
            ...
        ValueError: expected squares of sums that add up to less than 2^63 behind layer 1, got up to 1048576 x ...
    """
    if features * largest > _SQUARE_FITS:
        raise ValueError(
            f"expected squares of sums that add up to less than 2^63 behind layer {index}, got up to {features} x "
            f"{largest}^2 times {features}; use a narrower layer"
        )
