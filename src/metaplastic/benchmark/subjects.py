"""What is measured: the published step, and ours on either engine, behind one set of verbs."""

import contextlib
import functools
import itertools
import time
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

from metaplastic.benchmark.published import (
    PermutedImages,
    PublishedAdam,
    PublishedNetwork,
    keep_hidden,
    published_batches,
    published_test,
    swap_in_hidden,
)
from metaplastic.data import Dataset, Samples
from metaplastic.evaluation import count_correct
from metaplastic.hidden_weight import HiddenWeight
from metaplastic.learners import Engine, Moment, Schedule, accelerated, calibrate, learn, task_loss
from metaplastic.nn import BinaryMLP, NormPolicy, Precision, StackedMLP, Statistics, integer_mm
from metaplastic.optim import MetaplasticAdam, param_groups
from metaplastic.scenarios import Scenario, permuted, stacked

LR, METAPLASTICITY, DECAY = 5e-3, 1.35, 1e-7

Seconds = dict[str, float]
"""Time by what it was spent on."""


def synthetic(train: int = 6000, test: int = 1000, seed: int = 0) -> Dataset:
    """Make images of MNIST's shape from noise: time does not depend on what is in them.

    Args:
        train: Training samples.
        test: Test samples.
        seed: Seed of the noise.

    Returns:
        The data set.
    """
    source = torch.Generator().manual_seed(seed)

    def drawn(count: int) -> Samples:
        images = torch.randint(0, 256, (count, 28, 28), dtype=torch.uint8, generator=source)
        return Samples(images, torch.randint(0, 10, (count,), generator=source))

    return Dataset("noise", drawn(train), drawn(test), tuple("0123456789"), 1 / 256)


class _Stopwatch:
    """Laps by name."""

    def __init__(self) -> None:
        self.laps: Seconds = {}
        self.last = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.laps[name], self.last = now - self.last, now

    def total(self, name: str) -> Seconds:
        return {**self.laps, name: sum(self.laps.values())}


class Published:
    """The published code: loader, network, optimizer and its copies.

    Args:
        hidden: Widths of the hidden layers.
        batch_size: Samples per step.
        tasks: Number of permutations.
        data: The images.
    """

    def __init__(self, hidden: list[int], batch_size: int, tasks: int, data: Dataset) -> None:
        self.batch_size = batch_size
        source = torch.Generator().manual_seed(1)
        orders = [torch.randperm(784, generator=source) for _ in range(tasks)]
        self.train = PermutedImages(data.train.inputs, data.train.labels, orders[0])
        self.tests = [PermutedImages(data.test.inputs, data.test.labels, order) for order in orders]
        self.network = PublishedNetwork([784, *hidden, 10])
        self.optimizer = PublishedAdam(self.network.parameters(), LR, METAPLASTICITY, DECAY)
        # One batch beforehand: a step is timed without its data, which a worker process prepares meanwhile.
        self.batch = next(published_batches(self.train, batch_size, shuffle=False))
        self.test_batch = next(published_batches(self.tests[0], 1000, shuffle=False))

    def step(self) -> Seconds:
        """Make one training step; the time of its stages, and of the whole as `step`."""
        return self._step(*self.batch)

    def _step(self, data: Tensor, target: Tensor) -> Seconds:
        self.network.train()
        watch = _Stopwatch()
        self.optimizer.zero_grad()
        loss = functional.cross_entropy(self.network(data), target)
        watch.lap("forward")
        loss.backward()
        watch.lap("backward")
        swap_in_hidden(self.network)
        self.optimizer.step()
        keep_hidden(self.network)
        watch.lap("optimizer")
        return watch.total("step")

    def evaluation(self) -> Seconds:
        """Test the network on 1,000 samples, data at hand."""
        watch = _Stopwatch()
        published_test(self.network, iter([self.test_batch]))
        watch.lap("evaluation")
        return watch.laps

    def epoch(self) -> Seconds:
        """Train for an epoch, then test on the training set and on every test set, all through their loaders."""
        watch = _Stopwatch()
        for data, target in published_batches(self.train, self.batch_size, shuffle=True):
            self._step(data, target)
        watch.lap("training")
        published_test(self.network, published_batches(self.train, self.batch_size, shuffle=True))
        for test in self.tests:
            published_test(self.network, published_batches(test, 1000, shuffle=False))
        watch.lap("tests")
        return watch.total("epoch")


