"""Search for good settings with Optuna, and report on the best where it was not chosen."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from metaplastic.choices import settle_choices
from metaplastic.experiments import Config, to_json
from metaplastic.experiments.record import write_config
from metaplastic.experiments.scenario_config import at_least
from metaplastic.files import write_json
from metaplastic.sweeps.axis import field_path, with_fields
from metaplastic.sweeps.backends import Workers
from metaplastic.sweeps.optional import require
from metaplastic.sweeps.plan import PlannedRun, Sweep, setting_label, with_threads
from metaplastic.sweeps.protocol import HELD_OUT, Protocol, cautions, tuning_config
from metaplastic.sweeps.results import Results, mean, read_outcome
from metaplastic.sweeps.search import Space
from metaplastic.sweeps.store import Store
from metaplastic.sweeps.sweep import carry_out_runs, run_sweep

AT_ONCE = 4
"""Trials that are drawn before any of them is told. It does not depend on the workers, so that the search does not."""


@dataclass(frozen=True)
class Search:
    """What is searched, and how the choice is made.

    Args:
        base: What is reported, with its first seed; the fields searched are replaced.
        space: The fields, and where their values are drawn from; at least one.
        protocol: What settings are chosen on.
        trials: Number of settings that are tried, >= 1.
        seeds: Seeds that every setting is tried on, >= 1; settings are ranked by the mean over them.
        report_seeds: Seeds that the best setting is reported on, >= 0.

    Raises:
        ValueError: For a value out of range, and where the protocol holds samples out and the base does too, or what
            is learned or tested on is searched.
    """

    base: Config
    space: Space
    protocol: Protocol
    trials: int = 20
    seeds: int = 3
    report_seeds: int = 5

    def __post_init__(self) -> None:
        settle_choices(self)
        at_least("number of fields to search", len(self.space), 1)
        at_least("trials", self.trials, 1)
        at_least("seeds", self.seeds, 1)
        at_least("report_seeds", self.report_seeds, 0)
        object.__setattr__(self, "base", with_threads(self.base))
        if not self.protocol.tuned_on_test:
            self._leave_tuning_to_the_protocol()

    def _leave_tuning_to_the_protocol(self) -> None:
        if self.base.tuning.held_out:
            raise ValueError(
                f"expected no held_out with protocol {self.protocol.value!r}, which holds out {HELD_OUT} of the "
                f"training samples itself, got {self.base.tuning.held_out}; leave it out"
            )
        for name in self.space:
            if field_path(self.base, name)[0] in ("tuning", "scenario"):
                raise ValueError(
                    f"expected fields of training to search with protocol {self.protocol.value!r}, got {name!r}, which "
                    "says what is learned or tested on"
                )

    def as_json(self) -> dict[str, Any]:
        """Give the search as JSON values, for its folder."""
        return {
            "protocol": self.protocol.value,
            "tuned_on_test": self.protocol.tuned_on_test,
            "cautions": cautions(self.base, self.protocol, self.space),
            "search": {name: asdict(place) for name, place in self.space.items()},
            "trials": self.trials,
            "seeds": self.seeds,
            "base": json.loads(to_json(self.base)),
        }


@dataclass(frozen=True)
class Trial:
    """A setting that was tried.

    Args:
        number: From 0, in the order in which settings were drawn.
        setting: Fields and values.
        accuracies: Average accuracy of every seed, in [0, 1]; None where a run failed.
        failures: Why runs failed.
    """

    number: int
    setting: dict[str, Any]
    accuracies: tuple[float | None, ...]
    failures: tuple[str, ...] = ()

    @property
    def mean(self) -> float | None:
        """What settings are ranked by; None where a run failed: a mean over other seeds would mean something else."""
        found = [accuracy for accuracy in self.accuracies if accuracy is not None]
        return mean(found) if len(found) == len(self.accuracies) else None


@dataclass(frozen=True)
class Tuned:
    """What came of a search.

    Args:
        search: What was searched.
        trials: All settings that were tried.
        best: The best of them.
        config: The configuration with the best setting, for a run of its own.
        reported: What it came to on the seeds that are reported; None where none are.
    """

    search: Search
    trials: tuple[Trial, ...]
    best: Trial
    config: Config
    reported: Results | None = None

    def lines(self, most: int = 5) -> list[str]:
        """Say what was found, for a terminal.

        Args:
            most: Number of settings that are shown, the best first.

        Returns:
            Lines of text.
        """
        ranked = ranking(self.trials)
        said = [f"chosen by {self.search.protocol.value}, mean accuracy of {self.search.seeds} seeds in %:"]
        for trial in ranked[:most]:
            said.append(f"  {100 * (trial.mean or 0):5.1f}  {setting_label(tuple(trial.setting.items()))}")
        if failed := len(self.trials) - len(ranked):
            said.append(f"  {failed} of {len(self.trials)} settings failed; trials.json says why")
        return said + [
            f"Caution: {text}." for text in cautions(self.search.base, self.search.protocol, self.search.space)
        ]


def ranking(trials: Sequence[Trial]) -> list[Trial]:
    """Rank settings by their mean over seeds, the best first and among equals the earlier; failed ones are left out."""
    ended = [trial for trial in trials if trial.mean is not None]
    return sorted(ended, key=lambda trial: -(trial.mean or 0.0))


def tune(
    search: Search,
    folder: Path,
    workers: Workers = Workers(),
    *,
    data_dir: Path | None = None,
    progress: bool | None = None,
) -> Tuned:
    """Search for a good setting, and report on it.

    It can be stopped or killed at any moment and called again with the same folder. The search draws the same settings
    again, and the runs of those that were tried already are complete.

    | file | holds |
    |---|---|
    | `tuning.json` | what was searched by which protocol, and what to be careful about |
    | `trials.json` | every setting that was tried, with the accuracy on each seed |
    | `chosen.json` | the configuration with the best setting, for `metaplastic run --from` |
    | `trials/` | the runs that settings were chosen by, as of a sweep |
    | `reported/` | the runs of the best setting, as of a sweep |

    Args:
        search: What is searched.
        folder: A new folder, or that of the same search.
        workers: Where runs are carried out.
        data_dir: Where the data lie.
        progress: Whether to show progress.

    Returns:
        All trials, the best, and what it came to.

    Raises:
        ImportError: When Optuna is not installed.
        ValueError: When the folder holds another search, or no setting could be run.
        Interrupted: After Ctrl-C.
    """
    require("optuna", "tune")
    _claim(folder, search)
    # Where the choice is made on what is reported, the runs are the same and are not made twice.
    store = Store(folder / ("reported" if search.protocol.tuned_on_test else "trials"))
    store.claim({"tuning": search.as_json()})
    trials = _trials(search, store, folder, workers, data_dir, progress)
    if not (ranked := ranking(trials)):
        raise ValueError(
            f"expected a setting whose runs end, got none of {len(trials)}; see {store.folder / 'failures'}"
        )
    best = ranked[0]
    chosen = with_fields(search.base, best.setting)
    write_config(folder / "chosen.json", chosen)
    tuned = Tuned(search, trials, best, chosen)
    if not search.report_seeds:
        return tuned
    seeds = tuple(range(chosen.seed, chosen.seed + search.report_seeds))
    reported = run_sweep(Sweep(chosen, (), seeds), folder / "reported", workers, data_dir=data_dir, progress=progress)
    return replace(tuned, reported=reported)


def _claim(folder: Path, search: Search) -> None:
    path, plain = folder / "tuning.json", json.loads(json.dumps(search.as_json()))
    if path.exists():
        found = json.loads(path.read_text(encoding="utf-8"))
        # More trials of the same search go on with it.
        if {**found, "trials": 0} != {**plain, "trials": 0}:
            raise ValueError(f"expected in {folder} the same search, got another; choose another folder with --out")
    elif folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"expected a new folder or that of a search, got {folder}; choose another with --out")
    folder.mkdir(parents=True, exist_ok=True)
    write_json(path, plain, indent=2)


def _trials(
    search: Search, store: Store, folder: Path, workers: Workers, data_dir: Path | None, progress: bool | None
) -> tuple[Trial, ...]:
    """Draw settings, try them, and tell Optuna; always in the same order."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.TPESampler(seed=search.base.seed, constant_liar=True)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    space = {name: place.distribution() for name, place in search.space.items()}
    done: list[Trial] = []
    while len(done) < search.trials:
        asked = [study.ask(space) for _ in range(min(AT_ONCE, search.trials - len(done)))]
        settings = [{name: search.space[name].value(drawn) for name, drawn in trial.params.items()} for trial in asked]
        tried = _try(search, settings, len(done), store, workers, data_dir, progress)
        for trial, found in zip(asked, tried, strict=True):
            state = optuna.trial.TrialState.FAIL if found.mean is None else None
            study.tell(trial, found.mean, state=state)
        done += tried
        write_json(folder / "trials.json", [_as_json(trial) for trial in done], indent=2)
    return tuple(done)


