"""Files to tensors; nothing is read or fetched at import."""

from metaplastic.data.arrays import load_csv, load_npz, save_npz
from metaplastic.data.dataset import Dataset, Samples
from metaplastic.data.download import Availability, State, available, fetch
from metaplastic.data.features import (
    AUTHORS,
    Divisor,
    ExtractorStatistics,
    Recipe,
    extracted_features,
    normalised_samples,
)
from metaplastic.data.folder import load_folder
from metaplastic.data.images import load
from metaplastic.data.pretrained import resnet18, write_features
from metaplastic.data.random_features import random_convolutional_features
from metaplastic.data.validation import held_out

__all__ = [
    "AUTHORS",
    "Availability",
    "Dataset",
    "Divisor",
    "ExtractorStatistics",
    "Recipe",
    "Samples",
    "State",
    "available",
    "extracted_features",
    "fetch",
    "held_out",
    "load",
    "load_csv",
    "load_folder",
    "load_npz",
    "normalised_samples",
    "random_convolutional_features",
    "resnet18",
    "save_npz",
    "write_features",
]
