"""What becomes of a file whose export does not pass."""

import importlib

import pytest

from metaplastic.packed.export import Format, MismatchError, export

FORMATS = [
    (Format.C, "c.verify_c", None),
    (Format.ONNX, "onnx.verify_onnx", "onnx"),
    (Format.ONNX_PACKED, "onnx.verify_onnx", "onnx"),
    (Format.QONNX, "qonnx.verify_qonnx", "qonnx"),
]


@pytest.fixture(params=FORMATS, ids=lambda of: of[0].value)
def failing(request, monkeypatch):
    """A format whose exports seem to compute something else."""
    kind, verify, package = request.param
    if package:
        pytest.importorskip(package, reason=f"{package} is not installed: pip install 'metaplastic[export]'")

    def differs(network, path, **_):
        assert path.read_bytes() != b"an earlier one"
        raise MismatchError(f"got another layer in {path}")

    module, name = f"metaplastic.packed.export.{verify}".rsplit(".", 1)
    monkeypatch.setattr(importlib.import_module(module), name, differs)
    return kind


@pytest.mark.parametrize("earlier", [None, b"an earlier one"])
def test_what_was_there_before_is_put_back(failing, task_network, tmp_path, earlier):
    path = tmp_path / f"net{failing.suffix}"
    if earlier:
        path.write_bytes(earlier)
    of_task = {"task": "night"} if failing is Format.QONNX else {}
    with pytest.raises(MismatchError, match=r"got another layer in .*net"):
        export(task_network, path, failing, **of_task)
    assert [found.read_bytes() for found in tmp_path.iterdir()] == ([earlier] if earlier else [])


def test_a_folder_in_the_place_of_a_file_is_refused_before_anything_is_verified(failing, task_network, tmp_path):
    of_task = {"task": "night"} if failing is Format.QONNX else {}
    with pytest.raises(OSError, match="cannot write"):
        export(task_network, tmp_path, failing, **of_task)
