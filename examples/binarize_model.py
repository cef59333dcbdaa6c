"""A model of your own made binary, and trained by a loop of your own.

The model is an ordinary one of torch's layers, with biases and ReLU. One line makes its layers binary, one makes its
optimizer metaplastic; the loop stays what it was. Prints what was converted, learns four permutations of handwritten
digits one after the other, and prints the accuracy on each of them at the end, with and without metaplasticity.

Its layer norm trains neither gain nor offset: what is no synapse is not protected, and would forget.
"""

import torch
from torch import nn
from torch.nn import functional

import metaplastic as mp

TASKS, EPOCHS, BATCH = 4, 12, 100
LAYER_NORM = mp.NormPolicy(statistics=mp.Statistics.LAYER, affine=False)


def model() -> nn.Module:
    """Make the model as anybody would."""
    return nn.Sequential(
        nn.Linear(64, 512, bias=False),
        nn.LayerNorm(512, elementwise_affine=False),
        nn.ReLU(),
        nn.Linear(512, 512, bias=False),
        nn.LayerNorm(512, elementwise_affine=False),
        nn.ReLU(),
        nn.Linear(512, 10),
    )


def learn(net: nn.Module, metaplasticity: float) -> list[float]:
    """Train on each permutation in turn; return the accuracy on all of them."""
    digits = mp.load("digits")
    pixels, labels = digits.train.inputs.flatten(1) * digits.scale, digits.train.labels
    unseen, answers = digits.test.inputs.flatten(1) * digits.scale, digits.test.labels
    permutations = [torch.randperm(64) for _ in range(TASKS)]
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
    for m in (0.0, 15.0):
        torch.manual_seed(0)
        # The sign takes the place of ReLU, and the sums of the last layer get the normalisation that it has none of.
        net, report = mp.binarize(model(), remove_relu=True, norm=LAYER_NORM)
        if m == 0:
            print(report)
        accuracies = learn(net, m)
        shown = "  ".join(f"{100 * accuracy:5.1f}" for accuracy in accuracies)
        print(f"m = {m:4.1f}   accuracy on each task (%): {shown}   mean {100 * sum(accuracies) / TASKS:5.1f}")
