"""Files to tensors; nothing is read or fetched at import."""

from metaplastic.data.dataset import Dataset, Samples

__all__ = ["Dataset", "Samples"]
