"""The formats of exports by name: writing, and verifying what was written."""

import enum
from pathlib import Path

from metaplastic.packed.export.c import write_c
from metaplastic.packed.export.c_check import verify_c
from metaplastic.packed.export.graph import read_model
from metaplastic.packed.export.onnx import write_onnx
from metaplastic.packed.export.onnx_check import verify_onnx
from metaplastic.packed.export.qonnx import DOMAIN, verify_qonnx, write_qonnx
from metaplastic.packed.network import PackedNetwork


class Format(enum.StrEnum):
    """What a network can be exported to."""

    ONNX = "onnx"
    """Plain ONNX: runs wherever ONNX does; weights are numbers."""
    ONNX_PACKED = "onnx-packed"
    """ONNX with weights as bits, which the graph unpacks: a thirtieth of the size, as quick."""
    QONNX = "qonnx"
    """QONNX, for FINN and hls4ml; one task a file."""
    C = "c"
    """A C99 header, for microcontrollers."""

    @property
    def suffix(self) -> str:
        """What names of its files end in."""
        return {"onnx": ".onnx", "onnx-packed": ".packed.onnx", "qonnx": ".qonnx.onnx", "c": ".h"}[self]


def export(
    network: PackedNetwork, path: Path, kind: Format, *, task: int | str | None = None, verify: bool = True
) -> Path:
    """Export a network, and verify on golden vectors what was written.

    Args:
        network: The network.
        path: The file.
        kind: Its format.
        task: The task, for QONNX of a network with tables for each; the other formats hold all of them.
        verify: Whether the file is run and compared with the network, layer by layer.

    Returns:
        The path.

    Raises:
        ImportError: When a package that the format needs is not installed.
        ValueError: When the network cannot be exported so, or a task is given that makes no difference.
        MismatchError: When the file does not compute what the network does; what was there before is put back.
    """
    if kind is Format.QONNX:
        return write_qonnx(network, path, task=task, verify=verify)
    if task is not None:
        raise ValueError(f"expected a task for format 'qonnx' only, got {task!r} for {kind.value!r}, which holds all")
    if kind is Format.C:
        return write_c(network, path, verify=verify)
    return write_onnx(network, path, packed=kind is Format.ONNX_PACKED, verify=verify)


def verify(network: PackedNetwork, path: Path, *, task: int | str | None = None) -> None:
    """Run an export on golden vectors and compare it with the network, layer by layer.

    C is compiled and run in this account: verify no header that you would not run.

    Args:
        network: What it must compute.
        path: The export; a name that ends in `.h` or `.c` is C, anything else ONNX or QONNX.
        task: The task that a QONNX file was made for, where each has tables of its own.

    Raises:
        ImportError: When a package that the format needs is not installed.
        ValueError: When it is no export.
        MismatchError: When a layer gives something else than the network's; the first is named.
    """
    if path.suffix in (".h", ".c"):
        verify_c(network, path)
    elif DOMAIN in {opset.domain for opset in read_model(path).opset_import}:
        verify_qonnx(network, path, task=task)
    else:
        verify_onnx(network, path)
