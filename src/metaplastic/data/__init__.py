"""Files to tensors; nothing is read or fetched at import."""

from metaplastic.data.arrays import load_csv, load_folder, load_npz
from metaplastic.data.dataset import Dataset, Samples
from metaplastic.data.download import Availability, State, available, fetch
from metaplastic.data.images import load

__all__ = [
    "Availability",
    "Dataset",
    "Samples",
    "State",
    "available",
    "fetch",
    "load",
    "load_csv",
    "load_folder",
    "load_npz",
]
