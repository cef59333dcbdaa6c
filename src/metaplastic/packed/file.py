"""The file of a packed network: safetensors whose every byte is under a hash, read as data and nothing else."""

import hashlib
import json
import math
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from metaplastic.files import write_bytes
from metaplastic.packed.description import describe, restore, tensors
from metaplastic.packed.golden import golden_count, golden_hash
from metaplastic.packed.network import PackedNetwork

FORMAT = "metaplastic-packed"
"""What the metadata of a file call its format."""

VERSION = "1"
"""Version of the format."""

_FILE_LIMIT = 2**30
_HEADER_LIMIT = 2**20
_LENGTH = 8
"""Bytes in front of the header, which hold its length."""

_DTYPES = {"F64": "<f8", "F32": "<f4", "I32": "<i4", "I16": "<i2", "U8": "|u1"}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}
_BLANK = "0" * 64
"""Stands in the place of the hash while the file is hashed."""


def save(network: PackedNetwork, path: str | Path) -> Path:
    """Write a packed network, whole or not at all.

    | entry | type | holds |
    |---|---|---|
    | `layers.K.weight` | U8 | bits of the weights |
    | `layers.K.threshold` | I16, I32 where one does not fit, F64 behind real features | thresholds |
    | `layers.K.flipped` | U8 | bits of the negative gains |
    | `layers.K.gain`, `layers.K.offset` | F32 | of layer norm |
    | `layers.K.scale`, `layers.K.offset` | F32 | of the readout |
    | metadata | strings | `format`, `version`, `network` (JSON: shapes, input, tasks), `golden`, `sha256` |

    Args:
        network: The network.
        path: Where to; its folder must exist.

    Returns:
        The path.
    """
    count = golden_count(network)
    content = _lay_out(network, count, golden_hash(network, count)).content
    signed = content.replace(_BLANK.encode(), hashlib.sha256(content).hexdigest().encode(), 1)
    write_bytes(Path(path), signed)
    return Path(path)


def load(path: str | Path) -> PackedNetwork:
    """Read a packed network.

    Nothing in the file is executed. What is no file of this format, is damaged, or gives other logits for the golden
    inputs than where it was written, is refused.

    Args:
        path: The file.

    Returns:
        A network equal to the one that was saved.

    Raises:
        ValueError: When the file is refused, with its name and the reason.
    """
    path = Path(path)
    try:
        return _read(_bytes(path))
    except (ValueError, RecursionError) as error:
        reason = "its header is nested too deeply" if isinstance(error, RecursionError) else error
        raise ValueError(f"cannot read {path} as a packed network: {reason}") from error


@dataclass(frozen=True)
class Layout:
    """The bytes of a file, and how many of them are in front of the tensors.

    Args:
        content: All bytes, with zeros in the place of the hash.
        header: Bytes of the length and the header.
    """

    content: bytes
    header: int


def layout(network: PackedNetwork) -> Layout:
    """Lay a file out without computing what its hashes would be.

    Args:
        network: The network.

    Returns:
        Bytes of the size that the file has.
    """
    return _lay_out(network, golden_count(network), _BLANK)


