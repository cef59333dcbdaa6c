"""Folders of studies are read as the study is defined, and what cannot stand beside each other is refused."""

import json
import re
import shutil
from dataclasses import replace

import pytest

from metaplastic.experiments import Record, study
from metaplastic.report import paper_figures, read_studies
from metaplastic.report.origins import duration, time_spent
from metaplastic.report.page import Shown
from metaplastic.report.paper_page import paper_page

from .conftest import PANELS

SHOWN = [Shown("key", "title", "<svg></svg>", "<svg></svg>", [["a"], ["b"]])]


def edit(path, change):
    plain = json.loads(path.read_text())
    change(plain)
    path.write_text(json.dumps(plain))


def seconds_of(read):
    return sum(origin.seconds for origin in read.origins if origin.seconds is not None)


@pytest.fixture
def copy(studies, tmp_path):
    """Copy the folder of a study, to be spoiled."""

    def made(name, to=None):
        return shutil.copytree(studies / name, tmp_path / (to or name))

    return made


def test_studies_and_panels_come_in_the_order_of_the_paper(studies):
    read = read_studies([studies / name for name in reversed(PANELS)])
    assert [one.name for one in read] == list(PANELS)
    for one in read:
        assert [panel.name for panel in one.panels] == list(study(one.name).panels)
        assert [panel.name for panel in one.done] == [
            name for name in study(one.name).panels if name in PANELS[one.name]
        ]


def test_a_folder_that_holds_studies_stands_for_them(studies):
    together, each = read_studies([studies]), read_studies([studies / name for name in PANELS])
    assert [one.folder for one in together] == [one.folder for one in each]


def test_a_panel_has_its_runs_by_seed_and_knows_what_it_differs_in(studies):
    (fig2,) = read_studies([studies / "fig2"])
    assert fig2.seeds == (0, 1)
    assert [panel.title for panel in fig2.panels] == ["a: m = 0", "b: m = 1", "c: m = 2", "d: m = 3"]
    record = Record(studies / "fig2" / "c" / "seed1")
    assert fig2.panels[2].runs[1].config == record.config
    assert fig2.panels[2].runs[1].matrix == record.accuracy()


def test_probes_and_quadratic_tasks_are_read(studies):
    quadratic, probed = read_studies([studies / "fig6ab", studies / "fig6ce"])
    assert [panel.quadratic.dimension for panel in quadratic.panels] == [2, 500]
    assert list(probed.panels[0].probes) == [0, 1]
    assert all(len(probe.sign_switch) == len(probe.divergence) == 2 for probe in probed.panels[0].probes.values())


def test_the_command_makes_what_is_there(studies, copy):
    said = {one.name: one.command for one in read_studies([studies / name for name in PANELS])}
    assert said["fig2"] == "metaplastic run fig2 --size laptop --seeds 2"
    assert said["fig4ab"] == "metaplastic run fig4ab --size laptop --seeds 2 --panels a b"
    assert said["fig6ab"] == "metaplastic run fig6ab --size laptop"
    folder = copy("fig2")
    for panel in "abcd":
        shutil.rmtree(folder / panel / "seed0")
    assert read_studies([folder])[0].command.endswith("--seeds 1 --seed 1")
    for panel in "abcd":
        shutil.copytree(folder / panel / "seed1", folder / panel / "seed4")
        edit(folder / panel / "seed4" / "config.json", lambda plain: plain.update(seed=4))
    assert read_studies([folder])[0].command.endswith(
        "--seeds 1 --seed 1; metaplastic run fig2 --size laptop --seeds 1 --seed 4"
    )


def test_records_of_different_versions_are_refused_with_the_list(studies, copy):
    folder = copy("fig2")
    edit(folder / "b" / "seed1" / "environment.json", lambda plain: plain["versions"].update(metaplastic="0.0.9"))
    with pytest.raises(
        ValueError, match=r"made by one version .*metaplastic 0\.1\.0, .* and .* more; .*0\.0\.9, .*seed1\. To compare"
    ):
        read_studies([studies / "fig4ab", folder])


def test_records_of_different_versions_of_torch_are_refused_and_every_one_of_the_few_is_listed(copy):
    folder = copy("fig2")
    odd = [folder / panel / "seed1" for panel in "abc"] + [folder / "d" / "seed0"]
    for run in odd[:-1]:
        edit(run / "environment.json", lambda plain: plain["versions"].update(torch="1.13.1+cu117"))
    listed = r", torch 1\.13: " + ", ".join(re.escape(str(run)) for run in odd[:-1])
    with pytest.raises(ValueError, match=rf"torch [\d.]+: .* and 2 more; .*{listed}\."):
        read_studies([folder])


