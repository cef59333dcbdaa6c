"""How a network learns a scenario: the one loop, and the learners that hook into it."""

from metaplastic.learners.closed_form import ClosedForm, observe_scenario
from metaplastic.learners.descent import task_loss
from metaplastic.learners.engine import Acceleration, Engine, accelerated
from metaplastic.learners.ewc import EWC, random_consolidation
from metaplastic.learners.finetune import FineTune
from metaplastic.learners.fisher import Fisher, FisherKind, Importance, Shuffled
from metaplastic.learners.joint import Joint
from metaplastic.learners.learner import Learner, LearnerMaker, NeedsBoundaries, WithoutHooks
from metaplastic.learners.loop import (
    Event,
    Moment,
    NonFiniteLossError,
    Position,
    Schedule,
    calibrate,
    learn,
    require_announced,
)
from metaplastic.learners.named import LEARNERS, learner_names, named_learner
from metaplastic.learners.nearest_mean import NearestMean
from metaplastic.learners.quadratic_penalty import QuadraticPenalty, require_strength
from metaplastic.learners.streaming_lda import StreamingLDA
from metaplastic.learners.synaptic_intelligence import SynapticIntelligence
from metaplastic.learners.weights import ConsolidatedWeights, Weights

__all__ = [
    "EWC",
    "LEARNERS",
    "Acceleration",
    "ClosedForm",
    "ConsolidatedWeights",
    "Engine",
    "Event",
    "FineTune",
    "Fisher",
    "FisherKind",
    "Importance",
    "Joint",
    "Learner",
    "LearnerMaker",
    "Moment",
    "NearestMean",
    "NeedsBoundaries",
    "NonFiniteLossError",
    "Position",
    "QuadraticPenalty",
    "Schedule",
    "Shuffled",
    "StreamingLDA",
    "SynapticIntelligence",
    "Weights",
    "WithoutHooks",
    "accelerated",
    "calibrate",
    "learn",
    "learner_names",
    "named_learner",
    "observe_scenario",
    "random_consolidation",
    "require_announced",
    "require_strength",
    "task_loss",
]
