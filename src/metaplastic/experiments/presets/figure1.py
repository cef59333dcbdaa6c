"""Fig. 1a of the paper: what a plain network forgets."""

from metaplastic.experiments.config import Config, Family, Network, Optimizer, Running
from metaplastic.experiments.presets.published import sized
from metaplastic.experiments.scenario_config import Sequence
from metaplastic.experiments.study import Size, Study, TrainingPanel
from metaplastic.nn import NormPolicy, Statistics


def figure_1(size: Size = Size.LAPTOP) -> Study:
    """MNIST, then Fashion-MNIST, by a plain network: the first is forgotten.

    Claim (Fig. 1a): MNIST reaches 97 % while Fashion-MNIST, not learned yet, is near 10 %; then Fashion-MNIST reaches
    85 % while MNIST falls to about 20 % within 25 epochs. From the paper's text; network and batch are not stated
    there, so 784-512-512-10 with real weights and ReLU and Adam at 1e-3 are ours, and so is layer norm, which needs no
    task.

    Expected: on a laptop, with five epochs a task, MNIST 98 %, then 32 %, and Fashion-MNIST 88 % (`results/fig1`); at
    the paper's size MNIST 98 %, then 38 % after 25 epochs and 28 % after 50, and Fashion-MNIST 89 %
    (`results/fig1-paper`).

    Command: `metaplastic run fig1 --size laptop|paper --seeds 5`; on a laptop a minute a seed on one core, at the
    paper's size, 50 epochs a task, five.
    """
    config = Config(
        name="fig1",
        scenario=Sequence(("mnist", "fashion-mnist")),
        network=Network(Family.REAL_MLP, hidden=(512, 512)),
        norm=NormPolicy(statistics=Statistics.LAYER),
        optimizer=Optimizer(lr=1e-3, metaplasticity=(0.0,)),
        epochs=sized(size, laptop=5, paper=50),
        running=Running(evaluate_epochs=1),
    )
    return Study("fig1", size, {"a": TrainingPanel(config)})
