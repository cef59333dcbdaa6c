"""From a configuration to the things that it describes."""

from pathlib import Path

import torch

from metaplastic.data import Dataset, held_out, load, normalised_samples, random_convolutional_features
from metaplastic.experiments.config import Config, Family, Reset, Rule
from metaplastic.experiments.method_config import Method
from metaplastic.experiments.scenario_config import Features, Permuted, ScenarioConfig, Sequence, Split
from metaplastic.experiments.trial import Training, by_descent, by_observation
from metaplastic.hidden_weight import is_hidden_weight
from metaplastic.learners import (
    EWC,
    FineTune,
    Fisher,
    Joint,
    Learner,
    NearestMean,
    Schedule,
    StreamingLDA,
    SynapticIntelligence,
    named_learner,
    random_consolidation,
)
from metaplastic.nn import (
    CIFAR_STREAM_BLOCKS,
    BinaryConvNet,
    BinaryMLP,
    RealConvNet,
    RealMLP,
    Statistics,
    mnist_usps_blocks,
)
from metaplastic.optim import (
    BeakerAdam,
    ConsolidationFunction,
    MetaplasticAdam,
    MetaplasticSGD,
    Tabulated,
    named,
    param_groups,
)
from metaplastic.scenarios import Scenario, class_groups, permuted, sequence, split, stream
from metaplastic.seeding import Purpose, generator


def build_scenario(config: Config, data_dir: Path | None = None) -> Scenario:
    """Load the data and make the tasks.

    Args:
        config: The experiment.
        data_dir: Where the data lie; None looks where `load` looks.

    Returns:
        The scenario.

    Raises:
        ValueError: When the classes cannot be divided into as many tasks, there are not as many samples, or inputs
            cannot be shown with two signs to a network that binarizes them.
    """
    whole = _whole_scenario(config, data_dir)
    return whole.beginning(config.tuning.first_tasks) if config.tuning.first_tasks else whole


def _whole_scenario(config: Config, data_dir: Path | None) -> Scenario:
    scenario, seed, share = config.scenario, config.seed, config.tuning.held_out

    def loaded(name: str) -> Dataset:
        dataset = load(name, data_dir)
        dataset = _shown(held_out(dataset, share, seed) if share else dataset, scenario)
        return dataset.two_signed() if config.network.binarize_input else dataset

    if isinstance(scenario, Sequence):
        return _sequence(scenario, [loaded(name) for name in scenario.data], seed)
    dataset = loaded(scenario.data)
    if isinstance(scenario, Permuted):
        return permuted(
            dataset,
            scenario.tasks,
            seed=seed if scenario.permutation_seed is None else scenario.permutation_seed,
            permute_first=scenario.permute_first,
            announced=scenario.announced,
        )
    if isinstance(scenario, Split):
        groups = class_groups(dataset, scenario.tasks, scenario.grouping)
        return split(dataset, groups, scenario.increment, announced=scenario.announced)
    return stream(dataset, scenario.parts, seed=seed, augment=scenario.augment)


def _sequence(config: Sequence, datasets: list[Dataset], seed: int) -> Scenario:
    return sequence(
        datasets, samples=config.samples, seed=seed, shared_head=config.shared_head, announced=config.announced
    )


def _shown(dataset: Dataset, config: ScenarioConfig) -> Dataset:
    """Show a network the images of a data set, padded or not, or features of them; the same in every run."""
    if isinstance(config, Permuted | Sequence) and config.image_side is not None:
        return dataset.padded(config.image_side)
    if isinstance(config, Split) and config.features is Features.RANDOM:
        return normalised_samples(random_convolutional_features(dataset))
    return dataset


def build_network(config: Config, scenario: Scenario) -> torch.nn.Module:
    """Make the network for a scenario, with its initial weights drawn.

    Args:
        config: The experiment.
        scenario: Gives the shape of an input and the number of outputs.

    Returns:
        The network, on the CPU; for methods in closed form the classifier, which draws nothing.

    Raises:
        ValueError: For two outputs behind layer norm.
    """
    if config.method.closed_form:
        return _closed_form(config.method, scenario)
    if config.norm.statistics is Statistics.LAYER and scenario.classes == 2:
        raise ValueError(
            "expected other statistics than 'layer' for two outputs, got them: of two numbers layer norm leaves which "
            "is larger, and no gradient; use --statistics recalibrated or running, or more outputs"
        )
    network = _drawn_network(config, scenario)
    for parameter in network.parameters():
        if config.network.frozen and is_hidden_weight(parameter):
            parameter.requires_grad_(False)
    return network


def _closed_form(method: Method, scenario: Scenario) -> torch.nn.Module:
    features = torch.Size(scenario.input_shape).numel()
    if method is Method.NEAREST_MEAN:
        return NearestMean(features, scenario.classes)
    return StreamingLDA(features, scenario.classes)


