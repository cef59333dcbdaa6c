r"""Products with bits of weights by NumPy alone.

Signs are multiplied by counting bits, in blocks that stay in the cache; with :math:`w` the bits of a row of weights:

.. math:: h = K - 2 \, |x \oplus w|

Bytes are multiplied as floats, which are exact up to 2^24, or to 2^53 in float64.
"""

import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from metaplastic.packed.bits import as_words, pack_words, signs_of

_BLOCK_WORDS = 2**17
"""Words that are worked on at once, so many because NumPy takes a microsecond for each operation on them; with what is
counted of them they stay in the caches of current processors."""

_THREAD_WORDS = 2**18
"""Words that are worth another thread; to hand fewer over takes longer than to count them."""

_GROUP = 1023
"""Words whose counts, of up to 64 each, add up to a number of 16 bits."""

_FLOAT_LIMIT = 2**24 // 255
"""Bytes whose sum is exact in float32 whatever the order."""


def _count_by_halves(words: np.ndarray) -> np.ndarray:
    """Count the bits of words where NumPy, before version 2, does not."""
    pairs = words - ((words >> np.uint64(1)) & np.uint64(0x5555555555555555))
    fours = (pairs & np.uint64(0x3333333333333333)) + ((pairs >> np.uint64(2)) & np.uint64(0x3333333333333333))
    eights = (fours + (fours >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return ((eights * np.uint64(0x0101010101010101)) >> np.uint64(56)).astype(np.uint8)


_count: Callable[[np.ndarray], np.ndarray] = getattr(np, "bitwise_count", _count_by_halves)


class WordProduct:
    """Products by NumPy.

    Args:
        weight: `[out, ceil(features / 8)]`, uint8.
        features: Number of inputs.
        threads: Threads that share the outputs where bits are counted, >= 1; floats are multiplied in as many as
            NumPy's own library takes.
    """

    def __init__(self, weight: np.ndarray, features: int, threads: int = 1) -> None:
        self.features = features
        self.weight = weight
        self.threads = threads

    def signs(self, rows: np.ndarray) -> np.ndarray:
        """Multiply signs, see `Product`."""
        return self.features - 2 * self._different(pack_words(rows))

    def bytes(self, rows: np.ndarray) -> np.ndarray:
        """Multiply bytes, see `Product`."""
        return (rows.astype(self._floats.dtype) @ self._floats).astype(np.int32)

    @functools.cached_property
    def _floats(self) -> np.ndarray:
        dtype = np.float32 if self.features <= _FLOAT_LIMIT else np.float64
        return signs_of(self.weight, self.features).T.astype(dtype)

    @functools.cached_property
    def _blocks(self) -> np.ndarray:
        """Words of the weights as `[blocks, words, outputs]`, so that the counts of a word lie side by side."""
        words = as_words(self.weight)
        out, width = words.shape
        shared = -(-out // self.threads) if words.size >= _THREAD_WORDS else out
        size = min(max(_BLOCK_WORDS // width, 1), shared)
        padded = np.zeros((-(-out // size) * size, width), np.uint64)
        padded[:out] = words
        return padded.reshape(-1, size, width).transpose(0, 2, 1).copy()

    def _different(self, rows: np.ndarray) -> np.ndarray:
        """Count the bits that differ from the weights': `[rows, out]`, int32, for rows of words."""
        useful = max(len(rows) * self._blocks.size // _THREAD_WORDS, 1)
        shares = np.array_split(self._blocks, min(self.threads, useful, len(self._blocks)))
        run = map if len(shares) == 1 else _pool(self.threads).map
        counts = [count for share in run(functools.partial(_count_blocks, rows), shares) for count in share]
        return np.concatenate(counts, 1)[:, : len(self.weight)]


@functools.cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads)


def _count_blocks(rows: np.ndarray, blocks: np.ndarray) -> list[np.ndarray]:
    step = max(_BLOCK_WORDS // blocks[0].size, 1)
    # All blocks go through the same memory: fresh pages take longer than what is written to them.
    scratch = np.empty((min(step, len(rows)), min(blocks.shape[1], _GROUP), blocks.shape[2]), np.uint64)
    return [_count_block(rows, block, step, scratch) for block in blocks]


def _count_block(rows: np.ndarray, block: np.ndarray, step: int, scratch: np.ndarray) -> np.ndarray:
    counts = np.zeros((len(rows), block.shape[1]), np.int32)
    for start in range(0, len(rows), step):
        some = rows[start : start + step, :, None]
        for word in range(0, len(block), _GROUP):
            left, right = some[:, word : word + _GROUP], block[word : word + _GROUP]
            different = np.bitwise_xor(left, right, out=scratch[: len(some), : len(right)])
            counts[start : start + step] += _add_words(_count(different))
    return counts


def _add_words(counts: np.ndarray) -> np.ndarray:
    """Add counts `[rows, words, outputs]` of at most 64: three of them in a byte, in place, then all in 16 bits."""
    whole = counts.shape[1] // 3 * 3
    threes = counts[:, 0:whole:3]
    threes += counts[:, 1:whole:3]
    threes += counts[:, 2:whole:3]
    sums = threes.sum(1, dtype=np.uint16)
    for word in range(whole, counts.shape[1]):
        sums += counts[:, word]
    return sums
