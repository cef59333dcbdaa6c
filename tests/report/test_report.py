"""Tables and figures say what the records say."""

import shutil
import statistics
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from metaplastic.cli import main
from metaplastic.evaluation import summary
from metaplastic.experiments import Record, run
from metaplastic.nn import NormPolicy, Statistics
from metaplastic.optim import TanhSquared
from metaplastic.report import (
    accuracy_curves,
    compare,
    compare_each,
    consolidation_curves,
    final_bars,
    groups,
    markdown,
    paper_report,
    report,
)
from metaplastic.report.runs_page import run_figures
from metaplastic.report.table import rows

from .conftest import small


def test_runs_that_differ_only_in_the_seed_are_one_group_named_by_what_differs(runs):
    comparison = compare([runs])
    assert [group.label for group in comparison.groups] == ["m = 0", "m = 80", "joint, m = 0"]
    assert [len(group.runs) for group in comparison.groups] == [2, 2, 1]


def test_the_table_holds_the_means_of_the_records(runs):
    (header, plain, *_) = rows(compare([runs]))
    finals = [Record(runs / f"m0-seed{seed}").accuracy().accuracy[-1] for seed in (0, 1)]
    assert header[:4] == ["", "seeds", "permutation 1", "permutation 2"]
    assert plain[:2] == ["m = 0", "2"]
    for test in (0, 1):
        assert plain[2 + test] == f"{100 * statistics.mean(final[test] for final in finals):.1f}"
    averages = [100 * float(final.mean()) for final in finals]
    assert plain[4] == f"{statistics.mean(averages):.1f} ± {statistics.stdev(averages):.1f}"


def test_forgetting_is_the_mean_over_the_seeds(runs):
    header, plain, *_ = rows(compare([runs]))
    values = [summary(Record(runs / f"m0-seed{seed}").accuracy())["forgetting"].value for seed in (0, 1)]
    assert plain[header.index("forgetting")] == f"{100 * statistics.mean(values):.1f}"


def test_what_was_announced_and_what_to_be_careful_about_are_said(runs):
    said = markdown(compare([runs]))
    assert "- Domain-incremental, boundaries not announced, task not known at test, layer statistics." in said
    assert "Caution: fewer than 5 seeds (m = 0: 2; m = 80: 2; joint, m = 0: 1)" in said


def test_statistics_of_the_test_batch_are_a_caution(tmp_path):
    config = replace(small(0.0, 0), norm=NormPolicy(statistics=Statistics.BATCH))
    run(config, tmp_path / "run", progress=False)
    assert "predictions depend on how the test set is split" in markdown(compare([tmp_path / "run"]))


def test_an_incomplete_run_is_shown_as_far_as_it_came(runs, tmp_path):
    whole = Record(runs / "m0-seed0").accuracy()
    stop(shutil.copytree(runs / "m0-seed0", tmp_path / "run"))
    comparison = compare([tmp_path / "run"])
    assert any("incomplete" in said or "not complete" in said for said in comparison.cautions())
    assert comparison.groups[0].final()[0].tolist() == whole.accuracy[0].tolist()


def stop(folder):
    """Leave of a record what is there after its first task."""
    for name in ("network.safetensors", "summary.json"):
        (folder / name).unlink()
    whole = Record(folder).accuracy()
    matrix = replace(whole, correct=whole.correct[:1], trained_on=whole.trained_on[:1])
    (folder / "accuracy.csv").write_text(matrix.to_csv())


def test_groups_that_nothing_but_their_folders_tells_apart_are_named_by_these(runs, tmp_path):
    for name in ("one", "other"):
        stop(shutil.copytree(runs / "m0-seed0", tmp_path / name))
    labels = [group.label for group in compare([tmp_path]).groups]
    assert [label.rpartition(", ")[2] for label in labels] == [str(tmp_path / "one"), str(tmp_path / "other")]
    assert len(set(labels)) == 2


def test_an_incomplete_run_is_neither_tested_nor_tested_against(runs, tmp_path):
    stop(shutil.copytree(runs / "m0-seed0", tmp_path / "stopped"))
    shutil.copytree(runs / "m80-seed0", tmp_path / "whole")
    comparison = compare([tmp_path])
    final = next(figure for figure in run_figures(comparison) if figure.name == "final")
    header, *rows = final.table
    assert "minus m = 80" in header
    assert all(dict(zip(header, row, strict=True))["p"] == "-" for row in rows)


def test_the_command_line_prints_a_path_as_it_is(runs, tmp_path, capsys):
    main(["report", str(runs / "m0-seed0"), "--out", str(tmp_path / "out[low]")])
    said = capsys.readouterr().out.split()
    assert str(tmp_path / "out[low]" / "report.html") in said
    assert (tmp_path / "out[low]" / "report.html").exists()


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"expected .*run.*, got"):
        compare([tmp_path])


