"""A sweep on a Ray cluster of two nodes on this machine, one of which is lost while it works."""

import contextlib
import importlib.util
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("ray", reason="comes with metaplastic[ray]")
pytestmark = [
    pytest.mark.ray,
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds the processes of a node under /proc"),
]

SWEEP = ["sweep", "permuted-digits", "--tasks", "2", "--hidden", "32", "--batch-size", "25", "--engine", "plain"]
OVER = ["--epochs", "6", "--over", "metaplasticity=0,10", "--seeds", "3"]


def family(pid: int) -> list[int]:
    """A process and all that it began, and those began."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except FileNotFoundError:
        return []
    return [pid, *(one for child in children for one in family(int(child)))]


def lose(node: subprocess.Popen) -> None:
    """End all processes of a node at once, as when its machine loses power."""
    for pid in family(node.pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    node.wait()


@pytest.fixture
def nodes(tmp_path_factory, monkeypatch):
    """Start the head and a second node, each with one processor; only who knows the token can use them."""
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
    port = 20000 + os.getpid() % 20000
    monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{port}")
    ray = [str(Path(sys.executable).parent / "ray"), "start", "--block", "--num-cpus=1", "--disable-usage-stats"]
    ray += ["--node-ip-address=127.0.0.1", "--object-store-memory=80000000"]
    # The paths of its sockets must be short.
    place = Path("/tmp") / f"ray-{os.getpid()}"
    head = [
        f"--port={port}",
        "--head",
        "--include-dashboard=false",
        f"--temp-dir={place}",
    ]
    if importlib.util.find_spec("grpc"):  # else there is no server for clients, and to give it a port is an error
        head.append(f"--ray-client-server-port={port + 1}")
    started = []
    said = tmp_path_factory.mktemp("ray") / "said"

    def start(*words: str) -> None:
        with said.open("a") as file:
            started.append(subprocess.Popen([*ray, *words], stdout=file, stderr=file))

    try:
        start(*head)
        _wait_for_nodes(1, started, said)
        start(f"--address=127.0.0.1:{port}")
        _wait_for_nodes(2, started, said)
        yield started
    finally:
        for node in reversed(started):
            lose(node)
        shutil.rmtree(place, ignore_errors=True)


def _wait_for_nodes(count: int, started: list[subprocess.Popen], said: Path) -> None:
    host, _, port = os.environ["RAY_ADDRESS"].partition(":")
    code = "import ray; ray.init(address='auto', log_to_driver=False); print(int(ray.cluster_resources()['CPU']))"
    deadline = time.monotonic() + 240  # the first start after an installation reads Ray from the disk
    while time.monotonic() < deadline and all(node.poll() is None for node in started):
        with socket.socket() as probe:
            if probe.connect_ex((host, int(port))):
                time.sleep(0.2)
                continue
        # A process that asks a cluster which is not whole yet may wait for ever.
        with contextlib.suppress(subprocess.TimeoutExpired):
            done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
            if done.stdout.strip() == str(count):
                return
    pytest.fail(f"expected a cluster of {count} nodes, got none: {said.read_text()[-2000:]}")


def command(folder: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "metaplastic", *SWEEP, *OVER, "--quiet", "--out", str(folder), *more]


def test_a_node_that_is_lost_costs_no_finished_run_and_the_sweep_ends(nodes, tmp_path, results_of):
    sweep = subprocess.Popen(command(tmp_path / "ray", "--backend", "ray"), stdout=subprocess.DEVNULL)
    runs = tmp_path / "ray" / "runs"
    deadline = time.monotonic() + 90
    # One is finished, and two are at work: one of them on the node that is lost.
    while not (list(runs.glob("*/summary.json")) and len(list(runs.glob("*/checkpoint.safetensors"))) >= 3):
        assert sweep.poll() is None, "the sweep ended before a node was lost; make it longer"
        assert time.monotonic() < deadline
        time.sleep(0.05)
    finished = {path: path.stat().st_mtime_ns for path in runs.glob("*/summary.json")}
    lose(nodes[1])
    assert sweep.wait(timeout=120) == 0
    assert {path: path.stat().st_mtime_ns for path in finished} == finished
    subprocess.run(command(tmp_path / "here", "--jobs", "1"), check=True, capture_output=True)
    assert len(list(runs.iterdir())) == 6
    assert results_of(tmp_path / "ray") == results_of(tmp_path / "here")
