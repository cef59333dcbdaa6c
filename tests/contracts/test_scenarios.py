"""What every scenario promises."""

import hashlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import metaplastic.scenarios
from metaplastic.data import Dataset, Samples
from metaplastic.scenarios import Increment, Scenario, interleaved, permuted, sequence, split, stream


def marked(name="marked", first=0, train=26, test=13, classes=4, offset=0.0):
    """Images that differ by the number that their pixels add up to, whatever their order."""

    def part(start, count):
        inputs = torch.zeros(count, 3, 4, dtype=torch.uint8)
        numbers = torch.arange(start, start + count)
        inputs[:, 0, 0], inputs[:, 1, 2] = numbers.to(torch.uint8), numbers.to(torch.uint8)
        return Samples(inputs, torch.arange(count) % classes)

    return Dataset(name, part(first, train), part(first + train, test), tuple("abcd"), 1 / 256, offset)


GROUPS = [(3, 0), (1, 2)]
SCENARIOS = {
    "permuted": lambda seed: permuted(marked(), tasks=3, seed=seed),
    "sequence": lambda seed: sequence([marked(), marked("other", first=60)]),
    "sequence of samples": lambda seed: sequence([marked(), marked("other", first=60)], samples=(25, 12), seed=seed),
    "split by task": lambda seed: split(marked(), GROUPS, Increment.TASK),
    "split by domain": lambda seed: split(marked(), GROUPS, Increment.DOMAIN),
    "split by class": lambda seed: split(marked(), GROUPS, Increment.CLASS),
    "stream": lambda seed: stream(marked(), 4, seed=seed),
    "stream augmented": lambda seed: stream(marked(), 4, seed=seed, augment="flip-and-crop-or-rotate"),
    "interleaved": lambda seed: interleaved(permuted(marked(), tasks=3, seed=seed)),
}
SEEDED = {"permuted", "sequence of samples", "stream", "stream augmented", "interleaved"}
every_scenario = pytest.mark.parametrize("name", SCENARIOS)


def everything(view):
    return view.batch(torch.arange(len(view)))


def fingerprint(scenario):
    """A hash of all that a learner could see of a scenario."""
    digest = hashlib.sha256(repr((scenario.name, scenario.announced, scenario.classes, scenario.kind)).encode())
    epochs = [task.in_epoch(epoch) for task in scenario.tasks for epoch in (0, 1)]
    for part in (*scenario.tasks, *scenario.tests, *epochs):
        inputs, labels = everything(part.view)
        digest.update(repr((part.name, part.outputs, tuple(inputs.shape))).encode())
        digest.update(inputs.numpy().tobytes())
        digest.update(labels.numpy().tobytes())
    return digest.hexdigest()


def marks(view):
    """The number of each sample."""
    return set((everything(view)[0].flatten(1).sum(1) * 256 / 2).tolist())


def test_every_builder_of_the_package_is_under_contract():
    exported = {
        name
        for name in metaplastic.scenarios.__all__
        if inspect.isfunction(value := getattr(metaplastic.scenarios, name))
        and inspect.signature(value).return_annotation is Scenario
    }
    # What is stacked is shown by rows of another shape; tests/equivalence/test_stack.py trains it.
    assert exported - {"stacked"} == {name.split()[0] for name in SCENARIOS}
    assert len(SCENARIOS) == 9
    assert {name.split()[-1] for name in SCENARIOS if "split" in name} == {increment.value for increment in Increment}


@every_scenario
def test_a_seed_decides_everything(name):
    assert fingerprint(SCENARIOS[name](5)) == fingerprint(SCENARIOS[name](5))
    assert (fingerprint(SCENARIOS[name](5)) != fingerprint(SCENARIOS[name](6))) == (name in SEEDED)


def test_tasks_are_the_same_in_another_process():
    program = (
        "import importlib.util, sys, torch\n"
        "spec = importlib.util.spec_from_file_location('contract', sys.argv[1])\n"
        "module = importlib.util.module_from_spec(spec)\n"
        "spec.loader.exec_module(module)\n"
        "torch.manual_seed(99)\n"
        "torch.rand(3)\n"
        "for build in module.SCENARIOS.values():\n"
        "    print(module.fingerprint(build(5)))\n"
    )
    command = [sys.executable, "-c", program, str(Path(__file__))]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert printed.split() == [fingerprint(build(5)) for build in SCENARIOS.values()]


