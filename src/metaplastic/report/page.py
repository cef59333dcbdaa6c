"""The page of the paper's figures: one file that needs no other, and no network."""

import html
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from metaplastic.experiments import STUDIES, claim, description
from metaplastic.report.origins import duration
from metaplastic.report.page_style import style_sheet
from metaplastic.report.paper_figure import Table
from metaplastic.report.studies import StudyRecord
from metaplastic.report.svg import theme

_TITLE = "Synaptic metaplasticity in binarized neural networks: the figures, run again"
_OPEN_ROWS = 12  # longer tables are folded
_NUMBER = re.compile(r"[-+\u2212]?\d[\d,.]*(e[-+]?\d+)?( \u00b1 .+)?|-")


@dataclass(frozen=True)
class Shown:
    """A figure as the page shows it.

    Args:
        key: Its name, different for every figure of the page; letters, digits, `-`, `.` and `_`.
        title: What it shows.
        wide: The picture as an SVG element.
        narrow: The same for a narrow screen.
        table: Its numbers, a header first.
        notes: What the numbers are of, as sentences.
    """

    key: str
    title: str
    wide: str
    narrow: str
    table: Table
    notes: tuple[str, ...] = ()


def page(studies: Sequence[tuple[StudyRecord, Sequence[Shown]]]) -> str:
    """Write the page.

    Args:
        studies: What was carried out, with its figures, in the order of the page.

    Returns:
        HTML, the same for the same records. Every study of the package is in it; those that are not among `studies`
        are listed as not run.
    """
    pictures = [picture for _, shown in studies for one in shown for picture in (one.wide, one.narrow)]
    done = [study for study, shown in studies if shown]
    body = [_header(done), "<main id='figures'>", *(_study(study, shown) for study, shown in studies if shown)]
    names = {study.name for study in done}
    absent = [name for name in STUDIES if name not in names]
    body += [_absent(absent) if absent else "", "</main>", _footer(studies)]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n<link rel="icon" href="data:,">\n'
        f"<title>{_TITLE}</title>\n<style>{style_sheet(*theme(pictures))}</style>\n</head>\n<body>\n"
        + "\n".join(part for part in body if part)
        + "\n</body>\n</html>\n"
    )


def _header(done: Sequence[StudyRecord]) -> str:
    links = [f'<li><a href="#{study.key}">{_text(_heading(study))}</a></li>' for study in done]
    links += ['<li><a href="#not-run">not run</a></li>'] if {study.name for study in done} != set(STUDIES) else []
    return (
        '<a class="skip" href="#figures">Skip to the figures</a>\n<header>\n'
        f"<h1>{_TITLE}</h1>\n"
        '<p class="lead">The figures and tables of Laborieux et al. 2021, Nature Communications 12:2549, from records '
        "of our own runs. A claim says what a study is to show; picture and table say what came out.</p>\n"
        f'<nav aria-label="Studies"><ul class="contents">{"".join(links)}</ul></nav>\n</header>'
    )


def _study(study: StudyRecord, shown: Sequence[Shown]) -> str:
    parts = [
        f'<section id="{study.key}" aria-labelledby="{study.key}-title">',
        f'<p class="kicker">{_text(_heading(study))}</p>',
        f'<h2 id="{study.key}-title">{_text(description(study.name).rstrip("."))}</h2>',
        _claim(study.name),
        _facts(study),
        _cautions(study.cautions()),
        *map(_figure, shown),
        "</section>",
    ]
    return "\n".join(part for part in parts if part)


def _heading(study: StudyRecord) -> str:
    return " ".join(part for part in (study.name, study.size.value, study.label) if part)


def _claim(name: str) -> str:
    said = claim(name).removeprefix("Claim").removeprefix(":")
    return f'<p class="claim"><b>Claim</b> {_text(said.strip())}</p>' if said else ""


