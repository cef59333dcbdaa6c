"""One training under observation: what is measured while it goes on, and all that is needed to go on with it."""

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from metaplastic.evaluation import (
    AccuracyMatrix,
    count_correct,
    hidden_weight_histogram,
    layer_report,
    magnitude_range,
    training_memory,
)
from metaplastic.hidden_weight import hidden_weights
from metaplastic.learners import (
    Acceleration,
    ClosedForm,
    Engine,
    Event,
    Learner,
    Moment,
    Position,
    Schedule,
    accelerated,
    calibrate,
    learn,
    observe_scenario,
    require_announced,
)
from metaplastic.nn import Precision
from metaplastic.optim import attenuation
from metaplastic.scenarios import Scenario

Line = dict[str, Any]
"""What happened, as one line of `metrics.jsonl`."""

Training = Callable[["Trial"], Iterator[Event]]
"""What makes the network of a trial learn, from the trial's position to the end."""


def by_descent(trial: "Trial") -> Iterator[Event]:
    """Learn by gradients, in the one loop.

    Args:
        trial: What learns.

    Returns:
        The events of `learn`.
    """
    return learn(
        trial.network, trial.scenario, trial.optimizer, trial.learner, schedule=trial.schedule, start=trial.position
    )


def by_observation(trial: "Trial") -> Iterator[Event]:
    """Learn in closed form, by taking in every sample; optimizer and hooks of the learner are not used.

    Args:
        trial: What learns; its network is a `ClosedForm`.

    Returns:
        The events of `observe_scenario`.

    Raises:
        ValueError: When the network cannot observe.
    """
    classifier = trial.network
    if not isinstance(classifier, ClosedForm):
        raise ValueError(
            f"expected a classifier that observes samples, got {type(classifier).__name__}; train it by descent"
        )
    return observe_scenario(classifier, trial.scenario, schedule=trial.schedule, start=trial.position)


