"""Scenarios as benchmarks, benchmarks as scenarios."""

from dataclasses import replace

import pytest
import torch
from torch.utils.data import TensorDataset

pytest.importorskip("avalanche", reason="needs Avalanche: pip install 'metaplastic[avalanche]'")

from avalanche.benchmarks import benchmark_from_datasets, class_incremental_benchmark, task_incremental_benchmark
from avalanche.benchmarks.utils import as_classification_dataset, make_avalanche_dataset
from avalanche.benchmarks.utils.data_attribute import DataAttribute

from metaplastic.experiments.run import train
from metaplastic.integrations.avalanche import TaskOutputs, as_benchmark, as_scenario, benchmarks
from metaplastic.learners import task_loss
from metaplastic.nn import BinaryMLP
from metaplastic.optim import MetaplasticAdam, param_groups
from metaplastic.scenarios import Announced, permuted, split

BOUNDARIES = Announced(boundaries=True)
PAIRS = [(0, 1), (2, 3), (4, 5)]


def scenarios(small):
    return [
        permuted(small, tasks=2, announced=BOUNDARIES),
        permuted(small, tasks=2, announced=Announced(boundaries=True, task_at_test=True)),
        split(small, PAIRS, "class", announced=BOUNDARIES),
        split(small, PAIRS, "domain", announced=BOUNDARIES),
        split(small, PAIRS, "task", announced=BOUNDARIES),
    ]


def shown(part):
    return part.view.batch(torch.arange(len(part.view)))


def images(samples):
    """A data set as torchvision's are: a class of its own, with targets."""
    dataset = TensorDataset(samples.inputs.float() / 16, samples.labels)
    return as_classification_dataset(
        make_avalanche_dataset(dataset, data_attributes=[DataAttribute(samples.labels.tolist(), "targets")])
    )


@pytest.mark.parametrize("room", [0, 2**28])
def test_an_experience_holds_what_the_task_shows(small, room, monkeypatch):
    monkeypatch.setattr(benchmarks, "LAID_OUT_BYTES", room)
    for scenario in scenarios(small):
        benchmark = as_benchmark(scenario)
        for stream, parts in ((benchmark.train_stream, scenario.tasks), (benchmark.test_stream, scenario.tests)):
            for index, (experience, part) in enumerate(zip(stream, parts, strict=True)):
                label = index if scenario.announced.task_at_test else 0
                inputs, labels = shown(part)
                labels = labels if part.outputs is None else torch.tensor(part.outputs)[labels]
                items = [experience.dataset[row] for row in range(len(labels))]
                assert torch.equal(torch.stack([item[0] for item in items]), inputs)
                assert [item[1] for item in items] == labels.tolist() == list(experience.dataset.targets)
                assert {item[2] for item in items} == {label} == set(experience.task_labels)
                assert sorted(experience.classes_in_this_experience) == labels.unique().tolist()


def test_there_and_back_gives_the_same_scenario(small):
    for scenario in scenarios(small):
        own = any(task.outputs is not None for task in scenario.tasks)
        back = as_scenario(as_benchmark(scenario), name=scenario.name, own_outputs=own)
        assert (back.kind, back.announced, back.input_shape) == (
            scenario.kind,
            scenario.announced,
            scenario.input_shape,
        )
        for one, other in zip((*scenario.tasks, *scenario.tests), (*back.tasks, *back.tests), strict=True):
            assert one.outputs == other.outputs
            assert all(map(torch.equal, shown(one), shown(other)))
        assert [task.tests for task in back.tasks] == [task.tests for task in scenario.tasks]
        assert [test.task for test in back.tests] == [test.task for test in scenario.tests]


def test_outputs_of_the_task_give_the_loss_of_the_scenario(small):
    scenario = split(small, PAIRS, "task", announced=BOUNDARIES)
    net = BinaryMLP([64, 32, 10], norm="layer")
    restricted = TaskOutputs(net, scenario)
    for experience, task in zip(as_benchmark(scenario).train_stream, scenario.tasks, strict=True):
        rows = torch.arange(len(task.view))
        inputs, labels, told = torch.utils.data.default_collate([experience.dataset[int(i)] for i in rows])
        loss = torch.nn.functional.cross_entropy(restricted(inputs, told), labels)
        torch.testing.assert_close(loss, task_loss(net, task, rows))
        assert torch.equal(restricted(inputs, int(told[0])), restricted(inputs, told))
        loss.backward()
        assert all(bool(parameter.grad.isfinite().all()) for parameter in net.parameters())


