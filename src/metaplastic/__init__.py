"""Binary neural networks that keep what they learned.

The names below are imported from their rooms when they are first used, so that importing the package costs nothing.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from metaplastic.data import Dataset, Samples, load, load_csv, load_folder, load_npz
    from metaplastic.estimator import MetaplasticClassifier
    from metaplastic.evaluation import AccuracyMatrix
    from metaplastic.experiments import Config, Record, preset, run_seeds
    from metaplastic.experiments.run import Result, resume, run, train
    from metaplastic.hidden_weight import HiddenWeight
    from metaplastic.learners import FineTune, Joint, Learner, accelerated
    from metaplastic.nn import (
        BinaryConv2d,
        BinaryConvNet,
        BinaryLinear,
        BinaryMLP,
        Normalization,
        NormPolicy,
        RealMLP,
        Statistics,
        binarize,
        binary_sign,
        evaluating,
        keep_task,
        recalibrate,
    )
    from metaplastic.optim import MetaplasticAdam, MetaplasticSGD, Tabulated, consolidate, param_groups
    from metaplastic.packed import PackedNetwork, pack
    from metaplastic.scenarios import Announced, Scenario, interleaved, permuted, sequence, split, stream

__all__ = [
    "AccuracyMatrix",
    "Announced",
    "BinaryConv2d",
    "BinaryConvNet",
    "BinaryLinear",
    "BinaryMLP",
    "Config",
    "Dataset",
    "FineTune",
    "HiddenWeight",
    "Joint",
    "Learner",
    "MetaplasticAdam",
    "MetaplasticClassifier",
    "MetaplasticSGD",
    "NormPolicy",
    "Normalization",
    "PackedNetwork",
    "RealMLP",
    "Record",
    "Result",
    "Samples",
    "Scenario",
    "Statistics",
    "Tabulated",
    "accelerated",
    "binarize",
    "binary_sign",
    "consolidate",
    "evaluating",
    "interleaved",
    "keep_task",
    "load",
    "load_csv",
    "load_folder",
    "load_npz",
    "pack",
    "param_groups",
    "permuted",
    "preset",
    "recalibrate",
    "resume",
    "run",
    "run_seeds",
    "sequence",
    "split",
    "stream",
    "train",
]

_ROOMS = (
    "packed",
    "hidden_weight",
    "nn",
    "optim",
    "data",
    "scenarios",
    "learners",
    "evaluation",
    "experiments",
    "estimator",
)


def __getattr__(name: str) -> Any:
    if name in __all__:
        for room in _ROOMS:
            module = importlib.import_module(f"metaplastic.{room}")
            if hasattr(module, name):
                return globals().setdefault(name, getattr(module, name))
    raise AttributeError(f"module 'metaplastic' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
