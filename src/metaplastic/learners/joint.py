"""Learn all tasks at once: the upper bound."""

from metaplastic.learners.learner import WithoutHooks
from metaplastic.scenarios import Scenario, interleaved


class Joint(WithoutHooks):
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
