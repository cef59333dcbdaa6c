"""One experiment as a frozen value, validated when it is made."""

import enum
import math
from dataclasses import dataclass, field

from metaplastic.choices import settle_choices, unknown
from metaplastic.learners import Engine, FisherKind, Weights
from metaplastic.nn import Activation, Distribution, Initialization, NormPolicy, Precision, Scope, Statistics
from metaplastic.optim import CONSOLIDATION_FUNCTIONS, Beakers, EpsPlacement
from metaplastic.scenarios import Announced, Augmentation, Grouping, Increment


@dataclass(frozen=True)
class Permuted:
    """Permuted images.

    Args:
        data: Name of a data set, or a path to your own.
        tasks: Number of tasks, >= 1.
        permute_first: Whether the first task is permuted too.
        permutation_seed: Seed of the permutations; None takes the run's seed.
        boundaries: Announce task boundaries in training.
        task_at_test: Tell the task at test.
    """

    data: str = "digits"
    tasks: int = 6
    permute_first: bool = True
    permutation_seed: int | None = None
    boundaries: bool = False
    task_at_test: bool = False

    def __post_init__(self) -> None:
        _at_least("tasks", self.tasks, 1)

    @property
    def announced(self) -> Announced:
        """What a learner is told."""
        return Announced(self.boundaries, self.task_at_test)


@dataclass(frozen=True)
class Sequence:
    """Several data sets one after the other.

    Args:
        data: Names or paths of the data sets, in order; one alone is what a sequence is compared with.
        samples: Number of training samples drawn from each data set; empty takes all.
        image_side: Height and width to which images are padded with zeros; None leaves them as they are.
        shared_head: Whether all answer with the same outputs.
        boundaries: Announce task boundaries in training.
        task_at_test: Tell the task at test.
    """

    data: tuple[str, ...] = ("mnist", "fashion-mnist")
    samples: tuple[int, ...] = ()
    image_side: int | None = None
    shared_head: bool = True
    boundaries: bool = False
    task_at_test: bool = False

    def __post_init__(self) -> None:
        _at_least("number of data sets", len(self.data), 1)
        if self.samples and len(self.samples) != len(self.data):
            raise ValueError(
                f"expected one number of samples per data set, got {len(self.samples)} for {len(self.data)}; give none "
                "for all samples"
            )
        for count in self.samples:
            _at_least("samples", count, 1)

    @property
    def announced(self) -> Announced:
        """What a learner is told."""
        return Announced(self.boundaries, self.task_at_test)


class Features(enum.StrEnum):
    """What a network is shown of an image."""

    PIXELS = "pixels"
    """The image itself."""
    RANDOM = "random"
    """512 features from one layer of fixed random filters, brought to mean 0 and deviation 1 in every sample: what
    stands for a pretrained network where there is none."""


@dataclass(frozen=True)
class Split:
    """The classes of one data set, divided into tasks.

    Args:
        data: Name of a data set, or a path to your own.
        tasks: Number of tasks, >= 1; it divides the number of classes.
        increment: What a new task adds.
        grouping: Which classes are learned together.
        features: What the network is shown of an image.
        boundaries: Announce task boundaries in training.
        task_at_test: Tell the task at test, while all outputs answer; increment `task` tells it in any case.
    """

    data: str = "mnist"
    tasks: int = 5
    increment: Increment = Increment.CLASS
    grouping: Grouping = Grouping.IN_ORDER
    features: Features = Features.PIXELS
    boundaries: bool = False
    task_at_test: bool = False

    def __post_init__(self) -> None:
        settle_choices(self)
        _at_least("tasks", self.tasks, 1)

    @property
    def announced(self) -> Announced:
        """What a learner is told."""
        return Announced(self.boundaries, self.task_at_test or self.increment is Increment.TASK)


@dataclass(frozen=True)
class Stream:
    """One data set that comes in random parts.

    Args:
        data: Name of a data set, or a path to your own.
        parts: Number of parts, >= 1; 1 is ordinary training.
        augment: How training images are moved at random; tests see them as they are.
    """

    data: str = "fashion-mnist"
    parts: int = 60
    augment: Augmentation = Augmentation.NONE

    def __post_init__(self) -> None:
        settle_choices(self)
        _at_least("parts", self.parts, 1)

    @property
    def announced(self) -> Announced:
        """What a learner is told: nothing, because nothing changes."""
        return Announced()


ScenarioConfig = Permuted | Sequence | Split | Stream


class Family(enum.StrEnum):
    """Kind of network."""

    BINARY_MLP = "binary-mlp"
    """Fully connected, binary weights and activations."""
    REAL_MLP = "real-mlp"
    """Fully connected, real weights."""
    BINARY_CONV = "binary-conv"
    """The paper's MNIST-USPS convolutional network, binary."""
    REAL_CONV = "real-conv"
    """The same with real weights."""
    BINARY_CIFAR = "binary-cifar"
    """The paper's CIFAR-10 stream network, binary."""


