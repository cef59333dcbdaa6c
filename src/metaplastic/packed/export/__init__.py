"""Packed networks for other runtimes, each export verified on golden vectors when it is written."""

from metaplastic.packed.export.formats import Format, export, verify
from metaplastic.packed.export.golden import MismatchError

__all__ = ["Format", "MismatchError", "export", "verify"]
