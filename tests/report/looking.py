"""A page as a parser and as a browser see it."""

import html
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

VOID = {"meta", "link", "br"}
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
WIDTHS = (400, 1400)
HIGH, EDGE = 4000, 60
"""Height of the windows that are looked at, and how much larger the picture of both is, in pixels."""

SCREENSHOTS = Path(__file__).parents[2] / "build" / "screenshots"
"""Where the pictures of the windows are kept; git ignores it."""

MEASURE = """
const channels = colour => colour.match(/[\\d.]+/g).map(Number);
const light = colour => channels(colour).slice(0, 3).map(value => value / 255)
  .map(share => share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4)
  .reduce((sum, share, place) => sum + share * [0.2126, 0.7152, 0.0722][place], 0);
const contrast = (one, other) => {
  const [low, high] = [light(one), light(other)].sort((a, b) => a - b);
  return (high + 0.05) / (low + 0.05);
};
const written = root => [...root.querySelectorAll('body *:not(svg *)')].filter(
  element => element.getClientRects().length && [...element.childNodes].some(
    node => node.nodeType === 3 && node.textContent.trim()));
const look = frame => {
  const inside = frame.contentDocument, style = element => frame.contentWindow.getComputedStyle(element);
  const ground = style(inside.body).backgroundColor, words = written(inside);
  const pictures = [...inside.querySelectorAll('svg')].filter(picture => picture.getClientRects().length);
  return {
    width: Number(frame.width), needs: inside.documentElement.scrollWidth, ground: channels(ground),
    letters: Math.min(...words.map(element => parseFloat(style(element).fontSize))),
    contrast: Math.min(...words.map(element => contrast(style(element).color, ground))),
    pictures: pictures.length,
    shrunk: Math.min(...pictures.map(one => one.getBoundingClientRect().width / one.getAttribute('width'))),
  };
};
onload = () => { document.title = JSON.stringify([...document.querySelectorAll('iframe')].map(look)) }
"""
"""What is measured of a page in a window: its width, and the least size and contrast of its letters."""


class Tree(HTMLParser):
    """Elements of a page with their attributes; fails where they are not closed in order."""

    def __init__(self, text):
        super().__init__()
        self.open, self.elements, self.words = [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def find_browser() -> str:
    """Find Chromium; where there is none the test is skipped."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        pytest.skip("no Chromium on this machine")
    return browser


def looked_at(text: str, folder: Path, name: str, dark: bool = False) -> list[dict]:
    """Open a page in a narrow and a wide window of a browser, keep a picture, and see that its console is silent."""
    browser = find_browser()
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    picture = SCREENSHOTS / f"{name}.png"
    picture.unlink(missing_ok=True)
    frame = '<iframe width="{}" height="{}" srcdoc="{}"></iframe>'
    frames = "".join(frame.format(width, HIGH, html.escape(text)) for width in WIDTHS)
    around = folder / "windows.html"
    around.write_text(f"<!doctype html><title>not measured</title><script>{MEASURE}</script>{frames}")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    size = f"{sum(WIDTHS) + EDGE},{HIGH + EDGE}"
    options += [f"--user-data-dir={folder / 'browser'}", "--enable-logging=stderr", f"--window-size={size}"]
    options += [f"--screenshot={picture}", f"--blink-settings=preferredColorScheme={0 if dark else 1}"]
    command = [browser, *options, "--dump-dom", around.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    said = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    assert not said, f"expected a silent console, got {said}"
    require_pictured(picture)
    (title,) = re.findall(r"<title>(.*?)</title>", done.stdout[:2000])
    return json.loads(html.unescape(title))


def require_pictured(picture: Path) -> None:
    """See that a picture shows something in both windows, from their top to where a short page may end."""
    assert picture.exists(), f"expected a picture of the page at {picture}, got none"
    pixels = np.asarray(Image.open(picture).convert("L"), dtype=int)
    assert pixels.shape == (HIGH + EDGE, sum(WIDTHS) + EDGE)
    begin = EDGE // 2
    for width in WIDTHS:
        for top in range(0, HIGH // 2, HIGH // 4):
            window = pixels[top + begin : top + HIGH // 4, begin : begin + width - EDGE]
            ground = np.bincount(window.ravel()).argmax()
            written = (abs(window - ground) > 60).mean()
            assert written > 0.002, f"expected words and pictures in {picture}, {width} wide, got {written:.2%} of ink"
        begin += width
