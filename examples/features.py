"""Learn features of images instead of pixels.

Random convolutional features of handwritten digits, learned two digits at a time by streaming linear discriminant
analysis. Features of a pretrained network are what `extracted_features` computes, with any network of yours, and
`metaplastic data features cifar-10` with the ResNet-18 of the paper.
"""

import math

import metaplastic as mp
from metaplastic.data import random_convolutional_features
from metaplastic.evaluation import count_correct
from metaplastic.learners import Schedule, StreamingLDA, observe_scenario
from metaplastic.scenarios import class_groups


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
    demonstrate()