class Trial:
    """A network that learns a scenario, with its accuracy matrix so far.

    Everything that changes in training is in its attributes, so whoever can save them and put them back can stop it
    at any event and go on with the same bits.

    Args:
        network: Maps inputs to logits.
        scenario: What is learned; the learner may turn it into another.
        optimizer: Holds the network's parameters.
        learner: The continual-learning method.
        schedule: Epochs, batches and their order.
        training: What makes the network learn.
        evaluate_epochs: Test after every so many epochs; 0 for task ends only.
        test_batch: Samples per forward pass in tests.
    """

    def __init__(
        self,
        network: nn.Module,
        scenario: Scenario,
        optimizer: torch.optim.Optimizer,
        learner: Learner,
        schedule: Schedule,
        *,
        training: Training = by_descent,
        evaluate_epochs: int = 1,
        test_batch: int = 1000,
    ) -> None:
        self.network = network
        self.scenario = learner.curriculum(scenario)
        self.optimizer = optimizer
        self.learner = learner
        self.schedule = schedule
        self.training = training
        self.evaluate_epochs = evaluate_epochs
        self.test_batch = test_batch
        self.position = Position()
        self.signs: dict[str, Tensor] = {}
        self._correct: list[int] | None = None
        self._started = time.perf_counter()
        self.matrix = AccuracyMatrix(
            tuple(test.name for test in self.scenario.tests),
            tuple(len(test.view) for test in self.scenario.tests),
        )
        require_announced(network, self.scenario, schedule)

    @contextlib.contextmanager
    def accelerated(
        self, engine: Engine | None, precision: Precision | None, *, quiet: bool = False
    ) -> Iterator[Acceleration]:
        """Compute with an engine for a while.

        Args:
            engine: The engine; None takes the fast one as far as it goes.
            precision: What the fast engine keeps gradients in; None leaves it to the processor, and takes float32
                where the learner reads them.
            quiet: Whether to log nothing of it.

        Yields:
            What the engine found to do.

        Raises:
            ValueError: When gradients are asked for in less than the learner needs.
        """
        if self.learner.exact_gradients:
            precision = _exact(precision, type(self.learner).__name__)
        before = self.scenario
        with accelerated(self.network, self.optimizer, before, engine, precision, quiet=quiet) as chosen:
            try:
                self.scenario = chosen.shown(before)
                yield chosen
            finally:
                self.scenario = before

    def steps(self) -> int:
        """Count the steps of the whole training.

        Returns:
            Steps of all tasks and epochs.
        """
        batches = (self.schedule.steps(task) for task in self.scenario.tasks)
        return self.schedule.epochs * sum(batches)

    def begin(self) -> Line:
        """Test the untrained network and remember the signs it starts from.

        Returns:
            What was measured.
        """
        calibrate(self.network, self.scenario.tasks[0], 0, self.schedule)
        correct = self._count()
        # A class-incremental network has never seen the classes of a later task, so chance has no meaning there.
        untrained = None if self.scenario.kind == "class-incremental" else tuple(correct)
        self.matrix = AccuracyMatrix(self.matrix.tests, self.matrix.totals, untrained=untrained)
        self.signs = self._signs()
        hidden = hidden_weights(self.network)
        self._started = time.perf_counter()
        return {
            "event": "begin",
            "correct": correct,
            "layers": layer_report(hidden, hidden, attenuation(self.network, self.optimizer)),
        }

    def run(self) -> Iterator[tuple[Event, Line | None]]:
        """Learn from the current position to the end.

        Yields:
            Every event, with what was measured at it; None where nothing was.
        """
        self._started = time.perf_counter()
        for event in self.training(self):
            yield event, self.observe(event)

    def observe(self, event: Event) -> Line | None:
        """Follow an event of the training: keep the position, and measure what is due.

        Args:
            event: What happened.

        Returns:
            What was measured; None where nothing was.
        """
        self.position = event.position
        if event.moment is Moment.EPOCH:
            self._correct = self._test_epoch(event)
            loss = event.loss if math.isfinite(event.loss) else None  # JSON has no other word for it
            line = {"event": "epoch", "task": event.task, "epoch": event.epoch, "loss": loss}
            line |= {"correct": self._correct, "seconds": time.perf_counter() - self._started}
            self._started = time.perf_counter()
            return line
        if event.moment is Moment.TASK:
            # The last epoch's counts still hold: a learner leaves the weights as they were when a task ends.
            correct = self._correct if self._correct is not None else self._count()
            self._correct = None
            return self._end_task(event, correct)
        return None

    def _test_epoch(self, event: Event) -> list[int] | None:
        last = event.position.epoch == self.schedule.epochs
        if not last and (self.evaluate_epochs == 0 or event.position.epoch % self.evaluate_epochs):
            return None
        calibrate(self.network, self.scenario.tasks[event.task], event.task, self.schedule)
        return self._count()

    def _end_task(self, event: Event, correct: list[int]) -> Line:
        task = self.scenario.tasks[event.task]
        self.matrix = self.matrix.with_stage(correct, task.tests)
        before = {name: signs.to(torch.float32) for name, signs in self.signs.items()}
        hidden = hidden_weights(self.network)
        layers: dict[str, Line] = dict(layer_report(before, hidden, attenuation(self.network, self.optimizer)))
        for name, layer in layers.items():
            histogram = hidden_weight_histogram(hidden[name], range=magnitude_range(hidden[name]))
            layers[name] = layer | {"histogram": histogram.as_json()}
        self.signs = self._signs()
        memory = training_memory(self.network, self.optimizer, self.learner.state()).as_json()
        line = {"event": "task", "task": event.task, "name": task.name, "correct": correct}
        return line | {"layers": layers, "memory": memory}

    def _count(self) -> list[int]:
        return count_correct(self.network, self.scenario, batch_size=self.test_batch)

    def _signs(self) -> dict[str, Tensor]:
        return {name: (hidden >= 0).to(torch.int8) * 2 - 1 for name, hidden in hidden_weights(self.network).items()}

    def tensors(self) -> dict[str, Tensor]:
        """Collect everything that a checkpoint must hold, beside the position and the matrix.

        Returns:
            Tensors by name: the network's, the optimizer's per parameter, the learner's, and the task's first signs.
        """
        found = {f"network/{name}": tensor for name, tensor in self.network.state_dict().items()}
        found |= {f"learner/{name}": tensor for name, tensor in self.learner.state().items()}
        found |= {f"signs/{name}": tensor for name, tensor in self.signs.items()}
        for name, parameter in self.network.named_parameters():
            for key, tensor in self.optimizer.state.get(parameter, {}).items():
                found[f"optimizer/{name}/{key}"] = tensor
        return {name: tensor.detach().contiguous() for name, tensor in found.items()}

    def restore(self, tensors: dict[str, Tensor], position: Position, matrix: AccuracyMatrix) -> None:
        """Put back what `tensors` collected.

        Args:
            tensors: The tensors by name.
            position: Where training stood.
            matrix: The accuracy matrix at that moment.

        Raises:
            ValueError: When the tensors are not those of this network.
        """
        saved = _below("network/", tensors)
        _require_fitting(saved, self.network)
        self.network.load_state_dict(saved)
        self.learner.load_state(_below("learner/", tensors))
        self.signs = _below("signs/", tensors)
        for name, parameter in self.network.named_parameters():
            if name in self.signs:
                self.signs[name] = self.signs[name].to(parameter.device)
            state = _below(f"optimizer/{name}/", tensors)
            # Scalars, as the step count, stay on the CPU: reading them must not wait for a device.
            moved = {key: value.to(parameter.device) if value.dim() else value for key, value in state.items()}
            if moved:
                self.optimizer.state[parameter] = moved
        self.position, self.matrix = position, matrix


def _exact(asked: Precision | None, who: str) -> Precision:
    if asked is Precision.FAST:
        raise ValueError(
            f"expected precision 'exact' for {who}, which reads the gradients, got 'fast'; leave the precision out"
        )
    return Precision.EXACT


def _require_fitting(saved: dict[str, Tensor], network: nn.Module) -> None:
    """Compare names, and the shapes of parameters; buffers may have grown."""
    expected = {name: tuple(parameter.shape) for name, parameter in network.named_parameters()}
    got = {name: tuple(tensor.shape) for name, tensor in saved.items() if name in expected}
    wrong = [name for name, shape in expected.items() if got.get(name) != shape]
    wrong += sorted(network.state_dict().keys() ^ saved.keys())
    if wrong:
        first = wrong[0]
        raise ValueError(
            f"expected the tensors of the network that config.json describes, {first!r} as {expected.get(first)}, got "
            f"{got.get(first)} ({len(wrong)} do not fit); the file belongs to another run"
        )


def _below(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
