"""What is measured of packed networks, at a size where it takes no time; the figures themselves are a machine's."""

import importlib.util
import json

import numpy as np
import pytest
from rich.console import Console

from metaplastic import cli
from metaplastic.benchmark import PackedWorkload, bench_packed, packed_subjects, packed_tables
from metaplastic.benchmark.packed import BARS, against, judged, sizes
from metaplastic.packed import Readout, pack
from metaplastic.packed.export.c import c_source
from metaplastic.packed.products import kernel

TINY = PackedWorkload(hidden=(24, 9), batches=(1, 7), rounds=2, turn=1e-4)
HAS_ONNX = all(importlib.util.find_spec(name) for name in ("onnx", "onnxruntime"))


@pytest.fixture(scope="module")
def found():
    return bench_packed(TINY, lambda _: None)


def test_every_subject_predicts_every_batch_and_computes_the_same(found):
    there = {"torch", "no compiler"} | ({"kernel"} if kernel() else set())
    there |= {"onnxruntime", "onnxruntime int8", "onnxruntime quantised"} if HAS_ONNX else set()
    assert set(found["seconds"]) == set(found["agreement"]) == there
    for seconds in found["seconds"].values():
        assert list(seconds) == ["1", "7"]
        assert all(0 < spread["low"] <= spread["median"] <= spread["high"] for spread in seconds.values())
    inexact = {"torch": 0.98, "onnxruntime quantised": 0.5}  # float32 may round a sum across its threshold
    assert all(share >= inexact.get(name, 1.0) for name, share in found["agreement"].items())
    assert found["computed_by"]["no compiler"] == "NumPy for two samples and less, else int8 by torch"
    assert found["bars"] == []  # they are for wider layers
    assert json.loads(json.dumps(found)) == found


def test_the_tables_show_them(found):
    console = Console(width=200, record=True)
    bar = {"batch": 1, "rival": "torch", "ours": "no compiler", "least": 8, "met": False}
    for table in packed_tables(found | {"bars": [bar | {"ratio": {"median": 7.0, "low": 6.0, "high": 7.5}}]}):
        console.print(table)
    text = console.export_text()
    for words in ("784-24-9-10, 1 threads, 2 rounds", "torch / this", "7.0 (6.0-7.5)", "missed", "tables in flash"):
        assert words in text


def test_the_command_writes_what_it_measured(monkeypatch, tmp_path, capsys, found):
    from metaplastic import benchmark

    monkeypatch.setattr(benchmark, "bench_packed", lambda work, say: found | {"rounds": work.rounds})
    cli.main(["bench-packed", "--rounds", "3", "--out", str(tmp_path / "packed.json")])
    assert json.loads((tmp_path / "packed.json").read_text())["rounds"] == 3
    assert "packed.json" in capsys.readouterr().out


def test_without_onnxruntime_or_a_kernel_a_note_says_so(monkeypatch):
    from metaplastic.benchmark import packed

    monkeypatch.setattr(packed, "kernel", lambda: None)
    monkeypatch.setattr(packed.importlib.util, "find_spec", lambda name: None)
    subjects, notes = packed._subjects()
    assert list(subjects) == ["torch", "no compiler"]
    assert "no kernel was compiled" in notes[0]
    assert "onnx and onnxruntime not installed" in notes[1]


def test_ratios_are_those_of_rounds_and_bars_hold_for_their_median():
    seconds = {"torch": [3.0, 80.0, 700.0], "kernel": [0.02, 0.7, 7.0]}
    ratios = against({name: {"1": values} for name, values in seconds.items()})
    assert ratios["1"]["torch / kernel"]["median"] == pytest.approx(80 / 0.7)
    (bar,) = judged(ratios)
    assert (bar["least"], bar["met"]) == (100, True)
    (bar,) = judged({"1": {"torch / kernel": {"median": 99.0, "low": 1.0, "high": 200.0}}})
    assert not bar["met"]


def test_every_bar_names_subjects_that_there_are():
    from metaplastic.benchmark.packed import OURS, RIVALS

    assert all(bar.rival in RIVALS and bar.ours in OURS for bar in BARS)


def test_sizes_are_those_of_the_files(tmp_path):
    network = pack(packed_subjects.calibrated([24, 9]))
    counted = sizes((24, 9))
    assert counted["file_bytes"] == network.save(tmp_path / "net.safetensors").stat().st_size
    assert counted["float32_bytes"] == 4 * (784 * 24 + 24 * 9 + 9 * 10)
    # Thresholds of 16 bits, flips, scale and offset; and the name of the task.
    assert 24 * 2 + 9 * 2 + 3 + 2 + 10 * 8 <= counted["bytes_per_task"] <= 151 + 20
    source = c_source(network)
    assert f"Tables in flash: {counted['c_flash_bytes']} bytes. " in source
    assert f"input and stack: {counted['c_memory_bytes']} bytes." in source


def test_the_float_network_is_the_packed_one():
    network = packed_subjects.calibrated([24, 9])
    pixels = packed_subjects.images(50)
    floats = packed_subjects.as_float(network)(packed_subjects.torch.from_numpy(pixels) / 256)
    np.testing.assert_allclose(floats.detach().numpy(), pack(network).logits(pixels), rtol=1e-4, atol=1e-4)


@pytest.mark.skipif(not HAS_ONNX, reason="onnx is not installed; it comes with metaplastic[export]")
def test_int8_networks_of_several_tables_are_refused():
    from metaplastic.benchmark.int8_onnx import int8_model
    from metaplastic.benchmark.packed import _with_tasks

    network = _with_tasks(pack(packed_subjects.calibrated([8])), 2)
    assert isinstance(network.layers[-1].after, Readout)
    with pytest.raises(
        ValueError, match="expected one table of thresholds behind layer 0, got 2 of Thresholds; pack one task"
    ):
        int8_model(network)


@pytest.mark.parametrize("wrong", [{"rounds": 0}, {"hidden": ()}, {"batches": (0,)}, {"threads": 0}, {"turn": 0.0}])
def test_impossible_workloads_are_refused(wrong):
    with pytest.raises(ValueError, match="expected"):
        PackedWorkload(**wrong)
