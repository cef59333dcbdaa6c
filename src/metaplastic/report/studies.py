"""The folders of studies, read into values: panels in the order of the definition, with where they came from."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from metaplastic.choices import choose, unknown
from metaplastic.evaluation import LayerDivergence, QuadraticResult, SignSwitch
from metaplastic.experiments import STUDIES, Config, QuadraticPanel, Record, Size, study
from metaplastic.report.commands import in_a_row
from metaplastic.report.groups import ENOUGH_SEEDS, Comparison, Group
from metaplastic.report.labels import compared, labels
from metaplastic.report.origins import Origin, read_origins, require_one_kind, version_cautions
from metaplastic.report.run_records import Run, holds_records, read_run


@dataclass(frozen=True)
class Probes:
    """What was found in the trained network of one seed.

    Args:
        sign_switch: By layer, what switching signs cost; empty where it was not measured.
        divergence: By layer, importance against speed; the same.
        fresh: By test, the share of right answers by statistics taken anew; empty where that was not measured.
    """

    sign_switch: Mapping[str, SignSwitch] = field(default_factory=dict)
    divergence: Mapping[str, LayerDivergence] = field(default_factory=dict)
    fresh: tuple[float, ...] = ()


@dataclass(frozen=True)
class PanelRecord:
    """A panel of a study, as far as it was carried out.

    Args:
        name: Its name.
        runs: Complete runs, by seed.
        differs: What tells its configuration from those of the other panels; empty where it is no training.
        probes: Seed to what was found in its network.
        quadratic: Outcome of the quadratic task; None where it is a training.
        cautions: What to be careful about, besides what the runs say.
    """

    name: str
    runs: tuple[Run, ...] = ()
    differs: str = ""
    probes: Mapping[int, Probes] = field(default_factory=dict)
    quadratic: QuadraticResult | None = None
    cautions: tuple[str, ...] = ()

    @property
    def done(self) -> bool:
        """Whether there is something to show."""
        return bool(self.runs) or self.quadratic is not None

    @property
    def title(self) -> str:
        """Its name; with what it differs in where the name is a letter of the paper, or that alone for a name `m1`."""
        if len(self.name) == 1:
            return f"{self.name}: {self.differs}" if self.differs else self.name
        number = self.name.removeprefix("m").replace(".", "", 1)
        return self.differs if number != self.name and number.isdigit() and self.differs else self.name


@dataclass(frozen=True)
class StudyRecord:
    """A study, as far as it was carried out.

    Args:
        name: Its name.
        size: How large its runs are.
        folder: Where it lies.
        panels: Its panels, in the order of the study's definition; those that were not carried out too.
        origins: Where its records came from.
        label: What tells it from another study of the same name and size; usually empty.
    """

    name: str
    size: Size
    folder: Path
    panels: tuple[PanelRecord, ...]
    origins: tuple[Origin, ...]
    label: str = ""

    @property
    def done(self) -> tuple[PanelRecord, ...]:
        """Panels with something to show."""
        return tuple(panel for panel in self.panels if panel.done)

    @property
    def missing(self) -> tuple[str, ...]:
        """Names of panels without anything to show."""
        return tuple(panel.name for panel in self.panels if not panel.done)

    @property
    def seeds(self) -> tuple[int, ...]:
        """Seeds of complete runs."""
        return tuple(sorted({run.config.seed for panel in self.panels for run in panel.runs}))

    @property
    def key(self) -> str:
        """What tells it from other studies, for file names and links."""
        return "-".join(part for part in (self.name, self.size.value, self.label) if part)

    @property
    def command(self) -> str:
        """The command that makes what is there; several where seeds do not follow one another."""
        panels = f" --panels {' '.join(panel.name for panel in self.done)}" if self.missing and self.done else ""
        begin = f"metaplastic run {self.name} --size {self.size.value}"
        rows = in_a_row(self.seeds)
        given = [f" --seeds {len(row)}" + (f" --seed {row[0]}" if row[0] else "") for row in rows] or [""]
        return "; ".join(f"{begin}{seeds}{panels}" for seeds in given)

    def comparisons(self) -> list[Comparison]:
        """Put the panels that are trainings side by side.

        Returns:
            A comparison per set of tests, in the order of the panels.
        """
        by_tests: dict[tuple[object, ...], list[Group]] = {}
        for panel in self.panels:
            if panel.runs:
                matrix = panel.runs[0].matrix
                by_tests.setdefault((matrix.tests, matrix.totals), []).append(Group(panel.title, panel.runs))
        return [Comparison(tuple(groups)) for groups in by_tests.values()]

    def cautions(self) -> list[str]:
        """Say what to be careful about.

        Returns:
            Sentences without their full stop, each with the panels that it is of; none where nothing is to be said.
        """
        by_text: dict[str, list[str]] = {}
        for panel in self.done:
            recorded = [text for run in panel.runs for text in run.cautions]
            for text in dict.fromkeys([*_few_seeds(panel), *recorded, *panel.cautions]):
                by_text.setdefault(text, []).append(panel.title)
        said = [
            text if len(titles) == len(self.done) else f"{'; '.join(titles)}: {text}"
            for text, titles in by_text.items()
        ]
        return [*said, *version_cautions(self.origins)]


def read_studies(folders: Iterable[Path | str]) -> list[StudyRecord]:
    """Read the folders of studies.

    Args:
        folders: Folders that `metaplastic run STUDY` wrote, or that hold such folders; `LABEL=FOLDER` where two are of
            one study and size.

    Returns:
        The studies, in the order of the paper, the small size before the large one.

    Raises:
        ValueError: When a folder is not that of a known study, a record is damaged, records are of different formats
            or were made by different versions of the package or of torch, or two folders of one study and size have
            one label.

    Example:
        >>> read_studies(["no-such-folder"])
        Traceback (most recent call last):
        ValueError: expected the folder of a study at no-such-folder, got no such folder; give one that `metaplastic ...
    """
    places = [place for folder in folders for place in _places(*_labelled(folder))]
    if not places:
        raise ValueError("expected the folder of a study, got none; give one or more")
    marks = [_mark(folder) for _, folder in places]
    require_one_kind([origin for _, folder in places for origin in read_origins(folder)])
    studies = [_read(*mark, folder, label) for mark, (label, folder) in zip(marks, places, strict=True)]
    _require_told_apart(studies)
    return sorted(studies, key=lambda one: (list(STUDIES).index(one.name), list(Size).index(one.size)))


def _few_seeds(panel: PanelRecord) -> list[str]:
    count = len(panel.runs)
    few = f"fewer than {ENOUGH_SEEDS} seeds ({count}): differences may be chance"
    return [few] if 0 < count < ENOUGH_SEEDS else []


def _places(label: str, folder: Path) -> list[tuple[str, Path]]:
    """Find a folder's studies: itself, or those inside it."""
    inside = sorted(path.parent for path in folder.glob("*/study.json"))
    return [(label, folder)] if (folder / "study.json").exists() or not inside else [(label, one) for one in inside]


def _labelled(text: Path | str) -> tuple[str, Path]:
    found = re.fullmatch(r"([\w.-]+)=(.+)", str(text))
    return (found[1], Path(found[2])) if found and not Path(text).exists() else ("", Path(text))


def _mark(folder: Path) -> tuple[str, Size]:
    path = folder / "study.json"
    if not path.exists():
        got = "a folder without study.json" if folder.is_dir() else "no such folder"
        raise ValueError(
            f"expected the folder of a study at {folder}, got {got}; give one that `metaplastic run STUDY` wrote"
        )
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
        name, size = plain["study"], choose(Size, plain["size"])
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(
            f"expected name and size of a study in {path}, got {path.read_text(encoding='utf-8')[:80]!r}; put the "
            "file back"
        ) from error
    if name not in STUDIES:
        raise ValueError(unknown(f"study in {path}:", name, STUDIES))
    return name, size


def _require_told_apart(studies: Sequence[StudyRecord]) -> None:
    seen: dict[tuple[str, Size, str], Path] = {}
    for one in studies:
        other = seen.setdefault((one.name, one.size, one.label), one.folder)
        if other is not one.folder:
            raise ValueError(
                f"expected one folder per study and size, got two of {one.name} at size {one.size.value}: {other} and "
                f"{one.folder}; tell them apart as LABEL={one.folder}"
            )


def _read(name: str, size: Size, folder: Path, label: str) -> StudyRecord:
    defined = study(name, size).panels
    present = sorted(child.name for child in folder.iterdir() if holds_records(child))
    panels = [_read_panel(folder / panel) for panel in [*defined, *(one for one in present if one not in defined)]]
    panels = [replace(panel, cautions=(*panel.cautions, *_changes(panel, defined))) for panel in panels]
    return StudyRecord(name, size, folder, tuple(_told_apart(panels)), tuple(read_origins(folder)), label)


def _read_panel(folder: Path) -> PanelRecord:
    if (folder / "quadratic.json").exists():
        return PanelRecord(folder.name, quadratic=QuadraticResult.from_json(_json(folder / "quadratic.json")))
    records = [Record(path.parent) for path in sorted(folder.glob("*/config.json"))]
    records = sorted(records, key=lambda record: record.config.seed)
    stopped = [record for record in records if not record.complete]
    cautions = [f"left out seed {one.config.seed}, which is not complete" for one in stopped]
    by_seed: dict[int, Record] = {}
    for record in [record for record in records if record.complete]:
        if by_seed.setdefault(record.config.seed, record) is not record:
            cautions.append(f"left out {record.folder}: seed {record.config.seed} is there twice")
    complete = list(by_seed.values())
    probes = {record.config.seed: _read_probes(record.folder) for record in complete}
    return PanelRecord(folder.name, tuple(map(read_run, complete)), probes=probes, cautions=tuple(cautions))


def _read_probes(folder: Path) -> Probes:
    switch, divergence, retested = (
        _json(folder / name) if (folder / name).exists() else {}
        for name in ("sign_switch.json", "divergence.json", "fresh_statistics.json")
    )
    return Probes(
        {layer: SignSwitch.from_json(plain) for layer, plain in switch.items()},
        {layer: LayerDivergence.from_json(plain) for layer, plain in divergence.items()},
        tuple(retested.get("fresh", ())),
    )


def _json(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"expected JSON in {path}, got text that breaks at {error}; run that panel again") from error


def _told_apart(panels: Sequence[PanelRecord]) -> list[PanelRecord]:
    """Say of each panel what its configuration differs in; panels may be equal, and seeds are not compared."""
    kinds: dict[str, Config] = {repr(compared(one.runs[0].config)): one.runs[0].config for one in panels if one.runs}
    names = dict(zip(kinds, labels(list(kinds.values())), strict=True)) if kinds else {}
    return [
        replace(panel, differs=names[repr(compared(panel.runs[0].config))]) if panel.runs else panel for panel in panels
    ]


def _changes(panel: PanelRecord, defined: Mapping[str, Any]) -> list[str]:
    """Say where the runs of a panel are not what this version of the package would run."""
    if panel.done and panel.name not in defined:
        return ["this version of the study has no such panel"]
    if not panel.runs or isinstance(defined[panel.name], QuadraticPanel):
        return []
    ours = compared(defined[panel.name].config)
    theirs = [compared(run.config) for run in panel.runs]
    names = dict.fromkeys(name for fields in (ours, *theirs) for name in fields)
    changed = [name for name in names if any(fields.get(name) != ours.get(name) for fields in theirs)]
    return [f"not run as the study is defined: {', '.join(changed)}"] if changed else []
