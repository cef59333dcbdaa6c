"""What a network takes, counted."""

import numpy as np
import pytest
from safetensors.numpy import load_file

from metaplastic.nn import BinaryMLP, NormPolicy, Scope, Statistics, keep_task
from metaplastic.packed import pack

RUNNING = NormPolicy(statistics=Statistics.RUNNING, scope=Scope.PER_TASK)


@pytest.mark.parametrize("kind", ["dense", "conv"])
@pytest.mark.parametrize("statistics", ["running", "layer"])
@pytest.mark.parametrize("tasks", [0, 3])
def test_the_bytes_add_up_to_the_size_of_the_file(build, tmp_path, kind, statistics, tasks):
    packed = pack(build(kind, statistics, tasks=0 if statistics == "layer" else tasks), dataset="größer")
    path = packed.save(tmp_path / "net.safetensors")
    summary = packed.summary()
    assert summary.total.file_bytes == path.stat().st_size
    assert f"{path.stat().st_size:,}" in str(summary).splitlines()[-1]
    arrays = load_file(path)
    for depth, row in enumerate(summary.rows[:-1]):
        assert row.file_bytes == sum(
            array.nbytes for name, array in arrays.items() if name.startswith(f"layers.{depth}.")
        )


def test_parameters_memory_and_operations_of_a_dense_network():
    summary = pack(BinaryMLP([20, 9, 3], "running")).summary()
    rows = [(row.one_bit, row.numbers, row.working_bytes, row.operations) for row in summary.rows]
    # 20 bytes in, 9 bits out; 9 bits in, 3 sums out. A threshold a unit; a scale and an offset a class.
    assert rows == [(180, 9, 20 + 2, 8 * 180), (27, 6, 2 + 12, 27), (0, 0, 0, 0)]
    total = summary.total
    assert (total.one_bit, total.numbers, total.working_bytes, total.operations) == (207, 15, 22, 8 * 180 + 27)


def test_parameters_memory_and_operations_of_a_convolution(build):
    first = pack(build("conv", signs=True)).summary().rows[0]
    # 2 x 9 x 8 bits in; kernel 3, padding 2: sums 5 x 11 x 10, pooled 5 x 5 x 5 bits.
    assert (first.shape, first.one_bit, first.numbers) == ("5 x 5 x 5", 5 * 18, 5)
    assert (first.working_bytes, first.operations) == (18 + 16, 5 * 11 * 10 * 18)


def test_the_table_has_a_line_for_every_layer_and_its_head_and_total(build):
    lines = str(pack(build("dense")).summary()).splitlines()
    assert len(lines) == 1 + 3 + 1 + 1
    assert lines[0].split("  ")[0] == "layer"
    assert [line.split()[0] for line in lines[1:]] == ["0", "1", "2", "header", "total"]


@pytest.mark.slow
def test_the_large_network_of_the_paper_is_small(tmp_path):
    network = BinaryMLP([784, 4096, 4096, 10], RUNNING)
    one = pack(network).save(tmp_path / "one.safetensors").stat().st_size
    assert one <= 2.6e6
    for task in range(6):
        keep_task(network, task)
    six = pack(network).save(tmp_path / "six.safetensors").stat().st_size
    assert six - one <= 5 * 20_000
    assert np.prod([4096, 4096]) * 4 > 25 * one