def _try(
    search: Search,
    settings: Sequence[dict[str, Any]],
    first: int,
    store: Store,
    workers: Workers,
    data_dir: Path | None,
    progress: bool | None,
) -> list[Trial]:
    """Run every setting on every seed."""
    planned = [_runs(search, setting) for setting in settings]
    # Two settings may come to the same runs: whole numbers and choices are few.
    once = {run.id: run for runs in planned for run in runs}
    carry_out_runs(list(once.values()), store, workers, data_dir=data_dir, progress=progress)
    trials = []
    for number, (setting, runs) in enumerate(zip(settings, planned, strict=True), start=first):
        outcomes = [read_outcome(run, store) for run in runs]
        failures = tuple(outcome.failure for outcome in outcomes if outcome.failure)
        trials.append(Trial(number, setting, tuple(outcome.accuracy for outcome in outcomes), failures))
    return trials


def _runs(search: Search, setting: dict[str, Any]) -> list[PlannedRun]:
    config = tuning_config(with_fields(search.base, setting), search.protocol)
    seeds = range(config.seed, config.seed + search.seeds)
    return [PlannedRun(replace(config, seed=seed), tuple(setting.items())) for seed in seeds]


def _as_json(trial: Trial) -> dict[str, Any]:
    return {
        "number": trial.number,
        "setting": trial.setting,
        "label": setting_label(tuple(trial.setting.items())),
        "accuracies": list(trial.accuracies),
        "mean": trial.mean,
        "failures": list(trial.failures),
    }
