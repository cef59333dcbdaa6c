"""How a network learns a scenario: the one loop, and the learners that hook into it."""

from metaplastic.learners.engine import Acceleration, Engine, accelerated
from metaplastic.learners.finetune import FineTune
from metaplastic.learners.joint import Joint
from metaplastic.learners.learner import Learner, WithoutHooks
from metaplastic.learners.loop import (
    Event,
    Moment,
    NonFiniteLossError,
    Position,
    Schedule,
    calibrate,
    learn,
    require_announced,
    task_loss,
)

__all__ = [
    "Acceleration",
    "Engine",
    "Event",
    "FineTune",
    "Joint",
    "Learner",
    "Moment",
    "NonFiniteLossError",
    "Position",
    "Schedule",
    "WithoutHooks",
    "accelerated",
    "calibrate",
    "learn",
    "require_announced",
    "task_loss",
]
