"""How weights move: consolidation functions and the metaplastic optimizers."""

import torch

from metaplastic.optim.attenuation import attenuation
from metaplastic.optim.beakers import BeakerAdam, Beakers, exchange
from metaplastic.optim.consolidation import (
    CONSOLIDATION_FUNCTIONS,
    ConsolidationFunction,
    Exponential,
    HardThreshold,
    Logistic,
    PowerLaw,
    TanhSquared,
    consolidate,
    consolidation_names,
    named,
)
from metaplastic.optim.metaplastic import MetaplasticAdam, MetaplasticSGD
from metaplastic.optim.parameters import UnmarkedParameterWarning, param_groups
from metaplastic.optim.tabulated import Tabulated
from metaplastic.optim.update import EpsPlacement

__all__ = [
    "CONSOLIDATION_FUNCTIONS",
    "BeakerAdam",
    "Beakers",
    "ConsolidationFunction",
    "EpsPlacement",
    "Exponential",
    "HardThreshold",
    "Logistic",
    "MetaplasticAdam",
    "MetaplasticSGD",
    "PowerLaw",
    "Tabulated",
    "TanhSquared",
    "UnmarkedParameterWarning",
    "attenuation",
    "consolidate",
    "consolidation_names",
    "exchange",
    "named",
    "param_groups",
]

# An optimizer's state_dict carries these values, so that torch.load must know them to be harmless data.
torch.serialization.add_safe_globals(
    [Beakers, EpsPlacement, Exponential, HardThreshold, Logistic, PowerLaw, TanhSquared, Tabulated]
)
