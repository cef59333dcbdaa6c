"""Figures as SVG for a page: no font, file or script from outside, and colours that follow the page's theme."""

import html
import io
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from metaplastic.report.style import look

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DARK_PAGE, DARK_INK = "#15171b", "#e9e7e2"
"""Background and text of a page in the dark."""

LEAST_CONTRAST = 4.0
"""Contrast ratio that colours keep to the dark background; 3 is the least for graphics in WCAG 2.2."""

_PAINT = re.compile(r"((?:fill|stroke): )#([0-9a-f]{6})")
_PLACES = re.compile(r'(?: d| x| y)="[^"]*"')
_DECIMALS = re.compile(r"(\d\.\d\d)\d+")  # a hundredth of a point is enough for a line
_VARIABLE = re.compile(r"var\(--c([0-9a-f]{6})\)")
_GREY = 8  # channels that differ by no more than this make a grey


def svg(figure: "Figure", prefix: str, alternative: str) -> str:
    """Draw a figure as an SVG element for a page.

    Letters are drawn as outlines, so that no font is needed. Each colour is a CSS variable named after it, as
    `--c0072b2`, which the page defines with `theme`.

    Args:
        figure: A matplotlib figure.
        prefix: What its names begin with; different for every picture of a page.
        alternative: What a reader who does not see it is told.

    Returns:
        The element, the same for the same figure.

    Example:
        >>> from metaplastic.report.style import look
        >>> from matplotlib.figure import Figure
        >>> svg(Figure(figsize=(2, 1)), "a", "Nothing.")[:64]
        '<svg role="img" aria-label="Nothing." width="192" height="96" vi'
    """
    data = io.StringIO()
    with look() as settings:
        settings.update({"svg.fonttype": "path", "svg.hashsalt": "metaplastic"})
        figure.savefig(data, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = data.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    box = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', text)
    wide, high = (round(float(points) * 4 / 3) for points in (box.groups() if box else ("0", "0")))
    body = text[text.index(">") + 1 :]
    body = re.sub(r'\bid="', f'id="{prefix}-', body).replace('href="#', f'href="#{prefix}-')
    body = body.replace("url(#", f"url(#{prefix}-")
    body = _PAINT.sub(r"\1var(--c\2)", body)
    body = _PLACES.sub(lambda found: _DECIMALS.sub(r"\1", found[0]), body)
    view = f'viewBox="0 0 {wide * 3 / 4:g} {high * 3 / 4:g}" xmlns:xlink="http://www.w3.org/1999/xlink"'
    said = f'role="img" aria-label="{html.escape(alternative)}"'
    return f'<svg {said} width="{wide}" height="{high}" {view}>{body.strip()}'


def theme(pictures: Iterable[str]) -> tuple[str, str]:
    """Define the colours of pictures, for a page in the light and in the dark.

    Args:
        pictures: What `svg` returned.

    Returns:
        CSS declarations of both.

    Example:
        >>> theme(["<path style='fill: var(--cffffff)'/>"])
        ('--cffffff:#ffffff;', '--cffffff:#15171b;')
    """
    colours = sorted({colour for picture in pictures for colour in _VARIABLE.findall(picture)})
    light = "".join(f"--c{colour}:#{colour};" for colour in colours)
    return light, "".join(f"--c{colour}:{in_the_dark(f'#{colour}')};" for colour in colours)


def in_the_dark(colour: str) -> str:
    """Find the colour that stands for another one on the dark page.

    Greys change places: white is the page and black its ink. Others go towards white until they have the contrast.

    Args:
        colour: As `#0072b2`.

    Returns:
        In the same form.

    Example:
        >>> in_the_dark("#e69f00"), in_the_dark("#000000")
        ('#e69f00', '#e9e7e2')
    """
    channels = _channels(colour)
    if max(channels) - min(channels) <= _GREY:
        return _mixed(_channels(DARK_INK), _channels(DARK_PAGE), sum(channels) / (3 * 255))
    for twentieths in range(21):
        lighter = _mixed(channels, (255, 255, 255), twentieths / 20)
        if contrast(lighter, DARK_PAGE) >= LEAST_CONTRAST:
            return lighter
    return DARK_INK


def contrast(first: str, second: str) -> float:
    """Compute the contrast ratio of two colours.

    Args:
        first: As `#0072b2`.
        second: In the same form.

    Returns:
        From 1 to 21.

    Example:
        >>> contrast("#000000", "#ffffff")
        21.0

    References:
        W3C, Web Content Accessibility Guidelines 2.2, "contrast ratio".
    """
    low, high = sorted(map(_luminance, (first, second)))
    return (high + 0.05) / (low + 0.05)


def _luminance(colour: str) -> float:
    shares = [channel / 255 for channel in _channels(colour)]
    linear = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
    return sum(weight * value for weight, value in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def _channels(colour: str) -> tuple[int, ...]:
    return tuple(int(colour[place : place + 2], 16) for place in (1, 3, 5))


def _mixed(first: tuple[int, ...], second: tuple[int, ...], share: float) -> str:
    mixed = (round(one + share * (other - one)) for one, other in zip(first, second, strict=True))
    return "#" + "".join(f"{channel:02x}" for channel in mixed)
