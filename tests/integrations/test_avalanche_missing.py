"""What is said where Avalanche cannot be imported."""

import importlib
import sys

import pytest

from metaplastic.integrations import extras


def test_a_missing_package_is_an_error_that_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "avalanche", None)
    monkeypatch.setitem(sys.modules, "avalanche.training", None)
    for name in [name for name in sys.modules if name.startswith("metaplastic.integrations.avalanche")]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(ImportError, match=r"(?s)'avalanche-lib'.*pip install 'metaplastic\[avalanche\]'"):
        importlib.import_module("metaplastic.integrations.avalanche")


def test_a_torchvision_for_another_torch_is_an_error_that_says_so(monkeypatch):
    def fail(name):
        raise RuntimeError("operator torchvision::nms does not exist")

    monkeypatch.setattr(extras.importlib, "import_module", fail)
    with pytest.raises(ImportError, match=r"expected a torchvision that fits torch .* got operator torchvision::nms"):
        extras.require_avalanche()
