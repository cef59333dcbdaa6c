"""How hidden weights, and what goes with them, lie in memory."""

from metaplastic.storage.binary_copies import BinaryCopies
from metaplastic.storage.streams import allocate_stream

__all__ = ["BinaryCopies", "allocate_stream"]
