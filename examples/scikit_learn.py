"""Data that keep coming, in scikit-learn's way: `partial_fit` without an announced task, beside scikit-learn's own.

Three lines of handwritten digits, each wired up another way (the pixels arrive in another order), come one after the
other in calls of 240 samples. At the end all three are tested, and the classifier is written to a file as a network of
one bit a weight.
"""

import tempfile
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import SGDClassifier

import metaplastic as mp

LINES, PASSES = 3, 8


def accuracies(classifier, pixels, digits, orders):
    """Learn line after line; return the accuracy on each of them at the end."""
    for order in orders:
        for _ in range(PASSES):
            for rows in np.split(np.arange(1200), 5):
                classifier.partial_fit(pixels[rows][:, order], digits[rows], classes=range(10))
    return [classifier.score(pixels[1200:][:, order], digits[1200:]) for order in orders]


if __name__ == "__main__":
    pixels, digits = load_digits(return_X_y=True)
    orders = [np.random.default_rng(line).permutation(64) for line in range(LINES)]
    metaplastic = mp.MetaplasticClassifier(hidden=(256, 256), random_state=0)
    for classifier, shown in (
        (SGDClassifier(loss="log_loss", random_state=0), pixels / 16),
        (metaplastic, pixels.astype(np.uint8)),  # bytes stay bytes, so that the packed network computes in integers
    ):
        found = accuracies(classifier, shown, digits, orders)
        each = "  ".join(f"{100 * accuracy:5.1f}" for accuracy in found)
        print(f"{type(classifier).__name__:22} accuracy on each line (%): {each}   mean {100 * np.mean(found):5.1f}")
    with tempfile.TemporaryDirectory() as folder:
        path = metaplastic.pack().save(Path(folder) / "digits.safetensors")
        packed = mp.PackedNetwork.load(path)
        same = (packed.predict(pixels.astype(np.uint8)) == metaplastic.predict(pixels.astype(np.uint8))).all()
        print(f"{packed}: {path.stat().st_size} bytes, the same predictions: {same}")
