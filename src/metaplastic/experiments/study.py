"""Several experiments that are read together: the panels of a figure, the rows of a table."""

import enum
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from metaplastic.choices import unknown
from metaplastic.evaluation import high_dimensional_quadratic, run_quadratic, two_dimensional_quadratic
from metaplastic.experiments.config import Config
from metaplastic.experiments.environment import environment
from metaplastic.experiments.fresh_statistics import retest
from metaplastic.experiments.interrupt import resumed_by
from metaplastic.experiments.progress import Shown, StudyProgress
from metaplastic.experiments.record import Record
from metaplastic.experiments.scenario_config import at_least
from metaplastic.experiments.side_by_side import side_by_side
from metaplastic.experiments.stack import require_seeds, run_remaining_seeds
from metaplastic.files import require_room, write_json
from metaplastic.learners import NonFiniteLossError
from metaplastic.nn import Scope, Statistics

FORMAT = 1
"""Number of the format of `study.json`."""

_MARK, _PANEL_MARK = "study.json", "panel.json"
"""Files that say whose a folder is, before there is a record in it."""


class Size(enum.StrEnum):
    """How large the runs of a study are."""

    LAPTOP = "laptop"
    """Smaller networks and fewer epochs. One seed of all panels takes some 35 minutes of one core at most, but for
    `real-check`, whose size is the published one, and for the two studies of width; each says what was timed."""
    PAPER = "paper"
    """The sizes and epochs of the authors' commands; what differs from their code is said by each study."""


@runtime_checkable
class Panel(Protocol):
    """A part of a study that is carried out by itself."""

    def settings(self) -> dict[str, Any]:
        """Return as JSON values what decides on its results, apart from what records of runs hold themselves."""
        ...

    def on(self, device: str) -> "Panel":
        """Return it as it is computed on a device."""
        ...

    def carry_out(
        self, folder: Path, seeds: Sequence[int], *, data_dir: Path | None = None, progress: Shown = None
    ) -> None:
        """Carry it out; what is in the folder already is not done again, and what was stopped is gone on with."""
        ...


@dataclass(frozen=True)
class TrainingPanel:
    """A panel that is a training, for every seed.

    Args:
        config: What is run; its seed is replaced.
        fresh_statistics: Whether every task is tested once more at the end, with statistics taken anew from images of
            it, so that weights that lost it are told from statistics that ceased to fit them.

    Raises:
        ValueError: When statistics are to be taken anew that are not exact or not kept per task.
    """

    config: Config
    fresh_statistics: bool = False

    def __post_init__(self) -> None:
        norm = self.config.norm
        if self.fresh_statistics and (norm.statistics, norm.scope) != (Statistics.RECALIBRATED, Scope.PER_TASK):
            raise ValueError(
                f"expected recalibrated statistics kept per task, to be taken anew, got {norm.statistics.value!r} and "
                f"{norm.scope.value!r}; leave fresh_statistics away"
            )

    def settings(self) -> dict[str, Any]:
        """Return nothing: a record holds its configuration."""
        return {}

    def on(self, device: str) -> "TrainingPanel":
        """Return the panel with its trainings computed on a device."""
        return replace(self, config=self.config.on(device))

    def carry_out(
        self, folder: Path, seeds: Sequence[int], *, data_dir: Path | None = None, progress: Shown = None
    ) -> None:
        """Train, with a record for every seed in a folder `seed0` and so on; test with fresh statistics if asked to.

        Args:
            folder: Folder of the panel.
            seeds: The seeds.
            data_dir: Where the data lie; None looks where `load` looks.
            progress: Whether, or where, to show a progress bar; None shows it on a terminal.

        Raises:
            NonFiniteLossError: When a training diverged; all others were carried out, and tested, before.
        """

        def test_anew(record: Record) -> None:
            if self.fresh_statistics:
                retest(record.folder, data_dir, progress)

        run_remaining_seeds(self.config, seeds, folder, data_dir=data_dir, progress=progress, afterwards=test_anew)


