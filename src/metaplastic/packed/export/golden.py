"""What an export must compute on golden vectors, layer by layer, as the packed network does."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np

from metaplastic.files import write_bytes
from metaplastic.packed.golden import golden_inputs
from metaplastic.packed.layers import Input
from metaplastic.packed.network import PackedNetwork


class MismatchError(ValueError):
    """An export computes something else than the network that it was made of."""


def write_verified(path: Path, data: bytes, verify: Callable[[Path], None] | None) -> Path:
    """Write an export and verify it; where it does not pass, what was there before is put back.

    Args:
        path: The file.
        data: What is to be in it.
        verify: Given the file, fails where it computes something else, or where that cannot be found out; None takes
            the export as it is.

    Returns:
        The path.
    """
    earlier = path.read_bytes() if path.is_file() else None
    write_bytes(path, data)
    try:
        if verify:
            verify(path)
    except BaseException:
        if earlier is None:
            path.unlink(missing_ok=True)
        else:
            write_bytes(path, earlier)
        raise
    return path


def given_inputs(network: PackedNetwork, count: int | None = None) -> np.ndarray:
    """Give the golden inputs of a network as exports take them.

    Args:
        network: The network.
        count: How many; None for as many as its file is verified with.

    Returns:
        `[count, *input_shape]`: bytes, 1 for +1 and 0 for -1 where signs are wanted; float32 for real features.
    """
    inputs = golden_inputs(network, count)
    return inputs if network.input is Input.REAL else inputs.astype(np.uint8)


def numbered_tasks(network: PackedNetwork) -> Iterator[tuple[int, str | None]]:
    """List the tasks that have tables.

    Args:
        network: The network.

    Yields:
        Index and name of each; 0 and None where all tasks share one.
    """
    yield from enumerate(network.tasks or (None,))


def expected_outputs(network: PackedNetwork, inputs: np.ndarray, task: str | None) -> dict[str, np.ndarray]:
    """Compute what every layer must give.

    Args:
        network: The network.
        inputs: Samples.
        task: Name of the task, if there is one.

    Returns:
        For each place its numbers, in the order in which they are computed: `the sums of layer 0`, `the bits of layer
        0`, ..., `the readout`, `the class`.
    """
    found: dict[str, np.ndarray] = {}
    for index, (sums, bits) in enumerate(network.trace(inputs, task)):
        found[f"the sums of layer {index}"] = sums
        if bits is not None:
            found[f"the bits of layer {index}"] = bits
    return found | readout(network, inputs, task)


def readout(network: PackedNetwork, inputs: np.ndarray, task: str | None) -> dict[str, np.ndarray]:
    """Compute what comes out in the end.

    Args:
        network: The network.
        inputs: Samples.
        task: Name of the task, if there is one.

    Returns:
        The logits as `the readout`, and `the class`.
    """
    logits = network.logits(inputs, task)
    return {"the readout": logits, "the class": logits.argmax(1)}


def require_same(
    path: Path, expected: Mapping[str, np.ndarray], got: Mapping[str, np.ndarray], task: str | None
) -> None:
    """Fail, naming the first layer, unless an export computes what is expected.

    Args:
        path: The export.
        expected: What each place must give, `[samples, ...]`, in the order in which it is computed.
        got: What it gave; places that are missing are not compared.
        task: Name of the task, if there is one.

    Raises:
        MismatchError: When something differs.

    Example:
        >>> require_same(Path("net.h"), {"layer 0": np.array([1, 2])}, {"layer 0": np.array([1, 3])}, None)
        Traceback (most recent call last):
            ...
        metaplastic.packed.export.golden.MismatchError: expected net.h to compute what the packed network does, got ...
    """
    for place, right in expected.items():
        found = got.get(place, right)
        if np.array_equal(found, right):
            continue
        wrong = int((found != right).reshape(len(right), -1).any(1).sum()) if found.shape == right.shape else len(right)
        of_task = f" of task {task!r}" if task else ""
        raise MismatchError(
            f"expected {path} to compute what the packed network does, got something else: {place} is the first to "
            f"differ{of_task}, on {wrong} of {len(right)} golden vectors; export the network again"
        )
