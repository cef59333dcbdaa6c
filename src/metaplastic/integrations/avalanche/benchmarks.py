"""Our scenarios as benchmarks of Avalanche, and its benchmarks as our scenarios."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from avalanche.benchmarks import benchmark_from_datasets, with_classes_timeline, with_task_labels
from avalanche.benchmarks.scenarios import CLScenario
from avalanche.benchmarks.utils import AvalancheDataset, make_avalanche_dataset
from avalanche.benchmarks.utils.data_attribute import DataAttribute
from torch import Tensor
from torch.utils import data

from metaplastic.data import Samples
from metaplastic.scenarios import Announced, IndexView, Scenario, Task, Test, View
from metaplastic.scenarios.scenario import LAID_OUT_BYTES

CHUNK = 4096
"""Samples that labels are collected from at a time."""


class _ViewSamples(data.Dataset):
    """The samples of a view one by one, made when they are asked for unless they are laid out in memory."""

    def __init__(self, view: View, outputs: Sequence[int] | None, laid_out: bool) -> None:
        self.view = view
        self.outputs = None if outputs is None else torch.tensor(outputs)
        self.shown = self._batch(torch.arange(len(view))) if laid_out else None

    def __len__(self) -> int:
        return len(self.view)

    def __getitem__(self, row: int) -> tuple[Tensor, int]:
        if self.shown is not None:
            return self.shown[0][row], int(self.shown[1][row])
        inputs, labels = self._batch(torch.tensor([row]))
        return inputs[0], int(labels)

    def labels(self) -> list[int]:
        """Collect the labels of all samples."""
        rows = torch.arange(len(self)).split(CHUNK)
        return [int(label) for part in rows for label in self._batch(part)[1]]

    def _batch(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Gather samples; labels count all classes, not the outputs of a task."""
        inputs, labels = self.view.batch(rows)
        return inputs, labels if self.outputs is None else self.outputs[labels]


def as_benchmark(scenario: Scenario) -> CLScenario:
    """Show a scenario as a benchmark of Avalanche.

    Every task is an experience of the stream `train`, every test one of the stream `test`. Where the scenario announces
    the task at test, its index is the task label in both; else every label is 0. Labels count all classes; for tasks
    with outputs of their own, wrap the network in `TaskOutputs`. An augmented image is shown as in its first epoch.
    Samples are laid out in memory where all together take no more than a quarter of a gigabyte; else each is made when
    it is asked for, which is slower.

    Args:
        scenario: The scenario. It must announce boundaries, because strategies are told where an experience ends.

    Returns:
        The benchmark, with task labels and a timeline of classes.

    Raises:
        ValueError: When the scenario announces no boundaries, or has outputs of a task where it does not tell the task.

    Example:
        >>> from metaplastic.data import load
        >>> from metaplastic.scenarios import permuted
        >>> benchmark = as_benchmark(permuted(load("digits"), tasks=3, announced=Announced(boundaries=True)))
        >>> [len(experience.dataset) for experience in benchmark.train_stream]
        [1437, 1437, 1437]
    """
    scenario.require_boundaries("a benchmark of Avalanche, whose strategies are told where an experience ends")
    told = scenario.announced.task_at_test
    if not told and any(task.outputs is not None for task in scenario.tasks):
        raise ValueError(
            f"expected tasks of {scenario.name!r} trained with all outputs, got some restricted to their own where the "
            "task is not told; announce the task at test, or leave outputs=None"
        )
    parts: tuple[Task | Test, ...] = (*scenario.tasks, *scenario.tests)
    small = sum(len(part.view) * part.view.batch(torch.tensor([0]))[0].nbytes for part in parts) <= LAID_OUT_BYTES
    train = [_dataset(task.in_epoch(0), index if told else 0, small) for index, task in enumerate(scenario.tasks)]
    test = [_dataset(one, (one.task or 0) if told else 0, small) for one in scenario.tests]
    return with_classes_timeline(with_task_labels(benchmark_from_datasets(train=train, test=test)))


def _dataset(part: Task | Test, label: int, laid_out: bool) -> AvalancheDataset:
    samples = _ViewSamples(part.view, part.outputs, laid_out)
    attributes = [
        DataAttribute(samples.labels(), "targets"),
        DataAttribute([label] * len(samples), "targets_task_labels", use_in_getitem=True),
    ]
    return make_avalanche_dataset(samples, data_attributes=attributes)


@dataclass(frozen=True)
class _Part:
    """An experience, read into memory."""

    samples: Samples
    label: int

    @property
    def classes(self) -> tuple[int, ...]:
        return tuple(self.samples.labels.unique().tolist())


