"""Pictures of a page: whole in themselves, with colours for light and dark, and laid out anew for a narrow screen."""

import itertools
import re
import xml.etree.ElementTree as ElementTree

import pytest

from metaplastic.report import accuracy_curves, final_bars, read_studies
from metaplastic.report.narrow import WIDTH, narrow
from metaplastic.report.style import GROUP_COLOURS, INK, SOFT, task_colours
from metaplastic.report.svg import DARK_PAGE, LEAST_CONTRAST, contrast, in_the_dark, svg, theme


@pytest.fixture
def bars(studies):
    (study,) = read_studies([studies / "fig2"])
    return final_bars(study.comparisons()[0])


def test_a_picture_is_a_labelled_element_that_needs_nothing_else(bars):
    picture = svg(bars, "one", 'Bars & "numbers" < 5')
    root = ElementTree.fromstring(picture)
    assert root.get("role") == "img"
    assert root.get("aria-label") == 'Bars & "numbers" < 5'
    assert "<text" not in picture
    assert re.findall(r"url\((?!#one-)", picture) == []
    references = re.findall(r'href="([^"]*)"', picture)
    assert references
    assert all(reference.startswith("#one-") for reference in references)


def test_names_within_a_picture_lead_somewhere_and_differ_from_those_of_another(bars):
    first, second = (svg(bars, prefix, "") for prefix in ("one", "two"))
    names = [re.findall(r'\bid="([^"]*)"', picture) for picture in (first, second)]
    assert not set(names[0]) & set(names[1])
    assert set(re.findall(r'(?:href="|url\()#([^")]*)', first)) <= set(names[0])


def test_the_same_figure_gives_the_same_picture(bars):
    assert svg(bars, "one", "") == svg(bars, "one", "")


def test_every_colour_of_a_picture_is_defined_by_its_theme(bars):
    picture = svg(bars, "one", "")
    used = set(re.findall(r"var\((--c\w{6})\)", picture))
    assert f"--c{INK[1:]}" in used
    assert not re.search(r"(fill|stroke): #", picture)
    for declarations in theme([picture]):
        assert set(re.findall(r"(--c\w{6}):#\w{6};", declarations)) == used


@pytest.mark.parametrize("tasks", [2, 6, 10])
def test_colours_in_the_dark_have_contrast_and_stay_different(tasks):
    ordered = ["#" + "".join(f"{round(255 * part):02x}" for part in colour[:3]) for colour in task_colours(tasks)]
    for colours in (ordered, list(GROUP_COLOURS[1:])):
        dark = [in_the_dark(colour) for colour in colours]
        assert all(contrast(colour, DARK_PAGE) >= LEAST_CONTRAST for colour in dark)
        assert len(set(dark)) == len(colours)
    assert contrast(in_the_dark(INK), DARK_PAGE) > 9
    assert contrast(in_the_dark(SOFT), DARK_PAGE) > 4.5
    assert in_the_dark("#ffffff") == DARK_PAGE


def test_contrast_is_that_of_the_standard():
    assert contrast("#777777", "#ffffff") == pytest.approx(4.478, abs=1e-3)  # the grey that just fails 4.5


def test_a_narrow_figure_has_its_panels_under_each_other(studies):
    (study,) = read_studies([studies / "fig2"])
    figure = accuracy_curves(study.comparisons()[0])
    heights = {round(panel.get_position().height * figure.get_figheight(), 6) for panel in figure.axes}
    narrow(figure)
    boxes = [panel.get_position() for panel in figure.axes]
    assert figure.get_figwidth() == WIDTH
    assert len({(box.x0, box.x1) for box in boxes}) == 1
    assert all(above.y0 > below.y1 for above, below in itertools.pairwise(boxes))
    assert 0 < boxes[-1].y0 < boxes[0].y1 < 1
    assert {round(box.height * figure.get_figheight(), 6) for box in boxes} == heights
    assert all(panel.get_ylabel() == "test accuracy (%)" for panel in figure.axes)


def test_names_that_do_not_fit_below_a_narrow_panel_are_broken_or_turned(bars):
    (panel,) = bars.axes
    narrow(bars)
    assert panel.get_xticklabels()[0].get_text() == "permutation\n1"
    panel.set_xticks(range(7), [f"permutation {task}" for task in range(7)])
    narrow(bars)
    assert {label.get_rotation() for label in panel.get_xticklabels()} == {90.0}
    panel.set_xticks(range(60), [f"permutation {task}" for task in range(60)])
    narrow(bars)
    assert panel.get_xticklabels()[59].get_text() == "permutation 59"
