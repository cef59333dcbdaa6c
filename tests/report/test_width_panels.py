"""What is drawn by width is what the records say, in the panels of the paper."""

import json

import numpy as np
import pytest
from matplotlib.colors import to_rgba

from metaplastic.experiments import Record, study
from metaplastic.report import capacity_curves, paper_figures, read_studies, width_curves
from metaplastic.report.table import NOTHING

from .made_up import SAMPLES, forgetting, made_up_study

SEEDS = (0, 1)
WIDTH = ("running-512", "running-2048", "running-no-decay-512", "running-no-decay-2048")


@pytest.fixture(scope="module")
def width(tmp_path_factory):
    return made_up_study("width", tmp_path_factory.mktemp("width") / "width", forgetting, SEEDS, WIDTH)


@pytest.fixture(scope="module")
def fig3(tmp_path_factory):
    return made_up_study("fig3", tmp_path_factory.mktemp("fig3") / "fig3", forgetting, SEEDS)


def drawn(folder):
    """The one comparison of a study."""
    (found,) = read_studies([folder])[0].comparisons()
    return found


def figures(folder):
    return {figure.name: figure for figure in paper_figures(*read_studies([folder]))}


def mean(folders, value) -> float:
    return float(np.mean([value(Record(folder / f"seed{seed}")) for folder in folders for seed in SEEDS]))


def curve(folder, test, since=0):
    """Epochs of the whole sequence to accuracy in per cent on a test, mean over the seeds, counted from the files."""
    found = {}
    for seed in SEEDS:
        untrained = (folder / f"seed{seed}" / "accuracy.csv").read_text().splitlines()[1].split(",")
        found.setdefault(0, []).append(100 * float(untrained[1 + test]))
        for text in (folder / f"seed{seed}" / "metrics.jsonl").read_text().splitlines():
            said = json.loads(text)
            if said["correct"]:
                found.setdefault(15 * said["task"] + said["epoch"] + 1, []).append(
                    said["correct"][test] * 100 / SAMPLES
                )
    return {epochs: np.mean(values) for epochs, values in found.items() if epochs >= since}


def test_curves_by_width_are_those_of_the_first_task_and_of_the_last_from_where_it_begins(width):
    figure = width_curves(drawn(width))
    assert [panel.get_title(loc="left") for panel in figure.axes] == ["running", "running-no-decay"]
    colours = []
    for panel in figure.axes:
        narrow, wide = (width / f"{panel.get_title(loc='left')}-{units}" for units in (512, 2048))
        lines = [line for line in panel.lines if len(line.get_xdata()) > 2]
        expected = [curve(narrow, 0), curve(narrow, 1, since=15), curve(wide, 0), curve(wide, 1, since=15)]
        assert len(expected[0]) == 11
        for line, points in zip(lines, expected, strict=True):
            assert line.get_xdata().tolist() == list(points)
            assert line.get_ydata().tolist() == pytest.approx(list(points.values()))
        assert [line.get_linestyle() for line in lines[::2]] == ["-", "-"]
        assert "-" not in [line.get_linestyle() for line in lines[1::2]]
        colours.append([to_rgba(line.get_color()) for line in lines])
    assert colours[0] == colours[1]
    assert colours[0][0] == colours[0][1] != colours[0][2] == colours[0][3]


def test_the_page_of_widths_has_curves_and_says_what_is_left_of_the_first_task(width):
    found = figures(width)
    assert list(found) == ["curves", "width"]
    header, *body = found["curves"].table
    assert header == ["panel", "first task, just learned", "first task, at the end", "last task"]
    assert [row[0] for row in body] == [name for name in study("width").panels if name in WIDTH]
    for name, *cells in body:
        places = ((0, 0), (1, 0), (1, 1))
        means = [100 * mean([width / name], lambda one, at=at: one.accuracy().accuracy[at]) for at in places]
        assert [cell.split(" ")[0] for cell in cells] == [f"{value:.1f}" for value in means]
        assert f"{name}: {cells[0]}, {cells[1]}" in found["curves"].alternative


