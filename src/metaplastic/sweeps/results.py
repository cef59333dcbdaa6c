"""What came out: mean and standard deviation over seeds, per setting."""

import csv
import io
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from metaplastic.files import write_text
from metaplastic.sweeps.plan import PlannedRun, Setting, by_setting
from metaplastic.sweeps.store import State, Store


@dataclass(frozen=True)
class Outcome:
    """What came of a run.

    Args:
        run: The run.
        accuracy: Average accuracy over the tasks at the end, in [0, 1]; None where the run did not end.
        forgetting: Forgetting, in [-1, 1]; None where it has no value.
        failure: Why it failed.
    """

    run: PlannedRun
    accuracy: float | None = None
    forgetting: float | None = None
    failure: str = ""


@dataclass(frozen=True)
class SettingResult:
    """What came of a setting.

    Args:
        setting: Fields and values.
        label: The same in a line.
        outcomes: One per seed, in their order.
    """

    setting: Setting
    label: str
    outcomes: tuple[Outcome, ...]

    @property
    def accuracies(self) -> list[float]:
        """Average accuracies of the runs that ended, in [0, 1]."""
        return [outcome.accuracy for outcome in self.outcomes if outcome.accuracy is not None]

    @property
    def forgettings(self) -> list[float]:
        """Forgetting of the runs that have one."""
        return [outcome.forgetting for outcome in self.outcomes if outcome.forgetting is not None]


@dataclass(frozen=True)
class Results:
    """What came of a sweep.

    Args:
        settings: One per setting, in the order of the sweep.
    """

    settings: tuple[SettingResult, ...]

    @property
    def failures(self) -> list[Outcome]:
        """Runs that did not come to their end."""
        return [outcome for one in self.settings for outcome in one.outcomes if outcome.accuracy is None]

    def table(self) -> Table:
        """Lay out means and standard deviations for a terminal."""
        laid = Table("", box=SIMPLE_HEAD, pad_edge=False, title="average accuracy in %", title_justify="left")
        for name in ("seeds", "mean", "sd", "forgetting", "failed"):
            laid.add_column(name, justify="right")
        for one in self.settings:
            failed = len(one.outcomes) - len(one.accuracies)
            forgetting = _percent(mean(one.forgettings))
            cells = [str(len(one.accuracies)), _percent(mean(one.accuracies)), _percent(deviation(one.accuracies))]
            laid.add_row(Text(one.label), *cells, forgetting, str(failed) if failed else "")
        return laid

    def write(self, folder: Path) -> None:
        """Write `results.csv`, a line per setting, and `runs.csv`, a line per run; nothing is rounded.

        Args:
            folder: Where to.
        """
        fields = [name for name, _ in self.settings[0].setting]
        rows = [[*_values(one), len(one.accuracies), *_moments(one)] for one in self.settings]
        write_text(folder / "results.csv", _csv([*fields, "seeds", "mean", "sd", "forgetting"], rows))
        runs = [
            [*_values(one), out.run.config.seed, out.run.id, _cell(out.accuracy), _cell(out.forgetting), out.failure]
            for one in self.settings
            for out in one.outcomes
        ]
        write_text(folder / "runs.csv", _csv([*fields, "seed", "id", "accuracy", "forgetting", "failure"], runs))


def read_results(runs: Sequence[PlannedRun], store: Store) -> Results:
    """Read what came of runs.

    Args:
        runs: The runs.
        store: Folder of the sweep.

    Returns:
        The results.
    """
    grouped = by_setting(runs)
    return Results(
        tuple(
            SettingResult(alike[0].setting, label, tuple(read_outcome(run, store) for run in alike))
            for label, alike in grouped.items()
        )
    )


def read_outcome(run: PlannedRun, store: Store) -> Outcome:
    """Read what came of a run.

    Args:
        run: The run.
        store: Folder of the sweep.

    Returns:
        Its figures, or why there are none.
    """
    if store.state(run) is not State.COMPLETE:
        return Outcome(run, failure=store.failure(run) or "not run")
    metrics = store.record(run).summary()["metrics"]
    return Outcome(run, metrics["average_accuracy"]["value"], metrics["forgetting"]["value"])


def mean(values: Sequence[float]) -> float | None:
    """Give the mean; None of nothing."""
    return statistics.fmean(values) if values else None


def deviation(values: Sequence[float]) -> float | None:
    """Give the standard deviation, with n - 1 in its denominator; None of fewer than two."""
    return statistics.stdev(values) if len(values) > 1 else None


def _moments(one: SettingResult) -> list[str]:
    return [_cell(mean(one.accuracies)), _cell(deviation(one.accuracies)), _cell(mean(one.forgettings))]


def _values(one: SettingResult) -> list[object]:
    return [value for _, value in one.setting]


def _cell(value: float | None) -> str:
    return "" if value is None else repr(value)


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f}"


def _csv(header: Sequence[object], rows: Sequence[Sequence[object]]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    return text.getvalue()