def _facts(study: StudyRecord) -> str:
    facts = {
        "Size": study.size.value,
        "Seeds": f"{len(study.seeds)}: {', '.join(map(str, study.seeds))}" if study.seeds else "one published draw",
        "Training and tests": duration(study.seconds) if study.seconds else "not recorded",
        "Package": _each(f"metaplastic {origin.version}" for origin in study.origins),
        "Commit": _each(map(_commit, (origin.commit for origin in study.origins))),
        "Machine": _each(origin.machine for origin in study.origins),
    }
    cells = [f"<div><dt>{name}</dt><dd>{_text(value)}</dd></div>" for name, value in facts.items()]
    whole = {"Command": _command(study.command), "Panels not run": _text(", ".join(study.missing))}
    cells += [f'<div class="full"><dt>{name}</dt><dd>{value}</dd></div>' for name, value in whole.items() if value]
    return f'<dl class="facts">{"".join(cells)}</dl>'


def _command(command: str) -> str:
    """Show a command so that no line breaks within a word, not even after the hyphens of an option."""
    words = (f"<span>{html.escape(word)}</span>" for word in command.split())
    return f'<code class="command">{" ".join(words)}</code>'


def _commit(commit: str) -> str:
    changed = " with changes" if commit.endswith("+") else ""
    return f"{commit[:10].rstrip('+')}{changed}" if commit else "not recorded"


def _each(values: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(values))


def _cautions(said: Sequence[str]) -> str:
    if not said:
        return ""
    items = "".join(f"<li>{_text(text)}.</li>" for text in said)
    return f'<div class="caution"><b>Caution</b><ul>{items}</ul></div>'


def _figure(shown: Shown) -> str:
    captions = "".join(f"<p>{_text(note)}</p>" for note in shown.notes)
    return (
        f'<figure id="{shown.key}" aria-labelledby="{shown.key}-title">\n'
        f'<h3 class="unseen" id="{shown.key}-title">{_text(shown.title)}</h3>\n'
        f'<div class="wide">{shown.wide}</div>\n<div class="narrow">{shown.narrow}</div>\n'
        f"{_folded(shown)}\n<figcaption>{captions}</figcaption>\n</figure>"
    )


def _folded(shown: Shown) -> str:
    how = " open" if len(shown.table) <= _OPEN_ROWS + 1 else ""
    return (
        f"<details{how}><summary>Numbers</summary>"
        f'<div class="scroll" tabindex="0" role="region" aria-label="Numbers: {_text(shown.title)}">'
        f"{_table(shown.table)}</div></details>"
    )


def _table(table: Table) -> str:
    header, *body = table
    numeric = [all(_NUMBER.fullmatch(row[place]) for row in body) for place in range(len(header))]
    kinds = [' class="n"' if is_number else ' class="words"' for is_number in numeric]
    head = "".join(f'<th scope="col"{kind}>{_text(cell)}</th>' for cell, kind in zip(header, kinds, strict=True))
    rows = "".join(
        f'<tr><th scope="row">{_text(row[0])}</th>'
        + "".join(f"<td{kind}>{_text(cell)}</td>" for cell, kind in zip(row[1:], kinds[1:], strict=True))
        + "</tr>"
        for row in body
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def _absent(names: Sequence[str]) -> str:
    items = "".join(
        f"<li><b>{_text(name)}</b> {_text(description(name))} {_command(f'metaplastic run {name}')}</li>"
        for name in names
    )
    return (
        '<section id="not-run" aria-labelledby="not-run-title">\n<h2 id="not-run-title">Not run</h2>\n'
        f'<p>No record of these was given.</p>\n<ul class="absent">{items}</ul>\n</section>'
    )


def _footer(studies: Sequence[tuple[StudyRecord, Sequence[Shown]]]) -> str:
    versions = _each(f"metaplastic {origin.version}" for study, _ in studies for origin in study.origins)
    return f"<footer><p>Records made by {_text(versions)}. This file needs no other and no network.</p></footer>"


def _text(words: str) -> str:
    """Escape words; what stands between backticks is code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(words))