def test_different_commits_are_a_caution_with_the_commits(copy):
    folder = copy("fig6ab")
    for panel, commit in (("a", "a" * 40), ("b", "b" * 40 + "+")):
        edit(folder / panel / "environment.json", lambda plain, commit=commit: plain.update(commit=commit))
    (fig6,) = read_studies([folder])
    listed = f"{'a' * 10} (1 run), {'b' * 10} with changes (1 run)"
    assert f"runs were made at 2 different commits of the package: {listed}" in fig6.cautions()
    assert "1 of 2 runs were made with changes that are not in the commit" in fig6.cautions()


def test_products_that_were_not_computed_alike_are_a_caution(copy):
    folder = copy("fig2")
    for panel, products in (("a", {"products": "torch"}), ("b", {"products": "native"}), ("c", {})):
        for seed in (0, 1):
            path = folder / panel / f"seed{seed}" / "metrics.jsonl"
            first, *rest = path.read_text().splitlines()
            line = json.loads(first) | {"engine": {"engine": "fast", "integer_layers": 3, **products}}
            path.write_text("\n".join([json.dumps(line), *rest, ""]))
    for path in (folder / "d").glob("seed*/metrics.jsonl"):
        path.unlink()
    (fig2,) = read_studies([folder])
    said = "products with binary weights were not computed alike in all runs: "
    assert said + "torch (2 runs), native (2 runs), not recorded (2 runs)" in fig2.cautions()


def test_the_time_of_a_study_says_how_many_of_its_runs_it_is_of(copy):
    folder = copy("fig2")
    assert time_spent(read_studies([folder])[0].origins) == duration(seconds_of(*read_studies([folder])))
    for panel in "abc":
        (folder / panel / "seed1" / "metrics.jsonl").unlink()
    (fig2,) = read_studies([folder])
    assert time_spent(fig2.origins) == f"{duration(seconds_of(fig2))} for 5 of 8 runs; not recorded for the others"
    assert f"<dd>{time_spent(fig2.origins)}</dd>" in paper_page([(fig2, SHOWN)])


@pytest.mark.parametrize(("name", "first"), [("fig2", "final"), ("table1", "methods")])
def test_studies_whose_records_have_no_metrics_have_no_curves_and_say_so(copy, name, first):
    folder = copy(name)
    silent = r"Without curves, because runs have no accuracy during training in metrics.jsonl: "
    (panel, *others) = sorted(path.parent for path in folder.glob("*/seed1"))
    (panel / "seed1" / "metrics.jsonl").unlink()
    curves = next(figure for figure in paper_figures(*read_studies([folder])) if figure.name == "curves")
    assert len(curves.figure.axes) == len(others)
    assert [note for note in curves.notes if note.startswith(silent) and note.endswith(" (1 of 2 runs).")]
    for path in folder.glob("*/*/metrics.jsonl"):
        path.unlink()
    (figure,) = paper_figures(*read_studies([folder]))
    assert figure.name == first
    assert [note for note in figure.notes if note.startswith(silent) and note.count("(2 of 2 runs)") == 4]


def test_records_of_different_formats_are_refused_with_the_list(copy):
    folder = copy("fig2")
    edit(folder / "b" / "seed1" / "config.json", lambda plain: plain.update(format=2))
    with pytest.raises(ValueError, match=r"expected records of one format, .*format 1, .*; format 2, .*b/seed1\. To"):
        read_studies([folder])


def test_two_folders_of_one_study_are_refused_unless_told_apart(copy):
    first, second = copy("fig4ab", "first"), copy("fig4ab", "second")
    with pytest.raises(ValueError, match=r"got two of fig4ab at size laptop: .*first and .*second; tell them apart as"):
        read_studies([first, second])
    read = read_studies([f"cpu={first}", f"gpu={second}"])
    assert [one.label for one in read] == ["cpu", "gpu"]
    assert [one.key for one in read] == ["fig4ab-laptop-cpu", "fig4ab-laptop-gpu"]


