"""Learn each task as it comes: the plain learner, and with a metaplastic optimizer the paper's."""

from torch import Tensor

from metaplastic.scenarios import Scenario, Task


class FineTune:
    """Minimise the loss of the current task; nothing is stored and nothing needs to be announced.

    Example:
        >>> FineTune().penalty() is None
        True
    """

    def curriculum(self, scenario: Scenario) -> Scenario:
        """Return the scenario as it is."""
        return scenario

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
