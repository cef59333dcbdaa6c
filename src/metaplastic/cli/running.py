"""The command that runs experiments: a preset, a study or one of its panels, a file, or what was stopped."""

import dataclasses
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metaplastic.cli.options import USAGE, parse, resumable, show, shown

if TYPE_CHECKING:
    from metaplastic.experiments import Config


@dataclasses.dataclass(frozen=True)
class ResumeOptions:
    """Go on with a run from its last checkpoint."""

    resume: Path
    """Folder of the run."""
    data_dir: Path | None = None
    """Where the data lie; by default METAPLASTIC_DATA, then the cache."""
    quiet: bool = False
    """Show no progress bar."""
    log: tuple[str, ...] = ()
    """Follow the run with tensorboard or wandb, beside the record."""


def run(words: list[str]) -> None:
    """Run experiments.

    Args:
        words: What follows the command.
    """
    if words in (["-h"], ["--help"]):
        print(USAGE)
        return
    words = [part for word in words for part in spaced(word)]
    if "--resume" in words:
        _resume(words)
        return
    if words and words[0] in _studies():
        _run_study(words[0], words[1:])
        return
    config, words, command = base_config(words)
    options = parse(*_run_options(config, words, command))
    from metaplastic.experiments import new_folder, run, run_seeds

    how = {"data_dir": options.data_dir, "progress": shown(options.quiet), "loggers": options.log}
    with resumable():
        if options.seeds:
            folder = options.out or new_folder(options.config.name)
            run_seeds(options.config, range(options.config.seed, options.config.seed + options.seeds), folder, **how)
        else:
            folder = run(options.config, options.out, **how).folder or Path()
    show([folder])


def _resume(words: list[str]) -> None:
    options = parse(ResumeOptions, words, "run")
    _require_one_run(options.resume)
    from metaplastic.experiments import resume

    with resumable():
        result = resume(options.resume, data_dir=options.data_dir, progress=shown(options.quiet), loggers=options.log)
    show([result.folder or Path()])


def _require_one_run(folder: Path) -> None:
    """Refuse a folder of several runs, which is gone on with as a whole, and say how."""
    is_study = (folder / "study.json").exists()
    if (folder / "config.json").exists() or not (is_study or any(folder.glob("seed*/config.json"))):
        return
    is_panel = not is_study and (folder.parent / "study.json").exists()
    raise ValueError(
        f"expected the folder of one run, got {folder}, which holds the runs of "
        f"{'a study' if is_study else 'several seeds'}; the same command with --out "
        f"{folder.parent if is_panel else folder} goes on with it"
    )


def _studies() -> Sequence[str]:
    from metaplastic.experiments import STUDIES

    return list(STUDIES)


def _study_options(name: str, words: list[str]) -> Any:
    """Read the options of a study; its sizes are imported when one is asked for."""
    from metaplastic.experiments import Size, explanation

    @dataclasses.dataclass(frozen=True)
    class StudyOptions:
        """How the panels of a figure or table of the paper are run."""

        size: Size = Size.LAPTOP
        """How large the runs are."""
        seeds: int = 1
        """Run so many seeds."""
        seed: int = 0
        """The first of them."""
        panels: tuple[str, ...] = ()
        """Run these panels only."""
        device: str = "cpu"
        """Where to compute: cpu, cuda, ..."""
        jobs: int = 1
        """Panels at once, each in a process with its share of the cores; 0 takes one per core."""
        out: Path | None = None
        """Folder of the study; by default a new one under runs/. It goes on with what is there."""
        data_dir: Path | None = None
        """Where the data lie; by default METAPLASTIC_DATA, then the cache."""
        quiet: bool = False
        """Show no progress bars."""

    return parse(StudyOptions, words, f"run {name}", about=explanation(name))


def _run_study(name: str, words: list[str]) -> None:
    from metaplastic.experiments import new_folder, run_study, study

    options = _study_options(name, words)
    chosen = study(name, options.size).only(options.panels).on(options.device)
    folder = options.out or new_folder(name)
    print(f"{name} in {folder}", flush=True)
    with resumable():
        run_study(
            chosen,
            range(options.seed, options.seed + options.seeds),
            folder,
            data_dir=options.data_dir,
            jobs=options.jobs,
            progress=shown(options.quiet),
            before=lambda title: print(f"{title} ...", flush=True),
            again=shlex.join(["metaplastic", "run", name, *words, *([] if options.out else ["--out", str(folder)])]),
        )
    show([folder])