def _lay_out(network: PackedNetwork, count: int, golden: str) -> Layout:
    # Large numbers first, so that each lies where the processor likes to read it.
    entries = sorted(tensors(network).items(), key=lambda entry: (-entry[1].itemsize, entry[0]))
    metadata = {
        # The hash first: its place is found as that of the first zeros.
        "sha256": _BLANK,
        "format": FORMAT,
        "version": VERSION,
        "golden": json.dumps({"inputs": count, "sha256": golden}),
        "network": json.dumps(describe(network)),
    }
    header: dict[str, Any] = {"__metadata__": metadata}
    end = 0
    for name, array in entries:
        start, end = end, end + array.nbytes
        header[name] = {"dtype": _NAMES[array.dtype.str], "shape": list(array.shape), "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _LENGTH)
    parts = [len(text).to_bytes(_LENGTH, "little"), text, *(array.tobytes() for _, array in entries)]
    return Layout(b"".join(parts), _LENGTH + len(text))


def _bytes(path: Path) -> bytes:
    status = path.stat()
    if not stat.S_ISREG(status.st_mode) or status.st_size > _FILE_LIMIT:
        raise ValueError(f"expected a file of at most {_FILE_LIMIT} bytes, got something else; is it the right path?")
    with path.open("rb") as file:
        return file.read(_FILE_LIMIT)


def _read(content: bytes) -> PackedNetwork:
    header, start = _header(content)
    metadata = header.pop("__metadata__", None)
    if not isinstance(metadata, dict) or metadata.get("format") != FORMAT:
        raise ValueError(f"expected metadata of the format {FORMAT!r}, got others; a file of hidden weights is to pack")
    if metadata.get("version") != VERSION:
        raise ValueError(f"expected version {VERSION}, got {metadata.get('version')!r}; use a newer metaplastic")
    _check_hash(content, metadata.get("sha256"), start)
    network = restore(_json(metadata, "network"), _arrays(header, memoryview(content)[start:]))
    golden = _json(metadata, "golden")
    if golden.get("inputs") != golden_count(network) or golden.get("sha256") != golden_hash(
        network, golden_count(network)
    ):
        raise ValueError("expected the logits of the golden inputs, got others; pack the network again")
    return network


def _header(content: bytes) -> tuple[dict[str, Any], int]:
    length = int.from_bytes(content[:_LENGTH], "little")
    start = _LENGTH + length
    if len(content) < _LENGTH or length > _HEADER_LIMIT or start > len(content):
        raise ValueError("expected a safetensors header of at most 1 MiB, got something else; the file is damaged")
    header = json.loads(content[_LENGTH:start])
    if not isinstance(header, dict):
        raise ValueError("expected a header of named tensors, got something else; the file is damaged")
    return header, start


def _check_hash(content: bytes, claimed: Any, start: int) -> None:
    if not isinstance(claimed, str) or len(claimed) != len(_BLANK) or not claimed.isascii():
        raise ValueError("expected a hash of all bytes, got none; the file is damaged")
    head = content[:start].replace(claimed.encode(), _BLANK.encode(), 1)
    whole = hashlib.sha256(head)
    whole.update(memoryview(content)[start:])
    if whole.hexdigest() != claimed:
        raise ValueError("expected bytes of the hash in its header, got others; the file is damaged, copy it again")


def _json(metadata: dict[str, Any], name: str) -> dict[str, Any]:
    text = metadata.get(name)
    value = json.loads(text) if isinstance(text, str) else None
    if not isinstance(value, dict):
        raise ValueError(f"expected a JSON object as {name!r} in the metadata, got something else; pack it again")
    return value


def _arrays(header: dict[str, Any], data: memoryview) -> dict[str, np.ndarray]:
    arrays, end = {}, 0
    for name, entry in header.items():
        dtype, shape, (start, stop) = _entry(name, entry)
        size = math.prod(shape) * dtype.itemsize
        if start != end or stop - start != size or stop > len(data):
            raise ValueError(f"expected {name!r} as {size} bytes behind the entry before it, got others; pack it again")
        arrays[name], end = np.frombuffer(data[start:stop], dtype).reshape(shape), stop
    if end != len(data):
        raise ValueError(f"expected {end} bytes of tensors, got {len(data)}; the file is damaged")
    return arrays


def _entry(name: str, entry: Any) -> tuple[np.dtype, list[int], list[int]]:
    entry = entry if isinstance(entry, dict) else {}
    dtype, shape, offsets = entry.get("dtype"), entry.get("shape"), entry.get("data_offsets")
    if not isinstance(dtype, str) or dtype not in _DTYPES or not _counts(shape) or not _counts(offsets, 2):
        raise ValueError(f"expected a type, a shape and two offsets for {name!r}, got others; pack the network again")
    return np.dtype(_DTYPES[dtype]), shape, offsets


def _counts(value: Any, length: int | None = None) -> bool:
    """Whether something is a list of integers that can be sizes."""
    return (
        isinstance(value, list)
        and len(value) == (len(value) if length is None else length)
        and all(type(count) is int and 0 <= count <= _FILE_LIMIT for count in value)
    )
