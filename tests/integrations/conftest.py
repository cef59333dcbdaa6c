"""Avalanche where it is installed, also beside a torchvision whose compiled half does not fit this torch."""

import importlib.util
import warnings
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from metaplastic.data import Samples, load
from metaplastic.scenarios import Announced, permuted

OPERATORS = torch.library.Library("torchvision", "FRAGMENT")


def stand_in_for_torchvision() -> None:
    """Declare what torchvision wants to find, where its compiled half cannot be loaded.

    From some package indexes comes a build for CUDA beside a torch for the CPU. Avalanche imports it for data sets and
    models that no test uses.
    """
    found = importlib.util.find_spec("torchvision")
    compiled = list(Path(found.submodule_search_locations[0]).glob("_C*.so")) if found else []
    try:
        for library in compiled:
            torch.ops.load_library(library)
    except OSError:
        for name in ("nms", "qnms"):
            OPERATORS.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")


if importlib.util.find_spec("avalanche"):
    stand_in_for_torchvision()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of packages that it imports, about other packages
        importlib.import_module("avalanche.training")


@pytest.fixture
def small():
    """Digits few enough for a step to take milliseconds."""
    digits = load("digits")
    train, test = (Samples(part.inputs[:200], part.labels[:200]) for part in (digits.train, digits.test))
    return replace(digits, train=train, test=test)


@pytest.fixture
def two_tasks(small):
    """Two permutations, everything announced."""
    return permuted(small, tasks=2, announced=Announced(boundaries=True, task_at_test=True))
