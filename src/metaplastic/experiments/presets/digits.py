"""Permuted handwritten digits: the demonstration, on data that need no download."""

from metaplastic.experiments.config import Config, Network, Optimizer, Permuted, Running
from metaplastic.nn import NormPolicy, Scope


def permuted_digits() -> Config:
    """Four permutations of scikit-learn's digits; metaplasticity keeps the old ones.

    Claim: with metaplasticity a binary network keeps most of the earlier tasks, without it only the last. The task is
    announced, in training and at test, and so the normalisation is kept per task as in the paper.

    Command: `metaplastic run permuted-digits`, and with `--metaplasticity 0` the plain network.
    """
    return Config(
        name="permuted-digits",
        scenario=Permuted("digits", tasks=4, boundaries=True, task_at_test=True),
        network=Network(hidden=(512, 512)),
        norm=NormPolicy(scope=Scope.PER_TASK),
        optimizer=Optimizer(metaplasticity=(80.0,)),
        epochs=12,
        running=Running(threads=1),
    )