class Ours:
    """This package's loop.

    Args:
        hidden: Widths of the hidden layers.
        batch_size: Samples per step.
        tasks: Number of permutations.
        data: The images.
        engine: What it computes with.
        precision: What the fast engine keeps gradients of weights in.
        statistics: Normalisation.
    """

    def __init__(
        self,
        hidden: list[int],
        batch_size: int,
        tasks: int,
        data: Dataset,
        engine: Engine | None,
        precision: Precision | None,
        statistics: Statistics = Statistics.RECALIBRATED,
    ) -> None:
        self.network = BinaryMLP([784, *hidden, 10], NormPolicy(statistics))
        groups = param_groups(self.network, METAPLASTICITY)
        self.optimizer = MetaplasticAdam(groups, lr=LR, weight_decay=DECAY)
        self.schedule = Schedule(epochs=1, batch_size=batch_size)
        scenario = permuted(data, tasks)
        self.stack = contextlib.ExitStack()
        self.chosen = self.stack.enter_context(accelerated(self.network, self.optimizer, scenario, engine, precision))
        self.scenario = self.chosen.shown(scenario)
        self.steps = _loop_steps(self.network, self.scenario, self.optimizer, self.schedule)
        self.calibrated = False

    def step(self) -> Seconds:
        """Make one step of the loop, data and events included; then another by hand for the time of its stages."""
        whole = next(self.steps)
        self.network.train()
        task = self.scenario.tasks[0]
        rows = self.schedule.batches(task, 0, 0)[0]
        watch = _Stopwatch()
        task.view.batch(rows)
        watch.lap("data")
        loss = task_loss(self.network, task, rows)
        watch.lap("forward")
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        watch.lap("backward")
        self.optimizer.step()
        watch.lap("optimizer")
        stages = watch.laps | {"forward": watch.laps["forward"] - watch.laps["data"]}
        return stages | whole

    def evaluation(self) -> Seconds:
        """Test the network on every task, data included; the time per 1,000 samples."""
        if not self.calibrated:
            calibrate(self.network, self.scenario.tasks[0], 0, self.schedule)
            self.calibrated = True
        return _timed("evaluation", lambda: self._test(), thousands=self._test_thousands())

    def epoch(self) -> Seconds:
        """Train for an epoch, take the statistics, and test on every test set."""
        watch = _Stopwatch()
        for event in learn(self.network, self.scenario, self.optimizer, schedule=self.schedule):
            if event.moment is Moment.TASK:
                break
        watch.lap("training")
        self._test()
        watch.lap("tests")
        return watch.total("epoch")

    def _test(self) -> object:
        return count_correct(self.network, self.scenario)

    def _test_thousands(self) -> float:
        return sum(len(test.view) for test in self.scenario.tests) / 1000


class Stacked:
    """Several networks trained as one stack by this package's loop, on the fast engine.

    Args:
        hidden: Widths of the hidden layers.
        batch_size: Samples per step of each.
        members: Number of networks.
        data: The images.
    """

    def __init__(self, hidden: list[int], batch_size: int, members: int, data: Dataset) -> None:
        policy = NormPolicy(Statistics.RECALIBRATED)
        network = StackedMLP([BinaryMLP([784, *hidden, 10], policy) for _ in range(members)])
        optimizer = MetaplasticAdam(param_groups(network, METAPLASTICITY), lr=LR, weight_decay=DECAY)
        scenario = stacked([permuted(data, 1, seed=seed) for seed in range(members)])
        self.stack = contextlib.ExitStack()
        self.chosen = self.stack.enter_context(accelerated(network, optimizer, scenario))
        schedule = Schedule(epochs=1, batch_size=batch_size, seed=tuple(range(members)))
        self.steps = _loop_steps(network, self.chosen.shown(scenario), optimizer, schedule)

    def step(self) -> Seconds:
        """Make one step of the loop, for all members."""
        return next(self.steps)


