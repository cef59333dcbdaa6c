"""A run that is killed at any moment ends with the same bits as one that is not."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

RUNS = {
    "per task": ["permuted-digits", "--tasks", "3"],
    "stream": [
        "fashion-stream",
        "--data",
        "digits",
        "--parts",
        "3",
        "--batch-size",
        "32",
        "--augment",
        "flip-and-crop",
    ],
}
SMALL = ["--hidden", "64", "--epochs", "40", "--threads", "1", "--checkpoint-every", "3", "--checkpoint-unit", "step"]


def metaplastic(*words: object) -> list[str]:
    return [sys.executable, "-m", "metaplastic", *map(str, words)]


def start(*words: object) -> subprocess.Popen:
    return subprocess.Popen(metaplastic(*words), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def wait_for_a_new_checkpoint(process: subprocess.Popen, folder: Path) -> None:
    """Wait until the process has written a checkpoint of its own, or has ended."""
    path = folder / "checkpoint.safetensors"
    before = path.stat().st_mtime_ns if path.exists() else 0
    while process.poll() is None and not (path.exists() and path.stat().st_mtime_ns > before):
        time.sleep(0.005)


def end_at_a_random_moment(process: subprocess.Popen, folder: Path, number: signal.Signals) -> int:
    wait_for_a_new_checkpoint(process, folder)
    time.sleep(random.SystemRandom().uniform(0, 0.4))
    process.send_signal(number)
    process.communicate()
    return process.returncode


@pytest.fixture(params=list(RUNS), scope="module")
def uninterrupted(request, tmp_path_factory):
    words, folder = [*RUNS[request.param], *SMALL], tmp_path_factory.mktemp("runs") / "whole"
    subprocess.run(metaplastic("run", *words, "--out", folder), check=True, capture_output=True)
    return words, folder


def same(folder: Path, whole: Path) -> None:
    for name in ("network.safetensors", "accuracy.csv", "summary.json"):
        assert (folder / name).read_bytes() == (whole / name).read_bytes(), name


@pytest.mark.slow
def test_killed_at_random_moments_and_resumed_it_ends_with_the_same_bits(uninterrupted, tmp_path):
    words, whole = uninterrupted
    folder = tmp_path / "killed"
    codes = [end_at_a_random_moment(start("run", *words, "--out", folder), folder, signal.SIGKILL)]
    for _ in range(2):
        codes.append(end_at_a_random_moment(start("run", "--resume", folder), folder, signal.SIGKILL))
    assert -signal.SIGKILL in codes, "the run was never killed before its end; make it longer"
    subprocess.run(metaplastic("run", "--resume", folder), check=True, capture_output=True)
    same(folder, whole)


@pytest.mark.slow
@pytest.mark.usefixtures("in_a_terminal")
@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for a single process")
def test_ctrl_c_leaves_a_run_that_can_be_resumed_and_says_how(uninterrupted, tmp_path):
    words, whole = uninterrupted
    folder = tmp_path / "interrupted"
    process = start("run", *words, "--out", folder)
    wait_for_a_new_checkpoint(process, folder)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate()
    assert process.returncode == 130
    assert f"metaplastic run --resume {folder}" in said
    assert "Traceback" not in said
    subprocess.run(metaplastic("run", "--resume", folder), check=True, capture_output=True)
    same(folder, whole)
