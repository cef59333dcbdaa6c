"""Where records came from: package, machine, commit and time."""

import itertools
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

UNKNOWN = "unknown"
"""Stands where a record does not say."""


@dataclass(frozen=True)
class Origin:
    """Where one record came from.

    Args:
        folder: Folder of the record.
        record_format: Number of its format.
        version: Version of the package that made it.
        commit: Its commit, with a plus if files differed from it; empty outside a checkout.
        machine: Processor or graphics processor, in words.
        seconds: Time spent in training and testing; its share of it, for networks trained at once. None where the
            record has no metrics that say it.
        versions: Packages and their versions, of Python too.
        products: Whose products with binary weights they are, as its engine says; `not recorded` for one that did not
            say so yet, and empty where there were none.
    """

    folder: Path
    record_format: str
    version: str
    commit: str
    machine: str
    seconds: float | None
    versions: tuple[tuple[str, str], ...] = ()
    products: str = ""


def read_origins(folder: Path) -> list[Origin]:
    """Read where the records below a folder came from.

    Args:
        folder: Folder of a study.

    Returns:
        One per record, by its path.

    Raises:
        ValueError: When a record says nothing of where it came from.
    """
    inside = {path.parent for name in ("config.json", "quadratic.json") for path in folder.rglob(name)}
    return [read_origin(place) for place in sorted(inside)]


def require_one_kind(origins: Iterable[Origin]) -> None:
    """See that records can be shown beside each other.

    Args:
        origins: Where they came from.

    Raises:
        ValueError: When they are of different formats, or were made by different versions of the package or of torch
            (0.1.0 and 0.2.0; 2.12 and 2.13, whatever the patch and the build), with the list.
    """
    kinds: dict[str, list[Origin]] = {}
    for origin in origins:
        kinds.setdefault(_kind(origin), []).append(origin)
    if len(kinds) > 1:
        largest = max(kinds, key=lambda kind: len(kinds[kind]))
        # The few that do not fit are all named, because they are what somebody has to deal with.
        found = "; ".join(f"{kind}: {_listed(kinds[kind], 3 if kind == largest else None)}" for kind in kinds)
        raise ValueError(
            "expected records of one format, made by one version of metaplastic and one of torch, because what differs "
            f"could be theirs, got {found}. To compare them, make those of one kind again with the versions of the "
            "other: a run by 'metaplastic run --from FOLDER/config.json', a study by its command with a new --out. Or "
            "report on each kind by itself, with an --out of its own, and lay the pages side by side"
        )


def version_cautions(origins: Sequence[Origin]) -> list[str]:
    """Say what to be careful about in records that `require_one_kind` lets stand beside each other.

    Args:
        origins: Where they came from.

    Returns:
        Sentences without their full stop: other packages of different versions, different commits, changes that are in
        no commit, and products with binary weights that were not computed alike.
    """
    said = []
    kinds: dict[str, list[str]] = {}
    for package, version in dict.fromkeys(itertools.chain.from_iterable(origin.versions for origin in origins)):
        kinds.setdefault(package, []).append(version)
    differing = [f"{package} {' and '.join(found)}" for package, found in kinds.items() if len(found) > 1]
    if differing:
        said.append(f"runs were made with different versions: {'; '.join(differing)}")
    commits = Counter(origin.commit for origin in origins)
    if len(commits) > 1:
        counted = ", ".join(f"{said_commit(commit)} ({_runs(count)})" for commit, count in commits.items())
        said.append(f"runs were made at {len(commits)} different commits of the package: {counted}")
    changed = sum(count for commit, count in commits.items() if commit.endswith("+"))
    if changed:
        said.append(f"{changed} of {len(origins)} runs were made with changes that are not in the commit")
    products = Counter(origin.products for origin in origins if origin.products)
    if len(products) > 1:
        counted = ", ".join(f"{whose} ({_runs(count)})" for whose, count in products.items())
        said.append(f"products with binary weights were not computed alike in all runs: {counted}")
    return said


