"""What a continual-learning method may do beside the loss and the optimizer."""

from typing import Protocol, runtime_checkable

from torch import Tensor

from metaplastic.scenarios import Scenario, Task


@runtime_checkable
class Learner(Protocol):
    """Hooks of the one loop; a method is what it does in them.

    A learner that needs the network or the optimizer takes them when it is made. With its strength at zero it
    must equal `FineTune` bit for bit.
    """

    def curriculum(self, scenario: Scenario) -> Scenario:
        """Return the scenario that is learned, having checked that it announces what the method needs to know."""
        ...

    def penalty(self) -> Tensor | None:
        """Return what is added to the loss of a batch: a scalar, or None for nothing."""
        ...

    def after_step(self) -> None:
        """Follow a step of the optimizer; gradients and parameters are as the step left them."""
        ...

    def end_task(self, task: Task) -> None:
        """Follow the last step of a task; the network's mode and weights must be left as found."""
        ...

    def state(self) -> dict[str, Tensor]:
        """Return what a checkpoint must hold, by name."""
        ...

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Take back what `state` returned."""
        ...
