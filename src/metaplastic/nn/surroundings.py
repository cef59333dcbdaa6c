"""What stands around a layer, and what it means for one that computes with signs."""

from torch import nn

from metaplastic.nn.dataflow import Neighbours, Step, keeps_signs
from metaplastic.nn.normalization import Normalization, Statistics

_NORMALIZATIONS = (Normalization, nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)
_NORMALIZING = {"batch_norm", "layer_norm", "group_norm", "instance_norm", "rms_norm"}
"""Functions that normalise."""

_WITHOUT_NEGATIVES = {"relu", "relu_", "relu6", "sigmoid", "sigmoid_", "hardsigmoid", "softplus", "softmax"}
"""What gives no negative value, by the lower case of its name."""


def is_normalized(around: Neighbours) -> bool:
    """Tell whether the output of a layer is normalised before the next layer.

    Args:
        around: What stands around the layer.

    Returns:
        True where a normalisation was found behind it.
    """
    return any(isinstance(step.module, _NORMALIZATIONS) or step.kind in _NORMALIZING for step in around.behind)


def constants_taken_out(around: Neighbours, features: int) -> Step | None:
    """Find the normalisation behind a layer to which a constant per feature makes no difference.

    Args:
        around: What stands around the layer.
        features: How many the layer gives.

    Returns:
        A normalisation of these features by batch or stored statistics, directly behind the layer or behind its
        pooling; None where there is none, or the layer is used more than once.
    """
    behind = [step for step in around.behind if not _pools_alike(step.module)]
    if around.calls != 1 or not behind:
        return None
    module = behind[0].module
    if isinstance(module, Normalization) and module.policy.statistics is not Statistics.LAYER:
        normalized = module.features
    elif isinstance(module, nn.modules.batchnorm._BatchNorm):
        normalized = module.num_features
    else:
        return None
    return behind[0] if normalized == features else None  # else it normalises positions along another dimension


def _pools_alike(module: nn.Module | None) -> bool:
    """Whether a pooling carries a constant through as it is."""
    return isinstance(module, nn.AvgPool2d | nn.MaxPool2d) and module.padding in (0, (0, 0))


def no_negatives_before(around: Neighbours) -> Step | None:
    """Find what leaves no negative value for a layer, past steps that change nothing about it.

    Args:
        around: What stands around the layer.

    Returns:
        The activation; None where there is none.

    Example:
        >>> str(no_negatives_before(Neighbours((Step("flatten"), Step("relu")))))
        'relu()'
    """
    for step in around.before:
        if step.kind.lower() in _WITHOUT_NEGATIVES:
            return step
        if not keeps_signs(step):
            return None
    return None


def dropout_before(around: Neighbours) -> bool:
    """Tell whether dropout stands in front of a layer.

    Args:
        around: What stands around the layer.

    Returns:
        True where its zeros reach the layer as they are.
    """
    for step in around.before:
        if "dropout" in step.kind.lower() and step.kind != "SignDropout":
            return True
        if not keeps_signs(step):
            return False
    return False
