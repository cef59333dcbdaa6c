"""Where a run was computed: versions, threads, machine and commit."""

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import torch

PACKAGES = ("metaplastic", "torch", "numpy", "scikit-learn", "safetensors")
MOST_THREADS = 1024
"""Of a process; where it cannot start as many as it is told to, OpenMP ends it without a word of what to change."""


def require_threads(threads: int, least: int) -> None:
    """Fail for a number of threads that no machine computes with.

    Args:
        threads: The number.
        least: The least that it may be.

    Raises:
        ValueError: When it is less, or above `MOST_THREADS`.
    """
    if not least <= threads <= MOST_THREADS:
        raise ValueError(f"expected threads from {least} to {MOST_THREADS}, got {threads}; take one per core")


def environment(device: str = "cpu") -> dict[str, Any]:
    """Describe where this process computes; no path and no name of a host or a person is in it.

    Args:
        device: What it computes on, as torch names it.

    Returns:
        JSON values: versions, processor, threads, and the commit if the package runs from a checkout.
    """
    return {
        "versions": {"python": platform.python_version()}
        | {package: importlib.metadata.version(package) for package in PACKAGES},
        "system": platform.system(),
        "machine": platform.machine(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "cuda": torch.cuda.get_device_name(device) if device.startswith("cuda") else None,
        "commit": _commit(),
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()


def _commit() -> str | None:
    """The checkout's commit, with a plus if files differ from it; None outside a checkout of the package."""
    here = Path(__file__).parent
    try:
        _git("ls-files", "--error-unmatch", Path(__file__).name, folder=here)  # fails where another checkout is around
        commit = _git("rev-parse", "HEAD", folder=here)
        return commit + ("+" if _git("status", "--porcelain", "--", ".", folder=here.parent) else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _git(*arguments: str, folder: Path) -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=True, timeout=10)
    return done.stdout.strip()