@dataclass(frozen=True)
class Network:
    """The network, apart from its normalisation.

    Args:
        family: Kind of network.
        hidden: Widths of the fully connected hidden layers, all >= 1.
        channels: Channels of the convolutions of `binary-conv` and `real-conv`.
        activation: Activation of real-valued networks.
        binarize_input: Let the first layer of a binary network compute with the signs of its input: -1 for pixels that
            are 0, +1 for all others.
        dropout: Probability that a fully connected hidden unit is silenced in training, in [0, 1).
        distribution: What hidden weights are drawn from.
        init_width: Width of that distribution, > 0.
        frozen: Leave the hidden weights as they are drawn and train the normalisation only: a control, which shows what
            is learned without any synapse.
    """

    family: Family = Family.BINARY_MLP
    hidden: tuple[int, ...] = (1024, 1024)
    channels: tuple[int, ...] = (12, 20, 30)
    activation: Activation = Activation.RELU
    binarize_input: bool = False
    dropout: float = 0.0
    distribution: Distribution = Distribution.UNIFORM
    init_width: float = 0.1
    frozen: bool = False

    def __post_init__(self) -> None:
        settle_choices(self)
        for width in (*self.hidden, *self.channels):
            _at_least("width", width, 1)
        if not 0 <= self.dropout < 1:
            raise ValueError(f"expected dropout in [0, 1), got {self.dropout}; 0 switches it off")
        if self.dropout and self.family in (Family.REAL_MLP, Family.REAL_CONV):
            raise ValueError(
                f"expected dropout 0 for {self.family.value!r}, got {self.dropout}; only binary nets have it"
            )
        if self.binarize_input and self.family in (Family.REAL_MLP, Family.REAL_CONV):
            raise ValueError(
                f"expected no binarize_input for {self.family.value!r}, got it; only binary nets compute with signs"
            )
        self.initialization()

    def initialization(self) -> Initialization:
        """Make the initialisation of the hidden weights."""
        return Initialization(self.distribution, self.init_width)


class Rule(enum.StrEnum):
    """How weights move."""

    ADAM = "adam"
    """Metaplastic Adam."""
    SGD = "sgd"
    """Metaplastic stochastic gradient descent."""
    BEAKERS = "beakers"
    """Adam on the first of a chain of beakers per synapse; the last beaker is metaplastic."""


class Reset(enum.StrEnum):
    """When the optimizer's state is cleared."""

    NEVER = "never"
    """Never: nothing about boundaries is needed."""
    TASK = "task"
    """When a task begins, as in the authors' continual-learning runs; boundaries must be announced."""


