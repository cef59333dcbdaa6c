"""The C99 header, compiled by what compilers there are and run, against the packed network it was made of."""

import ctypes
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from metaplastic.packed import DenseLayer, Input, PackedNetwork, SampleReadout
from metaplastic.packed.export import Format, MismatchError, export, verify
from metaplastic.packed.export.c import c_source, write_c

COMPILERS = [name for name in ("gcc", "clang") if shutil.which(name)]
STRICT = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic"]
SANITIZERS = ["-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
BOARD = Path(__file__).parent / "cortex_m3"

compiled = pytest.mark.skipif(not COMPILERS, reason="there is no C compiler here: install gcc or clang")
cross_compiled = pytest.mark.skipif(
    not shutil.which("arm-none-eabi-gcc"), reason="gcc-arm-none-eabi and libnewlib-arm-none-eabi are not installed"
)
emulated = pytest.mark.skipif(not shutil.which("qemu-system-arm"), reason="qemu-system-arm is not installed")

LIBRARY = """
#include "net.h"
int classify(const uint8_t *pixels, unsigned task, float *logits)
{
    static bnn_memory memory;
    int found = bnn_logits(pixels, task, &memory, logits);
    return found == bnn_predict(pixels, task, &memory) ? found : -2;
}
"""


def compile_and_run(compiler, folder, source, *options):
    (folder / "main.c").write_text(source)
    command = [compiler, *STRICT, *options, "main.c", "-o", "main", "-lm"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
    return subprocess.run([folder / "main"], capture_output=True, text=True, check=False)


def self_test(compiler, folder, *options):
    return compile_and_run(compiler, folder, '#define BNN_SELF_TEST\n#include "net.h"\n', *options)


@compiled
def test_the_header_computes_what_the_network_does_for_every_task(integer_network, tmp_path, draw_inputs):
    network = integer_network
    export(network, tmp_path / "net.h", Format.C)
    (tmp_path / "library.c").write_text(LIBRARY)
    command = [COMPILERS[0], *STRICT, "-O1", "-shared", "-fPIC", "library.c", "-o", "library.so", "-lm"]
    subprocess.run(command, cwd=tmp_path, check=True)
    classify = ctypes.CDLL(str(tmp_path / "library.so")).classify
    inputs, found = draw_inputs(network, 40), (ctypes.c_float * network.classes)()
    for index, task in enumerate(network.tasks or (None,)):
        expected, classes = network.logits(inputs, task), network.predict(inputs, task)
        for sample, logits, label in zip(inputs, expected, classes, strict=True):
            assert classify(sample.tobytes(), index, found) == label
            np.testing.assert_array_equal(np.array(found), logits)
    assert classify(inputs[0].tobytes(), max(len(network.tasks), 1), found) == -1, "there is no such task"


@pytest.mark.parametrize("compiler", COMPILERS)
def test_the_self_test_passes_under_every_warning(integer_network, tmp_path, compiler):
    write_c(integer_network, tmp_path / "net.h", verify=False)
    for options in (["-O0"], ["-O3"]):
        done = self_test(compiler, tmp_path, *options)
        assert (done.returncode, done.stdout) == (0, "8 golden vectors agree\n")


@compiled
def test_it_stays_within_its_arrays_and_what_c_defines(integer_network, tmp_path):
    write_c(integer_network, tmp_path / "net.h", verify=False)
    done = self_test(COMPILERS[0], tmp_path, *SANITIZERS)
    assert (done.returncode, done.stdout, done.stderr) == (0, "8 golden vectors agree\n", "")


@compiled
@pytest.mark.parametrize(
    ("table", "place"),
    [
        ("weight_0", "layer 0"),
        ("threshold_0", "layer 0"),
        ("weight_1", "layer 1"),
        ("threshold_1", "layer 1"),
        ("flipped_1", "layer 1"),
        ("weight_2", "layer 2"),
        ("scale", "the readout"),
    ],
)
def test_a_change_is_found_and_the_first_layer_that_differs_is_named(task_network, tmp_path, table, place):
    path = write_c(task_network, tmp_path / "net.h")
    path.write_text(changed(path.read_text(), table))
    with pytest.raises(MismatchError, match=f"{place} is the first to differ of task 'night', on"):
        verify(task_network, path)
    done = self_test(COMPILERS[0], tmp_path)
    assert done.returncode == 1
    assert done.stdout.startswith(f"{place} ")


def changed(source: str, table: str) -> str:
    """Put other numbers in the place of the first row of a table."""
    before, head, rest = re.split(rf"( bnn_{table}\[\d+\] BNN_FLASH = \{{\n)", source)
    row, newline, after = rest.partition("\n")
    words = [
        str(3 - float.fromhex(word[:-1])) if "0x" in word else str(255 - int(word)) for word in row.split(",") if word
    ]
    return before + head + ",".join(words) + ("," if row.endswith(",") else "") + newline + after


@cross_compiled
@pytest.mark.parametrize("level", ["-Os", "-O2"])
def test_784_512_512_10_fits_a_microcontroller(microcontroller_network, tmp_path, level):
    write_c(microcontroller_network, tmp_path / "net.h", verify=False)
    (tmp_path / "use.c").write_text(
        '#include "net.h"\n'
        "int classify(const uint8_t *pixels, unsigned task, bnn_memory *memory)\n"
        "{\n    return bnn_predict(pixels, task, memory);\n}\n"
    )
    cross = ["arm-none-eabi-gcc", "-mcpu=cortex-m3", "-mthumb", *STRICT, level, "-fstack-usage"]
    subprocess.run([*cross, "-c", "use.c", "-o", "use.o"], cwd=tmp_path, check=True)
    sizes = subprocess.run(["arm-none-eabi-size", "use.o"], cwd=tmp_path, check=True, capture_output=True, text=True)
    flash, data, zeroed, *_ = map(int, sizes.stdout.splitlines()[1].split()[:3])
    frames = [int(line.split("\t")[1]) for line in (tmp_path / "use.su").read_text().splitlines()]
    buffers = 2 * 512 // 8
    assert flash <= 90_000
    assert data == zeroed == 0
    assert buffers + sum(frames) <= 200


@cross_compiled
@emulated
@pytest.mark.parametrize("processor", ["cortex-m3", "cortex-m0"])
def test_it_passes_its_self_test_on_an_arm_cortex_m(integer_network, tmp_path, processor):
    write_c(integer_network, tmp_path / "net.h", verify=False)
    (tmp_path / "main.c").write_text('#define BNN_SELF_TEST\n#include "net.h"\n')
    cross = ["arm-none-eabi-gcc", f"-mcpu={processor}", "-mthumb", "-Os", "-std=c99"]
    found = [*cross, "-print-file-name=rdimon-crt0.o"]
    begin = subprocess.run(found, check=True, capture_output=True, text=True).stdout.strip()
    sources = ["main.c", BOARD / "start.c", begin, "-o", "main.elf", "-lm"]
    command = [*cross, "--specs=rdimon.specs", "-nostartfiles", "-T", BOARD / "memory.ld", *sources]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    board = ["qemu-system-arm", "-machine", "mps2-an385", "-nographic", "-monitor", "none", "-serial", "none"]
    told = ["-semihosting-config", "enable=on,target=native", "-kernel", tmp_path / "main.elf"]
    done = subprocess.run([*board, *told], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout + done.stderr) == (0, "8 golden vectors agree\n")


@compiled
def test_two_networks_go_into_one_program(task_network, conv_network, tmp_path):
    write_c(task_network, tmp_path / "words.h", name="words")
    write_c(conv_network, tmp_path / "image.h", name="image_1")
    source = (
        '#include <stdio.h>\n#include "words.h"\n#include "image.h"\n'
        'int main(void)\n{\n    printf("%d %d\\n", WORDS_INPUTS, IMAGE_1_INPUTS);\n    return 0;\n}\n'
    )
    assert compile_and_run(COMPILERS[0], tmp_path, source).stdout == "37 198\n"


def test_names_of_tasks_cannot_end_the_comment_they_stand_in(task_network):
    comment = c_source(task_network).partition("*/")[0]
    assert " *     1: day __ _ _\n" in comment
    assert comment.endswith("./a.out\n ")


def test_there_is_no_floating_point_before_the_readout_and_nothing_is_allocated(integer_network):
    source = re.sub(r"/\*.*?\*/", "", c_source(integer_network), flags=re.DOTALL)
    hidden = source[source.index("static uint8_t bnn_byte") : source.index("#if defined(__FP_FAST_FMAF)")]
    assert not re.search(r"\b(float|double|malloc|alloca)\b", hidden)


def test_what_would_need_floating_point_is_refused_with_what_to_do(affine_network, real_network, tmp_path):
    with pytest.raises(ValueError, match=r"without gain and offset, for C, got both behind layer 0.*affine=False"):
        export(affine_network, tmp_path / "net.h", Format.C)
    with pytest.raises(ValueError, match="expected a network of bytes or signs for C, got one of real features"):
        export(real_network, tmp_path / "net.h", Format.C)
    assert not (tmp_path / "net.h").exists()


def test_squares_that_do_not_fit_into_64_bits_are_refused():
    wide = DenseLayer(np.zeros((4000, 500), np.uint8), 4000, SampleReadout(1.0, 1e-5))
    with pytest.raises(ValueError, match=r"less than 2\^63 behind layer 0, got up to 4000 x 1020000\^2 times 4000"):
        c_source(PackedNetwork(Input.BYTES, (4000,), (wide,)))


def test_a_name_that_c_does_not_take_is_refused(task_network):
    with pytest.raises(ValueError, match="expected a name of a-z, 0-9 and _ for the functions, got 'my net'"):
        c_source(task_network, name="my net")


def test_without_a_compiler_it_is_said_what_to_do(task_network, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(ValueError, match=r"expected a C compiler to verify .*net.h with, got none of cc, gcc, clang"):
        write_c(task_network, tmp_path / "net.h")


@compiled
def test_what_is_no_header_of_the_network_is_refused(task_network, conv_network, tmp_path):
    path = tmp_path / "net.h"
    with pytest.raises(ValueError, match=r"expected a C header at .*net.h, got"):
        verify(task_network, path)
    path.write_text("int main;")
    with pytest.raises(ValueError, match=r"expected .*net.h to compile with"):
        verify(task_network, path)
    write_c(conv_network, path)
    with pytest.raises(ValueError, match=r"expected .*net.h to give 5 logits of 64 samples, got"):
        verify(task_network, path)
