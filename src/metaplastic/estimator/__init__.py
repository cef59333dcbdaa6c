"""The scikit-learn face: a classifier that goes on learning with every `partial_fit`."""

from metaplastic.estimator.classifier import MetaplasticClassifier
from metaplastic.estimator.continual_network import TrainedOutputs
from metaplastic.estimator.scaling import Scaling

__all__ = ["MetaplasticClassifier", "Scaling", "TrainedOutputs"]
