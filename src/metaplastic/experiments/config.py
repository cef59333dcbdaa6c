"""One experiment as a frozen value, validated when it is made."""

import enum
import math
from dataclasses import dataclass, field, replace

from metaplastic.choices import settle_choices, unknown
from metaplastic.experiments.environment import require_threads
from metaplastic.experiments.method_config import Method, Penalty
from metaplastic.experiments.scenario_config import Permuted, ScenarioConfig, at_least
from metaplastic.learners import Engine
from metaplastic.nn import Activation, Distribution, Initialization, NormPolicy, Precision, Scope, Statistics
from metaplastic.optim import CONSOLIDATION_FUNCTIONS, Beakers, EpsPlacement, consolidation_names


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
        frozen: Leave the hidden weights as they are drawn and train the gains and offsets of normalisation only: a
            control, which shows what is learned without any synapse.
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
            at_least("width", width, 1)
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
        consolidation: Name of the consolidation function, this package's or an installed package's, or a CSV file.
        weight_decay: L2 penalty within the gradient, >= 0.
        sgd_momentum: Momentum of SGD, in [0, 1).
        adam_eps: What keeps Adam's denominator from 0, > 0, in units of a weight's gradient.
        eps_placement: Where it is added.
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
    adam_eps: float = 1e-8
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
        at_least("number of metaplasticities", len(self.metaplasticity), 1)
        if not (self.lr > 0 and math.isfinite(self.lr)):
            raise ValueError(f"expected lr > 0 and finite, got {self.lr}; the paper uses 0.005")
        if not (self.weight_decay >= 0 and math.isfinite(self.weight_decay)):
            raise ValueError(f"expected weight_decay >= 0 and finite, got {self.weight_decay}; the paper uses 1e-7")
        if not (self.adam_eps > 0 and math.isfinite(self.adam_eps)):
            raise ValueError(f"expected adam_eps > 0 and finite, got {self.adam_eps}; the paper uses 1e-8")
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
        self._check_consolidation()

    def _check_consolidation(self) -> None:
        """Refuse a name that nobody has; what another package offers is loaded later."""
        name = self.consolidation
        if name in CONSOLIDATION_FUNCTIONS or name.endswith(".csv") or name in consolidation_names():
            return
        raise ValueError(
            unknown("consolidation function", name, consolidation_names()) + ", or a CSV file of a measured curve"
        )


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
    """How the run is carried out and tested; what is learned does not depend on it, apart from rounding.

    Rounding is of last bits, and of gradients that are kept in bfloat16 to their first eight; either takes trainings
    equally far apart in thousands of steps, and paired tests do not tell their accuracies apart
    (`results/engine-equivalence`).

    Args:
        evaluate_epochs: Test after every so many epochs, and always at the end of a task; 0 for task ends only.
        test_batch: Samples per forward pass in tests.
        calibration_samples: Training samples that recalibrated statistics are taken from.
        checkpoint_every: Interval between checkpoints, >= 1.
        checkpoint_unit: What the interval is counted in.
        threads: Threads that torch computes with, up to 1,024; 0 leaves torch's choice, which is then recorded.
        device: Where to compute: cpu, cuda, ...
        engine: What training is computed with; None takes the fast engine as far as machine and network allow.
        precision: What the fast engine keeps gradients of weights in; None takes bfloat16 where the processor, or
            the GPU, has it.
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
        ):
            at_least(name, getattr(self, name), least)
        require_threads(self.threads, 0)


@dataclass(frozen=True)
class Tuning:
    """How an experiment is changed while its settings are chosen, so that the choice is not made on what is reported.

    Args:
        held_out: Share of the training samples of every data set, class by class, that is tested on in the place of its
            test samples, in [0, 1); 0 tests on the test samples.
        first_tasks: Learn only so many tasks, from the first, >= 0; 0 learns all.
    """

    held_out: float = 0.0
    first_tasks: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.held_out < 1:
            raise ValueError(f"expected held_out in [0, 1), got {self.held_out}; 0 tests on the test samples")
        at_least("first_tasks", self.first_tasks, 0)


@dataclass(frozen=True)
class Config:
    """One experiment.

    Args:
        name: Name of the preset, or of the kind of experiment, that it began as.
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
        tuning: What is left out while settings are chosen.

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
    tuning: Tuning = field(default_factory=Tuning)

    def __post_init__(self) -> None:
        settle_choices(self)
        at_least("epochs", self.epochs, 1)
        at_least("batch_size", self.batch_size, 1)
        self.penalty.require_fields_of(self.method)
        self._check_method()
        self._check_norm()
        self._check_announced()

    def on(self, device: str) -> "Config":
        """Compute on a device.

        Args:
            device: As torch names it: cpu, cuda, ...

        Returns:
            The same experiment there.
        """
        return replace(self, running=replace(self.running, device=device))

    def _check_method(self) -> None:
        """Refuse what a method cannot be given."""
        method = self.method
        if method.closed_form and self.epochs != 1:
            raise ValueError(
                f"expected epochs 1 with method {method.value!r}, got {self.epochs}: it takes in every sample once, "
                "and a second pass would count it twice; use --epochs 1"
            )
        if method.has_penalty and self.network.frozen:
            raise ValueError(
                f"expected trained weights with method {method.value!r}, got a frozen network; use --no-frozen"
            )
        if method.has_fisher and self.norm.depends_on_test_batch:
            raise ValueError(
                f"expected fixed statistics with method {method.value!r}, got 'batch'; use --statistics recalibrated, "
                "running or layer"
            )
        joint = method is Method.JOINT
        for name, got, neutral in (
            ("scope", self.norm.scope.value, Scope.SHARED.value),
            ("reset_optimizer", self.optimizer.reset_optimizer.value, Reset.NEVER.value),
            ("lr_division", self.optimizer.lr_division, 1.0),
        ):
            if joint and got != neutral:
                raise ValueError(
                    f"expected {name} {neutral!r} with method 'joint', got {got!r}: all tasks are learned at once, so "
                    f"there is no boundary, and one normalisation state; use --{name.replace('_', '-')} {neutral}"
                )

    def _check_norm(self) -> None:
        """Refuse a normalisation that the network or the batches cannot have."""
        statistics, family = self.norm.statistics, self.network.family
        if self.network.frozen and not self.norm.affine:
            raise ValueError(
                "expected something to train, got a frozen network whose normalisation has no gain and no offset; use "
                "--affine or --no-frozen"
            )
        by_batch = statistics not in (Statistics.LAYER, Statistics.NONE) and not self.method.closed_form
        if by_batch and self.batch_size == 1:
            raise ValueError(
                f"expected batch_size >= 2 with {statistics.value!r} statistics, got 1: a batch of one sample has no "
                "variance; use larger batches or --statistics layer"
            )
        if statistics is Statistics.NONE and family not in (Family.REAL_MLP, Family.REAL_CONV):
            raise ValueError(
                f"expected a network with real weights with 'none' statistics, got {family.value!r}: sums of signs "
                "that are not normalised lie beyond the pseudo-gradient; use --statistics recalibrated"
            )

    def _check_announced(self) -> None:
        """Refuse what needs to know more than the scenario tells."""
        told, scenario = self.scenario.announced, type(self.scenario).__name__.lower()
        needs = {
            f"method {self.method.value!r}": self.method.has_penalty,
            "reset_optimizer 'task'": self.optimizer.reset_optimizer is Reset.TASK,
            f"lr_division {self.optimizer.lr_division}": self.optimizer.lr_division != 1,
        }
        for what, needed in needs.items():
            if needed and not told.boundaries:
                raise ValueError(
                    f"expected announced boundaries with {what}, got scenario {scenario!r} that announces none; add "
                    "--boundaries where the scenario has it, or do without"
                )
        if self.norm.scope is Scope.PER_TASK and not (told.boundaries and told.task_at_test):
            raise ValueError(
                "expected boundaries and the task at test to be announced with scope 'per_task', got "
                f"boundaries={told.boundaries}, task at test={told.task_at_test}; add --boundaries --task-at-test or "
                "use --scope shared"
            )
