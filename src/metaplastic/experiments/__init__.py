"""Configurations, presets, runs and their records."""

from metaplastic.experiments.config import Config
from metaplastic.experiments.config_json import from_json, to_json
from metaplastic.experiments.demo import demo_configs, run_demo
from metaplastic.experiments.interrupt import Interrupted, resumed_by
from metaplastic.experiments.loggers import Followed, Logger, scalars
from metaplastic.experiments.packing import pack_run
from metaplastic.experiments.presets.published import DEVIATIONS
from metaplastic.experiments.presets.registry import PRESETS, STUDIES, claim, description, explanation, preset, study
from metaplastic.experiments.probing import SwitchingPanel
from metaplastic.experiments.record import Record, read_config
from metaplastic.experiments.run import Result, new_folder, resume, run, train
from metaplastic.experiments.stack import Stack, can_stack, run_seeds
from metaplastic.experiments.study import Panel, QuadraticPanel, Size, Study, TrainingPanel, run_study
from metaplastic.experiments.tensorboard_logger import TensorBoardLogger
from metaplastic.experiments.wandb_logger import WandbLogger

__all__ = [
    "DEVIATIONS",
    "PRESETS",
    "STUDIES",
    "Config",
    "Followed",
    "Interrupted",
    "Logger",
    "Panel",
    "QuadraticPanel",
    "Record",
    "Result",
    "Size",
    "Stack",
    "Study",
    "SwitchingPanel",
    "TensorBoardLogger",
    "TrainingPanel",
    "WandbLogger",
    "can_stack",
    "claim",
    "demo_configs",
    "description",
    "explanation",
    "from_json",
    "new_folder",
    "pack_run",
    "preset",
    "read_config",
    "resume",
    "resumed_by",
    "run",
    "run_demo",
    "run_seeds",
    "run_study",
    "scalars",
    "study",
    "to_json",
    "train",
]
