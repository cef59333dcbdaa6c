"""The record of a run: a folder of files that anyone can read, each of them whole at any moment."""

import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from metaplastic.evaluation import AccuracyMatrix, summary
from metaplastic.experiments.config import Config
from metaplastic.experiments.config_json import from_json, to_json
from metaplastic.experiments.environment import environment
from metaplastic.experiments.trial import Line, Trial
from metaplastic.files import replacing, require_room, write_json, write_text
from metaplastic.learners import NonFiniteLossError, Position
from metaplastic.nn import Statistics
from metaplastic.scenarios import Scenario

ENOUGH_TO_CALIBRATE = 1000
"""Statistics of fewer samples are cautioned about."""

BORN_CONSOLIDATED = 0.1
"""A larger share of synapses that are consolidated before any training is cautioned about."""

FORMAT = 1
"""Number of the record's format; a record of another format is refused, not guessed at."""


def require_room_for(folder: Path, trials: Sequence[Trial]) -> None:
    """Fail before training starts unless the records of some trainings can be written to their end.

    A checkpoint holds weights, their two moments and their signs, and takes the place of the one before only when it is
    whole; at the end the network is written once more. That is eight times the weights.

    Args:
        folder: Where the records will be.
        trials: The trainings.

    Raises:
        OSError: When nothing can be written there, or there is not enough room.
    """
    weights = sum(parameter.nbytes for trial in trials for parameter in trial.network.parameters())
    require_room(folder, 2**20 + 8 * weights)