def test_one_study_at_two_sizes_is_no_conflict_and_the_small_one_comes_first(copy):
    small, large = copy("fig6ab", "small"), copy("fig6ab", "large")
    edit(large / "study.json", lambda plain: plain.update(size="paper"))
    assert [one.size.value for one in read_studies([large, small])] == ["laptop", "paper"]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: (folder / "study.json").unlink(), r"expected the folder of a study .* without study.json"),
        (lambda folder: (folder / "study.json").write_text("{}"), r"expected name and size of a study in .*got '\{\}'"),
        (
            lambda folder: edit(folder / "study.json", lambda plain: plain.update(study="fig22")),
            r"unknown study in .*fig2",
        ),
        (lambda folder: (folder / "a" / "environment.json").unlink(), r"expected JSON in .*environment.json"),
        (lambda folder: (folder / "a" / "quadratic.json").write_text("{"), r"expected JSON in .*quadratic.json"),
    ],
)
def test_a_damaged_folder_is_refused(copy, spoil, message):
    folder = copy("fig6ab")
    spoil(folder)
    with pytest.raises(ValueError, match=message):
        read_studies([folder])


def test_no_folder_at_all_is_refused():
    with pytest.raises(ValueError, match=r"expected the folder of a study, got none"):
        read_studies([])


def test_few_seeds_and_another_definition_are_cautions_said_once(studies):
    (fig2,) = read_studies([studies / "fig2"])
    said = fig2.cautions()
    assert said.count("fewer than 5 seeds (2): differences may be chance") == 1
    (changed,) = [text for text in said if text.startswith("not run as the study is defined")]
    assert "scenario.data" in changed
    assert "optimizer" not in changed


def test_a_seed_that_is_there_twice_counts_once(copy):
    folder = copy("fig2")
    shutil.copytree(folder / "a" / "seed0", folder / "a" / "seed0-copy")
    (fig2,) = read_studies([folder])
    panel = next(panel for panel in fig2.panels if panel.name == "a")
    assert [run.config.seed for run in panel.runs] == [0, 1]
    assert [said for said in fig2.cautions() if "seed0-copy: seed 0 is there twice" in said]


@pytest.mark.parametrize("text", ["[]", "{"])
def test_a_damaged_environment_is_named(copy, text):
    folder = copy("fig2")
    (folder / "a" / "seed0" / "environment.json").write_text(text)
    with pytest.raises(ValueError, match=r"expected JSON in .*environment.json"):
        read_studies([folder])


def test_a_stopped_run_is_left_out_with_a_caution(copy):
    folder = copy("fig2")
    (folder / "b" / "seed1" / "summary.json").unlink()
    (fig2,) = read_studies([folder])
    assert [len(panel.runs) for panel in fig2.panels] == [2, 1, 2, 2]
    assert "b: m = 1: left out seed 1, which is not complete" in fig2.cautions()


def test_a_panel_of_another_definition_is_shown_last_with_a_caution(copy):
    folder = copy("fig2")
    (folder / "d").rename(folder / "z")
    (fig2,) = read_studies([folder])
    assert [panel.name for panel in fig2.panels] == ["a", "b", "c", "d", "z"]
    assert fig2.missing == ("d",)
    assert "z: m = 3: this version of the study has no such panel" in fig2.cautions()


def test_folders_that_are_no_panel_and_hold_no_record_are_passed_over(copy):
    folder = copy("fig2")
    (folder / "pictures").mkdir()
    (folder / "pictures" / "report.html").write_text("<html></html>")
    (fig2,) = read_studies([folder])
    assert [panel.name for panel in fig2.panels] == ["a", "b", "c", "d"]
    assert fig2.missing == ()


def test_time_of_networks_trained_at_once_is_counted_once(studies):
    (fig2,) = read_studies([studies / "fig2"])
    seconds = 0.0
    for panel in "abcd":
        for seed in (0, 1):
            begin, *lines = Record(studies / "fig2" / panel / f"seed{seed}").metrics()
            assert begin["engine"]["members"] == 2
            seconds += sum(line["seconds"] for line in lines if line["event"] == "epoch") / 2
    assert seconds_of(fig2) == pytest.approx(seconds)


def test_equal_panels_have_a_title_each(copy):
    folder = copy("fig4ab")
    shutil.copytree(folder / "b", folder / "tuned")
    (fig4,) = read_studies([folder])
    assert [panel.title for panel in fig4.done] == ["a: m = 0", "b: m = 1.5", "tuned"]
    assert len({replace(panel, name="").differs for panel in fig4.done[1:]}) == 1


def test_a_duration_is_said_in_two_units():
    assert [duration(seconds) for seconds in (0.0, 59.6, 3600, 90_000)] == [
        "less than a second",
        "1 min 0 s",
        "1 h 0 min",
        "1 d 1 h",
    ]
