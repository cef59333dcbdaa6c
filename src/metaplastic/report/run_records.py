"""What a record says of one run, and the records that folders hold."""

import json
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float64

from metaplastic.data.catalogue import CATALOGUE
from metaplastic.evaluation import AccuracyMatrix
from metaplastic.experiments.config import Config
from metaplastic.experiments.method_config import Method
from metaplastic.experiments.record import Record
from metaplastic.experiments.scenario_config import Permuted, ScenarioConfig, Split, Stream


@dataclass(frozen=True)
class Run:
    """What a record says of one run.

    Args:
        folder: Folder of the record.
        config: What was run.
        matrix: Accuracy after every stage that is complete, at least one.
        curve: Epochs trained so far, to correct predictions on each test; where they were counted.
        complete: Whether the run came to its end.
        title: Name of the scenario.
        kind: Where the scenario stands in the usual taxonomy; empty while the run is incomplete.
        cautions: What the record says to be careful about; none while the run is incomplete.
    """

    folder: Path
    config: Config
    matrix: AccuracyMatrix
    curve: dict[int, tuple[int, ...]]
    complete: bool
    title: str
    kind: str = ""
    cautions: tuple[str, ...] = ()

    @property
    def stages(self) -> int:
        """Number of stages that the run was to have."""
        return stages(self.config)

    @property
    def final(self) -> Float64[np.ndarray, " test"]:
        """Accuracy in [0, 1] on each test after the last stage that is complete."""
        return self.matrix.accuracy[-1]

    def announced(self) -> dict[str, str]:
        """Say what kind of problem was solved, and what the learner was told.

        Returns:
            Aspect to words; the kind is left out where it is not recorded.
        """
        scenario, norm = self.config.scenario, self.config.norm
        one_by_one = self.config.method is not Method.JOINT  # joint: nothing is left to announce
        boundaries = one_by_one and scenario.announced.boundaries
        told = one_by_one and scenario.announced.task_at_test
        kept = {"per_task": " kept per task", "shared": " shared by all tasks"}[norm.scope.value]
        kept = "" if norm.statistics == "layer" else kept
        said = {
            "kind": self.kind if one_by_one else "",
            "boundaries": f"boundaries {'announced' if boundaries else 'not announced'}",
            "task": f"task {'known' if told else 'not known'} at test",
            "norm": "no normalisation" if norm.statistics == "none" else f"{norm.statistics.value} statistics{kept}",
        }
        if self.config.method.closed_form:
            said["norm"] = ""
        return {aspect: words for aspect, words in said.items() if words}


def stages(config: Config) -> int:
    """Count the stages that a run is to have.

    Args:
        config: What is run.

    Returns:
        Number of rows of the accuracy matrix of the complete run.

    Example:
        >>> stages(Config(scenario=Stream(parts=60))), stages(Config(method=Method.JOINT))
        (60, 1)
        >>> from metaplastic.experiments.config import Tuning
        >>> stages(Config(tuning=Tuning(first_tasks=2)))
        2
    """
    if config.method is Method.JOINT:
        return 1
    return config.tuning.first_tasks or _tasks(config.scenario)


def _tasks(scenario: ScenarioConfig) -> int:
    if isinstance(scenario, Permuted | Split):
        return scenario.tasks
    return scenario.parts if isinstance(scenario, Stream) else len(scenario.data)


def find_records(folder: Path) -> list[Record]:
    """Find the records of a folder.

    Args:
        folder: That of a record, of records, of a study or of a sweep.

    Returns:
        The record in it, or those in the folders that it holds, and in theirs if it is a study's or a sweep's; none
        for a study of which quadratic tasks alone were carried out.

    Raises:
        ValueError: When nothing was carried out in it.
    """
    if (folder / "study.json").exists():
        panels = sorted(child for child in folder.iterdir() if holds_records(child))
        if not panels:
            name = json.loads((folder / "study.json").read_text(encoding="utf-8")).get("study", "STUDY")
            raise ValueError(
                f"expected a panel that was carried out in the study at {folder}, got none; run it by 'metaplastic run "
                f"{name} --out {shlex.quote(str(folder))}'"
            )
        trained = [panel for panel in panels if not (panel / "quadratic.json").exists()]
        return [record for panel in trained for record in find_records(panel)]
    if (folder / "sweep.json").exists():
        return find_records(folder / "runs")
    inner = [] if (folder / "config.json").exists() or not folder.is_dir() else list(folder.iterdir())
    records = [Record(child) for child in inner if (child / "config.json").exists()]
    return sorted(records, key=_reading_order) if records else [Record(folder)]


def holds_records(folder: Path) -> bool:
    """Say whether there is a record in a folder of a study: pictures hold none, nor do panels that were not begun.

    Args:
        folder: A folder in that of a study.

    Returns:
        Whether it is or holds a record of a run, or holds a quadratic task.
    """
    return any(any(folder.glob(name)) for name in ("config.json", "*/config.json", "quadratic.json"))


def _reading_order(record: Record) -> tuple[object, ...]:
    config = record.config
    # Numbers in names count as numbers: seed10 comes after seed9.
    name = [
        (not part.isdigit(), int(part) if part.isdigit() else part) for part in re.split(r"(\d+)", record.folder.name)
    ]
    return list(Method).index(config.method), config.optimizer.metaplasticity, name


def read_run(record: Record) -> Run:
    """Read what a record says of its run.

    Args:
        record: A record with at least one complete task.

    Returns:
        The run.

    Raises:
        ValueError: When no task is complete, or the record is damaged.
    """
    epochs, matrix = record.config.epochs, record.accuracy()
    curve = {} if matrix.untrained is None else {0: matrix.untrained}
    for line in record.metrics():
        if line["event"] == "epoch" and line["correct"] is not None:
            curve[line["task"] * epochs + line["epoch"] + 1] = tuple(line["correct"])
    end = record.summary()
    said = end.get("scenario", {})
    return Run(
        folder=record.folder,
        config=record.config,
        matrix=matrix,
        curve=curve,
        complete=record.complete,
        title=_in_print(said.get("name", _title(record.config.scenario))),
        kind=said.get("kind", ""),
        cautions=tuple(end.get("cautions", ())),
    )


def _in_print(name: str) -> str:
    """Call data sets in the name of a scenario what they are called in print: permuted MNIST."""
    return re.sub(r"(?<![\w.-])[a-z][a-z0-9-]*(?![\w.-])", lambda word: _PRINTED.get(word[0], word[0]), name)


_PRINTED = {
    name: title
    for name, entry in CATALOGUE.items()
    if name == (title := re.split("[,:]", entry.title)[0]).lower() and not title.istitle()
} | {"cifar-10-part": "a part of CIFAR-10"}
"""Acronyms among the names of data sets: what they are called in print."""


def _title(scenario: ScenarioConfig) -> str:
    """Name of a scenario as far as its configuration tells it."""
    if isinstance(scenario, Permuted | Split):
        return f"{type(scenario).__name__.lower()} {Path(scenario.data).stem}"
    if isinstance(scenario, Stream):
        return f"{Path(scenario.data).stem} in {scenario.parts} parts"
    return " then ".join(Path(name).stem for name in scenario.data)
