"""Whether every backend that there is here computes the same."""

import numpy as np

from metaplastic.packed.golden import golden_inputs
from metaplastic.packed.network import PackedNetwork
from metaplastic.packed.products import Backend, kernel


def verify_backends(network: PackedNetwork) -> list[Backend]:
    """Compute the golden inputs of a network by every backend, and compare the logits.

    Args:
        network: The network.

    Returns:
        The backends, all of which agree.

    Raises:
        ValueError: When one of them gives other logits.
    """
    backends = [Backend.NUMPY, Backend.MATRIX, *([Backend.KERNEL] if kernel() else [])]
    inputs = golden_inputs(network)
    for task in network.tasks or (None,):
        reference = network.logits(inputs, task, backend=backends[0])
        for backend in backends[1:]:
            if not np.array_equal(network.logits(inputs, task, backend=backend), reference):
                raise ValueError(
                    f"expected backend {backend.value!r} to give the logits of {backends[0].value!r}, got others; "
                    "report it, and name another backend until it is mended"
                )
    return backends