def _drawn_network(config: Config, scenario: Scenario) -> torch.nn.Module:
    net, source = config.network, generator(config.seed, Purpose.INITIALIZATION)
    initialization = net.initialization()
    sizes = [torch.Size(scenario.input_shape).numel(), *net.hidden, scenario.classes]
    if net.family is Family.BINARY_MLP:
        return BinaryMLP(
            sizes,
            config.norm,
            binarize_input=net.binarize_input,
            dropout=net.dropout,
            initialization=initialization,
            generator=source,
        )
    if net.family is Family.REAL_MLP:
        return RealMLP(sizes, config.norm, activation=net.activation, initialization=initialization, generator=source)
    image = _image_shape(scenario)
    if net.family is Family.REAL_CONV:
        return RealConvNet(
            image,
            mnist_usps_blocks(net.channels),
            net.hidden,
            scenario.classes,
            config.norm,
            activation=net.activation,
            initialization=initialization,
            generator=source,
        )
    return BinaryConvNet(
        image,
        CIFAR_STREAM_BLOCKS if net.family is Family.BINARY_CIFAR else mnist_usps_blocks(net.channels),
        net.hidden,
        scenario.classes,
        config.norm,
        binarize_input=net.binarize_input,
        dropout=net.dropout,
        initialization=initialization,
        generator=source,
    )


def _image_shape(scenario: Scenario) -> tuple[int, int, int]:
    shape = scenario.input_shape
    if len(shape) == 2:
        return 1, shape[0], shape[1]
    if len(shape) == 3:
        return shape[0], shape[1], shape[2]
    raise ValueError(
        f"expected images for a convolutional network, got inputs of shape {shape} from {scenario.name!r}; "
        "use a fully connected network (--family binary-mlp)"
    )


def build_optimizer(config: Config, network: torch.nn.Module) -> torch.optim.Optimizer:
    """Make the optimizer for a network.

    Args:
        config: The experiment.
        network: Its hidden weights are consolidated, its other parameters are not.

    Returns:
        The optimizer, with empty state; for methods in closed form one that moves nothing.
    """
    if config.method.closed_form:
        return torch.optim.SGD([{"params": []}])
    options = config.optimizer
    m = options.metaplasticity[0] if len(options.metaplasticity) == 1 else options.metaplasticity
    groups = param_groups(network, m)
    consolidation = consolidation_function(options.consolidation)
    if options.rule is Rule.SGD:
        return MetaplasticSGD(
            groups,
            lr=options.lr,
            momentum=options.sgd_momentum,
            weight_decay=options.weight_decay,
            consolidation=consolidation,
        )
    if options.rule is Rule.BEAKERS:
        return BeakerAdam(
            groups,
            lr=options.lr,
            weight_decay=options.weight_decay,
            consolidation=consolidation,
            beakers=options.beakers,
            eps=options.adam_eps,
            eps_placement=options.eps_placement,
        )
    return MetaplasticAdam(
        groups,
        lr=options.lr,
        weight_decay=options.weight_decay,
        consolidation=consolidation,
        eps=options.adam_eps,
        eps_placement=options.eps_placement,
    )


def consolidation_function(name: str) -> ConsolidationFunction:
    """Find a consolidation function.

    Args:
        name: A name that `named` knows, or the path of a CSV file with a measured curve.

    Returns:
        The function.
    """
    return Tabulated.from_csv(Path(name)) if name.endswith(".csv") else named(name)


def build_learner(config: Config, network: torch.nn.Module) -> Learner:
    """Make the learner.

    Args:
        config: The experiment.
        network: What is trained.

    Returns:
        The learner, with empty state.
    """
    penalty, strength = config.penalty, config.penalty.strength or 0.0
    fisher = Fisher(penalty.fisher, penalty.fisher_samples, config.seed)
    match config.method:
        case Method.EWC:
            return EWC(network, strength, fisher, penalty.weights)
        case Method.ONLINE_EWC:
            return EWC(network, strength, fisher, penalty.weights, penalty.online_decay)
        case Method.RANDOM_CONSOLIDATION:
            return random_consolidation(network, strength, fisher, penalty.weights, config.seed)
        case Method.SYNAPTIC_INTELLIGENCE:
            return SynapticIntelligence(
                network, strength, penalty.damping, penalty.path, penalty.weights, penalty.signed
            )
        case Method.JOINT:
            return Joint()
        case Method.PLUGIN:
            return named_learner(penalty.learner, network, strength)
        case _:
            return FineTune()


def build_training(config: Config) -> Training:
    """Choose what makes a network learn.

    Args:
        config: The experiment.

    Returns:
        Gradient descent, or the observation of every sample for methods in closed form.
    """
    return by_observation if config.method.closed_form else by_descent


def build_schedule(config: Config) -> Schedule:
    """Make the schedule of the loop.

    Args:
        config: The experiment.

    Returns:
        The schedule.
    """
    return Schedule(
        epochs=config.epochs,
        batch_size=config.batch_size,
        seed=config.seed,
        reset_optimizer=config.optimizer.reset_optimizer is Reset.TASK,
        lr_division=config.optimizer.lr_division,
        calibration_samples=config.running.calibration_samples,
    )
