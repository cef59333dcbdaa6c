"""The page of the paper: one file, whole in itself, that says where everything came from."""

import html
import json
import re
import shutil

import pytest

from metaplastic.cli import main
from metaplastic.experiments import DEVIATIONS, STUDIES, claim
from metaplastic.report import paper_figures, paper_report, read_studies
from metaplastic.report.page import Shown
from metaplastic.report.paper_page import paper_page

from .conftest import PANELS
from .looking import Tree, looked_at


@pytest.fixture(scope="module")
def written(studies, tmp_path_factory):
    out = tmp_path_factory.mktemp("paper")
    return out, paper_report([studies / name for name in PANELS], out)


@pytest.fixture(scope="module")
def text(written):
    return (written[0] / "paper.html").read_text()


def test_every_figure_is_a_file_and_on_the_page(written, text, studies):
    out, paths = written
    keys = [path.stem for path in paths[:-1]]
    assert [path.name for path in out.iterdir() if path.suffix == ".png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths[:-1])
    figures = [attributes["id"] for tag, attributes in Tree(text).elements if tag == "figure"]
    assert figures == keys
    expected = [
        f"{study.key}-{figure.name}"
        for study in read_studies([studies / name for name in PANELS])
        for figure in paper_figures(study)
    ]
    assert keys == expected
    assert len(set(keys)) == 14


def test_the_page_needs_no_other_file_and_no_network(text):
    tree = Tree(text)
    assert {tag for tag, _ in tree.elements} & {"script", "img", "iframe", "object", "use-font"} == set()
    for tag, attributes in tree.elements:
        for name in ("src", "href", "xlink:href"):
            assert attributes.get(name, "#").startswith(("#", "data:")), (tag, attributes)
    assert "@import" not in text
    assert "@font-face" not in text
    assert set(re.findall(r"url\((.)", text)) <= {"#"}
    assert set(re.findall(r"https?://[^\"' <]+", text)) == {"http://www.w3.org/1999/xlink"}


def test_the_name_of_a_folder_is_no_markup(studies, tmp_path):
    shutil.copytree(studies / "fig6ab", tmp_path / "fig6ab")
    (tmp_path / "fig6ab" / "a").rename(tmp_path / "fig6ab" / 'a"><img src=x>')
    paper_report([tmp_path / "fig6ab"], tmp_path / "out")
    assert not [tag for tag, _ in Tree((tmp_path / "out" / "paper.html").read_text()).elements if tag == "img"]


def test_names_are_there_once_and_links_lead_to_them(text):
    tree = Tree(text)
    names = [attributes["id"] for _, attributes in tree.elements if "id" in attributes]
    assert len(set(names)) == len(names)
    links = {attributes["href"][1:] for tag, attributes in tree.elements if tag == "a"}
    assert links
    assert links <= set(names)


def test_every_picture_has_a_text_with_its_numbers(text):
    pictures = [attributes for tag, attributes in Tree(text).elements if tag == "svg"]
    assert len(pictures) == 28
    assert all(picture["role"] == "img" and len(picture["aria-label"]) > 60 for picture in pictures)
    assert all(re.search(r"\d\.\d", picture["aria-label"]) for picture in pictures)


def test_a_study_says_its_claim_origin_command_and_cautions(text, studies):
    (section,) = re.findall(r'<section id="fig4ab-laptop".*?</section>', text, re.DOTALL)
    said = " ".join("".join(Tree(section).words).split())
    environment = json.loads((studies / "fig4ab" / "a" / "seed0" / "environment.json").read_text())
    assert claim("fig4ab").removeprefix("Claim").replace("`", "") in said
    assert "metaplastic run fig4ab --size laptop --seeds 2 --panels a b" in said
    assert f"metaplastic {environment['versions']['metaplastic']}" in said
    assert (environment["commit"] or "not recorded")[:10] in said
    assert f"{environment['cores']} cores" in said
    assert "2: 0, 1" in said
    assert "fewer than 5 seeds (2): differences may be chance" in said
    assert "Panels not run" in said
    assert "tuned, frozen, unannounced-plain, unannounced" in said


def test_the_table_of_methods_says_what_five_seeds_can_show(text):
    (section,) = re.findall(r'<section id="table1-laptop".*?</section>', text, re.DOTALL)
    assert "with 5 seeds 1/16 = 0.0625" in section
    assert re.search(r"<th[^>]*>minus ewc</th>", section)


def test_what_all_studies_differ_in_is_said_above_their_claims(text):
    words = " ".join(" ".join(Tree(text).words).split())
    assert 0 < words.index(DEVIATIONS) < words.index("Deviations: those of all studies.")


def test_studies_without_records_are_listed_with_their_command(text):
    (section,) = re.findall(r'<section id="not-run".*?</section>', text, re.DOTALL)
    words = " ".join(Tree(section).words)
    for name in STUDIES:
        assert (f" {name} " in " ".join(words.split())) == (name not in PANELS)


def test_the_same_records_give_the_same_page(studies, tmp_path):
    first, second = (paper_report([studies / "fig6ab"], tmp_path / name) for name in ("first", "second"))
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_what_is_written_on_the_page_is_escaped(studies):
    (study,) = read_studies([studies / "fig6ab"])
    hostile = "<script>alert('1')</script> & \"more\""
    shown = Shown("key", hostile, "<svg></svg>", "<svg></svg>", [[hostile], [hostile]], (hostile,))
    text = paper_page([(study, [shown])])
    assert "<script" not in text
    assert html.escape(hostile) in text
    Tree(text)


def test_nothing_is_written_when_a_folder_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"expected the folder of a study"):
        paper_report([tmp_path / "nowhere"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_one_command_writes_the_page(studies, tmp_path, capsys):
    main(["report", "--paper", f"mine={studies / 'fig6ab'}", "--out", str(tmp_path / "out")])
    said = capsys.readouterr().out.splitlines()
    assert said[-1] == str(tmp_path / "out" / "paper.html")
    assert "fig6ab laptop mine" in (tmp_path / "out" / "paper.html").read_text()


def test_the_page_fits_narrow_and_wide_windows_without_an_error(text, tmp_path):
    for seen in looked_at(text, tmp_path, "paper"):
        assert seen["needs"] == seen["width"]
