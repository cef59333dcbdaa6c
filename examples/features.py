"""Learn features of images instead of pixels.

Without arguments: random convolutional features of handwritten digits, learned two digits at a time by streaming linear
discriminant analysis. With `resnet18 DATASET FILE`: features of a pretrained ResNet-18 as the paper computed them, but
in evaluation mode, saved for `metaplastic run split-mnist --data FILE --tasks 2 --grouping vehicles-animals`. That
needs torchvision, downloads 45 MB of weights, and takes hours without a GPU.
"""

import math
import sys

from torch import nn

import metaplastic as mp
from metaplastic.data import Recipe, extracted_features, normalised_samples, random_convolutional_features, save_npz
from metaplastic.evaluation import count_correct
from metaplastic.learners import Schedule, StreamingLDA, observe_scenario
from metaplastic.scenarios import class_groups


def resnet18() -> nn.Module:
    """Make the paper's extractor: ResNet-18 trained on ImageNet, without its last layer."""
    try:
        from torchvision.models import ResNet18_Weights
        from torchvision.models import resnet18 as pretrained
    except ImportError as error:
        raise SystemExit("expected torchvision, which ResNet-18 comes from; install it beside torch") from error
    network = pretrained(weights=ResNet18_Weights.IMAGENET1K_V1)
    network.fc = nn.Identity()
    return network


def extract(name: str, file: str) -> None:
    """Save the features of a data set of color images; one augmented pass instead of ten is `Recipe(passes=1)`."""
    features = extracted_features(mp.load(name), resnet18(), Recipe())
    print(save_npz(normalised_samples(features), file))


def demonstrate() -> None:
    """Learn the digits class by class, from pixels and from features."""
    digits = mp.load("digits")
    for dataset in (digits, random_convolutional_features(digits, features=128, size=3)):
        scenario = mp.split(dataset, class_groups(dataset, tasks=5))
        classifier = StreamingLDA(math.prod(dataset.input_shape), dataset.classes)
        for _ in observe_scenario(classifier, scenario, schedule=Schedule(epochs=1)):
            pass
        right = sum(count_correct(classifier, scenario))
        print(f"{dataset.name}: {100 * right / len(dataset.test):.1f} % of the test digits, learned two at a time")


if __name__ == "__main__":
    if sys.argv[1:2] == ["resnet18"]:
        extract(*sys.argv[2:4])
    else:
        demonstrate()
