"""A strength of metaplasticity for each layer, from the command line to the weights."""

from dataclasses import replace

import torch
from safetensors.torch import load_file

from metaplastic.cli import main
from metaplastic.data import load
from metaplastic.experiments import Config, Record, Stack, preset
from metaplastic.experiments.config import Network
from metaplastic.learners import Schedule
from metaplastic.nn import BinaryMLP
from metaplastic.optim import MetaplasticAdam
from metaplastic.scenarios import permuted
from metaplastic.seeding import Purpose, generator

STRENGTHS = (2.0, 20.0, 200.0)
"""First layer first, so far apart that each gives other weights."""

LAYERS = ("layers.0.weight", "layers.2.weight", "layers.4.weight")


def config() -> Config:
    """Give the configuration that the command line makes below."""
    whole = preset("permuted-digits")
    return replace(
        whole, network=Network(hidden=(16, 12)), optimizer=replace(whole.optimizer, metaplasticity=STRENGTHS), seed=2
    )


def by_hand(strengths: tuple[float, ...]) -> dict[str, torch.Tensor]:
    """Train the same network with an optimizer of its own for every layer."""
    options, tasks = config(), permuted(load("digits"), tasks=2, seed=2).tasks
    network = BinaryMLP([64, 16, 12, 10], options.norm, generator=generator(2, Purpose.INITIALIZATION))
    weights = {name: network.get_parameter(name) for name in LAYERS}
    assert len(list(network.parameters())) == 3
    optimizers = [
        MetaplasticAdam([{"params": [weight], "metaplasticity": strength}], lr=options.optimizer.lr)
        for weight, strength in zip(weights.values(), strengths, strict=True)
    ]
    for index, task in enumerate(tasks):
        for rows in Schedule(epochs=1, batch_size=options.batch_size, seed=2).batches(task, index, 0):
            inputs, labels = task.view.batch(rows)
            network.zero_grad()
            torch.nn.functional.cross_entropy(network(inputs), labels).backward()
            for optimizer in optimizers:
                optimizer.step()
    return {name: weight.detach() for name, weight in weights.items()}


def test_every_layer_is_trained_with_its_own(tmp_path):
    words = "--tasks 2 --epochs 1 --seed 2 --hidden 16 12 --metaplasticity 2 20 200 --engine plain --threads 1 --quiet"
    main(["run", "permuted-digits", *words.split(), "--out", str(tmp_path / "run")])
    record = Record(tmp_path / "run")
    assert record.config.optimizer.metaplasticity == STRENGTHS
    trained = load_file(record.folder / "network.safetensors")
    expected, exchanged = by_hand(STRENGTHS), by_hand(STRENGTHS[::-1])
    for name in LAYERS:
        torch.testing.assert_close(trained[name], expected[name], rtol=1e-4, atol=1e-6)
        assert (trained[name] - exchanged[name]).abs().max() > 0.01


def test_every_layer_of_a_stack_has_its_own():
    stack = Stack([replace(config(), seed=seed) for seed in (0, 1)])
    groups = [
        ({id(weight) for weight in group["params"]}, group["metaplasticity"]) for group in stack.optimizer.param_groups
    ]
    assert groups == [({id(stack.network.get_parameter(name))}, m) for name, m in zip(LAYERS, STRENGTHS, strict=True)]