def test_curves_are_the_counts_of_the_metrics(runs):
    figure = accuracy_curves(compare([runs / "m0-seed0"]))
    record = Record(runs / "m0-seed0")
    counted = [line["correct"] for line in record.metrics() if line["event"] in ("begin", "epoch")]
    totals = record.accuracy().totals
    drawn = {tuple(np.round(line.get_ydata(), 9)) for line in figure.axes[0].lines if len(line.get_ydata()) > 2}
    for test, total in enumerate(totals):
        assert tuple(np.round([100 * counts[test] / total for counts in counted], 9)) in drawn


def test_bars_are_the_final_accuracies(runs):
    comparison = compare([runs])
    figure = final_bars(comparison)
    heights = sorted(round(bar.get_height(), 6) for axes in figure.axes for bar in axes.patches if bar.get_height())
    for group in comparison.groups:
        for value in 100 * group.final().mean(axis=0):
            assert round(float(value), 6) in heights


@pytest.mark.parametrize("kind", ["runs", "stream"])
def test_a_report_is_two_pictures_a_table_and_a_page(kind, request, tmp_path):
    paths = report([request.getfixturevalue(kind)], tmp_path / "out")
    assert [path.name for path in paths] == ["accuracy-curves.png", "final-accuracy.png", "report.md", "report.html"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths[:2])
    assert paths[2].read_text().startswith("**")


@pytest.mark.parametrize("make", [report, paper_report])
def test_a_folder_that_cannot_be_written_to_is_refused_before_anything_is_read(make, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"expected to write in .*file/out, got: .*; make room or choose another folder"):
        make([tmp_path / "no-such-folder"], tmp_path / "file" / "out")


def test_the_same_records_give_the_same_bytes(runs, tmp_path):
    first, second = (report([runs], tmp_path / name) for name in ("first", "second"))
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_consolidation_curves_are_the_functions_values():
    (panel,) = consolidation_curves({"published": TanhSquared()}, [2.0]).axes
    hidden, factor = panel.lines[0].get_data()
    assert torch.allclose(torch.tensor(factor), TanhSquared()(torch.tensor(hidden), 2.0))


def test_importing_the_room_does_not_load_matplotlib():
    code = "import sys, metaplastic.report; print('matplotlib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "False\n"


def test_runs_of_a_study_are_called_by_their_panels_where_what_differs_is_long(runs, tmp_path, monkeypatch):
    (tmp_path / "study.json").write_text("{}")
    for panel, m in (("weak", 0), ("strong", 80)):
        for seed in (0, 1):
            shutil.copytree(runs / f"m{m}-seed{seed}", tmp_path / panel / f"seed{seed}")
    assert [group.label for group in compare([tmp_path]).groups] == ["m = 80", "m = 0"]
    monkeypatch.setattr(groups, "LONG_LABEL", 4)
    assert [group.label for group in compare([tmp_path]).groups] == ["strong", "weak"]
    # Beside a run from elsewhere, what differs is said as ever.
    assert [group.label for group in compare([tmp_path, runs / "joint"]).groups] == ["m = 80", "m = 0", "joint, m = 0"]


def test_panels_that_were_claimed_and_not_begun_are_left_out(studies, tmp_path):
    folder = shutil.copytree(studies / "fig6ce", tmp_path / "fig6ce")
    (folder / "plain").mkdir()
    shutil.copy(folder / "cde" / "panel.json", folder / "plain")
    (whole,) = compare_each([studies / "fig6ce"])
    (left,) = compare_each([folder])
    assert [len(group.runs) for group in left.groups] == [len(group.runs) for group in whole.groups]


def test_a_study_of_which_nothing_was_carried_out_is_refused(studies, tmp_path):
    shutil.copy(studies / "fig6ce" / "study.json", tmp_path)
    (tmp_path / "plain").mkdir()
    shutil.copy(studies / "fig6ce" / "cde" / "panel.json", tmp_path / "plain")
    message = r"expected a panel that was carried out in the study at .*, got none; run it by 'metaplastic run fig"
    with pytest.raises(ValueError, match=message):
        compare_each([tmp_path])


def test_a_study_of_quadratic_tasks_has_no_runs_to_compare(studies):
    assert compare_each([studies / "fig6ab"]) == []


def test_a_study_is_reported_into_its_own_folder(studies, said, tmp_path):
    folder = shutil.copytree(studies / "fig2", tmp_path / "fig2")
    for _ in range(2):
        status, out, err = said("report", folder, "--out", folder / "pictures")
        assert (status, err) == (0, "")
        assert str(folder / "pictures" / "report.html") in out


def test_curves_leave_out_runs_that_were_not_tested_on_the_way(runs, tmp_path):
    shutil.copytree(runs / "m0-seed0", tmp_path / "silent")
    (tmp_path / "silent" / "metrics.jsonl").unlink()
    figure = accuracy_curves(compare([tmp_path / "silent", runs / "m80-seed0"]))
    assert len(figure.axes) == 1
    with pytest.raises(ValueError, match=r"expected accuracy during training .*, got none in .*silent .*final_bars"):
        accuracy_curves(compare([tmp_path / "silent"]))
