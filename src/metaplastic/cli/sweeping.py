"""The commands that run many experiments: all combinations of some values, or a search for good ones."""

import dataclasses
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import UseAppendAction

from metaplastic.cli.options import USAGE, fail, parse, resumable, shown
from metaplastic.cli.running import base_config, own_name, spaced

if TYPE_CHECKING:
    from metaplastic.experiments import Config
    from metaplastic.sweeps import Results, Workers

Repeated = Annotated[tuple[str, ...], UseAppendAction]


@dataclasses.dataclass(frozen=True)
class Where:
    """Where runs are carried out, and kept."""

    jobs: int = 0
    """Runs at once, at most; 0 takes one per core, or leaves it to the cluster."""
    backend: Literal["processes", "ray", "slurm"] = "processes"
    """Processes of this machine, tasks of a Ray cluster that is running, or jobs of a Slurm cluster."""
    slurm: tuple[str, ...] = ()
    """NAME=VALUE of what sbatch is told: partition=gpu time=240."""
    out: Path | None = None
    """Folder for all that is written, which all workers must see; by default one under runs/ named after the preset."""
    data_dir: Path | None = None
    """Where the data lie; by default METAPLASTIC_DATA, then the cache."""
    quiet: bool = False
    """Show no progress."""

    def workers(self) -> "Workers":
        """Make what the library knows workers as."""
        from metaplastic.sweeps import Backend, Workers

        told: dict[str, str | int] = {}
        for word in self.slurm:
            name, equals, value = word.partition("=")
            if not (name and equals and value):
                raise ValueError(
                    f"expected NAME=VALUE after --slurm, got {word!r}; e.g. --slurm partition=cpu time=240"
                )
            told[name] = int(value) if value.isdigit() else value
        return Workers(Backend(self.backend), self.jobs, told)

    def how(self) -> dict[str, Any]:
        """Give what every sweep is told."""
        return {"workers": self.workers(), "data_dir": self.data_dir, "progress": shown(self.quiet)}


def sweep(words: list[str]) -> None:
    """Run all combinations of some values, for several seeds.

    Args:
        words: What follows the command.
    """
    options = _parsed(words, "sweep", _sweep_options)
    from metaplastic.sweeps import Sweep, parse_axis, run_sweep

    config, where = options.config, options.where
    seeds = range(config.seed, config.seed + options.seeds)
    plan = Sweep(config, tuple(map(parse_axis, options.over)), tuple(seeds))
    folder = where.out or Path("runs") / f"{config.name}-sweep"
    with resumable():
        results = run_sweep(plan, folder, **where.how())
    _show(results, folder)
    _fail_for(results, folder)


def tune(words: list[str]) -> None:
    """Search for good settings, and report on the best.

    Args:
        words: What follows the command.
    """
    options = _parsed(words, "tune", _tune_options)
    from metaplastic.sweeps import Search, parse_search, setting_label
    from metaplastic.sweeps import tune as search_and_report

    config, where = options.config, options.where
    search = Search(
        config,
        _each_once(map(parse_search, options.search)),
        options.protocol,
        trials=options.trials,
        seeds=options.seeds,
        report_seeds=options.report_seeds,
    )
    folder = where.out or Path("runs") / f"{config.name}-tuning"
    with resumable():
        tuned = search_and_report(search, folder, **where.how())
    for line in tuned.lines():
        print(line)
    if tuned.reported is not None:
        print(f"reported, {setting_label(tuple(tuned.best.setting.items()))}:")
        _show(tuned.reported, folder / "reported")
        _fail_for(tuned.reported, folder / "reported")


def _each_once(fields: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, place in fields:
        if name in found:
            raise ValueError(f"expected every field once with --search, got {name!r} twice; name all its values in one")
        found[name] = place
    return found


def _parsed(words: list[str], command: str, options: Callable[["Config"], tuple[type[Any], Any]]) -> Any:
    """Read the words of a command that begins with what is run, and may change any field of it."""
    if words in (["-h"], ["--help"]):
        print(USAGE)
        raise SystemExit(0)
    words = [part for word in words for part in spaced(word)]
    config, rest, name = base_config(words, command)
    kind, default = options(config)
    return parse(kind, [own_name(word, config) for word in rest], name, default)


def _sweep_options(config: "Config") -> tuple[type[Any], Any]:
    from metaplastic.experiments import Config

    @dataclasses.dataclass(frozen=True)
    class SweepOptions:
        """Run all combinations of some values. The same command goes on with it after it was stopped or killed."""

        config: Config
        over: Repeated = ()
        """FIELD=VALUE,VALUE,...: a field and its values; given again for another field."""
        seeds: int = 5
        """Run so many seeds, counted from --seed."""
        where: Where = Where()

    return SweepOptions, SweepOptions(config)


def _tune_options(config: "Config") -> tuple[type[Any], Any]:
    from metaplastic.experiments import Config
    from metaplastic.sweeps import Protocol

    @dataclasses.dataclass(frozen=True)
    class TuneOptions:
        """Search for good settings, and report on the best. The same command goes on with it after it was stopped."""

        config: Config
        search: Repeated = ()
        """FIELD=log:LOW:HIGH, FIELD=float:LOW:HIGH, FIELD=int:LOW:HIGH or FIELD=VALUE,VALUE,...: what is searched;
        given again for another field."""
        protocol: Protocol = Protocol.TWO_PHASE
        """What settings are chosen on: the first task alone; all tasks with other permutations and held-out training
        samples; or the test samples that are reported, of which reports caution."""
        trials: int = 20
        """Number of settings that are tried."""
        seeds: int = 3
        """Seeds that every setting is tried on; settings are ranked by the mean over them."""
        report_seeds: int = 5
        """Seeds that the best setting is reported on, counted from --seed; 0 reports nothing."""
        where: Where = Where()

    return TuneOptions, TuneOptions(config)


def _show(results: "Results", folder: Path) -> None:
    from rich.console import Console

    console = Console()
    console.print(results.table())
    console.print(str(folder), highlight=False, markup=False, soft_wrap=True)


def _fail_for(results: "Results", folder: Path) -> None:
    """End with status 1 where runs failed, and say which and why."""
    if not (failures := results.failures):
        return
    lines = [f"  {one.run.label}: {one.failure}" for one in failures]
    fail(
        f"{len(failures)} runs failed; the whole reasons are in {folder / 'failures'}, and the same command tries them "
        "again\n" + "\n".join(lines),
        status=1,
    )
