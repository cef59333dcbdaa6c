"""Learners by their names: this package's own, and those that other packages offer."""

from typing import Any

from torch import nn

from metaplastic.choices import unknown
from metaplastic.learners.ewc import EWC, random_consolidation
from metaplastic.learners.finetune import FineTune
from metaplastic.learners.joint import Joint
from metaplastic.learners.learner import Learner, LearnerMaker
from metaplastic.learners.synaptic_intelligence import SynapticIntelligence
from metaplastic.plugins import broken_plugin, entry_of, in_words, load_plugin, offered_plugins

LEARNERS: dict[str, LearnerMaker] = {
    "finetune": lambda network, strength: FineTune(),
    "joint": lambda network, strength: Joint(),
    "ewc": EWC,
    "online-ewc": lambda network, strength: EWC(network, strength, decay=1.0),
    "random-consolidation": random_consolidation,
    "si": SynapticIntelligence,
}
"""The learners of this package, each as it is by default, by the names that configurations know them by."""

PLUGINS = "metaplastic.learners"
"""Entry points by which other packages offer makers of learners: classes or functions of (network, strength)."""

_WHAT = "learner"


def learner_names() -> list[str]:
    """List the names of learners: of this package, and of others that are installed.

    Returns:
        The names; nothing of another package is loaded.

    Example:
        >>> "ewc" in learner_names()
        True
    """
    return [*LEARNERS, *offered_plugins(PLUGINS)]


def named_learner(name: str, network: nn.Module, strength: float = 0.0) -> Learner:
    """Make a learner by its name.

    Args:
        name: A name of `LEARNERS`, or one under which an installed package offers a maker in the entry points
            `metaplastic.learners`.
        network: What it learns with.
        strength: Its strength, from 0; those without a penalty do not use it.

    Returns:
        The learner, with empty state.

    Raises:
        ValueError: When there is none of that name, with the nearest one; when two packages offer it; and when what is
            offered makes no learner, with the package.

    Example:
        >>> from metaplastic.nn import BinaryMLP
        >>> type(named_learner("ewc", BinaryMLP([4, 3, 2]), strength=5000.0)).__name__
        'EWC'
    """
    found = load_plugin(PLUGINS, name, _WHAT, LEARNERS)
    if found is not None:
        return _from_elsewhere(name, found, network, strength)
    if name not in LEARNERS:
        raise ValueError(unknown(_WHAT, name, learner_names()))
    return LEARNERS[name](network, strength)


def _from_elsewhere(name: str, make: Any, network: nn.Module, strength: float) -> Learner:
    try:
        learner = make(network, strength)
    except ValueError:
        raise  # it refuses the network or the strength, and says why
    except Exception as error:  # it is anybody's code
        got = f"something that cannot be called with a network and a strength ({in_words(error)})"
        raise broken_plugin(entry_of(PLUGINS, name), _WHAT, got) from error
    if not isinstance(learner, Learner):
        missing = [hook for hook in _HOOKS if not hasattr(learner, hook)]
        got = f"a {type(learner).__name__} without {', '.join(missing)}"
        raise broken_plugin(entry_of(PLUGINS, name), _WHAT, got)
    return learner


_HOOKS = ("exact_gradients", "curriculum", "penalty", "after_step", "end_task", "state", "load_state")
