"""What is said of the estimator beside scikit-learn's classes, against the records."""

import json
import re
import statistics
from pathlib import Path

import pytest

from metaplastic import MetaplasticClassifier

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "results"
ROWS = [
    (data, kind)
    for kind in ("permuted", "split")
    for data in ("digits", "mnist", "fashion-mnist", "usps", "emnist-letters")
]


def finals(folder, row, method="MetaplasticClassifier"):
    """Mean accuracy in % over the tasks at the end, by seed."""
    found = [json.loads(path.read_text()) for path in (RESULTS / folder).glob(f"{row[0]}-{row[1]}-*.json")]
    return {one["seed"]: 100 * statistics.mean(one["accuracy"][-1]) for one in found if one["method"] == method}


def test_m_was_chosen_on_samples_that_were_held_out_and_is_the_default():
    means = {}
    lines = (RESULTS / "estimator-tuning" / "report.md").read_text().splitlines()
    for m in (2.5, 5, 10, 20, 40):
        by_row = [finals(f"estimator-tuning/m{m}", row) for row in ROWS]
        assert all(set(seeds) == {100, 101} for seeds in by_row)
        numbers = [statistics.mean(seeds.values()) for seeds in by_row]
        means[m] = statistics.mean(numbers)
        (line,) = (line for line in lines if line.startswith(f"| {m} |"))
        cells = [float(cell) for cell in re.findall(r"\d+\.\d", line.split("|", 2)[2])]
        assert cells == pytest.approx([*numbers, means[m]], abs=0.0501)
    assert max(means, key=means.get) == MetaplasticClassifier().metaplasticity
    for path in (RESULTS / "estimator-tuning").glob("*/*.json"):
        assert json.loads(path.read_text())["held_out"] == 0.2


def test_where_it_ends_higher_than_both_in_the_mean_and_in_every_seed():
    mean, every = 0, 0
    for row in ROWS:
        ours, *others = (
            finals("estimator", row, method) for method in ("MetaplasticClassifier", "SGDClassifier", "MLPClassifier")
        )
        assert len(ours) == 5
        mean += all(statistics.mean(ours.values()) > statistics.mean(other.values()) for other in others)
        every += all(ours[seed] > other[seed] for other in others for seed in ours)
    assert (mean, every) == (7, 5)
    readme = " ".join((ROOT / "README.md").read_text().split())
    assert "ends higher than both in seven, in five of them in every seed" in readme
