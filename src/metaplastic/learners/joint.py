"""Learn all tasks at once: the upper bound."""

from torch import Tensor

from metaplastic.scenarios import Scenario, Task, interleaved


class Joint:
    """Train on the union of all tasks, mixed, as if nothing ever had to be remembered.

    An epoch is a pass over the union. It is no continual learner: it sees all data at any time.

    Example:
        >>> from metaplastic.data import load
        >>> from metaplastic.scenarios import permuted
        >>> len(Joint().curriculum(permuted(load("digits"), tasks=3)).tasks)
        1
    """

    def curriculum(self, scenario: Scenario) -> Scenario:
        """Return one task of all tasks."""
        return interleaved(scenario)

    def penalty(self) -> Tensor | None:
        """Return None: nothing is added to the loss."""
        return None

    def after_step(self) -> None:
        """Do nothing."""

    def end_task(self, task: Task) -> None:
        """Do nothing."""

    def state(self) -> dict[str, Tensor]:
        """Return nothing: there is no state."""
        return {}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Take nothing back."""
