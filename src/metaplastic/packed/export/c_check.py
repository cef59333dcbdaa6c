"""Compile a C export, run it, and compare it with the packed network, layer by layer."""

import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from metaplastic.packed.export.c_self_test import checksums
from metaplastic.packed.export.golden import given_inputs, numbered_tasks, readout, require_same
from metaplastic.packed.golden import golden_count, operations
from metaplastic.packed.network import PackedNetwork

COMPILERS = ("cc", "gcc", "clang")
"""Compilers that are looked for, in this order."""

_STEPS = 2**30
"""Products that a verification may take; networks of many get fewer golden vectors."""

_DRIVER = """\
#include <stdio.h>
#define BNN_CHECKSUMS
#include "model.h"

int main(void)
{
    static bnn_memory memory;
    static uint8_t pixels[BNN_INPUTS];
    static float logits[BNN_CLASSES];
    uint32_t task;
    while (fread(&task, sizeof task, 1, stdin) == 1 && fread(pixels, BNN_INPUTS, 1, stdin) == 1) {
        memset(bnn_seen, 0, sizeof bnn_seen);
        int32_t found = bnn_logits(pixels, (unsigned)task, &memory, logits);
        fwrite(bnn_seen, sizeof bnn_seen, 1, stdout);
        fwrite(logits, sizeof logits, 1, stdout);
        fwrite(&found, sizeof found, 1, stdout);
    }
    return 0;
}
"""


def verify_c(network: PackedNetwork, path: Path) -> None:
    """Compile a header here and run it on golden vectors, with all that it may do: only what you trust.

    Args:
        network: What it must compute.
        path: The header.

    Raises:
        ValueError: When there is no C compiler, or the header does not compile or is of another network.
        MismatchError: When a layer gives something else than the network's; the first is named.
    """
    compiler = next(filter(None, map(shutil.which, COMPILERS)), None)
    if compiler is None:
        raise ValueError(
            f"expected a C compiler to verify {path} with, got none of {', '.join(COMPILERS)}; install gcc, or export "
            "without verification and run the self-test that the header has"
        )
    steps = sum(map(operations, network.layers)) * max(len(network.tasks), 1)
    inputs = given_inputs(network, max(1, min(golden_count(network), _STEPS // steps)))
    with tempfile.TemporaryDirectory() as folder:
        program = _compiled(path, Path(folder), compiler)
        for index, task in numbered_tasks(network):
            got = _run(program, path, network, inputs, index)
            require_same(path, checksums(network, inputs, task) | readout(network, inputs, task), got, task)


def _compiled(path: Path, folder: Path, compiler: str) -> Path:
    try:
        source = path.read_text(encoding="utf-8")
    except (FileNotFoundError, UnicodeDecodeError) as error:
        raise ValueError(f"expected a C header at {path}, got {error}; export the network first") from error
    name = source.partition("_predict(pixels, 0")[0].rpartition(" ")[2]
    (folder / "model.h").write_text(source)
    (folder / "main.c").write_text(_DRIVER.replace("bnn_", f"{name}_").replace("BNN_", f"{name.upper()}_"))
    command = [compiler, "-std=c99", "-O2", "main.c", "-o", "main", "-lm"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ValueError(
            f"expected {path} to compile with {compiler}, got {done.stderr.strip()[:500]}; export the network again"
        )
    return folder / "main"


def _run(program: Path, path: Path, network: PackedNetwork, inputs: np.ndarray, task: int) -> dict[str, np.ndarray]:
    given = b"".join(np.uint32(task).tobytes() + sample.tobytes() for sample in inputs)
    done = subprocess.run([program], input=given, capture_output=True, check=False)
    layers, classes = len(network.layers), network.classes
    kind = np.dtype([("layers", np.uint32, (layers,)), ("logits", np.float32, (classes,)), ("found", np.int32)])
    if done.returncode or len(done.stdout) != len(inputs) * kind.itemsize:
        raise ValueError(
            f"expected {path} to give {classes} logits of {len(inputs)} samples, got {len(done.stdout)} bytes and "
            f"status {done.returncode}; name the network that it was made of"
        )
    rows = np.frombuffer(done.stdout, kind)
    got = {f"layer {index}": rows["layers"][:, index] for index in range(layers)}
    return got | {"the readout": rows["logits"], "the class": rows["found"]}