def as_scenario(benchmark: CLScenario, *, name: str = "avalanche", own_outputs: bool = False) -> Scenario:
    """Show a benchmark of Avalanche as a scenario.

    Boundaries are announced, as they are there. The task is announced at test where test experiences have more than one
    task label. All samples are read into memory, as their transforms for evaluation show them: random ones for training
    are left out.

    Args:
        benchmark: Has a stream `train`, and a stream `test` with one experience for each of `train`, or one for all.
            Samples are tensors.
        name: What the records call it.
        own_outputs: Whether a task is learned and answered by the outputs of its own classes only.

    Returns:
        The scenario: task-incremental where the task is announced; else class-incremental or, where every experience
        has the same classes, domain-incremental.

    Raises:
        ValueError: When streams or samples are not as above, or outputs are to be a task's own and the task is not
            known at test.

    Example:
        >>> from metaplastic.data import load
        >>> from metaplastic.scenarios import permuted
        >>> scenario = permuted(load("digits"), tasks=3, announced=Announced(boundaries=True))
        >>> as_scenario(as_benchmark(scenario)).kind
        'domain-incremental'
    """
    train, test = _read(benchmark, "train"), _read(benchmark, "test")
    if len(test) not in (1, len(train)):
        raise ValueError(
            f"expected one test experience for each of {len(train)} training experiences, or one for all, got "
            f"{len(test)}; join or leave out experiences of the test stream"
        )
    told = len({part.label for part in test}) > 1
    if own_outputs and not told:
        raise ValueError(
            "expected task labels that differ between test experiences for outputs of a task's own, got one label for "
            "all; add them (avalanche.benchmarks.task_incremental_benchmark), or leave own_outputs=False"
        )
    classes = 1 + max(max(part.classes) for part in (*train, *test))
    alike = len({part.classes for part in train}) == 1
    outputs = [_outputs(part, train) if own_outputs else None for part in train]
    own = [_outputs(part, train) if own_outputs else None for part in test]
    paired = len(test) == len(train)
    return Scenario(
        name=name,
        tasks=tuple(
            Task(f"experience {i + 1}", _view(part, out, classes), out, tests=(i if paired else 0,))
            for i, (part, out) in enumerate(zip(train, outputs, strict=True))
        ),
        tests=tuple(
            Test(f"experience {i + 1}" if paired else "test", _view(part, out, classes), i if paired else None, out)
            for i, (part, out) in enumerate(zip(test, own, strict=True))
        ),
        announced=Announced(boundaries=True, task_at_test=told),
        classes=classes,
        input_shape=tuple(train[0].samples.inputs.shape[1:]),
        kind="task-incremental" if told else "domain-incremental" if alike else "class-incremental",
    )


def _read(benchmark: CLScenario, name: str) -> list[_Part]:
    if name not in benchmark.streams:
        raise ValueError(
            f"expected a stream {name!r} in the benchmark, got {sorted(benchmark.streams)}; build it with "
            "benchmark_from_datasets(train=[...], test=[...])"
        )
    return [_Part(*read) for read in map(_read_experience, benchmark.streams[name])]


def _read_experience(experience: Any) -> tuple[Samples, int]:
    labels = list(getattr(experience, "task_labels", [0]))
    if len(labels) != 1:
        raise ValueError(
            f"expected one task label per experience, got {labels} in experience {experience.current_experience}; "
            "give each task an experience of its own"
        )
    items = list(_items(experience.dataset.eval()))
    inputs = torch.stack([inputs for inputs, _ in items])
    return Samples(inputs, torch.tensor([int(label) for _, label in items])), int(labels[0])


def _items(dataset: AvalancheDataset) -> Iterator[tuple[Tensor, Any]]:
    for row in range(len(dataset)):
        inputs, label, *_ = dataset[row]
        if not isinstance(inputs, Tensor):
            raise ValueError(
                f"expected samples that are tensors, got {type(inputs).__name__}; give the benchmark a transform for "
                "evaluation, such as torchvision's ToTensor()"
            )
        yield inputs, label


def _outputs(part: _Part, train: list[_Part]) -> tuple[int, ...]:
    """Find the classes of a part's task, which must hold all labels of the part."""
    classes = {label for other in train if other.label == part.label for label in other.classes}
    if not set(part.classes) <= classes:
        raise ValueError(
            f"expected test labels among the classes {sorted(classes)} of task label {part.label}, got "
            f"{sorted(part.classes)}; leave own_outputs=False"
        )
    return tuple(sorted(classes))


def _view(part: _Part, outputs: tuple[int, ...] | None, classes: int) -> IndexView:
    if outputs is None:
        return IndexView(part.samples)
    counted = torch.zeros(classes, dtype=torch.int64)
    counted[list(outputs)] = torch.arange(len(outputs))
    return IndexView(part.samples, labels=counted)
