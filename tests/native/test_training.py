"""The products of training that are compiled at installation, without Python: right, and clean under the sanitizers."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "metaplastic" / "native"
SANITIZED = ["-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
TOOLCHAINS = {
    "gcc with threads": ("gcc", [*SANITIZED, "-fopenmp"]),
    "gcc": ("gcc", [*SANITIZED, "-fno-openmp"]),
    "clang": ("clang", ["-O3"]),
}


@pytest.mark.parametrize("toolchain", TOOLCHAINS)
def test_products_are_right_without_warnings_or_wrong_reads(tmp_path, toolchain):
    compiler, flags = TOOLCHAINS[toolchain]
    if shutil.which(compiler) is None:
        pytest.skip(f"no {compiler}")
    source, program = Path(__file__).with_name("training_check.c"), tmp_path / "check"
    # Paths that training does not take stay unused.
    warnings = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-Wno-unused-function", "-Wno-psabi"]
    subprocess.run([compiler, *warnings, *flags, f"-I{SOURCE}", source, "-o", program, "-lm"], check=True, timeout=300)
    # The threads that gcc keeps for later look like a leak.
    environment = {**os.environ, "ASAN_OPTIONS": f"detect_leaks={int('-fopenmp' not in flags)}"}
    ran = subprocess.run([program], capture_output=True, text=True, timeout=300, env=environment, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    if ran.stdout.strip() == "unavailable":
        pytest.skip("a processor without AVX-512")
    assert ran.stdout.strip() == "right"
