"""QONNX files run by qonnx, against the packed network they were made of."""

import numpy as np
import pytest

from metaplastic.packed.export import Format, MismatchError, export, verify

onnx = pytest.importorskip("onnx", reason="onnx is not installed: pip install 'metaplastic[export]'")
wrapper = pytest.importorskip(
    "qonnx.core.modelwrapper", reason="qonnx is not installed: pip install 'metaplastic[export]'"
)


def run(path, inputs):
    from qonnx.core.onnx_exec import execute_onnx

    model = wrapper.ModelWrapper(str(path))
    return np.concatenate([execute_onnx(model, {"input": x[None].astype(np.float32)})["logits"] for x in inputs])


def test_the_file_computes_what_the_network_does(threshold_network, tmp_path, draw_inputs):
    inputs = draw_inputs(threshold_network, 4)
    for task in threshold_network.tasks[:2] or (None,):
        path = export(threshold_network, tmp_path / "net.qonnx.onnx", Format.QONNX, task=task)
        np.testing.assert_array_equal(run(path, inputs), threshold_network.logits(inputs, task))


def test_weights_and_activations_are_known_to_be_bipolar_and_inputs_to_be_bytes(task_network, tmp_path):
    from qonnx.transformation.infer_datatypes import InferDataTypes

    path = export(task_network, tmp_path / "net.qonnx.onnx", Format.QONNX, task="night")
    model = wrapper.ModelWrapper(str(path)).transform(InferDataTypes())
    bipolar = [node.output[0] for node in model.graph.node if node.op_type == "BipolarQuant"]
    assert len(bipolar) == 3 + 2
    assert {model.get_tensor_datatype(name).name for name in bipolar} == {"BIPOLAR"}
    assert model.get_tensor_datatype("input").name == "UINT8"


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("layers.0.weight", "the sums of layer 0"),
        ("layers.1.threshold", "the bits of layer 1"),
        ("layers.2.scale", "the readout"),
    ],
)
def test_a_change_is_found_and_the_first_layer_that_differs_is_named(task_network, tmp_path, name, place):
    path = export(task_network, tmp_path / "net.qonnx.onnx", Format.QONNX, task="night")
    model = onnx.load(path)
    (entry,) = (entry for entry in model.graph.initializer if entry.name == name)
    changed = -onnx.numpy_helper.to_array(entry) - 1
    entry.CopyFrom(onnx.numpy_helper.from_array(changed.astype(np.float32), name))
    path.write_bytes(model.SerializeToString())
    with pytest.raises(MismatchError, match=f"{place} is the first to differ of task 'night'"):
        verify(task_network, path, task="night")


def test_the_task_must_be_given_where_each_has_tables(task_network, tmp_path):
    with pytest.raises(ValueError, match="expected a task, since each has its own thresholds, got none"):
        export(task_network, tmp_path / "net.qonnx.onnx", Format.QONNX)


def test_layer_norm_and_real_features_are_refused_with_what_to_do(affine_network, real_network, tmp_path):
    with pytest.raises(ValueError, match="expected thresholds behind layer 0 for QONNX, got layer norm"):
        export(affine_network, tmp_path / "net.qonnx.onnx", Format.QONNX)
    with pytest.raises(ValueError, match="expected a network of bytes or signs for QONNX, got one of real features"):
        export(real_network, tmp_path / "net.qonnx.onnx", Format.QONNX)
