"""What a C export looks at itself with: checksums of its layers, and golden vectors that go with it."""

import numpy as np

from metaplastic.packed.export.c_tables import table
from metaplastic.packed.export.golden import given_inputs, numbered_tasks
from metaplastic.packed.network import PackedNetwork

SELF_TEST_VECTORS = 8
"""Golden vectors in the source, at least one for each task; they take flash in the self-test only."""

_STEP, _FACTOR = 0x9E3779B9, 0x85EBCA6B
"""Odd numbers that spread bits; each change of one sum changes a checksum."""

CHECKSUMS = """\
#if defined(BNN_SELF_TEST) || defined(BNN_CHECKSUMS)
static uint32_t bnn_seen[BNN_LAYERS]; /* a checksum of the sums and bits of each layer */

static void bnn_mix(unsigned layer, uint32_t unit, int32_t sum, int bit)
{
    uint32_t mixed = 2u * (uint32_t)sum + (uint32_t)bit + unit * 0x9e3779b9u;
    mixed = (mixed ^ mixed >> 16) * 0x85ebca6bu;
    bnn_seen[layer] += mixed ^ mixed >> 13;
}
#define BNN_SEE bnn_mix
#endif"""

_MAIN = """\
#ifdef BNN_SELF_TEST
#include <stdio.h>

@TABLES@
int main(void)
{
    static bnn_memory memory;
    static uint8_t pixels[BNN_INPUTS];
    static float logits[BNN_CLASSES], expected[BNN_CLASSES];
    for (unsigned i = 0; i < @VECTORS@; i++) {
        memset(bnn_seen, 0, sizeof bnn_seen);
        BNN_COPY(pixels, bnn_golden + (uint32_t)i * BNN_INPUTS, BNN_INPUTS);
        BNN_COPY(expected, bnn_golden_logits + i * BNN_CLASSES, sizeof expected);
        int found = bnn_logits(pixels, i % BNN_TASKS, &memory, logits);
        for (unsigned layer = 0; layer < BNN_LAYERS; layer++) {
            uint32_t checksum;
            BNN_COPY(&checksum, bnn_golden_layers + i * BNN_LAYERS + layer, sizeof checksum);
            if (bnn_seen[layer] != checksum) {
                printf("layer %u is the first to differ, on golden vector %u\\n", layer, i);
                return 1;
            }
        }
        if (memcmp(logits, expected, sizeof logits) != 0 || found != bnn_predict(pixels, i % BNN_TASKS, &memory)) {
            printf("the readout differs on golden vector %u\\n", i);
            return 1;
        }
    }
    printf("@VECTORS@ golden vectors agree\\n");
    return 0;
}
#endif
"""


def checksums(network: PackedNetwork, inputs: np.ndarray, task: str | None) -> dict[str, np.ndarray]:
    """Compute the checksums that the C export must come to.

    Args:
        network: The network.
        inputs: Samples.
        task: Name of the task, if there is one.

    Returns:
        For each layer a checksum of every sample, uint32.
    """
    found = {}
    for index, (sums, bits) in enumerate(network.trace(inputs, task)):
        doubled = 2 * sums.reshape(len(inputs), -1).astype(np.int64)
        if bits is not None:
            doubled += bits.reshape(len(inputs), -1)
        mixed = doubled.astype(np.uint32) + np.arange(doubled.shape[1], dtype=np.uint32) * np.uint32(_STEP)
        mixed = (mixed ^ mixed >> 16) * np.uint32(_FACTOR)
        found[f"layer {index}"] = (mixed ^ mixed >> 13).sum(1, dtype=np.uint32)
    return found


def self_test(network: PackedNetwork) -> str:
    """Write golden vectors and a `main` that checks them.

    Args:
        network: The network.

    Returns:
        The source; it is compiled where `BNN_SELF_TEST` is defined.
    """
    names = [name for _, name in numbered_tasks(network)]
    inputs = given_inputs(network, max(SELF_TEST_VECTORS, len(names)))
    layers, logits = [], []
    for index, sample in enumerate(inputs[:, None]):
        task = names[index % len(names)]
        layers.append([int(checksum[0]) for checksum in checksums(network, sample, task).values()])
        logits.append(network.logits(sample, task)[0])
    golden = [
        table("uint8_t", "golden", inputs),
        table("uint32_t", "golden_layers", np.array(layers, np.uint32)),
        table("float", "golden_logits", np.array(logits)),
    ]
    return _MAIN.replace("@TABLES@", "\n".join(golden)).replace("@VECTORS@", str(len(inputs)))
