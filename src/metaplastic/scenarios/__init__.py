"""Data to ordered tasks, with what is announced about them."""

from metaplastic.scenarios.augmentation import Augmentation, AugmentedView
from metaplastic.scenarios.interleaved import interleaved
from metaplastic.scenarios.permuted import permuted
from metaplastic.scenarios.scenario import Announced, Scenario, Task, Test
from metaplastic.scenarios.sequence import sequence
from metaplastic.scenarios.split import Grouping, Increment, class_groups, split
from metaplastic.scenarios.stacked import StackedView, stacked
from metaplastic.scenarios.stream import stream
from metaplastic.scenarios.view import IndexView, UnionView, View

__all__ = [
    "Announced",
    "Augmentation",
    "AugmentedView",
    "Grouping",
    "Increment",
    "IndexView",
    "Scenario",
    "StackedView",
    "Task",
    "Test",
    "UnionView",
    "View",
    "class_groups",
    "interleaved",
    "permuted",
    "sequence",
    "split",
    "stacked",
    "stream",
]
