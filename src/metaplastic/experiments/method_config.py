"""How it is learned, as frozen values: the methods, and how those with a penalty hold weights."""

import enum
from dataclasses import dataclass

from metaplastic.choices import settle_choices, unknown
from metaplastic.experiments.scenario_config import at_least
from metaplastic.learners import LEARNERS, FisherKind, Weights, learner_names, require_strength


class Method(enum.StrEnum):
    """The learner."""

    FINETUNE = "finetune"
    """Each task as it comes; with metaplasticity, the paper's method."""
    JOINT = "joint"
    """All tasks at once: the upper bound."""
    EWC = "ewc"
    """Elastic weight consolidation, with a term for every past task; boundaries must be announced."""
    ONLINE_EWC = "online-ewc"
    """Elastic weight consolidation with one term that moves on with every task; the same."""
    RANDOM_CONSOLIDATION = "random-consolidation"
    """EWC with its importance shuffled within each layer: the paper's control; the same."""
    SYNAPTIC_INTELLIGENCE = "si"
    """Synaptic intelligence; the same."""
    NEAREST_MEAN = "nearest-mean"
    """The class whose mean is nearest, in closed form: network, normalisation and optimizer are not used."""
    STREAMING_LDA = "streaming-lda"
    """Streaming linear discriminant analysis, in closed form: network, normalisation and optimizer are not used."""
    PLUGIN = "plugin"
    """A learner that an installed package offers, by its name in `--learner`."""

    @property
    def has_penalty(self) -> bool:
        """Whether weights are held by a penalty, which is attached where a task ends."""
        return self.has_fisher or self is Method.SYNAPTIC_INTELLIGENCE

    @property
    def has_fisher(self) -> bool:
        """Whether the penalty is weighted by a Fisher information, for which statistics must be fixed."""
        return self in (Method.EWC, Method.ONLINE_EWC, Method.RANDOM_CONSOLIDATION)

    @property
    def closed_form(self) -> bool:
        """Whether the classifier is a formula of the samples seen, learned in one pass without an optimizer."""
        return self in (Method.NEAREST_MEAN, Method.STREAMING_LDA)


@dataclass(frozen=True)
class Penalty:
    """How the methods with a penalty hold weights. Each of them has its own fields; another's must be left alone.

    Args:
        strength: Factor of the penalty, >= 0: lambda of EWC, with a factor 1/2 before it, or c of synaptic
            intelligence; 0 switches it off. It must be given, because no strength serves two methods or two kinds of
            weights. The authors' lambda on binary weights is 5,000.
        weights: Which weights are held: the signs of binary layers, or the hidden weights.
        fisher: Whose squared gradients are the importance of EWC.
        fisher_samples: Training samples that it is taken from, >= 1.
        online_decay: What the importance of earlier tasks is multiplied by in online EWC, in [0, 1].
        path: Which weights the path integral of synaptic intelligence goes along.
        damping: Keeps the importance of synaptic intelligence finite for weights that moved little, > 0.
        signed: Whether the importance of synaptic intelligence may be negative; else it is cut off at 0.
        learner: Name of the learner of an installed package, which takes the strength as its own.
    """

    strength: float | None = None
    weights: Weights = Weights.BINARY
    fisher: FisherKind = FisherKind.EMPIRICAL
    fisher_samples: int = 5000
    online_decay: float = 1.0
    path: Weights = Weights.HIDDEN
    damping: float = 0.1
    signed: bool = False
    learner: str = ""

    def __post_init__(self) -> None:
        settle_choices(self)
        if self.strength is not None:
            require_strength(self.strength)
        at_least("fisher_samples", self.fisher_samples, 1)
        if not 0 <= self.online_decay <= 1:
            raise ValueError(f"expected online_decay in [0, 1], got {self.online_decay}; 1 forgets none of it")
        if not self.damping > 0:
            raise ValueError(f"expected damping > 0, got {self.damping}; 0.1 is usual")

    def require_fields_of(self, method: Method) -> None:
        """Fail if a field is set that a method does not have, or its strength is missing.

        Args:
            method: The method.

        Raises:
            ValueError: With the field and the methods that have it.
        """
        for name, methods in _FIELDS.items():
            if method not in methods and getattr(self, name) != getattr(Penalty, name):
                who = ", ".join(repr(other.value) for other in methods)
                raise ValueError(
                    f"expected {name} to be left alone with method {method.value!r}, got {getattr(self, name)}; it "
                    f"belongs to {who}"
                )
        if method is Method.PLUGIN:
            self._require_learner()
        if method in _PENALTIES and self.strength is None:
            raise ValueError(
                f"expected a strength of the penalty with method {method.value!r}, got none; give --strength, for EWC "
                "on binary weights 5000 as the authors, else one that was chosen for the purpose"
            )

    def _require_learner(self) -> None:
        """Fail if no installed package offers the learner; it is loaded later."""
        if self.learner in LEARNERS:
            raise ValueError(
                f"expected the learner of another package with method 'plugin', got {self.learner!r}, which is this "
                "package's own; give it as --method"
            )
        known = [name for name in learner_names() if name not in LEARNERS]
        if self.learner not in known:
            raise ValueError(
                unknown("learner", self.learner, known or ["none"])
                + "; install the package that offers it in the entry points 'metaplastic.learners'"
            )


_PENALTIES = tuple(method for method in Method if method.has_penalty or method is Method.PLUGIN)
_FISHER = tuple(method for method in Method if method.has_fisher)
_FIELDS: dict[str, tuple[Method, ...]] = {
    "strength": _PENALTIES,
    "weights": tuple(method for method in Method if method.has_penalty),
    "fisher": _FISHER,
    "fisher_samples": _FISHER,
    "online_decay": (Method.ONLINE_EWC,),
    "path": (Method.SYNAPTIC_INTELLIGENCE,),
    "damping": (Method.SYNAPTIC_INTELLIGENCE,),
    "signed": (Method.SYNAPTIC_INTELLIGENCE,),
    "learner": (Method.PLUGIN,),
}
"""The methods that each field of a penalty belongs to."""


def penalty_fields(method: Method) -> set[str]:
    """Name the fields of a penalty that a method has.

    Args:
        method: The method.

    Returns:
        Names of fields; those of other methods are left alone.

    Example:
        >>> sorted(penalty_fields(Method.SYNAPTIC_INTELLIGENCE)), penalty_fields(Method.JOINT)
        (['damping', 'path', 'signed', 'strength', 'weights'], set())
    """
    return {name for name, methods in _FIELDS.items() if method in methods}