@dataclass(frozen=True)
class QuadraticPanel:
    """A panel that is the quadratic task, which has its own seed and takes a second.

    Args:
        dimensions: 2 or 500.

    Raises:
        ValueError: For other dimensions.
    """

    dimensions: int

    def __post_init__(self) -> None:
        if self.dimensions not in (2, 500):
            raise ValueError(f"expected 2 or 500 dimensions, those of the published tasks, got {self.dimensions}")

    def settings(self) -> dict[str, Any]:
        """Return the dimensions."""
        return asdict(self)

    def on(self, device: str) -> "QuadraticPanel":
        """Return the panel as it is: its second is spent on the CPU."""
        return self

    def carry_out(
        self, folder: Path, seeds: Sequence[int], *, data_dir: Path | None = None, progress: Shown = None
    ) -> None:
        """Descend, and write what came out to `quadratic.json`.

        Args:
            folder: Folder of the panel.
            seeds: Not used: the published task is one draw.
            data_dir: Not used.
            progress: Not used.
        """
        path = folder / "quadratic.json"
        if path.exists():
            return
        published = two_dimensional_quadratic if self.dimensions == 2 else high_dimensional_quadratic
        result = run_quadratic(published())
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / "environment.json", environment(), indent=2)
        write_json(path, result.as_json())


@dataclass(frozen=True)
class Study:
    """A figure or a table of the paper at one size.

    Args:
        name: What the command line knows it by.
        size: How large its runs are.
        panels: What is carried out, by the name of the panel or row.

    Example:
        >>> study = Study("mine", Size.LAPTOP, {"a": QuadraticPanel(2), "b": QuadraticPanel(500)})
        >>> list(study.only(["b"]).panels)
        ['b']
    """

    name: str
    size: Size
    panels: Mapping[str, Panel]

    def only(self, names: Sequence[str]) -> "Study":
        """Leave out other panels.

        Args:
            names: Names of the panels to keep; none keeps all.

        Returns:
            The smaller study.

        Raises:
            ValueError: When there is no panel of a name, with the nearest one.
        """
        for name in names:
            if name not in self.panels:
                raise ValueError(unknown(f"panel of {self.name!r}", name, self.panels))
        return replace(self, panels={name: self.panels[name] for name in names}) if names else self

    def on(self, device: str) -> "Study":
        """Compute on a device; what is learned does not depend on it, apart from rounding.

        Args:
            device: As torch names it: cpu, cuda, ...

        Returns:
            The study there.
        """
        return replace(self, panels={name: panel.on(device) for name, panel in self.panels.items()})

    def config(self, panel: str) -> Config:
        """Give the configuration of a panel that is a training.

        Args:
            panel: Its name.

        Returns:
            The configuration.

        Raises:
            ValueError: When there is no such panel, or it is no training.
        """
        found = self.only([panel]).panels[panel]
        if not isinstance(found, TrainingPanel):
            raise ValueError(
                f"expected a panel that is a training, got {panel!r} of {self.name!r}; run it by "
                f"'metaplastic run {self.name} --panels {panel}'"
            )
        return found.config


def run_study(
    study: Study,
    seeds: Sequence[int],
    folder: Path,
    *,
    data_dir: Path | None = None,
    jobs: int = 1,
    progress: bool | None = None,
    before: Callable[[str], None] = lambda title: None,
    again: str | None = None,
) -> None:
    """Carry out all panels of a study for several seeds.

    It can be stopped at any moment and called again with the same folder: what is complete is left as it is, and what
    was begun is gone on with.

    Args:
        study: What is carried out.
        seeds: The seeds, all different.
        folder: Folder of the study, new or that of the same study; it gets a folder per panel.
        data_dir: Where the data lie; None looks where `load` looks.
        jobs: Panels that are carried out at once, each in a process with its share of the cores, whose number decides
            the last bits of a training; 0 takes one per core.
        progress: Whether to show how far it is; None shows it on a terminal.
        before: Called with a title before each panel, where nothing else shows how far it is.
        again: The command that goes on with it after an interruption; None says which folder to call this with.

    Raises:
        ValueError: When there is no seed, jobs is below 0, or the folder holds something else.
        FileNotFoundError: When data are missing, with the command that fetches or makes them.
        OSError: When nothing can be written in the folder.
        NonFiniteLossError: When a training diverged; all other panels were carried out before.
        Interrupted: After Ctrl-C, with checkpoints written.
    """
    require_seeds(seeds)
    at_least("jobs", jobs, 0)
    require_room(folder)
    at_once = min(jobs or os.cpu_count() or 1, len(study.panels))
    with (
        _claimed(folder, study),
        resumed_by(again or f"the same call, in the folder {folder}"),
        StudyProgress(f"{study.name}, {study.size}", len(study.panels) * len(seeds), progress) as shown,
    ):
        for name, panel in study.panels.items():
            _claim_panel(folder / name, panel.settings())
        _carry_out(study, seeds, folder, data_dir, at_once, shown, before)


