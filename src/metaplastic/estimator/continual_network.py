"""A network that learns call after call, and whose state between two calls is plain arrays."""

import enum
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from metaplastic.data import Samples
from metaplastic.hidden_weight import hidden_weights
from metaplastic.learners import Engine, Moment, Schedule, accelerated, learn
from metaplastic.nn import BinaryMLP, FixedScale, NormPolicy, Statistics
from metaplastic.optim import ConsolidationFunction, MetaplasticAdam, param_groups
from metaplastic.packed import Input, PackedNetwork, pack
from metaplastic.scenarios import Announced, Scenario, Task, Test
from metaplastic.scenarios.view import IndexView
from metaplastic.seeding import Purpose, generator

BYTE = 1 / 256
"""What one step of a byte is worth to the network."""

LOGIT = 0.25
"""Logits of a network that was not trained, about. Small ones keep the loss from falling silent: a synapse goes on
being consolidated by samples that are already right."""

WORTH_COMPILING = 2e9
"""Weights times steps from which waiting for the compiler pays: it takes some 15 s and saves some 7 ns a weight."""


class TrainedOutputs(enum.StrEnum):
    """Which outputs a call trains."""

    PRESENT = "present"
    """Those of the classes that occur in the call, against each other; where it is a single one, all."""
    ALL = "all"
    """All, so that classes which do not occur are unlearned meanwhile."""


@dataclass(frozen=True)
class Lesson:
    """How the samples of one call are learned.

    Args:
        epochs: Passes over them, >= 1.
        batch_size: Samples per step at most, >= 1.
        lr: Learning rate.
        metaplasticity: Strength m of the consolidation, or one for each layer.
        consolidation: Consolidation function or its name.
        outputs: Which outputs are trained.
        engine: What training is computed with; None is the fast one, but where it has to be compiled only once so much
            was learned that it pays.
        verbose: Whether to print the loss of every epoch, and to log what the engine found to do.
    """

    epochs: int
    batch_size: int
    lr: float
    metaplasticity: float | Sequence[float]
    consolidation: ConsolidationFunction | str
    outputs: TrainedOutputs
    engine: Engine | None
    verbose: bool