class Record:
    """A run's folder.

    | file | holds |
    |---|---|
    | `config.json` | the configuration, and the number of the format |
    | `environment.json` | versions, threads, machine, commit |
    | `metrics.jsonl` | a line before training, one per epoch and per task end, and one where the engine changes |
    | `accuracy.csv` | the accuracy matrix R |
    | `summary.json` | what follows from R, what was announced, what to be careful about |
    | `network.safetensors` | the trained network, when the run is complete |
    | `checkpoint.safetensors` | all that is needed to go on |
    | `at-work.lock` | nothing: a process is at the run while it holds it, and it may stay behind one that was killed |

    Args:
        folder: The folder, which must hold a record.

    Raises:
        ValueError: When it does not, or the record is of another format.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = _read_config(folder)
        self.tell: Callable[[Line], None] = lambda line: None
        """Called with every line that is added to the metrics, after it is written."""

    @staticmethod
    def create(folder: Path, config: Config) -> "Record":
        """Begin a record in a new folder.

        Args:
            folder: A folder that does not exist or is empty.
            config: What will be run.

        Returns:
            The record, with configuration and environment written.

        Raises:
            FileExistsError: When something is in the folder already.
        """
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            resume = f"go on with it by 'metaplastic run --resume {folder}', or " if _holds_run(folder) else ""
            raise FileExistsError(
                f"expected a new or empty folder for the run, got {folder}, which exists; {resume}choose another with "
                "--out"
            )
        folder.mkdir(parents=True, exist_ok=True)
        write_config(folder / "config.json", config)
        write_json(folder / "environment.json", environment(config.running.device), indent=2)
        return Record(folder)

    @property
    def complete(self) -> bool:
        """Whether the run came to its end; the summary is the last file that is written."""
        return (self.folder / "summary.json").exists()

    def append(self, line: Line) -> None:
        """Add a line to the metrics.

        Args:
            line: JSON values.
        """
        with (self.folder / "metrics.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")
        self.tell(line)

    def metrics(self) -> list[Line]:
        """Read the metrics.

        Returns:
            One entry per line; a last line that a killed run did not finish is left out.

        Raises:
            ValueError: When a line is not JSON.
        """
        path = self.folder / "metrics.jsonl"
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
        try:
            return [json.loads(line) for line in lines if line.endswith("\n")]
        except json.JSONDecodeError as error:
            raise ValueError(f"expected JSON in every line of {path}, got text that breaks at {error}") from error

    def accuracy(self) -> AccuracyMatrix:
        """Read the accuracy matrix.

        Returns:
            The matrix after the tasks that are complete.

        Raises:
            ValueError: When no task is complete yet.
        """
        path = self.folder / "accuracy.csv"
        if not path.exists():
            raise ValueError(
                f"expected {path}, got none: no task of this run is complete; go on with it by "
                f"'metaplastic run --resume {self.folder}'"
            )
        return AccuracyMatrix.from_csv(path.read_text(encoding="utf-8"))

    def summary(self) -> dict[str, Any]:
        """Read the summary.

        Returns:
            JSON values; empty while the run is not complete.

        Raises:
            ValueError: When the file is damaged.
        """
        path = self.folder / "summary.json"
        try:
            return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        except ValueError as error:
            raise ValueError(f"expected JSON in {path}, got {error}; remove the file and resume the run") from error

    def write_accuracy(self, matrix: AccuracyMatrix) -> None:
        """Write the accuracy matrix.

        Args:
            matrix: The matrix so far.
        """
        write_text(self.folder / "accuracy.csv", matrix.to_csv())

    def save_checkpoint(self, trial: Trial) -> None:
        """Write all that is needed to go on, in one file that replaces the previous one when it is whole.

        Args:
            trial: The training as it stands.

        Raises:
            NonFiniteLossError: When a weight is not finite; the previous checkpoint is kept.
            OSError: When it cannot be written; the previous checkpoint is kept.
        """
        if not all(bool(parameter.isfinite().all()) for parameter in trial.network.parameters()):
            raise NonFiniteLossError(
                f"expected finite weights at {trial.position}, got some that are not; lower the learning rate"
            )
        state = {
            "format": FORMAT,
            "position": asdict(trial.position),
            "accuracy": trial.matrix.to_csv(),
            "lines": len(self.metrics()),
            "threads": torch.get_num_threads(),
            "config": to_json(self.config),
        }
        path, metrics = self.folder / "checkpoint.safetensors", self.folder / "metrics.jsonl"
        _write_tensors(path, trial.tensors(), {"state": json.dumps(state)}, first=metrics)

    def load_checkpoint(self, trial: Trial) -> bool:
        """Put a training back where the last checkpoint was written, and the metrics with it.

        Args:
            trial: A training made from the record's configuration.

        Returns:
            Whether there was a checkpoint; without one the training is at its beginning.

        Raises:
            ValueError: When the file is damaged, of another format, or its tensors do not fit, and when it is missing
                from a complete run or older than its end.
        """
        path = self.folder / "checkpoint.safetensors"
        if not path.exists():
            if self.complete:
                raise ValueError(f"expected a checkpoint at {path}, got none beside {self._nothing_to_do}")
            (self.folder / "metrics.jsonl").unlink(missing_ok=True)
            return False
        tensors, metadata = _read_tensors(path)
        state = _state(metadata, path)
        if from_json(state["config"]) != self.config:
            raise ValueError(
                f"expected the configuration that {path} was written under, got another in config.json: it was changed "
                "since; put it back, or begin a new run with it by --from"
            )
        if len(self.metrics()) < state["lines"]:
            raise ValueError(
                f"expected at least {state['lines']} lines in {self.folder / 'metrics.jsonl'}, got "
                f"{len(self.metrics())}: the file was cut or removed; put it back, or begin the run again"
            )
        if self.complete and len(self.metrics()) > state["lines"]:
            raise ValueError(
                f"expected the checkpoint of its end at {path}, got an earlier one of {self._nothing_to_do}"
            )
        torch.set_num_threads(state["threads"])
        matrix = AccuracyMatrix.from_csv(state["accuracy"])
        trial.restore(tensors, _position(state["position"]), matrix)
        # Lines written after the checkpoint describe steps that will be made again.
        kept = (self.folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)[: state["lines"]]
        write_text(self.folder / "metrics.jsonl", "".join(kept))
        return True

    @property
    def _nothing_to_do(self) -> str:
        again = f"run it again by 'metaplastic run --from {self.folder / 'config.json'}'"
        return f"a complete run: there is nothing to go on with; {again}"

    def note_engine(self, engine: Line) -> None:
        """Add to the metrics what training goes on with, where it is not what it went on with so far.

        Args:
            engine: What it is computed with.
        """
        if [line["engine"] for line in self.metrics() if "engine" in line][-1:] != [engine]:
            self.append({"event": "resume", "engine": engine})

    def finish(self, trial: Trial) -> None:
        """Write the trained network and the summary.

        Args:
            trial: The training at its end.
        """
        self.write_accuracy(trial.matrix)
        network = {name: tensor.contiguous() for name, tensor in trial.network.state_dict().items()}
        _write_tensors(self.folder / "network.safetensors", network, {"format": str(FORMAT)})
        write_json(self.folder / "summary.json", _summary(trial, self.config, self.metrics()[0]), indent=2)


def _holds_run(folder: Path) -> bool:
    return folder.is_dir() and (folder / "config.json").exists()


def _summary(trial: Trial, config: Config, begin: Line) -> dict[str, Any]:
    scenario = trial.scenario
    norm = None if config.method.closed_form else config.norm
    return {
        "scenario": {
            "name": scenario.name,
            "kind": scenario.kind,
            "boundaries_announced": scenario.announced.boundaries,
            "task_known_at_test": scenario.announced.task_at_test,
            "statistics": norm and norm.statistics.value,
            "scope": norm and norm.scope.value,
        },
        "metrics": {name: asdict(metric) for name, metric in summary(trial.matrix).items()},
        "cautions": list(_cautions(scenario, config, begin)),
    }


def _cautions(scenario: Scenario, config: Config, begin: Line) -> Iterator[str]:
    """Say what a reader of the figures must know; `begin` was measured before training."""
    if config.tuning.held_out:
        yield "tested on training samples that were held out, not on the test samples"
    if config.tuning.first_tasks:
        yield f"of the tasks only the first {config.tuning.first_tasks} learned"
    if config.method.closed_form:
        return
    running, recalibrated = config.running, config.norm.statistics is Statistics.RECALIBRATED
    if config.norm.depends_on_test_batch:
        yield (
            f"statistics of the test batch ({running.test_batch} samples): predictions depend on how the test set is "
            "split into batches"
        )
    if recalibrated and not scenario.announced.boundaries and len(scenario.tasks) > 1:
        yield (
            "statistics were taken from training samples of the newest task; where no boundary is announced, a stream "
            "would take them from its newest samples"
        )
    if recalibrated and running.calibration_samples < ENOUGH_TO_CALIBRATE:
        yield f"statistics of fewer than {ENOUGH_TO_CALIBRATE} samples ({running.calibration_samples})"
    share = max((layer["consolidated_fraction"] for layer in begin["layers"].values()), default=0.0)
    if share > BORN_CONSOLIDATED:
        yield (
            f"{share:.0%} of the synapses of a layer are consolidated before training: the network may be learning by "
            "its normalisation alone; compare it with --frozen"
        )


def write_config(path: Path, config: Config) -> None:
    """Write a configuration with the number of the format, as `read_config` reads it.

    Args:
        path: The file.
        config: The configuration.
    """
    write_json(path, {"format": FORMAT, **json.loads(to_json(config))}, indent=2)


def read_config(path: Path) -> Config:
    """Read a configuration file: a run's `config.json`, or one written by hand.

    Args:
        path: The file.

    Returns:
        The configuration, validated.

    Raises:
        ValueError: When it cannot be read or is of another format.
    """
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ValueError(f"expected a configuration at {path}, got no file; check the path") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(
            f"expected JSON in {path}, got something that breaks at {error}; mend or replace it"
        ) from error
    if not isinstance(plain, dict):
        raise ValueError(f"expected a JSON object in {path}, got {type(plain).__name__}; compare it with a run's")
    if (found := plain.pop("format", FORMAT)) != FORMAT:
        raise ValueError(
            f"expected format {FORMAT} in {path}, got {found}: it comes from another version of metaplastic; use that "
            "version, or run the experiment again"
        )
    return from_json(json.dumps(plain))


def _read_config(folder: Path) -> Config:
    if not (folder / "config.json").exists():
        what = "a folder without config.json" if folder.is_dir() else "no such folder"
        raise ValueError(f"expected the folder of a run at {folder}, got {what}; check the path, or begin a new run")
    return read_config(folder / "config.json")


def _write_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str], first: Path | None = None) -> None:
    """Write tensors once the lines of a file that they count are where a power cut leaves them."""
    # Serialised in memory: writing through a mapping would meet a full disk as a fatal signal.
    data = save(tensors, metadata)
    with replacing(path) as file:
        if first is not None:
            with first.open("a") as lines:
                os.fsync(lines.fileno())
        file.write(data)


def _read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(
            f"expected a checkpoint in {path}, got a damaged or foreign file ({error}); remove it to begin again"
        ) from error


def _position(plain: dict[str, Any]) -> Position:
    """Read where training stood; earlier versions wrote one sum of losses, as there were no stacks."""
    sums = plain["loss_sums"] if "loss_sums" in plain else [plain["loss_sum"]]
    return Position(plain["task"], plain["epoch"], plain["step"], tuple(sums))


def _state(metadata: dict[str, str], path: Path) -> dict[str, Any]:
    state = json.loads(metadata.get("state", "{}"))
    if state.get("format") != FORMAT:
        raise ValueError(
            f"expected format {FORMAT} in {path}, got {state.get('format')}: it comes from another version of "
            "metaplastic or is no checkpoint; use that version, or begin the run again"
        )
    return state
