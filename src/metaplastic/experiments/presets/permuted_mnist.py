"""Permuted MNIST: the paper's first benchmark at a laptop's size."""

from metaplastic.experiments.config import Config, Network, Optimizer, Permuted
from metaplastic.nn import NormPolicy, Scope, Statistics


def permuted_mnist() -> Config:
    """Six permutations of MNIST, normalisation kept per task, as in the paper's Fig. 2 at width 1024.

    Claim: with metaplasticity the average over six tasks stays near 90 %, without it the old tasks are lost.
    """
    return Config(
        name="permuted-mnist",
        scenario=Permuted("mnist", tasks=6, boundaries=True, task_at_test=True),
        network=Network(hidden=(1024, 1024)),
        norm=NormPolicy(scope=Scope.PER_TASK),
        optimizer=Optimizer(metaplasticity=(3.0,)),
        epochs=5,
    )


def permuted_mnist_unannounced() -> Config:
    """Six permutations of MNIST with layer norm, nothing announced in training or at test."""
    return Config(
        name="permuted-mnist-unannounced",
        scenario=Permuted("mnist", tasks=6),
        network=Network(hidden=(1024, 1024)),
        norm=NormPolicy(statistics=Statistics.LAYER),
        optimizer=Optimizer(metaplasticity=(4.0,)),
        epochs=5,
    )
