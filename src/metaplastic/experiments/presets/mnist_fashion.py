"""MNIST, then Fashion-MNIST, with ten shared outputs."""

from metaplastic.experiments.config import Config, Network, Optimizer
from metaplastic.experiments.scenario_config import Sequence
from metaplastic.nn import NormPolicy, Scope


def mnist_fashion() -> Config:
    """MNIST then Fashion-MNIST behind ten shared outputs, normalisation kept per task.

    Claim (Fig. 1a, Fig. 4a, b of the paper): a plain network forgets MNIST while it learns Fashion-MNIST, a
    metaplastic one keeps both. The paper's runs are 784-4096-4096-10 with m 1.5, weight decay and 50 epochs; this is
    the size for a laptop, with the m of the study `fig4ab`. Other than there, there is no weight decay, and Adam is not
    begun anew.

    Expected: not recorded; the study ends at 98 and 85 %, and its plain network at 15 and 88 % (`results/fig4ab`).

    Command: `metaplastic run mnist-fashion`, and with `--metaplasticity 0` the plain network; a minute or two on one
    core.
    """
    return Config(
        name="mnist-fashion",
        scenario=Sequence(("mnist", "fashion-mnist"), boundaries=True, task_at_test=True),
        network=Network(hidden=(1024, 1024)),
        norm=NormPolicy(scope=Scope.PER_TASK),
        optimizer=Optimizer(metaplasticity=(7.0,)),
        epochs=5,
    )
