"""A panel that looks into a trained network: what its synapses are worth, and how fast they diverged."""

import copy
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from metaplastic.evaluation import TrainingLoss, divergence_report, switch_signs
from metaplastic.experiments.config import Config
from metaplastic.experiments.progress import Shown, counting
from metaplastic.experiments.record import Record
from metaplastic.experiments.run import computing, make_trial
from metaplastic.experiments.scenario_config import Stream
from metaplastic.experiments.stack import run_remaining_seeds
from metaplastic.files import write_json
from metaplastic.hidden_weight import hidden_weights
from metaplastic.learners import Fisher
from metaplastic.scenarios import Task
from metaplastic.seeding import Purpose, generator

BINS = 15
"""Bins of the magnitude of hidden weights, as in the paper's figure."""


@dataclass(frozen=True)
class SwitchingPanel:
    """A panel that trains a network, switches signs in each of its layers, and compares importance with divergence.

    Args:
        config: What is trained, a fully connected network on a stream of one part; its seed is replaced.
        counts: Weights that are switched together, one number per layer.
        draws: How often per bin of magnitudes, >= 2.
        samples: Training samples that the loss is measured on.
        importance_samples: Training samples that the Fisher information is taken from.

    Raises:
        ValueError: When there are not as many counts as layers, a number is out of range, or there is not one task.

    References:
        Laborieux et al. 2021, Fig. 6c-e; Laborieux et al. 2021, arXiv 2101.07592, for the divergence.
    """

    config: Config
    counts: tuple[int, ...]
    draws: int
    samples: int
    importance_samples: int = 5000

    def __post_init__(self) -> None:
        layers = len(self.config.network.hidden) + 1
        if len(self.counts) != layers:
            raise ValueError(
                f"expected as many counts as layers, {layers}, got {len(self.counts)}; give one number per layer"
            )
        if not (isinstance(self.config.scenario, Stream) and self.config.scenario.parts == 1):
            raise ValueError(
                f"expected a stream of one part to probe, got {self.config.scenario}: a network that learned several "
                "tasks has no single training loss"
            )
        for name, least in (("draws", 2), ("samples", 1), ("importance_samples", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"expected {name} >= {least}, got {getattr(self, name)}")

    def settings(self) -> dict[str, Any]:
        """Return how it is probed; what is trained is in the records."""
        return {name: value for name, value in asdict(self).items() if name != "config"}

    def on(self, device: str) -> "SwitchingPanel":
        """Return the panel with its trainings and probes computed on a device."""
        return replace(self, config=self.config.on(device))

    def carry_out(
        self, folder: Path, seeds: Sequence[int], *, data_dir: Path | None = None, progress: Shown = None
    ) -> None:
        """Train, with a record for every seed, and write to it `sign_switch.json` and `divergence.json`.

        Args:
            folder: Folder of the panel.
            seeds: The seeds.
            data_dir: Where the data lie; None looks where `load` looks.
            progress: Whether, or where, to show progress bars; None shows them on a terminal.

        Raises:
            NonFiniteLossError: When a training diverged; all others were carried out and probed before.
        """

        def probe(record: Record) -> None:
            if not (record.folder / "sign_switch.json").exists():
                self._probe(record.folder, data_dir, progress)

        run_remaining_seeds(self.config, seeds, folder, data_dir=data_dir, progress=progress, afterwards=probe)

    def _probe(self, folder: Path, data_dir: Path | None, progress: Shown) -> None:
        with computing(self.config.running.threads):
            probe = _Probe(folder, data_dir)
            write_json(folder / "divergence.json", probe.divergence(self.importance_samples))
            found = probe.sign_switch(self.counts, self.draws, self.samples, progress)
            write_json(folder / "sign_switch.json", found)


class _Probe:
    """The network of a record, beside the one that it began as, and its first task."""

    def __init__(self, folder: Path, data_dir: Path | None) -> None:
        self.config = Record(folder).config
        self.trial = make_trial(self.config, data_dir)
        self.start, self.network = copy.deepcopy(self.trial.network), self.trial.network
        self.network.load_state_dict(load_file(folder / "network.safetensors"))

    @property
    def task(self) -> Task:
        """The only one, as the engine shows it."""
        return self.trial.scenario.tasks[0]

    def divergence(self, samples: int) -> dict[str, Any]:
        """Compare, in every layer, importance with the speed at which hidden weights left their start."""
        before, after = hidden_weights(self.start), hidden_weights(self.network)
        importance = Fisher(samples=samples, seed=self.config.seed)(self.network, after, self.task, 0)
        report = divergence_report(importance, before, after, self.trial.steps())
        return {name: layer.as_json() for name, layer in report.items()}

    def sign_switch(self, counts: tuple[int, ...], draws: int, samples: int, progress: Shown) -> dict[str, Any]:
        """Switch signs in every layer, bin by bin, with the engine that trained: the loss is the same number."""
        source = generator(self.config.seed, Purpose.PROBE)
        rows = torch.randperm(len(self.task.view), generator=source)[:samples]
        layers = list(hidden_weights(self.network))
        running, found = self.config.running, {}
        with (
            self.trial.accelerated(running.engine, running.precision, quiet=True),
            counting(f"switching signs, seed {self.config.seed}", BINS * len(layers), progress) as advance,
        ):
            loss = TrainingLoss(self.network, self.task, rows)
            for layer, count in zip(layers, counts, strict=True):
                switched = switch_signs(
                    loss,
                    layer,
                    count=count,
                    generator=source,
                    draws=draws,
                    bins=BINS,
                    after_bin=lambda _: advance(),
                )
                found[layer] = switched.as_json()
        return found
