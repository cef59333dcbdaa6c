"""A network and a loop of your own: only the layers and the optimizer are ours.

Learns four permutations of handwritten digits one after the other, with and without metaplasticity, and prints the
accuracy on each of them at the end.
"""

import torch
from torch import nn
from torch.nn import functional

import metaplastic as mp

TASKS, EPOCHS, BATCH = 4, 12, 100


def network() -> nn.Module:
    """Make a module like any other; layer norm needs to know nothing about tasks."""
    layer_norm = mp.NormPolicy(statistics=mp.Statistics.LAYER)
    return nn.Sequential(
        mp.BinaryLinear(64, 512, binarize_input=False),
        mp.Normalization(512, layer_norm),
        mp.BinaryLinear(512, 512, binarize_input=True),
        mp.Normalization(512, layer_norm),
        mp.BinaryLinear(512, 10, binarize_input=True),
        mp.Normalization(10, layer_norm),
    )


def learn(metaplasticity: float) -> list[float]:
    """Train on each permutation in turn; return the accuracy on all of them."""
    torch.manual_seed(0)
    digits = mp.load("digits")
    pixels, labels = digits.train.inputs.flatten(1) * digits.scale, digits.train.labels
    unseen, answers = digits.test.inputs.flatten(1) * digits.scale, digits.test.labels
    permutations = [torch.randperm(64) for _ in range(TASKS)]
    net = network()
    optimizer = mp.MetaplasticAdam(mp.param_groups(net, metaplasticity=metaplasticity), lr=5e-3)
    for permutation in permutations:
        for _ in range(EPOCHS):
            for rows in torch.randperm(len(labels)).split(BATCH):
                loss = functional.cross_entropy(net(pixels[rows][:, permutation]), labels[rows])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
    with torch.no_grad():
        return [float((net(unseen[:, order]).argmax(1) == answers).float().mean()) for order in permutations]


if __name__ == "__main__":
    for m in (0.0, 10.0):
        accuracies = learn(m)
        shown = "  ".join(f"{100 * accuracy:5.1f}" for accuracy in accuracies)
        print(f"m = {m:4.1f}   accuracy on each task (%): {shown}   mean {100 * sum(accuracies) / TASKS:5.1f}")
