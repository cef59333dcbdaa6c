"""What every consolidation function, optimizer and learner promises, to be called in tests of your own."""

from metaplastic.testing.consolidation import CONSOLIDATION_RULES, check_consolidation
from metaplastic.testing.learners import LEARNER_RULES, check_learner
from metaplastic.testing.optimizers import OPTIMIZER_RULES, check_optimizer
from metaplastic.testing.rules import BrokenRuleError

__all__ = [
    "CONSOLIDATION_RULES",
    "LEARNER_RULES",
    "OPTIMIZER_RULES",
    "BrokenRuleError",
    "check_consolidation",
    "check_learner",
    "check_optimizer",
]
