"""ONNX files run by onnxruntime, against the packed network they were made of."""

import json
from dataclasses import replace

import numpy as np
import pytest

from metaplastic.packed import Input
from metaplastic.packed.export import Format, MismatchError, export, verify

onnx = pytest.importorskip("onnx", reason="onnx is not installed: pip install 'metaplastic[export]'")
onnxruntime = pytest.importorskip(
    "onnxruntime", reason="onnxruntime is not installed: pip install 'metaplastic[export]'"
)

FORMATS = (Format.ONNX, Format.ONNX_PACKED)


def run(path, inputs, task=None):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    given = {"input": inputs} | ({} if task is None else {"task": np.array(task)})
    return session.run(["logits", "class"], given)


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("batch", [1, 2, 33])
def test_the_file_computes_what_the_network_does_for_every_batch_size_and_task(
    network, tmp_path, draw_inputs, kind, batch
):
    path = export(network, tmp_path / "net.onnx", kind)
    inputs = draw_inputs(network, batch)
    for index, task in enumerate(network.tasks or (None,)):
        logits, classes = run(path, inputs, index if network.tasks else None)
        assert logits.dtype == np.float32
        np.testing.assert_array_equal(logits, network.logits(inputs, task))
        np.testing.assert_array_equal(classes, network.predict(inputs, task))


@pytest.mark.parametrize("kind", FORMATS)
def test_tasks_differ_and_their_names_are_in_the_file(task_network, tmp_path, draw_inputs, kind):
    path = export(task_network, tmp_path / "net.onnx", kind)
    inputs = draw_inputs(task_network, 20)
    assert not np.array_equal(run(path, inputs, 0)[0], run(path, inputs, 1)[0])
    properties = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    assert tuple(json.loads(properties["tasks"])) == task_network.tasks


def test_a_task_that_does_not_exist_is_an_error_of_the_runtime(task_network, tmp_path, draw_inputs):
    path = export(task_network, tmp_path / "net.onnx", Format.ONNX)
    with pytest.raises(Exception, match="indices element out of data bounds"):
        run(path, draw_inputs(task_network, 1), 3)


def test_operators_are_plain_and_old_and_none_of_them_is_sign(network, tmp_path):
    model = onnx.load(export(network, tmp_path / "net.onnx", Format.ONNX))
    assert [(opset.domain, opset.version) for opset in model.opset_import] == [("", 13)]
    assert model.ir_version == 7
    assert "Sign" not in {node.op_type for node in model.graph.node}


def test_packed_weights_are_a_thirtieth_of_plain_ones(microcontroller_network, tmp_path):
    sizes = [export(microcontroller_network, tmp_path / kind, kind).stat().st_size for kind in FORMATS]
    assert 2_670_000 < sizes[0] < 2_700_000
    assert sizes[1] < 92_500


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("layers.0.weight", "the sums of layer 0"),
        ("layers.0.threshold", "the bits of layer 0"),
        ("layers.1.weight", "the sums of layer 1"),
        ("layers.1.threshold", "the bits of layer 1"),
        ("layers.1.flipped", "the bits of layer 1"),
        ("layers.2.scale", "the readout"),
    ],
)
def test_a_change_is_found_and_the_first_layer_that_differs_is_named(task_network, tmp_path, kind, name, place):
    path = export(task_network, tmp_path / "net.onnx", kind)
    model = onnx.load(path)
    (entry,) = (entry for entry in model.graph.initializer if entry.name == name)
    changed = onnx.numpy_helper.to_array(entry).copy()
    row = changed[2] if "weight" not in name else changed
    row.flat[:] = ~row.flat[:] if row.dtype in (np.uint8, np.bool_) else -row.flat[:] - 1
    entry.CopyFrom(onnx.numpy_helper.from_array(changed, name))
    path.write_bytes(model.SerializeToString())
    with pytest.raises(MismatchError, match=f"{place} is the first to differ of task"):
        verify(task_network, path)


def test_a_file_of_another_network_is_no_match(task_network, conv_network, microcontroller_network, tmp_path):
    path = export(task_network, tmp_path / "net.onnx", Format.ONNX)
    with pytest.raises(ValueError, match=r"is no export of this network|to take inputs of the network"):
        verify(conv_network, path)
    with pytest.raises(ValueError, match=r"is no export of this network|to take inputs of the network"):
        verify(microcontroller_network, path)


@pytest.mark.parametrize("content", [b"", b"{}", b"\x08\x07" * 50])
def test_what_is_no_model_is_refused(task_network, tmp_path, content):
    path = tmp_path / "net.onnx"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"expected an ONNX model in .*net.onnx, got"):
        verify(task_network, path)


def test_a_convolution_of_real_features_is_refused(conv_network, tmp_path):
    first, *others = conv_network.layers
    decision = replace(first.after, threshold=first.after.threshold.astype(np.float64))
    real = replace(conv_network, input=Input.REAL, layers=(replace(first, after=decision), *others))
    with pytest.raises(ValueError, match="for ONNX, got real ones in layer 0: runtimes convolve in float32 only"):
        export(real, tmp_path / "net.onnx", Format.ONNX)


def test_a_missing_file_is_named(task_network, tmp_path):
    with pytest.raises(ValueError, match=r"expected an ONNX file at .*nowhere.onnx, got none"):
        verify(task_network, tmp_path / "nowhere.onnx")


def test_a_missing_package_is_an_error_with_the_command(task_network, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    with pytest.raises(ImportError, match=r"(?s)'onnxruntime' for this export.*pip install 'metaplastic\[export\]'"):
        export(task_network, tmp_path / "net.onnx", Format.ONNX)


def test_a_task_is_refused_where_a_file_holds_all(task_network, tmp_path):
    with pytest.raises(ValueError, match="expected a task for format 'qonnx' only, got 'night' for 'onnx'"):
        export(task_network, tmp_path / "net.onnx", Format.ONNX, task="night")
