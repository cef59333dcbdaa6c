"""What the tests of pages look with sees what is not there."""

import numpy as np
import pytest
from PIL import Image

from . import looking


def test_without_a_browser_the_test_is_skipped(monkeypatch):
    monkeypatch.setattr(looking, "BROWSERS", ("no-such-browser",))
    with pytest.raises(pytest.skip.Exception, match=r"no Chromium on this machine"):
        looking.find_browser()


@pytest.mark.parametrize("blank", ["both", "narrow", "wide"])
def test_a_picture_with_a_blank_window_is_seen(blank, tmp_path):
    pixels = np.full((looking.HIGH + looking.EDGE, sum(looking.WIDTHS) + looking.EDGE), 255, dtype=np.uint8)
    edge = looking.WIDTHS[0] + looking.EDGE // 2
    if blank != "both":
        pixels[::20, slice(edge, None) if blank == "narrow" else slice(edge)] = 0
    Image.fromarray(pixels).save(tmp_path / "page.png")
    with pytest.raises(AssertionError, match=r"expected words and pictures in .*page.png, .*got 0.00% of ink"):
        looking.require_pictured(tmp_path / "page.png")


def test_a_picture_that_was_not_taken_is_seen(tmp_path):
    with pytest.raises(AssertionError, match=r"expected a picture of the page at .*page.png, got none"):
        looking.require_pictured(tmp_path / "page.png")


def test_a_message_in_the_console_is_seen(tmp_path, monkeypatch):
    monkeypatch.setattr(looking, "SCREENSHOTS", tmp_path)
    page = "<!doctype html><title>loud</title><p>words</p><script>console.error('broken')</script>"
    with pytest.raises(AssertionError, match=r"broken"):
        looking.looked_at(page, tmp_path, "loud")
