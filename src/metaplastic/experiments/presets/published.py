"""What the paper's runs have in common, how the sizes of a study differ, and where they leave the authors' code."""

from dataclasses import replace
from typing import TypeVar

from metaplastic.experiments.config import Config, Network, Optimizer, Reset, Running
from metaplastic.experiments.method_config import Method
from metaplastic.experiments.scenario_config import Permuted, Sequence
from metaplastic.experiments.study import Size
from metaplastic.nn import NormPolicy, Scope, Statistics

Value = TypeVar("Value")

M = (0.0, 0.5, 1.0, 1.35)
"""The paper's strengths of metaplasticity on permuted MNIST, panels a to d of Fig. 2."""

LAPTOP_M = (0.0, 1.0, 2.0, 3.0)
"""Their counterparts with five epochs per task in place of 40: consolidation is paced by lr m times the steps."""


DEVIATIONS = (
    "statistics of batch norm are exact where theirs are running averages (v1.0.0) or those of the test batch (later); "
    "gains start at 1, theirs in U(0, 1) with the paper's version of PyTorch; the sign of 0 is +1, theirs 0; batches "
    "of an epoch differ by at most one sample; pixels are k/256, theirs k/255; gradients of binary weights are kept in "
    "bfloat16 where the processor multiplies it, theirs in float32, as here in a panel with --precision exact, "
    "and what is multiplied by the bytes of a first layer is rounded to it"
)
"""Where every study that says *those of all studies* leaves the authors' code; `width` runs other statistics too."""


def sized(size: Size, *, laptop: Value, paper: Value) -> Value:
    """Choose a value by size.

    Args:
        size: How large the runs are.
        laptop: The value on a laptop.
        paper: The value at the paper's size.

    Returns:
        One of them.
    """
    return paper if size is Size.PAPER else laptop


def permuted_mnist(size: Size, m: float, *, tasks: int = 6, decay: float = 1e-7) -> Config:
    """Permuted MNIST with the authors' settings: normalisation kept per task, Adam begun anew at every task.

    At the paper's size 784-4096-4096-10 with 40 epochs per task, on a laptop 784-512-512-10 with five.

    Args:
        size: How large the run is.
        m: Strength of metaplasticity, in 1/hidden weight.
        tasks: Number of permutations.
        decay: Weight decay, within the gradient.

    Returns:
        The configuration.
    """
    return Config(
        name="permuted-mnist",
        scenario=Permuted("mnist", tasks=tasks, boundaries=True, task_at_test=True),
        network=Network(hidden=sized(size, laptop=(512, 512), paper=(4096, 4096))),
        norm=NormPolicy(scope=Scope.PER_TASK),
        optimizer=Optimizer(metaplasticity=(m,), weight_decay=decay, reset_optimizer=Reset.TASK),
        epochs=sized(size, laptop=5, paper=40),
        running=Running(evaluate_epochs=sized(size, laptop=1, paper=5)),
    )


def two_data_sets(size: Size, m: float, data: tuple[str, str] = ("mnist", "fashion-mnist")) -> Config:
    """One data set of 28 x 28 images, then another, behind ten shared outputs, with the authors' settings.

    At the paper's size 784-4096-4096-10 with 50 epochs per task, on a laptop 784-1024-1024-10 with five.

    Args:
        size: How large the run is.
        m: Strength of metaplasticity, in 1/hidden weight.
        data: Names of the data sets, in the order in which they are learned.

    Returns:
        The configuration.
    """
    return Config(
        name="mnist-fashion",
        scenario=Sequence(data, boundaries=True, task_at_test=True),
        network=Network(hidden=sized(size, laptop=(1024, 1024), paper=(4096, 4096))),
        norm=NormPolicy(scope=Scope.PER_TASK),
        optimizer=Optimizer(metaplasticity=(m,), weight_decay=1e-7, reset_optimizer=Reset.TASK),
        epochs=sized(size, laptop=5, paper=50),
        running=Running(evaluate_epochs=sized(size, laptop=1, paper=5)),
    )


def interleaved(config: Config) -> Config:
    """Learn all tasks at once, with one normalisation state for all and nothing to reset.

    Args:
        config: What learns them in sequence.

    Returns:
        The configuration.
    """
    return replace(
        config,
        method=Method.JOINT,
        norm=replace(config.norm, scope=Scope.SHARED),
        optimizer=replace(config.optimizer, reset_optimizer=Reset.NEVER),
    )


def unannounced(config: Config) -> Config:
    """Learn the same with layer norm without gain and offset, and nothing told in training or at test.

    Args:
        config: What is told boundaries and tasks.

    Returns:
        The configuration.
    """
    return replace(
        config,
        scenario=replace(config.scenario, boundaries=False, task_at_test=False),  # type: ignore[arg-type]
        norm=NormPolicy(statistics=Statistics.LAYER, affine=False),
        optimizer=replace(config.optimizer, reset_optimizer=Reset.NEVER),
    )
