"""How the kernel is built: without warnings, clean under the sanitizers, and optional."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "metaplastic" / "packed"

SANITIZED = ["-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
TOOLCHAINS = {  # compiler, its flags, and what runs the program
    "gcc with threads": ("gcc", [*SANITIZED, "-fopenmp"], []),
    "gcc": ("gcc", [*SANITIZED, "-fno-openmp"], []),
    "clang": ("clang", ["-O3"], []),
    "gcc for Arm": ("aarch64-linux-gnu-gcc", ["-O2", "-static"], ["qemu-aarch64"]),
}


def test_without_the_kernel_its_face_cannot_be_imported():
    script = "import sys; sys.modules['metaplastic.packed._kernel'] = None; import metaplastic.packed.kernel"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=120)
    assert ran.returncode
    assert "Error: " in ran.stderr.splitlines()[-1]
    assert "_kernel" in ran.stderr.splitlines()[-1]


@pytest.mark.parametrize("toolchain", TOOLCHAINS)
def test_the_core_is_right_on_every_path_without_warnings_or_wrong_reads(tmp_path, toolchain):
    compiler, flags, runner = TOOLCHAINS[toolchain]
    for tool in (compiler, *runner):
        if shutil.which(tool) is None:
            pytest.skip(f"no {tool}")
    source, program = Path(__file__).with_name("kernel_check.c"), tmp_path / "check"
    warnings = ["-std=c99", "-Wall", "-Wextra", "-Werror"]
    subprocess.run([compiler, *warnings, *flags, f"-I{SOURCE}", source, "-o", program], check=True, timeout=300)
    # The threads that gcc keeps for later look like a leak.
    environment = {**os.environ, "ASAN_OPTIONS": f"detect_leaks={int('-fopenmp' not in flags)}"}
    ran = subprocess.run([*runner, program], capture_output=True, text=True, timeout=300, env=environment, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stdout.split()[-1] == "plain"
    assert not runner or ran.stdout.split()[0] == "neon"


@pytest.mark.slow
def test_the_package_is_built_without_a_compiler_all_the_same(tmp_path):
    pytest.importorskip("setuptools", reason="no setuptools to build with")
    left_out = shutil.ignore_patterns(".*", "*.so", "build", "results", "docs", "tests", "*.egg-info")
    shutil.copytree(ROOT, tmp_path / "package", ignore=left_out)
    command = [sys.executable, "setup.py", "-q", "bdist_wheel", "-d", str(tmp_path / "wheels")]
    environment = {**os.environ, "CC": "/bin/false"}
    subprocess.run(command, cwd=tmp_path / "package", env=environment, capture_output=True, check=True, timeout=300)
    (wheel,) = (tmp_path / "wheels").iterdir()
    names = zipfile.ZipFile(wheel).namelist()
    assert "metaplastic/packed/kernel.py" in names
    assert not [name for name in names if name.endswith((".so", ".pyd"))]