def _carry_out(
    study: Study,
    seeds: Sequence[int],
    folder: Path,
    data_dir: Path | None,
    at_once: int,
    shown: StudyProgress,
    before: Callable[[str], None],
) -> None:
    calls = {
        name: partial(_carry_out_panel, panel, folder / name, seeds, data_dir) for name, panel in study.panels.items()
    }
    titles = {name: f"{name}, {place} of {len(calls)}" for place, name in enumerate(calls, start=1)}
    waiting = list(calls)
    at_work: list[str] = []

    def turn_to_next(ended: int) -> None:
        while waiting and len(at_work) < at_once:
            at_work.append(waiting.pop(0))
            if not shown.shown:
                before(f"{study.name} {titles[at_work[-1]]}")
        shown.turn_to(" and ".join(titles[name] for name in at_work), ended * len(seeds))

    diverged: NonFiniteLossError | None = None
    one_by_one = ((name, call(progress=shown)) for name, call in calls.items())
    turn_to_next(0)
    with closing(side_by_side(calls, at_once) if at_once > 1 else one_by_one) as carried_out:
        for ended, (name, error) in enumerate(carried_out, start=1):
            diverged = error or diverged
            at_work.remove(name)
            turn_to_next(ended)
    if diverged is not None:
        raise diverged


def _carry_out_panel(
    panel: Panel, folder: Path, seeds: Sequence[int], data_dir: Path | None, progress: Shown = False
) -> NonFiniteLossError | None:
    """Carry a panel out; a training that diverges is no reason to leave other panels undone."""
    try:
        panel.carry_out(folder, seeds, data_dir=data_dir, progress=progress)
    except NonFiniteLossError as error:
        return error
    return None


@contextmanager
def _claimed(folder: Path, study: Study) -> Iterator[None]:
    """Keep a folder as that of a study, unless it fails before there are results, as where data are missing."""
    made = [place for place in (folder, *folder.parents) if not place.exists()]  # the folder before those it is in
    new = bool(made) or not any(folder.iterdir())
    _claim(folder, study)
    try:
        yield
    except Exception:
        inside = sorted(folder.rglob("*"), reverse=True)  # what is in a folder before the folder
        if new and {path.name for path in inside if path.is_file()} <= {_MARK, _PANEL_MARK}:
            for path in inside:
                path.rmdir() if path.is_dir() else path.unlink()
            for place in made:
                if not any(place.iterdir()):
                    place.rmdir()
        raise


def _claim(folder: Path, study: Study) -> None:
    """Mark a folder as that of a study, or see that it is."""
    path, mark = folder / _MARK, {"format": FORMAT, "study": study.name, "size": study.size.value}
    if path.exists():
        if (found := json.loads(path.read_text(encoding="utf-8"))) != mark:
            raise ValueError(
                f"expected in {folder} the study {study.name!r} at size {study.size.value!r}, got {found}; choose "
                "another folder with --out"
            )
        return
    if folder.exists() and any(folder.iterdir()):
        raise ValueError(f"expected a new or empty folder for the study, got {folder}; choose another with --out")
    folder.mkdir(parents=True, exist_ok=True)
    write_json(path, mark)


def _claim_panel(folder: Path, settings: dict[str, Any]) -> None:
    """Write what decides on the results of a panel into its folder, or see that it is the same."""
    path = folder / _PANEL_MARK
    if path.exists() and (found := json.loads(path.read_text(encoding="utf-8"))) != json.loads(json.dumps(settings)):
        raise ValueError(
            f"expected in {folder} results of {json.dumps(settings)}, got those of {json.dumps(found)}; choose another "
            "folder with --out"
        )
    if settings and not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        write_json(path, settings)
