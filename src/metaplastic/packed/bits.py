"""Eight signs in a byte: bit k of byte b is sign 8 b + k, 1 is +1 and 0 is -1; bits behind the last are 0."""

import numpy as np


def pack_bits(bits: np.ndarray) -> np.ndarray:
    """Put bits into bytes.

    Args:
        bits: `[rows, count]`, bool.

    Returns:
        `[rows, ceil(count / 8)]`, uint8.

    Example:
        >>> pack_bits(np.array([[True, False, True], [True, True, False]])).tolist()
        [[5], [3]]
    """
    return np.packbits(bits, axis=1, bitorder="little")


def unpack_bits(packed: np.ndarray, count: int) -> np.ndarray:
    """Take bits out of bytes.

    Args:
        packed: `[rows, ceil(count / 8)]`, uint8.
        count: Number of bits in a row, >= 0.

    Returns:
        `[rows, count]`, bool.

    Raises:
        ValueError: When the rows are too short or too long for so many bits.

    Example:
        >>> unpack_bits(np.array([[5], [3]], np.uint8), 3).astype(int).tolist()
        [[1, 0, 1], [1, 1, 0]]
    """
    if packed.shape[1] != -(-count // 8):
        raise ValueError(
            f"expected {-(-count // 8)} bytes for {count} bits, got {packed.shape[1]}; count the bits anew"
        )
    return np.unpackbits(packed, axis=1, count=count, bitorder="little").view(np.bool_)


def pack_words(bits: np.ndarray) -> np.ndarray:
    """Put bits into words of 64, padded with 0.

    Args:
        bits: `[rows, count]`, bool.

    Returns:
        `[rows, ceil(count / 64)]`, uint64, little-endian.

    Example:
        >>> pack_words(np.array([[True] * 65])).tolist()
        [[18446744073709551615, 1]]
    """
    return as_words(pack_bits(bits))


def as_words(packed: np.ndarray) -> np.ndarray:
    """View bytes of bits as words of 64, padded with 0.

    Args:
        packed: `[rows, bytes]`, uint8.

    Returns:
        `[rows, ceil(bytes / 8)]`, uint64, little-endian.

    Example:
        >>> as_words(np.array([[1, 1]], np.uint8)).tolist()
        [[257]]
    """
    padded = np.zeros((len(packed), -(-packed.shape[1] // 8) * 8), np.uint8)
    padded[:, : packed.shape[1]] = packed
    return padded.view("<u8")


def signs_of(packed: np.ndarray, count: int) -> np.ndarray:
    """Take signs out of bytes.

    Args:
        packed: `[rows, ceil(count / 8)]`, uint8.
        count: Number of signs in a row, >= 0.

    Returns:
        `[rows, count]` of +1 and -1, int8.

    Example:
        >>> signs_of(np.array([[5], [3]], np.uint8), 3).tolist()
        [[1, -1, 1], [1, 1, -1]]
    """
    return as_signs(unpack_bits(packed, count))


def as_signs(bits: np.ndarray) -> np.ndarray:
    """Make signs of bits.

    Args:
        bits: Bool, any shape.

    Returns:
        +1 and -1, int8, same shape.

    Example:
        >>> as_signs(np.array([True, False])).tolist()
        [1, -1]
    """
    return bits.view(np.int8) * np.int8(2) - np.int8(1)
