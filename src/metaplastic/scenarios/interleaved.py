"""All tasks at once: the upper bound that sequences are compared with."""

from dataclasses import replace

from metaplastic.scenarios.scenario import Announced, Scenario, Task
from metaplastic.scenarios.view import UnionView


def interleaved(scenario: Scenario) -> Scenario:
    """Make one task of all the tasks of a scenario, their samples mixed.

    Args:
        scenario: Tasks that share their outputs.

    Returns:
        The same tests behind a single task; nothing is announced, so one normalisation state serves them all.

    Raises:
        ValueError: When tasks train different outputs, which a mixed batch cannot do.

    Example:
        >>> from metaplastic.data import load
        >>> from metaplastic.scenarios.permuted import permuted
        >>> len(interleaved(permuted(load("digits"), tasks=3)).tasks)
        1

    Deviation from the authors' code: none. There too the upper bound is not told the task at test, while the
    sequential runs it is compared with may be.
    """
    if any(task.outputs is not None for task in scenario.tasks):
        raise ValueError(
            f"expected tasks that share their outputs, got scenario {scenario.name!r} with outputs per task; use a "
            "class- or domain-incremental split for joint training"
        )
    union = Task(
        name="all tasks",
        view=UnionView(tuple(task.view for task in scenario.tasks)),
        tests=tuple(dict.fromkeys(index for task in scenario.tasks for index in task.tests)),
    )
    return replace(scenario, tasks=(union,), announced=Announced(), kind="joint")
