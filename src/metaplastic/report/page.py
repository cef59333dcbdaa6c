"""The one template of pages: a file that needs no other and no network, in light and dark, narrow and wide."""

import html
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from metaplastic.report.page_style import style_sheet
from metaplastic.report.svg import theme

Table = list[list[str]]
"""A header, then rows, all of one length."""

_OPEN_ROWS = 12  # longer tables are folded
_OPEN_COMMANDS = 3  # more are folded
_NUMBER = re.compile(r"[-+\u2212]?\d[\d,.]*(e[-+]?\d+)?( [kMG]?B)?( \u00b1 .+)?|-")


@dataclass(frozen=True)
class Shown:
    """A figure as a page shows it.

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


@dataclass(frozen=True)
class Section:
    """A part of a page.

    Args:
        key: Its name, different for every section of the page.
        mark: Its short name, for the list of contents too.
        title: What it is about.
        claim: What it is to show; empty where nothing is claimed.
        facts: Where its numbers came from, name to short value.
        remarks: What is shown in whole lines below the facts, name to text.
        commands: The same, name to commands.
        cautions: What to be careful about, sentences without their full stop.
        shown: Its figures.
    """

    key: str
    mark: str
    title: str
    claim: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)
    remarks: Mapping[str, str] = field(default_factory=dict)
    commands: Mapping[str, Sequence[str]] = field(default_factory=dict)
    cautions: Sequence[str] = ()
    shown: Sequence[Shown] = ()


def identifier(name: str) -> str:
    """Make the name of an element of a name that may be anything, as that of a folder.

    Args:
        name: Any text.

    Returns:
        The same with `-` in the place of what is no letter, digit, `-`, `.` or `_`.

    Example:
        >>> identifier('fig6ab-"><b>')
        'fig6ab----b-'
    """
    return re.sub(r"[^\w.-]", "-", name)


def page(title: str, lead: str, sections: Sequence[Section], rest: Section | None = None, footer: str = "") -> str:
    """Write a page.

    Args:
        title: Its heading.
        lead: What it is, in a few sentences below.
        sections: Its parts, in order.
        rest: A last part in words, whose commands are a list.
        footer: What stands at the foot; that the page needs nothing else is added.

    Returns:
        HTML, the same for the same values.
    """
    shown = [one for section in sections for one in section.shown]
    styles = style_sheet(*theme(picture for one in shown for picture in (one.wide, one.narrow)))
    parts = [_header(title, lead, [*sections, *([rest] if rest else [])]), "<main id='figures'>"]
    parts += [*map(_section, sections), _rest(rest) if rest else "", "</main>"]
    parts.append(f"<footer><p>{text(footer)} This file needs no other and no network.</p></footer>")
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n<link rel="icon" href="data:,">\n'
        f"<title>{text(title)}</title>\n<style>{styles}</style>\n</head>\n<body>\n"
        + "\n".join(part for part in parts if part)
        + "\n</body>\n</html>\n"
    )


def _header(title: str, lead: str, sections: Sequence[Section]) -> str:
    links = "".join(f'<li><a href="#{section.key}">{text(section.mark)}</a></li>' for section in sections)
    return (
        '<a class="skip" href="#figures">Skip to the figures</a>\n<header>\n'
        f'<h1>{text(title)}</h1>\n<p class="lead">{text(lead)}</p>\n'
        f'<nav aria-label="Contents"><ul class="contents">{links}</ul></nav>\n</header>'
    )


def _section(section: Section) -> str:
    claim = f'<p class="claim"><b>Claim</b> {text(section.claim)}</p>' if section.claim else ""
    parts = [
        f'<section id="{section.key}" aria-labelledby="{section.key}-title">',
        f'<p class="kicker">{text(section.mark)}</p>',
        f'<h2 id="{section.key}-title">{text(section.title)}</h2>',
        claim,
        _facts(section),
        _cautions(section.cautions),
        *map(_figure, section.shown),
        "</section>",
    ]
    return "\n".join(part for part in parts if part)


def _facts(section: Section) -> str:
    cells = [f"<div><dt>{text(name)}</dt><dd>{text(value)}</dd></div>" for name, value in section.facts.items()]
    cells += [_line(name, text(words)) for name, words in section.remarks.items() if words]
    commands = [_line(name, "<br>".join(map(command, lines))) for name, lines in section.commands.items()]
    if len(commands) <= _OPEN_COMMANDS:
        return _list(cells + commands)
    return f'{_list(cells)}\n<details class="more"><summary>Commands</summary>{_list(commands)}</details>'


def _line(name: str, value: str) -> str:
    return f'<div class="full"><dt>{text(name)}</dt><dd>{value}</dd></div>'


def _list(cells: Sequence[str]) -> str:
    return f'<dl class="facts">{"".join(cells)}</dl>' if cells else ""


def _cautions(said: Sequence[str]) -> str:
    if not said:
        return ""
    items = "".join(f"<li>{text(words)}.</li>" for words in said)
    return f'<div class="caution"><b>Caution</b><ul>{items}</ul></div>'


def _figure(shown: Shown) -> str:
    captions = "".join(f"<p>{text(note)}</p>" for note in shown.notes)
    return (
        f'<figure id="{shown.key}" aria-labelledby="{shown.key}-title">\n'
        f'<h3 class="unseen" id="{shown.key}-title">{text(shown.title)}</h3>\n'
        f'<div class="wide">{shown.wide}</div>\n<div class="narrow">{shown.narrow}</div>\n'
        f"{_folded(shown)}\n<figcaption>{captions}</figcaption>\n</figure>"
    )


def _folded(shown: Shown) -> str:
    how = " open" if len(shown.table) <= _OPEN_ROWS + 1 else ""
    return (
        f"<details{how}><summary>Numbers</summary>"
        f'<div class="scroll" tabindex="0" role="region" aria-label="Numbers: {text(shown.title)}">'
        f"{_table(shown.table)}</div></details>"
    )


def _table(table: Table) -> str:
    header, *body = table
    numeric = [all(_NUMBER.fullmatch(row[place]) for row in body) for place in range(len(header))]
    kinds = [' class="n"' if is_number else ' class="words"' for is_number in numeric]
    head = "".join(f'<th scope="col"{kind}>{text(cell)}</th>' for cell, kind in zip(header, kinds, strict=True))
    rows = "".join(
        f'<tr><th scope="row">{text(row[0])}</th>'
        + "".join(f"<td{kind}>{text(cell)}</td>" for cell, kind in zip(row[1:], kinds[1:], strict=True))
        + "</tr>"
        for row in body
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def _rest(section: Section) -> str:
    items = "".join(
        f"<li><b>{text(name)}</b> {text(section.remarks[name])} {' '.join(map(command, lines))}</li>"
        for name, lines in section.commands.items()
    )
    return (
        f'<section id="{section.key}" aria-labelledby="{section.key}-title">\n'
        f'<h2 id="{section.key}-title">{text(section.title)}</h2>\n'
        f'<p>{text(section.claim)}</p>\n<ul class="absent">{items}</ul>\n</section>'
    )


def each(values: Iterable[str]) -> str:
    """List values, each once.

    Args:
        values: Words.

    Returns:
        Those that differ, in their order.
    """
    return "; ".join(dict.fromkeys(values))


def command(words: str) -> str:
    """Show a command so that no line breaks within a word, not even after the hyphens of an option.

    Args:
        words: The command.

    Returns:
        HTML.
    """
    parts = (f"<span>{html.escape(word)}</span>" for word in words.split())
    return f'<code class="command">{" ".join(parts)}</code>'


def text(words: str) -> str:
    """Escape words; what stands between backticks is code.

    Args:
        words: Plain text.

    Returns:
        HTML.
    """
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(words))
