r"""Products with bits of weights by counting bits in NumPy, in blocks that stay in the cache.

For signs and for bytes :math:`p = \sum_j 2^j p_j` of bits :math:`p_j`, with :math:`w` the bits of a row of weights:

.. math:: h = K - 2 \, |x \oplus w|, \qquad h = 2 \sum_j 2^j |p_j \wedge w| - \sum_k p_k
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from metaplastic.packed.bits import as_words, pack_words

_BLOCK_WORDS = 2**15
"""Words that are worked on at once; with what is counted of them they stay in the cache."""

_GROUP = 1023
"""Words whose counts, of up to 64 each, add up to a number of 16 bits."""

_EVEN_BYTES = np.uint64(0x00FF00FF00FF00FF)

_PLANES = 8


def _count_by_halves(words: np.ndarray) -> np.ndarray:
    """Count the bits of words where NumPy, before version 2, does not."""
    pairs = words - ((words >> np.uint64(1)) & np.uint64(0x5555555555555555))
    nibbles = (pairs & np.uint64(0x3333333333333333)) + ((pairs >> np.uint64(2)) & np.uint64(0x3333333333333333))
    whole = (nibbles + (nibbles >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return ((whole * np.uint64(0x0101010101010101)) >> np.uint64(56)).astype(np.uint8)


_count: Callable[[np.ndarray], np.ndarray] = getattr(np, "bitwise_count", _count_by_halves)


class WordProduct:
    """Products by counting bits.

    Args:
        weight: `[out, ceil(features / 8)]`, uint8.
        features: Number of inputs.
        threads: Threads that share the outputs, >= 1.
    """

    def __init__(self, weight: np.ndarray, features: int, threads: int = 1) -> None:
        self.features = features
        self.out = len(weight)
        words = as_words(weight)
        size = min(max(_BLOCK_WORDS // words.shape[1], 1), -(-self.out // threads))
        size = -(-size // _PLANES) * _PLANES  # counts are added eight at a time
        padded = np.zeros((-(-self.out // size) * size, words.shape[1]), np.uint64)
        padded[: self.out] = words
        # Outputs side by side, so that the counts of a word for many of them lie side by side as well.
        self.blocks = padded.reshape(-1, size, words.shape[1]).transpose(0, 2, 1).copy()
        self.pool = ThreadPoolExecutor(threads) if threads > 1 and len(self.blocks) > 1 else None

    def signs(self, rows: np.ndarray) -> np.ndarray:
        """Multiply signs, see `Product`."""
        return self.features - 2 * self._counts(np.bitwise_xor, pack_words(rows))

    def bytes(self, rows: np.ndarray) -> np.ndarray:
        """Multiply bytes, see `Product`."""
        planes = [pack_words((rows & np.uint8(1 << plane)).view(np.bool_)) for plane in range(_PLANES)]
        counts = self._counts(np.bitwise_and, np.concatenate(planes)).reshape(_PLANES, len(rows), self.out)
        sums = np.zeros(counts.shape[1:], np.int32)
        for plane in reversed(counts):
            sums += sums
            sums += plane
        return 2 * sums - rows.sum(1, dtype=np.int32)[:, None]

    def _counts(self, operation: np.ufunc, rows: np.ndarray) -> np.ndarray:
        """Count the bits of an operation on rows `[rows, words]` and weights: `[rows, out]`, int32."""
        share = self.pool.map if self.pool else map
        counts = list(share(lambda block: _block_counts(operation, rows, block), self.blocks))
        return counts[0][:, : self.out] if len(counts) == 1 else np.concatenate(counts, 1)[:, : self.out]


def _block_counts(operation: np.ufunc, rows: np.ndarray, block: np.ndarray) -> np.ndarray:
    counts = np.zeros((len(rows), block.shape[1]), np.int32)
    step = max(_BLOCK_WORDS // block.size, 1)
    for start in range(0, len(rows), step):
        some = rows[start : start + step]
        for word in range(0, len(block), _GROUP):
            group = slice(word, word + _GROUP)
            bits = _count(operation(some[:, group, None], block[group]))
            counts[start : start + step] += _add_words(bits)
    return counts


def _add_words(counts: np.ndarray) -> np.ndarray:
    """Add counts `[rows, words, units]` of at most 64, four at a time in the quarters of a word of 64 bits."""
    fours = counts.view("<u8")
    sums = np.empty((len(counts), fours.shape[2], 4, 2), "<u2")
    sums[..., 0] = (fours & _EVEN_BYTES).sum(1).view("<u2").reshape(sums.shape[:3])
    sums[..., 1] = ((fours >> np.uint64(8)) & _EVEN_BYTES).sum(1).view("<u2").reshape(sums.shape[:3])
    return sums.reshape(len(counts), -1)