def test_accuracy_by_statistics_taken_anew_stands_beside_that_by_kept_ones(tmp_path):
    folder = made_up_study("width-decay", tmp_path / "w", forgetting, SEEDS, ("decay-512", "decay-1024", "uniform-512"))
    before = figures(folder)["width"]
    for seed, shares in zip(SEEDS, ([0.5, 0.7], [0.7, 0.7]), strict=True):
        path = folder / "decay-1024" / f"seed{seed}" / "fresh_statistics.json"
        path.write_text(json.dumps({"kept": [0.1, 0.2], "fresh": shares}))
    found = figures(folder)["width"]
    assert found.table == [*before.table, ["decay, statistics taken anew", NOTHING, "65.0 ± 63.5"]]
    assert f"decay, statistics taken anew: {NOTHING}, 65.0 ± 63.5" in found.alternative
    (dashed,) = (line for line in found.figure.axes[0].lines if line.get_linestyle() == "--")
    assert dashed.get_xdata().tolist() == [1024]
    assert dashed.get_ydata().tolist() == pytest.approx([65.0])
    assert "Dashed: statistics taken" in found.figure.texts[-1].get_text()
    (folder / "decay-1024" / "seed1" / "fresh_statistics.json").unlink()
    some = "Statistics were taken anew of some seeds only: decay-1024 (1 of 2 seeds)."
    assert some in figures(folder)["width"].notes
    assert some not in found.notes
    assert "Dashed" not in before.figure.texts[-1].get_text()


def test_widths_without_metrics_are_named_or_have_no_curves(tmp_path):
    folder = made_up_study("width", tmp_path / "width", forgetting, SEEDS, WIDTH[:2])
    (folder / "running-512" / "seed1" / "metrics.jsonl").unlink()
    reason = "Without curves, because runs have no accuracy during training in metrics.jsonl: running-512 (1 of 2 runs)"
    curves = figures(folder)["curves"]
    assert f"{reason}." in curves.notes
    assert [row[0] for row in curves.table[1:]] == ["running-2048"]
    assert curves.figure.texts[-1].get_text().endswith("Without curves: running-512.")
    for path in folder.glob("*/*/metrics.jsonl"):
        path.unlink()
    found = figures(folder)
    assert list(found) == ["width"]
    assert [note for note in found["width"].notes if note.startswith("Without curves") and "(2 of 2 runs)" in note]
    with pytest.raises(ValueError, match=r"expected accuracy during training .*, got none"):
        width_curves(drawn(folder))


def test_panels_of_figure_3_come_in_the_order_of_the_paper_with_the_mean_over_the_tasks_so_far(fig3):
    found = figures(fig3)
    assert list(found) == ["tasks", "width"]
    kinds = {
        "a: metaplastic, in sequence": "metaplastic",
        "b: EWC, in sequence": "ewc",
        "c: plain, interleaved": "interleaved",
        "d: metaplastic, interleaved": "interleaved-metaplastic",
        "frozen synapses, in sequence": "frozen",
    }
    panels = found["tasks"].figure.axes
    assert [panel.get_title(loc="left") for panel in panels] == list(kinds)
    for panel, kind in zip(panels, kinds.values(), strict=True):
        for line, wide in zip(panel.lines, (64, 128, 256, 512), strict=True):
            runs = [Record(fig3 / f"{kind}-{wide}" / f"seed{seed}").accuracy().accuracy for seed in SEEDS]
            if kind.startswith("interleaved"):
                expected = [100 * np.mean([run[0].mean() for run in runs])] * 2
            else:
                expected = [100 * np.mean([run[stage, : stage + 1].mean() for run in runs]) for stage in range(10)]
                assert line.get_xdata().tolist() == list(range(1, 11))
            assert line.get_ydata().tolist() == pytest.approx(expected)
        assert panel.get_xlabel() == ("all 10 tasks at once" if kind.startswith("interleaved") else "tasks learned")


def test_the_table_of_figure_3_holds_what_is_drawn(fig3):
    in_sequence = ("2", "4", "6", "8", "10")
    header, *body = figures(fig3)["tasks"].table
    assert header == ["panel", "tasks learned", *(f"width {wide}" for wide in (64, 128, 256, 512))]
    assert [row[1] for row in body] == [*in_sequence * 2, "10", "10", *in_sequence]
    lines = capacity_curves(drawn(fig3)).axes[0].lines
    assert [cell.split(" ")[0] for cell in body[1][2:]] == [f"{line.get_ydata()[3]:.1f}" for line in lines]