@dataclass(frozen=True)
class Optimizer:
    """The optimizer.

    Args:
        rule: Metaplastic Adam or SGD, or Adam on a chain of beakers.
        lr: Learning rate, > 0, in units of the hidden weight.
        metaplasticity: m, in 1/hidden weight, >= 0: one number, or one per layer from the first. 0 is the plain net.
        consolidation: Name of the consolidation function.
        weight_decay: L2 penalty within the gradient, >= 0.
        sgd_momentum: Momentum of SGD, in [0, 1).
        eps_placement: Where Adam's eps is added.
        beakers: The chain of rule `beakers`; other rules have none.
        reset_optimizer: When the optimizer's state is cleared.
        lr_division: What the learning rate is divided by at every boundary, >= 1; another value than 1 needs announced
            boundaries.
    """

    rule: Rule = Rule.ADAM
    lr: float = 5e-3
    metaplasticity: tuple[float, ...] = (1.35,)
    consolidation: str = "tanh-squared"
    weight_decay: float = 0.0
    sgd_momentum: float = 0.0
    eps_placement: EpsPlacement = EpsPlacement.BEFORE_CORRECTION
    beakers: Beakers = field(default_factory=Beakers)
    reset_optimizer: Reset = Reset.NEVER
    lr_division: float = 1.0

    def __post_init__(self) -> None:
        settle_choices(self)
        for m in self.metaplasticity:
            if not (m >= 0 and math.isfinite(m)):
                raise ValueError(
                    f"expected metaplasticity >= 0 and finite, got {m}; 0 is the plain network, the paper has 0.5 to 13"
                )
        _at_least("number of metaplasticities", len(self.metaplasticity), 1)
        if not (self.lr > 0 and math.isfinite(self.lr)):
            raise ValueError(f"expected lr > 0 and finite, got {self.lr}; the paper uses 0.005")
        if not (self.weight_decay >= 0 and math.isfinite(self.weight_decay)):
            raise ValueError(f"expected weight_decay >= 0 and finite, got {self.weight_decay}; the paper uses 1e-7")
        if not 0 <= self.sgd_momentum < 1:
            raise ValueError(f"expected sgd_momentum in [0, 1), got {self.sgd_momentum}")
        if self.rule is not Rule.BEAKERS and self.beakers != Beakers():
            raise ValueError(
                f"expected beakers to be left alone with rule {self.rule.value!r}, got {self.beakers}; they belong to "
                "rule 'beakers'"
            )
        if self.rule is Rule.BEAKERS and self.reset_optimizer is Reset.TASK:
            raise ValueError(
                "expected reset_optimizer 'never' with rule 'beakers', got 'task': the slower beakers are state of the "
                "optimizer, and a reset would empty the synapses of what they keep"
            )
        if not 1 <= self.lr_division < math.inf:
            raise ValueError(f"expected lr_division >= 1 and finite, got {self.lr_division}; 1 leaves the rate alone")
        if self.consolidation not in CONSOLIDATION_FUNCTIONS and not self.consolidation.endswith(".csv"):
            raise ValueError(
                unknown("consolidation function", self.consolidation, CONSOLIDATION_FUNCTIONS)
                + ", or a CSV file of a measured curve"
            )


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

    @property
    def has_penalty(self) -> bool:
        """Whether weights are held by a penalty, which is attached where a task ends."""
        return self not in (Method.FINETUNE, Method.JOINT, Method.NEAREST_MEAN, Method.STREAMING_LDA)

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
    """

    strength: float | None = None
    weights: Weights = Weights.BINARY
    fisher: FisherKind = FisherKind.EMPIRICAL
    fisher_samples: int = 5000
    online_decay: float = 1.0
    path: Weights = Weights.HIDDEN
    damping: float = 0.1

    def __post_init__(self) -> None:
        settle_choices(self)
        if self.strength is not None and not 0 <= self.strength < math.inf:
            raise ValueError(f"expected strength >= 0 and finite, got {self.strength}; 0 switches the penalty off")
        _at_least("fisher_samples", self.fisher_samples, 1)
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
        if method.has_penalty and self.strength is None:
            raise ValueError(
                f"expected a strength of the penalty with method {method.value!r}, got none; give --strength, for EWC "
                "on binary weights 5000 as the authors, else one that was chosen for the purpose"
            )


_WITH_FISHER = (Method.EWC, Method.ONLINE_EWC, Method.RANDOM_CONSOLIDATION)
_FIELDS: dict[str, tuple[Method, ...]] = {
    "strength": (*_WITH_FISHER, Method.SYNAPTIC_INTELLIGENCE),
    "weights": (*_WITH_FISHER, Method.SYNAPTIC_INTELLIGENCE),
    "fisher": _WITH_FISHER,
    "fisher_samples": _WITH_FISHER,
    "online_decay": (Method.ONLINE_EWC,),
    "path": (Method.SYNAPTIC_INTELLIGENCE,),
    "damping": (Method.SYNAPTIC_INTELLIGENCE,),
}
"""The methods that each field of a penalty belongs to."""


class Unit(enum.StrEnum):
    """What a checkpoint interval is counted in."""

    STEP = "step"
    """Optimizer steps."""
    EPOCH = "epoch"
    """Epochs."""
    TASK = "task"
    """Tasks."""


@dataclass(frozen=True)
class Running:
    """How the run is carried out and tested; what is learned does not depend on it, apart from the last bits.

    Args:
        evaluate_epochs: Test after every so many epochs, and always at the end of a task; 0 for task ends only.
        test_batch: Samples per forward pass in tests.
        calibration_samples: Training samples that recalibrated statistics are taken from.
        checkpoint_every: Interval between checkpoints, >= 1.
        checkpoint_unit: What the interval is counted in.
        threads: Threads that torch computes with; 0 leaves torch's choice, which is then recorded.
        device: Where to compute: cpu, cuda, ...
        engine: What training is computed with; None takes the fast engine as far as machine and network allow.
        precision: How the fast engine multiplies gradients; None takes bfloat16 where the processor has it.
    """

    evaluate_epochs: int = 1
    test_batch: int = 1000
    calibration_samples: int = 5000
    checkpoint_every: int = 1
    checkpoint_unit: Unit = Unit.TASK
    threads: int = 0
    device: str = "cpu"
    engine: Engine | None = None
    precision: Precision | None = None

    def __post_init__(self) -> None:
        settle_choices(self)
        for name, least in (
            ("evaluate_epochs", 0),
            ("test_batch", 1),
            ("calibration_samples", 2),
            ("checkpoint_every", 1),
            ("threads", 0),
        ):
            _at_least(name, getattr(self, name), least)


@dataclass(frozen=True)
class Config:
    """One experiment.

    Args:
        name: Name of the preset it began as.
        scenario: What is learned, and what is announced.
        network: What learns it.
        norm: How the network normalises.
        optimizer: How its weights move.
        method: The learner.
        penalty: How the learner holds weights, if it does.
        epochs: Passes over each task, >= 1; 1 for methods in closed form.
        batch_size: Samples per step at most, >= 1.
        seed: Seed of everything drawn: initial weights, batch order, permutations.
        running: How the run is carried out.

    Raises:
        ValueError: For a value out of range or a combination that cannot be run.

    Example:
        >>> Config(epochs=3).scenario == Permuted(data="digits", tasks=6)
        True
    """

    name: str = "custom"
    scenario: ScenarioConfig = field(default_factory=Permuted)
    network: Network = field(default_factory=Network)
    norm: NormPolicy = field(default_factory=NormPolicy)
    optimizer: Optimizer = field(default_factory=Optimizer)
    method: Method = Method.FINETUNE
    penalty: Penalty = field(default_factory=Penalty)
    epochs: int = 5
    batch_size: int = 100
    seed: int = 0
    running: Running = field(default_factory=Running)

    def __post_init__(self) -> None:
        settle_choices(self)
        _at_least("epochs", self.epochs, 1)
        _at_least("batch_size", self.batch_size, 1)
        if self.method.closed_form and self.epochs != 1:
            raise ValueError(
                f"expected epochs 1 with method {self.method.value!r}, got {self.epochs}: it takes in every sample "
                "once, and a second pass would count it twice; use --epochs 1"
            )
        normalised = not self.method.closed_form
        if normalised and self.batch_size == 1 and self.norm.statistics is not Statistics.LAYER:
            raise ValueError(
                f"expected batch_size >= 2 with {self.norm.statistics.value!r} statistics, got 1: a batch of one "
                "sample has no variance; use larger batches or --statistics layer"
            )
        if self.method is Method.JOINT and self.norm.scope is Scope.PER_TASK:
            raise ValueError(
                "expected scope 'shared' with method 'joint', got 'per_task': all tasks are learned at once, so there "
                "is one normalisation state; use --scope shared"
            )
        self.penalty.require_fields_of(self.method)
        if self.method.has_penalty and self.network.frozen:
            raise ValueError(
                f"expected trained weights with method {self.method.value!r}, got a frozen network; use --no-frozen"
            )
        if self.norm.statistics is Statistics.NONE and self.network.family not in (Family.REAL_MLP, Family.REAL_CONV):
            raise ValueError(
                f"expected a network with real weights with 'none' statistics, got {self.network.family.value!r}: sums "
                "of signs that are not normalised lie beyond the pseudo-gradient; use --statistics recalibrated"
            )
        for name, neutral in (("reset_optimizer", Reset.NEVER), ("lr_division", 1.0)):
            if self.method is Method.JOINT and getattr(self.optimizer, name) != neutral:
                raise ValueError(
                    f"expected {name} {neutral} with method 'joint', got {getattr(self.optimizer, name)}: all tasks "
                    "are learned at once, so there is no boundary"
                )
        told = self.scenario.announced
        if self.method.has_penalty and not told.boundaries:
            raise ValueError(
                f"expected announced boundaries with method {self.method.value!r}, got scenario "
                f"{type(self.scenario).__name__.lower()!r} that announces none; add --boundaries where the scenario "
                "has it, or use a method that needs none"
            )
        if self.method.has_penalty and self.norm.depends_on_test_batch:
            raise ValueError(
                f"expected fixed statistics with method {self.method.value!r}, got 'batch'; use --statistics "
                "recalibrated, running or layer"
            )
        if self.optimizer.reset_optimizer is Reset.TASK and not told.boundaries:
            raise ValueError(
                "expected announced boundaries with reset_optimizer 'task', got a scenario that announces none; add "
                "--boundaries where the scenario has it, or use --reset-optimizer never"
            )
        if self.optimizer.lr_division != 1 and not told.boundaries:
            raise ValueError(
                f"expected announced boundaries with lr_division {self.optimizer.lr_division}, got a scenario that "
                "announces none; add --boundaries where the scenario has it, or use --lr-division 1"
            )
        if self.norm.scope is Scope.PER_TASK and not (told.boundaries and told.task_at_test):
            raise ValueError(
                "expected boundaries and the task at test to be announced with scope 'per_task', got "
                f"boundaries={told.boundaries}, task at test={told.task_at_test}; add --boundaries --task-at-test or "
                "use --scope shared"
            )


def _at_least(name: str, value: int, least: int) -> None:
    if value < least:
        raise ValueError(f"expected {name} >= {least}, got {value}")
