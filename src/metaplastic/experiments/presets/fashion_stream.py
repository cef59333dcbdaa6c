"""Fashion-MNIST as a stream of parts."""

from metaplastic.experiments.config import Config, Network, Optimizer
from metaplastic.experiments.scenario_config import Stream
from metaplastic.nn import NormPolicy, Statistics


def fashion_stream() -> Config:
    """Fashion-MNIST in 60 parts of 1000, each learned to the end before the next: the paper's Fig. 5.

    Claim: a metaplastic network that sees the data part by part comes near one that sees them at once. As published:
    784-1024-1024-10, m 2.5, decay 1e-7, 20 epochs per part, shared running statistics without gain and offset. Part
    sizes and settings are the paper's; nothing about parts is announced.

    Expected: 88 %, 84 % without metaplasticity, and for the whole set at once 89 %, 87 % without
    (`results/fig5-fashion`).

    Command: `metaplastic run fashion-stream`, with `--metaplasticity 0` the plain network, with `--parts 1` the
    whole set at once; two minutes on one core, more with its tests after every epoch.
    """
    return Config(
        name="fashion-stream",
        scenario=Stream("fashion-mnist", parts=60),
        network=Network(hidden=(1024, 1024)),
        norm=NormPolicy(statistics=Statistics.RUNNING, affine=False),
        optimizer=Optimizer(metaplasticity=(2.5,), weight_decay=1e-7),
        epochs=20,
    )
