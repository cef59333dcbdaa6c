"""What a reader of results must be told before believing them."""

import itertools
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from metaplastic.report.groups import Comparison
from metaplastic.report.labels import compared
from metaplastic.report.origins import Origin, version_cautions
from metaplastic.report.run_records import Run

TUNING = "tuning.json"
"""File in the folder of a run, or in one of the three above it, that says how its settings were chosen; that of a
search is above `reported/runs/ID`."""

ON_THE_TESTS = ("end-of-training",)
"""Protocols that choose by the accuracy that is reported."""


def flags(comparison: Comparison, origins: Sequence[Origin]) -> list[str]:
    """Say what to be careful about.

    Args:
        comparison: Groups of runs.
        origins: Where their records came from.

    Returns:
        Sentences without their full stop: few seeds, what records caution about, incomplete runs; statistics of the
        test batch, settings that were chosen on the reported tests or could be, and different versions and commits.
    """
    return [
        *comparison.cautions(),
        *_batch_statistics(comparison),
        *_tuned_on_tests(comparison),
        *_choices(comparison),
        *version_cautions(origins),
    ]


def _batch_statistics(comparison: Comparison) -> list[str]:
    """Caution about incomplete runs too, which have no summary that does."""
    told = "statistics of the test batch: predictions depend on how the test set is split into batches"
    return [
        f"{group.label}: {told}"
        for group in comparison.groups
        if group.first.config.norm.depends_on_test_batch
        and not group.first.config.method.closed_form
        and not any("test batch" in said for said in group.first.cautions)
    ]


def _tuned_on_tests(comparison: Comparison) -> list[str]:
    said = []
    for group in comparison.groups:
        protocols = {protocol for run in group.runs if (protocol := _protocol(run))}
        said += [
            f"{group.label}: settings chosen by protocol {protocol!r}, on the tests that are reported"
            for protocol in sorted(protocols.intersection(ON_THE_TESTS))
        ]
    return said


def _protocol(run: Run) -> str:
    folder = run.folder.resolve()
    for place in (folder, *itertools.islice(folder.parents, 3)):
        if (place / TUNING).exists():
            return _read_protocol(place / TUNING)
    return ""


def _read_protocol(path: Path) -> str:
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
        return str(plain["protocol"])
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(
            f"expected a field 'protocol' in {path}, got {path.read_text(encoding='utf-8')[:80]!r}; mend the file, or "
            "remove it"
        ) from error


def _choices(comparison: Comparison) -> list[str]:
    """Find settings of which several values stand side by side: choosing between them here is tuning on the tests."""
    values: dict[str, list[Any]] = {}
    settings = [compared(group.first.config) for group in comparison.groups]
    for first, second in itertools.combinations(settings, 2):
        name = _only_difference(first, second)
        if name:
            values.setdefault(name, []).extend(fields[name] for fields in (first, second))
    return [
        f"{_listed(found)} of {name.rpartition('.')[2].replace('_', ' ')} are shown on the same tests: whoever takes "
        "the best of them tunes on the tests"
        for name, found in values.items()
    ]


def _only_difference(ours: dict[str, Any], theirs: dict[str, Any]) -> str | None:
    """The one number that two settings differ in, if neither is the control in which it is 0."""
    names = [name for name in dict.fromkeys([*ours, *theirs]) if ours.get(name) != theirs.get(name)]
    if len(names) != 1 or not names[0].startswith(("optimizer.", "penalty.", "epochs", "batch_size")):
        return None
    found = [_numbers(fields.get(names[0])) for fields in (ours, theirs)]
    return names[0] if all(numbers and any(numbers) for numbers in found) else None


def _numbers(value: Any) -> tuple[float, ...]:
    values = value if isinstance(value, tuple) else (value,)
    return tuple(one for one in values if isinstance(one, int | float) and not isinstance(one, bool))


def _listed(values: Iterable[Any]) -> str:
    words = [" ".join(f"{number:g}" for number in _numbers(value)) for value in dict.fromkeys(values)]
    return f"{', '.join(words[:-1])} and {words[-1]}"