def _panel_config(word: str, words: list[str]) -> tuple["Config", list[str]]:
    """Find the configuration of STUDY/PANEL, and what is left of the words when the size is taken out."""
    from metaplastic.choices import choose
    from metaplastic.experiments import Size, study

    size, rest = Size.LAPTOP, list(words)
    if "--size" in rest[:-1]:
        place = rest.index("--size")
        size, rest = choose(Size, rest[place + 1]), rest[:place] + rest[place + 2 :]
    name, _, panel = word.partition("/")
    return study(name, size).config(panel), rest


def base_config(words: list[str], command: str = "run") -> tuple["Config", list[str], str]:
    """Find the configuration that the fields on the command line change.

    Args:
        words: What follows the command.
        command: The command, for help.

    Returns:
        The configuration, the words that are left, and what help calls it.

    Raises:
        ValueError: When nothing is named that can be run.
    """
    from metaplastic.experiments import read_config

    if words and not words[0].startswith("-"):
        return *_named_config(words[0], words[1:], command), f"{command} {words[0]}"
    if "--from" in words[:-1]:
        place = words.index("--from")
        path, rest = words[place + 1], words[:place] + words[place + 2 :]
        return read_config(Path(path)), rest, f"{command} --from {path}"
    named = "--from FILE or --resume FOLDER" if command == "run" else "STUDY/PANEL or --from FILE"
    raise ValueError(f"expected a preset, {named}; `metaplastic list` shows presets and studies")


def _named_config(word: str, words: list[str], command: str) -> tuple["Config", list[str]]:
    """Find the configuration of a preset or a panel, and the words that are left."""
    from metaplastic.experiments import preset

    _refuse_file(word, command)
    if "/" in word:
        return _panel_config(word, words)
    if word in _studies():
        raise ValueError(
            f"expected a preset or a panel, got the study {word!r}; {command} one of its panels as {word}/PANEL"
        )
    return preset(word), words


def _refuse_file(word: str, command: str) -> None:
    """Refuse a file where a preset or a panel is named, and say how it is run."""
    from metaplastic.experiments import PRESETS

    if word.partition("/")[0] not in (*PRESETS, *_studies()) and Path(word).is_file():
        raise ValueError(
            f"expected a preset or STUDY/PANEL, got the file {word}; run what it says by "
            f"'metaplastic {command} --from {shlex.quote(word)}'"
        )


def _run_options(config: "Config", words: list[str], command: str) -> tuple[type[Any], list[str], str, Any]:
    from metaplastic.experiments import Config

    @dataclasses.dataclass(frozen=True)
    class RunOptions:
        """Run an experiment and keep its record."""

        config: Config
        seeds: int = 0
        """Run so many seeds, counted from --seed, each with a record of its own in the folder; small networks are
        trained as one stack. 0 runs --seed only, with its record as the folder."""
        out: Path | None = None
        """A new folder for the record; by default one under runs/ named after preset, time and seed."""
        data_dir: Path | None = None
        """Where the data lie; by default METAPLASTIC_DATA, then the cache."""
        quiet: bool = False
        """Show no progress bar."""
        log: tuple[str, ...] = ()
        """Follow the run with tensorboard or wandb, beside the record."""

    return RunOptions, [own_name(word, config) for word in words], command, RunOptions(config)


def spaced(word: str) -> list[str]:
    """Take --from=FILE and the like apart, which are looked for before anything is parsed.

    Args:
        word: A word of the command line.

    Returns:
        One word or two.
    """
    return word.split("=", 1) if word.startswith(("--from=", "--resume=", "--size=")) else [word]


def own_name(word: str, config: "Config") -> str:
    """Let a nested field be named by its path too: --optimizer.lr is --lr.

    Args:
        word: A word of the command line.
        config: The configuration, in which the path must lead to a field.

    Returns:
        The word with the field's own name; any other as it is, for the parser to refuse.
    """
    option, equals, value = word.partition("=")
    *above, name = option.removeprefix("--").replace("-", "_").split(".")
    inside: Any = config
    for step in above:
        inside = _fields(inside).get(step)
    known = above and option.startswith("--") and name.removeprefix("no_") in _fields(inside)
    return "--" + option.rpartition(".")[2] + equals + value if known else word


def _fields(value: Any) -> dict[str, Any]:
    """Give the fields of a dataclass by name; anything else has none."""
    if not dataclasses.is_dataclass(value):
        return {}
    return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