class ContinualNetwork:
    """A binary network with its optimizer: what learns, call after call, and is never told where a task ends.

    Hidden layers are followed by layer norm without gain and offset and the last one by a fixed scale, so that nothing
    is trained but synapses. Pickled or copied it is made of arrays and numbers.

    Args:
        sizes: Widths from input to output.
        takes_bytes: Whether it is shown bytes, else real features.
        seed: Seed of hidden weights and of the order of samples.

    Example:
        >>> network = ContinualNetwork((4, 8, 2), takes_bytes=True, seed=0)
        >>> network.packed()
        PackedNetwork(bytes 4 -> 8 -> 2)
    """

    def __init__(self, sizes: tuple[int, ...], takes_bytes: bool, seed: int) -> None:
        self.sizes, self.takes_bytes, self.seed = sizes, takes_bytes, seed
        self.calls = self.steps = 0
        norm = NormPolicy(statistics=Statistics.LAYER, affine=False)
        self.network = BinaryMLP(sizes, norm, generator=generator(seed, Purpose.INITIALIZATION))
        self.network.layers[-1] = FixedScale(LOGIT / math.sqrt(sizes[-2]))
        self.optimizer = MetaplasticAdam(param_groups(self.network))
        self._packed: PackedNetwork | None = None

    def learn(self, inputs: np.ndarray, labels: np.ndarray, lesson: Lesson) -> float:
        """Learn the samples of one call.

        Args:
            inputs: `[samples, features]`: uint8 or float64.
            labels: `[samples]`: outputs.
            lesson: How.

        Returns:
            The mean loss of the last epoch's steps.
        """
        scenario = one_task(inputs, labels, lesson.outputs, self.sizes[-1])
        # Each call draws orders of its own, from nothing but the seed and the number of the call.
        source = generator(self.seed, Purpose.BATCH_ORDER, self.calls)
        schedule = Schedule(lesson.epochs, lesson.batch_size, int(torch.randint(2**62, (), generator=source)))
        steps = lesson.epochs * schedule.steps(scenario.tasks[0])
        self.optimizer, self._packed = self._optimizer(lesson), None
        engine = lesson.engine or self._worthwhile_engine(steps)
        with accelerated(self.network, self.optimizer, scenario, engine, quiet=not lesson.verbose) as chosen:
            for event in learn(self.network, chosen.shown(scenario), self.optimizer, schedule=schedule):
                if event.moment is Moment.EPOCH:
                    loss = event.loss
                    if lesson.verbose:
                        print(f"epoch {event.epoch + 1} of {lesson.epochs}: loss {loss:.4f}")
        self.calls += 1
        self.steps += steps
        return loss

    def _optimizer(self, lesson: Lesson) -> MetaplasticAdam:
        """Make an optimizer of the lesson's options, which checks them, and let it remember what came before."""
        groups = param_groups(self.network, lesson.metaplasticity)
        optimizer = MetaplasticAdam(groups, lesson.lr, consolidation=lesson.consolidation)
        optimizer.state = self.optimizer.state
        return optimizer

    def _worthwhile_engine(self, steps: int) -> Engine | None:
        if self.optimizer.begins_at_once():
            return None
        # To compile once waiting for it would have paid so far takes at most twice as long as knowing the future would.
        # By counts and not by a clock, so that the same calls give the same network.
        weights = sum(weight.numel() for weight in self.network.parameters())
        return None if (self.steps + steps) * weights >= WORTH_COMPILING else Engine.PLAIN

    def packed(self) -> PackedNetwork:
        """Give the network of one bit a weight.

        Returns:
            The same until more is learned.
        """
        if self._packed is None:
            kind, unit = (Input.BYTES, BYTE) if self.takes_bytes else (Input.REAL, 1.0)
            self._packed = pack(self.network, input=kind, unit=unit)
        return self._packed

    def __getstate__(self) -> dict[str, Any]:
        """Give numbers and arrays."""
        remembered = self.optimizer.state_dict()["state"]
        return {
            "sizes": self.sizes,
            "takes_bytes": self.takes_bytes,
            "seed": self.seed,
            "calls": self.calls,
            "steps": self.steps,
            "hidden_weights": [weight.numpy().copy() for weight in hidden_weights(self.network).values()],
            "optimizer": {
                index: {name: value.numpy().copy() for name, value in moments.items()}
                for index, moments in remembered.items()
            },
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        ContinualNetwork.__init__(self, state["sizes"], state["takes_bytes"], state["seed"])
        self.calls, self.steps = state["calls"], state["steps"]
        for weight, values in zip(hidden_weights(self.network).values(), state["hidden_weights"], strict=True):
            weight.copy_(torch.from_numpy(values.copy()))
        remembered = {
            index: {name: torch.from_numpy(value.copy()) for name, value in moments.items()}
            for index, moments in state["optimizer"].items()
        }
        self.optimizer.load_state_dict(self.optimizer.state_dict() | {"state": remembered})


def one_task(inputs: np.ndarray, labels: np.ndarray, outputs: TrainedOutputs, classes: int) -> Scenario:
    """Make of the samples of one call what the loop learns.

    Args:
        inputs: `[samples, features]`: uint8, shown in units of 1/256, or numbers.
        labels: `[samples]`: outputs.
        outputs: Which outputs are trained.
        classes: Number of outputs.

    Returns:
        A scenario of one task, nothing announced.

    Example:
        >>> scenario = one_task(np.zeros((2, 4)), np.array([7, 3]), TrainedOutputs.PRESENT, 10)
        >>> scenario.tasks[0].outputs, scenario.tasks[0].view.batch(torch.arange(2))[1].tolist()
        ((3, 7), [1, 0])
    """
    present, within = np.unique(labels, return_inverse=True)
    trained = tuple(map(int, present)) if outputs is TrainedOutputs.PRESENT and len(present) > 1 else None
    takes_bytes = inputs.dtype == np.uint8
    shown = np.require(inputs, np.uint8 if takes_bytes else np.float32, ["C", "W"])
    samples = Samples(torch.from_numpy(shown), torch.from_numpy(labels if trained is None else within))
    view = IndexView(samples, BYTE if takes_bytes else 1.0)
    return Scenario(
        name="partial_fit",
        tasks=(Task("samples", view, trained, tests=(0,)),),
        tests=(Test("samples", view),),
        announced=Announced(),
        classes=classes,
        input_shape=inputs.shape[1:],
        kind="stream",
    )
