"""Permuted handwritten digits: the demonstration, on data that need no download."""

from metaplastic.experiments.config import Config, Network, Optimizer, Running
from metaplastic.experiments.scenario_config import Permuted
from metaplastic.nn import NormPolicy, Statistics


def permuted_digits() -> Config:
    """Four permutations of scikit-learn's digits, layer norm, nothing announced in training or at test.

    Claim: with metaplasticity a binary network keeps more of the earlier tasks than without. Layer norm has neither
    gain nor offset here, so that nothing is trained but synapses. m was not chosen on the permutations of the records;
    20 does better on others (`results/demo-tuning`).

    Expected: an average of 71 %, and of 41 % without metaplasticity (`results/demo`).

    Command: `metaplastic run permuted-digits`, and with `--metaplasticity 0` the plain network; some seconds on one
    core.
    """
    return Config(
        name="permuted-digits",
        scenario=Permuted("digits", tasks=4),
        network=Network(hidden=(512, 512)),
        norm=NormPolicy(statistics=Statistics.LAYER, affine=False),
        optimizer=Optimizer(metaplasticity=(15.0,)),
        epochs=12,
        batch_size=50,
        running=Running(threads=1),
    )