def _loop_steps(
    network: nn.Module, scenario: Scenario, optimizer: torch.optim.Optimizer, schedule: Schedule
) -> Iterator[Seconds]:
    """The loop itself, timed step by step, for as long as asked."""
    while True:
        events = learn(network, scenario, optimizer, schedule=schedule)
        started = time.perf_counter()
        for event in events:
            if event.moment is not Moment.STEP:
                break
            yield {"step": time.perf_counter() - started}
            started = time.perf_counter()
        events.close()  # type: ignore[attr-defined]


class Update:
    """An optimizer by itself, with gradients in float32 and no binary copies to write.

    Args:
        hidden: Widths of the hidden layers of the network whose weights are moved.
        kind: `published`, `blocks`, `fused`, or `adam`: torch's fused Adam, which knows no metaplasticity.
    """

    def __init__(self, hidden: list[int], kind: str) -> None:
        sizes = [784, *hidden, 10]
        shapes = [(fan_out, fan_in) for fan_in, fan_out in itertools.pairwise(sizes)]
        self.weights = [HiddenWeight((torch.rand(shape) - 0.5) * 0.1) for shape in shapes]
        for weight in self.weights:
            weight.grad = torch.randn_like(weight) * 1e-3
        self.optimizer = self._made(kind)

    def _made(self, kind: str) -> torch.optim.Optimizer:
        if kind == "published":
            return PublishedAdam(self.weights, LR, METAPLASTICITY, DECAY)
        if kind == "adam":
            return torch.optim.Adam(self.weights, lr=LR, weight_decay=DECAY, fused=True)
        return MetaplasticAdam(
            self.weights, lr=LR, metaplasticity=METAPLASTICITY, weight_decay=DECAY, fused=kind == "fused"
        )

    def update(self) -> Seconds:
        """Move all weights once."""
        return _timed("update", self.optimizer.step)


class Machine:
    """What the machine can do: the rates of large products, and of a pass over memory.

    Args:
        size: Side of the matrices.
        rows: Rows of the left ones.
        stream: Elements of the tensors of the pass, in float32: far more than any cache holds.
    """

    def __init__(self, size: int = 4096, rows: int = 1000, stream: int = 100_000_000) -> None:
        signs = torch.randint(0, 2, (rows, size)).mul_(2).sub_(1)
        weights = torch.randint(0, 2, (size, size)).mul_(2).sub_(1)
        self.operations = 2 * rows * size * size
        self.operands = {
            dtype: (signs.to(dtype), weights.to(dtype)) for dtype in (torch.float32, torch.bfloat16, torch.int8)
        }
        self.streams = [torch.ones(stream) for _ in range(2)]

    def rates(self) -> dict[str, float]:
        """Measure once: operations per second by type, and bytes per second of a pass that adds to what it reads."""
        found = {}
        for dtype, (left, right) in self.operands.items():
            product = integer_mm if dtype is torch.int8 else _product
            seconds = _timed("product", functools.partial(product, left, right))["product"]
            found[str(dtype).removeprefix("torch.")] = self.operations / seconds
        seconds = _timed("pass", lambda: self.streams[0].add_(self.streams[1]))["pass"]
        return found | {"memory": 12 * len(self.streams[0]) / seconds}


def _product(left: Tensor, right: Tensor) -> Tensor:
    return left @ right.t()


def _timed(name: str, work: Callable[[], object], thousands: float = 1.0) -> Seconds:
    watch = _Stopwatch()
    work()
    watch.lap(name)
    return {name: watch.laps[name] / thousands}
