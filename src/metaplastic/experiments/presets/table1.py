"""Table 1 of the paper: metaplasticity beside methods that are told where tasks end."""

from dataclasses import replace

from metaplastic.experiments.config import Config, Method, Penalty
from metaplastic.experiments.presets.published import interleaved, permuted_mnist, sized
from metaplastic.experiments.study import Size, Study, TrainingPanel
from metaplastic.learners import Weights


def table_1(size: Size = Size.LAPTOP) -> Study:
    """Six permutations of MNIST: plain, random consolidation, EWC, SI, metaplastic and joint, side by side.

    Claim (Table 1, abstract): metaplasticity, which is told nothing of tasks, keeps almost as much as EWC on the same
    binary network, and random consolidation does not. The paper's numbers are not available; its lambda is 5,000, on
    binary weights. Synaptic intelligence is not in that table; its strength and that of EWC on a laptop were chosen on
    other permutations where the text of the results says so, and are the authors' where not.

    Command: `metaplastic run table1 --size laptop|paper --seeds 5`.
    """
    plain = permuted_mnist(size, 0.0)
    rows = {
        "plain": plain,
        "random": _held(plain, Method.RANDOM_CONSOLIDATION, Penalty()),
        "ewc": _held(plain, Method.EWC, Penalty()),
        "si": _held(plain, Method.SYNAPTIC_INTELLIGENCE, Penalty(strength=1.0, path=Weights.HIDDEN)),
        "metaplastic": permuted_mnist(size, sized(size, laptop=3.0, paper=1.35)),
        "joint": interleaved(plain),
    }
    return Study("table1", size, {name: TrainingPanel(config) for name, config in rows.items()})


def _held(config: Config, method: Method, penalty: Penalty) -> Config:
    return replace(config, method=method, penalty=penalty)
