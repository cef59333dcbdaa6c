"""Records of runs, put together where they differ only in the seed."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float64

from metaplastic.report.labels import compared, labels
from metaplastic.report.run_records import Run, find_records, read_run

ENOUGH_SEEDS = 5
"""Fewer seeds than this are cautioned about."""

LONG_LABEL = 40
"""Characters from which the name that a study gives a panel says more than all that differs."""


@dataclass(frozen=True)
class Group:
    """Runs that differ only in the seed.

    Args:
        label: What tells the group from the others.
        runs: The runs, at least one, by seed. An incomplete run is alone, so that no mean is over unequal training.
    """

    label: str
    runs: tuple[Run, ...]

    @property
    def complete(self) -> bool:
        """Whether its runs came to their end."""
        return all(run.complete for run in self.runs)

    @property
    def first(self) -> Run:
        """The run that stands for what all have in common."""
        return self.runs[0]

    def final(self) -> Float64[np.ndarray, "seed test"]:
        """Collect the final accuracies.

        Returns:
            In [0, 1], one row per run.
        """
        return np.stack([run.final for run in self.runs])

    def curves(self) -> tuple[Float64[np.ndarray, " point"], Float64[np.ndarray, "seed point test"]]:
        """Collect accuracy over training.

        Returns:
            Epochs trained, where every run was tested, and the accuracies there in [0, 1].
        """
        points = [epoch for epoch in self.first.curve if all(epoch in run.curve for run in self.runs)]
        totals = np.array(self.first.matrix.totals, dtype=np.float64)
        counts = [[run.curve[epoch] for epoch in points] for run in self.runs]
        shape = (len(self.runs), len(points), len(totals))
        return np.array(points, dtype=np.float64), np.array(counts, dtype=np.float64).reshape(shape) / totals

    @property
    def has_curves(self) -> bool:
        """Whether every run says its accuracy at more than one time, at times that all have in common."""
        return len(self.curves()[0]) > 1


@dataclass(frozen=True)
class Comparison:
    """Groups of runs on the same tests, ready to be shown side by side.

    Args:
        groups: At least one.
        remarks: What happened to runs on the way here: which are left out, and why.

    Raises:
        ValueError: When there is no group, or groups were tested on different tests.
    """

    groups: tuple[Group, ...]
    remarks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.groups:
            said = "; ".join(self.remarks) or "no run at all"
            raise ValueError(f"expected a run with at least one complete task, got {said}")
        # One column per test, one colour per test: numbers from other tests beside them would be misread.
        first = self.groups[0].first
        for run in (run for group in self.groups for run in group.runs):
            if (run.matrix.tests, run.matrix.totals) != (first.matrix.tests, first.matrix.totals):
                raise ValueError(
                    f"expected runs on the same tests, got {_tests(first)} and {_tests(run)}; report on them one by one"
                )

    @property
    def tests(self) -> tuple[str, ...]:
        """Names of the tests."""
        return self.groups[0].first.matrix.tests

    @property
    def title(self) -> str:
        """Name of the scenario, or of the scenarios."""
        return " / ".join(dict.fromkeys(group.first.title for group in self.groups))

    def common(self) -> dict[str, str]:
        """Say what was announced to all groups alike.

        Returns:
            Aspect to words, as of `Run.announced`, where all runs that record it agree.
        """
        said = [group.first.announced() for group in self.groups]
        aspects = dict.fromkeys(aspect for words in said for aspect in words)
        agreed = {aspect: {words[aspect] for words in said if aspect in words} for aspect in aspects}
        return {aspect: next(iter(words)) for aspect, words in agreed.items() if len(words) == 1}

    def without_curves(self) -> list[str]:
        """Say which groups have no accuracy during training to draw, and why.

        Returns:
            Sentences; none where all groups have.
        """
        silent = [group for group in self.groups if not group.has_curves]
        if not silent:
            return []
        counts = [sum(len(run.curve) < 2 for run in group.runs) for group in silent]
        said = [
            f"{group.label} ({count} of {len(group.runs)} runs)" for group, count in zip(silent, counts, strict=True)
        ]
        return [f"Without curves, because runs have no accuracy during training in metrics.jsonl: {'; '.join(said)}."]

    def cautions(self) -> list[str]:
        """Say what to be careful about.

        Returns:
            Sentences without their full stop; none where nothing is to be said.
        """
        complete = [group for group in self.groups if group.complete]
        few = [f"{group.label}: {len(group.runs)}" for group in complete if len(group.runs) < ENOUGH_SEEDS]
        said = [f"fewer than {ENOUGH_SEEDS} seeds ({'; '.join(few)}): differences may be chance"] if few else []
        recorded = {group.label: [text for run in group.runs for text in run.cautions] for group in self.groups}
        said += [f"{label}: {text}" for label, texts in recorded.items() for text in _alike_once(texts)]
        said += [
            f"{group.label}: accuracy after {len(run.matrix.correct)} of {run.stages} stages; go on with it by "
            f"'metaplastic run --resume {run.folder}'"
            for group in self.groups
            for run in group.runs
            if not run.complete
        ]
        return [*said, *self.remarks]


def _alike_once(texts: Sequence[str]) -> list[str]:
    """Keep the first of texts that differ in nothing but numbers, as the same caution of several seeds does."""
    found: dict[str, str] = {}
    for text in texts:
        found.setdefault(re.sub(r"\d[\d.,]*", "#", text), text)
    return list(found.values())


def _tests(run: Run) -> str:
    shown = [f"{name} ({total} samples)" for name, total in zip(run.matrix.tests, run.matrix.totals, strict=True)]
    many = [*shown[:2], "...", shown[-1]] if len(shown) > 3 else shown
    return f"{', '.join(many)} in {run.folder}"


def compare(folders: Iterable[Path | str]) -> Comparison:
    """Read runs and put together those that differ only in the seed.

    Runs also count as equal when they differ in their name, or in how they were carried out without a change to what
    is learned: device, threads, checkpoints, epochs at which they were tested.

    Args:
        folders: Folders of runs, or folders that hold such folders. Groups come in this order; within a folder of
            runs the learners come before the joint one, and weak metaplasticity before strong.

    Returns:
        The groups. An incomplete run is a group of its own.

    Raises:
        ValueError: When a folder holds no run, a record is damaged, no run has a complete task, or the runs were
            tested on different tests.

    Example:
        >>> compare(["no-such-folder"])
        Traceback (most recent call last):
        ValueError: expected the folder of a run at no-such-folder, got no such folder; check the path, or begin a ...
    """
    return _compared(*_runs(folders))


def compare_each(folders: Iterable[Path | str]) -> list[Comparison]:
    """Read runs, and put side by side those that were tested on the same tests.

    Args:
        folders: As for `compare`.

    Returns:
        A comparison per set of tests, in the order of the runs; none where the folders hold no run.

    Raises:
        ValueError: When a record is damaged.
    """
    runs, remarks = _runs(folders)
    by_tests: dict[tuple[object, ...], list[Run]] = {}
    for run in runs:
        by_tests.setdefault((run.matrix.tests, run.matrix.totals), []).append(run)
    return [_compared(alike, remarks) for alike in by_tests.values()]


def _runs(folders: Iterable[Path | str]) -> tuple[list[Run], list[str]]:
    """Read the runs that have a complete task, and say which have none."""
    records = {record.folder.resolve(): record for folder in folders for record in find_records(Path(folder))}
    complete = [record for record in records.values() if (record.folder / "accuracy.csv").exists()]
    others = [record.folder for record in records.values() if record not in complete]
    return list(map(read_run, complete)), [f"left out {folder}: none of its tasks is complete" for folder in others]


def _compared(runs: Sequence[Run], remarks: Sequence[str]) -> Comparison:
    gathered, repeated = _gather(runs)
    twice = [f"left out {run.folder}: seed {run.config.seed} of the same experiment is there twice" for run in repeated]
    return Comparison(tuple(_labelled(gathered)), (*remarks, *twice))


def _gather(runs: Sequence[Run]) -> tuple[list[list[Run]], list[Run]]:
    """Runs by experiment and seed, and those whose experiment and seed were there before."""
    groups: dict[str, dict[int, Run]] = {}
    alone, repeated = [], []
    for run in runs:
        seeds = groups.setdefault(repr(compared(run.config)), {})
        if run.config.seed in seeds and run.complete:
            repeated.append(run)
        elif run.complete:
            seeds[run.config.seed] = run
        else:
            alone.append([run])
    together = [[seeds[seed] for seed in sorted(seeds)] for seeds in groups.values() if seeds]
    return [*together, *alone], repeated


def _labelled(gathered: list[list[Run]]) -> list[Group]:
    kinds = {repr(compared(runs[0].config)): runs[0].config for runs in gathered}
    names = dict(zip(kinds, labels(list(kinds.values())), strict=True)) if kinds else {}
    if max(map(len, names.values()), default=0) > LONG_LABEL:
        names = _panels(gathered) or names
    groups = []
    for runs in gathered:
        label = names[repr(compared(runs[0].config))]
        if not runs[0].complete:
            label += f" (seed {runs[0].config.seed}, incomplete)"
        groups.append(Group(label, tuple(runs)))
    times = Counter(group.label for group in groups)
    # What is shown is looked up by label: where configurations do not tell groups apart, their folders do.
    return [
        group if times[group.label] == 1 else replace(group, label=f"{group.label}, {group.first.folder}")
        for group in groups
    ]


def _panels(gathered: list[list[Run]]) -> dict[str, str]:
    """Name experiments by the panels of the one study that they belong to; empty where they do not."""
    found = {repr(compared(runs[0].config)): {_panel(run.folder) for run in runs} for runs in gathered}
    panels = [panel for of_one in found.values() for panel in of_one]
    alone = len({study for study, _ in panels}) == 1 and len(set(panels)) == len(found) == len(panels)
    return {kind: panel for kind, of_one in found.items() for _, panel in of_one} if alone and all(panels[0]) else {}


def _panel(folder: Path) -> tuple[str, str]:
    """Find the study and the panel of a run, which lies in the panel's folder or is it; empty for a run of its own."""
    for panel in (folder.parent, folder):
        if (panel.parent / "study.json").exists():
            return str(panel.parent), panel.name
    return "", ""