def test_a_benchmark_of_avalanche_is_learned_by_our_loop(small):
    parts = {"train": images(small.train), "test": images(small.test)}
    benchmark = class_incremental_benchmark(parts, num_experiences=5, seed=0)
    scenario = as_scenario(benchmark)
    assert (scenario.kind, scenario.classes, len(scenario.tasks)) == ("class-incremental", 10, 5)
    assert not scenario.announced.task_at_test
    told = as_scenario(task_incremental_benchmark(benchmark), own_outputs=True)
    assert (told.kind, [len(task.outputs) for task in told.tasks]) == ("task-incremental", [2] * 5)
    net = BinaryMLP([64, 32, 10], norm="layer")
    optimizer = MetaplasticAdam(param_groups(net, metaplasticity=10.0), lr=1e-2)
    result = train(net, told, optimizer, epochs=5, batch_size=20, engine="plain")
    assert result.accuracy[4, 4] > 0.8


def test_one_test_experience_serves_all(small):
    halves = [as_benchmark(permuted(small, tasks=2, announced=BOUNDARIES)).train_stream[i].dataset for i in range(2)]
    scenario = as_scenario(benchmark_from_datasets(train=halves, test=[images(small.test)]))
    assert [task.tests for task in scenario.tasks] == [(0,), (0,)]
    assert scenario.tests[0].task is None


def test_a_scenario_without_announced_boundaries_is_refused(small):
    with pytest.raises(ValueError, match="expected announced task boundaries for a benchmark of Avalanche"):
        as_benchmark(permuted(small, tasks=2))


def test_outputs_of_a_task_that_is_not_told_are_refused(small):
    scenario = permuted(small, tasks=2, announced=BOUNDARIES)
    hinted = replace(scenario, tasks=tuple(replace(task, outputs=tuple(range(10))) for task in scenario.tasks))
    with pytest.raises(ValueError, match="got some restricted to their own where the task is not told"):
        as_benchmark(hinted)


def test_streams_that_do_not_fit_are_refused(small):
    data = [images(small.train)] * 3
    with pytest.raises(ValueError, match=r"expected a stream 'test' in the benchmark, got \['train'\]"):
        as_scenario(benchmark_from_datasets(train=data))
    with pytest.raises(ValueError, match=r"one test experience for each of 3 training experiences, .* got 2"):
        as_scenario(benchmark_from_datasets(train=data, test=data[:2]))
    with pytest.raises(ValueError, match="expected task labels that differ between test experiences"):
        as_scenario(benchmark_from_datasets(train=data, test=data), own_outputs=True)


def test_samples_that_are_no_tensors_are_refused():
    class Images(torch.utils.data.Dataset):
        def __len__(self):
            return 2

        def __getitem__(self, row):
            return "an image", 0

    bare = make_avalanche_dataset(Images(), data_attributes=[DataAttribute([0, 0], "targets")])
    with pytest.raises(ValueError, match="expected samples that are tensors, got str"):
        as_scenario(benchmark_from_datasets(train=[bare], test=[bare]))


def test_labels_beyond_the_classes_of_a_task_are_refused():
    scenario = as_scenario(task_incremental_benchmark(_bare([(0, 1), (2, 3)], [(0, 1), (2, 3)])), own_outputs=True)
    assert [task.outputs for task in scenario.tasks] == [(0, 1), (2, 3)]
    with pytest.raises(
        ValueError, match=r"expected test labels among the classes \[2, 3\] of task label 1, got \[1, 2\]"
    ):
        as_scenario(task_incremental_benchmark(_bare([(0, 1), (2, 3)], [(0, 1), (1, 2)])), own_outputs=True)


def _bare(train_labels, test_labels):
    def data(labels):
        samples = TensorDataset(torch.rand(2, 4), torch.tensor(labels))
        return make_avalanche_dataset(samples, data_attributes=[DataAttribute(list(labels), "targets")])

    return benchmark_from_datasets(train=[*map(data, train_labels)], test=[*map(data, test_labels)])