@every_scenario
def test_no_test_sample_is_ever_learned(name):
    scenario = SCENARIOS[name](0)
    learned = set().union(*(marks(task.view) for task in scenario.tasks))
    tested = set().union(*(marks(test.view) for test in scenario.tests))
    assert len(learned) >= 26
    assert len(tested) >= 13
    assert learned.isdisjoint(tested)


@every_scenario
def test_labels_are_as_declared(name):
    scenario = SCENARIOS[name](0)
    shown = set()
    for part in (*scenario.tasks, *scenario.tests):
        labels = set(everything(part.view)[1].tolist())
        assert labels <= set(range(scenario.classes if part.outputs is None else len(part.outputs)))
        shown |= labels if part.outputs is None else {part.outputs[label] for label in labels}
    assert shown == set(range(scenario.classes))


@every_scenario
@pytest.mark.parametrize("rows", [[0], [1, 0], [0, 0, 1], None])
def test_batches_have_the_declared_type_and_shape(name, rows):
    scenario = SCENARIOS[name](0)
    for part in (*scenario.tasks, *scenario.tests):
        asked = torch.arange(len(part.view)).flip(0) if rows is None else torch.tensor(rows)
        inputs, labels = part.view.batch(asked)
        assert (inputs.dtype, labels.dtype) == (torch.float32, torch.int64)
        assert inputs.shape == (len(asked), *scenario.input_shape)
        assert labels.shape == (len(asked),)
        assert 0 <= inputs.min() <= inputs.max() < 1
        whole, all_labels = everything(part.view)
        assert torch.equal(inputs, whole[asked])
        assert torch.equal(labels, all_labels[asked])


@every_scenario
def test_an_epoch_shows_the_samples_of_the_task_with_their_labels(name):
    for task in SCENARIOS[name](0).tasks:
        shown = task.in_epoch(2)
        assert (shown.name, shown.outputs, shown.tests) == (task.name, task.outputs, task.tests)
        assert torch.equal(everything(shown.view)[1], everything(task.view)[1])
        assert torch.equal(everything(shown.view)[0], everything(task.view)[0]) == (name != "stream augmented")


@every_scenario
def test_tasks_name_the_tests_that_measure_them(name):
    scenario = SCENARIOS[name](0)
    for index, task in enumerate(scenario.tasks):
        assert len(set(task.tests)) == len(task.tests) > 0
        for test in task.tests:
            assert scenario.tests[test].outputs == task.outputs
            if name not in {"stream", "stream augmented", "interleaved"}:
                assert scenario.tests[test].task == index
    assert {test for task in scenario.tasks for test in task.tests} == set(range(len(scenario.tests)))


@every_scenario
def test_names_tell_parts_apart(name):
    scenario = SCENARIOS[name](0)
    assert len({task.name for task in scenario.tasks}) == len(scenario.tasks)
    assert len({test.name for test in scenario.tests}) == len(scenario.tests)


@every_scenario
def test_what_is_announced_is_what_may_be_asked(name):
    scenario = SCENARIOS[name](0)
    assert not scenario.announced.boundaries
    assert scenario.announced.task_at_test == (name == "split by task")
    with pytest.raises(ValueError, match="announces none"):
        scenario.require_boundaries("this test")


@every_scenario
def test_moving_to_where_it_is_changes_nothing(name):
    scenario = SCENARIOS[name](0)
    assert fingerprint(scenario.to(torch.device("cpu"))) == fingerprint(scenario)


@pytest.mark.parametrize(
    "build",
    [
        lambda data: permuted(data, tasks=2),
        lambda data: sequence([data, data], samples=(20, 10)),
        lambda data: split(data, GROUPS, Increment.DOMAIN),
        lambda data: stream(data, 4),
    ],
)
def test_every_view_shows_the_offset_of_its_data(build):
    plain, signed = build(marked()), build(marked(offset=-1 / 512))
    for one, other in zip((*plain.tasks, *plain.tests), (*signed.tasks, *signed.tests), strict=True):
        assert torch.equal(everything(other.view)[0], everything(one.view)[0] - 1 / 512)
        assert torch.equal(everything(other.view)[1], everything(one.view)[1])
    assert (plain.unit_of_bytes, signed.unit_of_bytes) == (1 / 256, None)
