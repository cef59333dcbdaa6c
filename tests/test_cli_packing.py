"""The commands around packed networks, as a user meets them: from a run to a file, and from there elsewhere."""

import importlib.util
import shutil
import subprocess
import sys

import numpy as np
import pytest

from metaplastic.cli import main
from metaplastic.packed import PackedNetwork
from metaplastic.packed.golden import golden_inputs

HAS_ONNX = all(importlib.util.find_spec(name) for name in ("onnx", "onnxruntime", "qonnx"))
FORMATS = [
    pytest.param(kind, suffix, marks=pytest.mark.skipif(not found, reason=f"{kind} needs {needs}"))
    for kind, suffix, found, needs in (
        ("onnx", ".onnx", HAS_ONNX, "metaplastic[export]"),
        ("onnx-packed", ".packed.onnx", HAS_ONNX, "metaplastic[export]"),
        ("qonnx", ".qonnx.onnx", HAS_ONNX, "metaplastic[export]"),
        ("c", ".h", bool(shutil.which("cc") or shutil.which("gcc")), "a C compiler"),
    )
]


@pytest.fixture(scope="module")
def record(tmp_path_factory):
    """Record of a run with a table of thresholds per task."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    words = ["--tasks", 2, "--hidden", 16, "--epochs", 1, "--threads", 1, "--statistics", "recalibrated", "--quiet"]
    told = ["--scope", "per_task", "--affine", "--boundaries", "--task-at-test", "--out", folder]
    main([str(word) for word in ["run", "permuted-digits", *words, *told]])
    return folder


@pytest.fixture
def packed(record, tmp_path, said):
    path = tmp_path / "net.safetensors"
    assert said("pack", record, "-o", path)[0] == 0
    return path


@pytest.fixture
def samples(packed):
    """File of golden inputs, labelled by what the network predicts for the second task, but for one in four."""
    network, path = PackedNetwork.load(packed), packed.parent / "samples.npz"
    labels = network.predict(golden_inputs(network), 1)
    labels[::4] = (labels[::4] + 1) % network.classes
    np.savez(path, x=golden_inputs(network), y=labels)
    return path


def test_packing_shows_what_it_takes_and_where_it_lies(said, record):
    status, out, _ = said("pack", record)
    path = record / "packed.safetensors"
    assert status == 0
    assert out.splitlines()[-1] == str(path)
    assert f"{path.stat().st_size:,}" in out
    assert PackedNetwork.load(path).tasks == ("permutation 1", "permutation 2")
    path.unlink()


def test_the_summary_adds_up_to_the_size_of_the_file(said, packed):
    status, out, _ = said("summary", packed)
    assert status == 0
    total = out.splitlines()[-1]
    assert total.startswith("total")
    assert f" {packed.stat().st_size:,} " in total
    assert "PackedNetwork(bytes 64 -> 16 -> 10, tasks=['permutation 1', 'permutation 2'])" in out


@pytest.mark.parametrize("task", ["permutation 2", 1])
def test_predictions_are_one_a_line_and_the_accuracy_is_beside_them(said, packed, samples, task):
    status, out, err = said("predict", packed, samples, "--task", task)
    network = PackedNetwork.load(packed)
    assert status == 0
    assert list(map(int, out.split())) == network.predict(golden_inputs(network), 1).tolist()
    assert "accuracy 75.00% of 64 samples" in err


@pytest.mark.parametrize("shift", [-1, 1])
def test_labels_that_are_no_outputs_give_no_accuracy_and_the_reason(said, packed, samples, shift):
    arrays = dict(np.load(samples))
    np.savez(samples, x=arrays["x"], y=np.arange(len(arrays["x"])) % 10 + shift)
    status, out, err = said("predict", packed, samples, "--task", 1)
    assert (status, len(out.split())) == (0, 64)
    assert f"no accuracy: expected labels from 0 to 9, in the order of the outputs, got some from {shift} to" in err
    assert "%" not in err


@pytest.mark.parametrize(("kind", "suffix"), FORMATS)
def test_an_export_is_named_after_the_network_and_can_be_verified_again(said, packed, kind, suffix):
    of_task = ["--task", "permutation 1"] if kind == "qonnx" else []
    status, out, _ = said("export", packed, "--format", kind, *of_task)
    path = packed.with_suffix(suffix)
    assert (status, out) == (0, f"{path}\n")
    status, out, _ = said("verify", packed, path, *of_task)
    assert (status, out) == (0, f"{path} computes what {packed} does, in every layer\n")


@pytest.mark.skipif(not shutil.which("cc"), reason="there is no C compiler here")
def test_an_export_that_was_changed_ends_verification_with_status_2_and_the_layer(said, packed):
    path = packed.parent / "net.h"
    said("export", packed, "--format", "c", "-o", path)
    head, weights, rest = path.read_text().partition("bnn_weight_1[20] BNN_FLASH = {\n")
    first, comma, others = rest.partition(",")
    path.write_text(head + weights + str(int(first) ^ 1) + comma + others)
    status, _, err = said("verify", packed, path)
    assert status == 2
    assert "layer 1 is the first to differ of task 'permutation 1'" in err
    assert "Traceback" not in err


def test_a_backend_that_gives_other_logits_is_named(said, packed, monkeypatch):
    logits = PackedNetwork.logits

    def one_differs(network, inputs, task=None, *, backend, **how):
        return logits(network, inputs, task, backend=backend, **how) + (backend == "matrix")

    monkeypatch.setattr(PackedNetwork, "logits", one_differs)
    status, _, err = said("verify", packed)
    assert status == 2
    assert "expected backend 'matrix' to give the logits of 'numpy', got others" in err


def test_verifying_a_network_names_the_backends_that_agree(said, packed):
    status, out, _ = said("verify", packed)
    assert status == 0
    assert out.startswith(f"{packed} is whole; the same logits by numpy, matrix")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["pack", "nowhere"], "expected the folder of a run at nowhere, got no such folder"),
        (["summary", "nowhere.safetensors"], "nowhere.safetensors"),
        (["summary", "{samples}"], "cannot read {samples} as a packed network"),
        (["predict", "{packed}", "nowhere.npz", "--task", "0"], "expected samples in nowhere.npz, got no file"),
        (["predict", "{packed}", "{packed}", "--task", "0"], "{packed}: expected a .npz file of numeric arrays"),
        (["predict", "{packed}", "{samples}"], "expected a task, since each has its own thresholds, got none"),
        (["predict", "{packed}", "{samples}", "--task", "permutation 3"], "did you mean 'permutation"),
        (["predict", "{packed}", "{samples}", "--task", "7"], "expected a task from 0 to 1, got 7"),
        (["export", "{packed}", "--format", "tflite"], "invalid choice"),
        (["export", "{packed}", "--format", "c", "--task", "0"], "expected a task for format 'qonnx' only"),
        (["export", "{packed}", "--format", "c", "-o", "nowhere/net.h"], "cannot write nowhere/net.h"),
        (["verify", "{packed}", "nowhere.h"], "expected a C header at nowhere.h"),
    ],
)
def test_a_mistake_ends_with_status_2_and_what_to_do(said, packed, samples, monkeypatch, tmp_path, words, message):
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.chdir(empty)
    names = {"{packed}": str(packed), "{samples}": str(samples)}
    status, out, err = said(*(names.get(word, word) for word in words))
    for name, path in names.items():
        message = message.replace(name, path)
    assert status == 2
    assert message in " ".join((out + err).replace("│", " ").split())
    assert "Traceback" not in err
    assert not list(empty.iterdir()), "a mistake must leave nothing behind"


@pytest.mark.parametrize("command", ["pack", "export", "predict", "summary", "verify"])
def test_help_comes_without_torch_and_onnx(command):
    code = f"main(['{command}', '--help'])"
    ended = f"import sys; from metaplastic.cli import main\ntry:\n    {code}\nexcept SystemExit: pass"
    check = f"{ended}\nassert not {{'torch', 'onnx', 'onnxruntime', 'matplotlib'}} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert f"usage: metaplastic {command}" in done.stdout
