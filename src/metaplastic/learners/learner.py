"""What a continual-learning method may do beside the loss and the optimizer."""

from collections.abc import Callable
from typing import Protocol, runtime_checkable

from torch import Tensor, nn

from metaplastic.scenarios import Scenario, Task


@runtime_checkable
class Learner(Protocol):
    """Hooks of the one loop; a method is what it does in them.

    A learner that needs the network or the optimizer takes them when it is made. With its strength at zero it
    must equal `FineTune` bit for bit.
    """

    @property
    def exact_gradients(self) -> bool:
        """Whether it reads the gradients that a step used, and needs them in float32 whatever the engine offers."""
        ...

    def curriculum(self, scenario: Scenario) -> Scenario:
        """Return the scenario that is learned, having checked that it announces what the method needs to know."""
        ...

    def penalty(self) -> Tensor | None:
        """Return what is added to the loss of a batch: a scalar, or None for nothing."""
        ...

    def after_step(self) -> None:
        """Follow a step of the optimizer; gradients and parameters are as the step left them."""
        ...

    def end_task(self, task: Task, index: int) -> None:
        """Follow the last step of a task, with its statistics taken; mode and weights must be left as found."""
        ...

    def state(self) -> dict[str, Tensor]:
        """Return what a checkpoint must hold, by name."""
        ...

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Take back what `state` returned."""
        ...


LearnerMaker = Callable[[nn.Module, float], Learner]
"""Makes a learner from the network that it learns with and its strength, from 0, which adds nothing."""


class WithoutHooks:
    """The hooks of a learner that adds nothing to loss and optimizer: all but `curriculum`, doing nothing."""

    exact_gradients = False

    def penalty(self) -> Tensor | None:
        """Return None: nothing is added to the loss."""
        return None

    def after_step(self) -> None:
        """Do nothing."""

    def end_task(self, task: Task, index: int) -> None:
        """Do nothing."""

    def state(self) -> dict[str, Tensor]:
        """Return nothing: there is no state."""
        return {}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Take nothing back."""


class NeedsBoundaries(WithoutHooks):
    """The hooks of a learner that does something where a task ends, and learns what is announced as it comes."""

    name = ""
    """What errors call it; empty for the name of its class."""

    def curriculum(self, scenario: Scenario) -> Scenario:
        """Return the scenario as it is, if it announces boundaries.

        Args:
            scenario: What is to be learned.

        Returns:
            The same.

        Raises:
            ValueError: When boundaries are not announced.
        """
        scenario.require_boundaries(self.name or type(self).__name__)
        return scenario
