"""A model made binary and trained by Lightning, which needs to know nothing about it.

The `LightningModule` is written as always: it takes a binary model, and `configure_optimizers` returns a metaplastic
optimizer. Two permutations of handwritten digits are learned one after the other, each by a `fit` of its own; what the
network remembers is in its hidden weights, so it does not matter that Lightning makes a new optimizer for each.

Needs Lightning (`pip install lightning`); without it the example says so and ends.
"""

import logging
import warnings

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

import metaplastic as mp

try:
    import lightning
except ImportError:
    print("skipped: this example needs Lightning; pip install lightning")
    raise SystemExit from None

EPOCHS, BATCH = 12, 100
LAYER_NORM = mp.NormPolicy(statistics=mp.Statistics.LAYER, affine=False)


class Classifier(lightning.LightningModule):
    """Learns digits with a binary model."""

    def __init__(self, metaplasticity: float) -> None:
        super().__init__()
        model = nn.Sequential(
            nn.Linear(64, 512, bias=False),
            nn.LayerNorm(512, elementwise_affine=False),
            nn.ReLU(),
            nn.Linear(512, 10),
        )
        self.net, self.report = mp.binarize(model, remove_relu=True, norm=LAYER_NORM)
        self.metaplasticity = metaplasticity

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
        """Return the loss of a batch, as ever."""
        pixels, labels = batch
        return functional.cross_entropy(self.net(pixels), labels)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Make the optimizer metaplastic."""
        return mp.MetaplasticAdam(mp.param_groups(self.net, metaplasticity=self.metaplasticity), lr=5e-3)


def learn(metaplasticity: float) -> list[float]:
    """Fit one permutation after the other; return the accuracy on both."""
    lightning.seed_everything(0, verbose=False)
    digits = mp.load("digits")
    pixels, labels = digits.train.inputs.flatten(1) * digits.scale, digits.train.labels
    unseen, answers = digits.test.inputs.flatten(1) * digits.scale, digits.test.labels
    permutations = [torch.randperm(64) for _ in range(2)]
    classifier = Classifier(metaplasticity)
    for permutation in permutations:
        loader = DataLoader(TensorDataset(pixels[:, permutation], labels), BATCH, shuffle=True)
        trainer = lightning.Trainer(
            max_epochs=EPOCHS,
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(classifier, loader)
    with torch.no_grad():
        return [float((classifier.net(unseen[:, p]).argmax(1) == answers).float().mean()) for p in permutations]


if __name__ == "__main__":
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")  # it would like more worker processes
    for m in (0.0, 15.0):
        first, second = learn(m)
        print(f"m = {m:4.1f}   accuracy on task 1: {100 * first:5.1f} %   on task 2: {100 * second:5.1f} %")