def duration(seconds: int | float) -> str:
    """Say how long something took.

    Args:
        seconds: Seconds, >= 0.

    Returns:
        In the two largest units that it fills.

    Example:
        >>> duration(0.4), duration(75), duration(3 * 3600 + 59), duration(100 * 3600)
        ('less than a second', '1 min 15 s', '3 h 0 min', '4 d 4 h')
    """
    if seconds < 1:
        return "less than a second"
    whole, counts = round(seconds), {}
    for unit, size in {"d": 86400, "h": 3600, "min": 60, "s": 1}.items():
        counts[unit], whole = divmod(whole, size)
    first = next(place for place, count in enumerate(counts.values()) if count)
    return " ".join(f"{count} {unit}" for unit, count in list(counts.items())[first : first + 2])


def time_spent(origins: Sequence[Origin]) -> str:
    """Say how long records took, and of how many of them that is known.

    Args:
        origins: Where they came from.

    Returns:
        The sum over those that say it.

    Example:
        >>> known = Origin(Path("a"), "1", "0.1.0", "", "one thread", 60.0)
        >>> silent = Origin(Path("b"), "1", "0.1.0", "", "one thread", None)
        >>> time_spent([known, known]), time_spent([known, silent]), time_spent([silent])
        ('2 min 0 s', '1 min 0 s for 1 of 2 runs; not recorded for the others', 'not recorded')
    """
    known = [origin.seconds for origin in origins if origin.seconds is not None]
    if not known:
        return "not recorded"
    others = f" for {len(known)} of {len(origins)} runs; not recorded for the others"
    return f"{duration(sum(known))}{others if len(known) < len(origins) else ''}"


def said_commit(commit: str) -> str:
    """Say a commit.

    Args:
        commit: As of `Origin.commit`.

    Returns:
        Its first letters.

    Example:
        >>> said_commit("0123456789abcdef+"), said_commit("")
        ('0123456789 with changes', 'not recorded')
    """
    changed = " with changes" if commit.endswith("+") else ""
    return f"{commit[:10].rstrip('+')}{changed}" if commit else "not recorded"


def _kind(origin: Origin) -> str:
    torch = ".".join(dict(origin.versions).get("torch", UNKNOWN).split(".")[:2])
    return f"format {origin.record_format}, metaplastic {origin.version}, torch {torch}"


def _runs(count: int) -> str:
    return f"{count} run{'' if count == 1 else 's'}"


def _listed(origins: Sequence[Origin], most: int | None) -> str:
    shown = [str(origin.folder) for origin in origins[:most]]
    return ", ".join(shown) + (f" and {len(origins) - len(shown)} more" if len(origins) > len(shown) else "")


def read_origin(folder: Path) -> Origin:
    """Read where a record came from.

    Args:
        folder: Its folder.

    Returns:
        What it says.

    Raises:
        ValueError: When it says nothing of where it came from.
    """
    path, config = folder / "environment.json", folder / "config.json"
    try:
        environment = json.loads(path.read_text(encoding="utf-8"))
        number = json.loads(config.read_text(encoding="utf-8")).get("format", UNKNOWN) if config.exists() else 1
        versions = dict(environment.get("versions", {}))
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise ValueError(
            f"expected JSON in {path} and {config}, got {error}; put the files back, or run that panel again"
        ) from error
    lines = _metrics(folder / "metrics.jsonl")
    return Origin(
        folder,
        str(number),
        versions.get("metaplastic", UNKNOWN),
        environment.get("commit") or "",
        _machine(environment),
        _seconds(lines),
        tuple(versions.items()),
        _products(lines),
    )


def _machine(environment: dict[str, Any]) -> str:
    cores, threads = environment.get("cores"), environment.get("threads")
    said = [environment.get("cuda") or "", environment.get("processor") or environment.get("machine", UNKNOWN)]
    said += [f"{cores} cores" if cores else "", f"{threads} threads" if threads and threads > 1 else "one thread"]
    return ", ".join(words for words in said if words)


def _metrics(path: Path) -> list[dict[str, Any]]:
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith("\n")]


def _seconds(lines: Sequence[dict[str, Any]]) -> float | None:
    """Add up the seconds of epochs; those of networks trained at once were spent on all of them together."""
    members, seconds = 1, []
    for line in lines:
        members = line.get("engine", {}).get("members", members)
        seconds += [line["seconds"] / members] if "seconds" in line else []
    return sum(seconds) if seconds else None


def _products(lines: Sequence[dict[str, Any]]) -> str:
    engines = [line["engine"] for line in lines if line.get("engine", {}).get("integer_layers")]
    return " and ".join(dict.fromkeys(engine.get("products", "not recorded") for engine in engines))
