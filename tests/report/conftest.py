"""Real records, as small as they can be."""

from dataclasses import replace
from pathlib import Path

import pytest

from metaplastic.experiments import (
    Config,
    QuadraticPanel,
    SwitchingPanel,
    TrainingPanel,
    preset,
    run,
    run_study,
    study,
)
from metaplastic.experiments.config import Network, Optimizer, Running
from metaplastic.experiments.method_config import Method
from metaplastic.experiments.scenario_config import Permuted, Sequence, Stream
from metaplastic.nn import NormPolicy, Statistics


def small(m: float, seed: int, method: Method = Method.FINETUNE) -> Config:
    return replace(
        preset("permuted-digits"),
        scenario=Permuted("digits", tasks=2),
        network=Network(hidden=(8,)),
        optimizer=Optimizer(metaplasticity=(m,)),
        norm=NormPolicy(statistics=Statistics.LAYER),
        method=method,
        epochs=2,
        seed=seed,
        running=Running(calibration_samples=200, threads=1),
    )


@pytest.fixture(scope="session")
def runs(tmp_path_factory) -> Path:
    """A folder of runs: two seeds plain, two metaplastic, one joint."""
    folder = tmp_path_factory.mktemp("runs")
    for m in (0.0, 80.0):
        for seed in (0, 1):
            run(small(m, seed), folder / f"m{m:g}-seed{seed}", progress=False)
    run(small(0.0, 0, Method.JOINT), folder / "joint", progress=False)
    return folder


@pytest.fixture(scope="session")
def stream(tmp_path_factory) -> Path:
    config = preset("fashion-stream")
    config = replace(
        config,
        scenario=replace(config.scenario, data="digits", parts=3),
        network=Network(hidden=(8,)),
        epochs=1,
        running=Running(threads=1),
    )
    folder = tmp_path_factory.mktemp("stream") / "run"
    run(config, folder, progress=False)
    return folder


QUICK = {
    Permuted: {"data": "digits", "tasks": 2},
    Sequence: {"data": ("digits", "digits")},
    Stream: {"data": "digits"},
}
PANELS = {
    "fig2": "abcd",
    "table1": ("plain", "ewc", "metaplastic", "joint"),
    "fig3": ("metaplastic-128", "ewc-128", "metaplastic-256", "ewc-256"),
    "fig4ab": "ab",
    "fig5-fashion": ("plain", "metaplastic", "whole"),
    "fig6ab": "ab",
    "fig6ce": ("cde",),
}
"""Studies of the page, with the panels that are run."""


def quick_panel(panel):
    if isinstance(panel, QuadraticPanel):
        return panel
    config = panel.config
    scenario = replace(config.scenario, **QUICK[type(config.scenario)])
    if isinstance(scenario, Stream):
        scenario = replace(scenario, parts=min(scenario.parts, 3))
    config = replace(
        config,
        scenario=scenario,
        network=replace(config.network, hidden=(config.network.hidden[0] // 32,)),
        penalty=replace(config.penalty, fisher_samples=20) if config.method is Method.EWC else config.penalty,
        epochs=2,
        batch_size=200,
        running=replace(config.running, calibration_samples=200, evaluate_epochs=1, threads=1),
    )
    if isinstance(panel, SwitchingPanel):
        return replace(panel, config=config, counts=(5, 5), draws=2, samples=30, importance_samples=20)
    return TrainingPanel(config)


def run_quick_study(name: str, panels, folder: Path, seeds=(0, 1)) -> None:
    whole = study(name)
    quick = replace(whole, panels={panel: quick_panel(whole.panels[panel]) for panel in panels})
    run_study(quick, seeds, folder, progress=False)


@pytest.fixture(scope="session")
def studies(tmp_path_factory) -> Path:
    """A folder of the folders of studies, two seeds each."""
    folder = tmp_path_factory.mktemp("studies")
    for name, panels in PANELS.items():
        run_quick_study(name, panels, folder / name)
    return folder
