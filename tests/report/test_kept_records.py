"""The page that the records under `results/` make."""

import json
from pathlib import Path

from metaplastic.experiments import STUDIES
from metaplastic.report import paper_report

from .looking import Tree, looked_at

RESULTS = Path(__file__).parents[2] / "results"


def test_our_own_records_make_a_page_that_opens(tmp_path):
    paper_report([RESULTS], tmp_path)
    text = (tmp_path / "paper.html").read_text()
    sections = {attributes.get("id") for tag, attributes in Tree(text).elements if tag == "section"}
    marks = [json.loads(path.read_text()) for path in RESULTS.glob("*/study.json")]
    assert len({mark["study"] for mark in marks} & set(STUDIES)) >= 15
    assert {f"{mark['study']}-{mark['size']}" for mark in marks} <= sections
    for seen in looked_at(text, tmp_path, "records"):
        assert seen["needs"] <= seen["width"]
        assert seen["pictures"] > 30
