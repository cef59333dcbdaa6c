"""The page of any runs: what it shows is what the records say, and it warns of what they cannot show."""

import json
import re
import shlex
import shutil
from dataclasses import replace

import numpy as np
import pytest

from metaplastic.cli.options import parse
from metaplastic.cli.running import _run_options, base_config
from metaplastic.evaluation import Memory, mean_interval, paired_permutation_test, summary
from metaplastic.experiments import Record, run
from metaplastic.experiments.method_config import Method, Penalty
from metaplastic.nn import NormPolicy, Statistics
from metaplastic.report import accuracy_heat_map, compare, compare_each, report, run_figures, runs_page
from metaplastic.report.commands import group_commands
from metaplastic.report.flags import flags
from metaplastic.report.memory import read_memory
from metaplastic.report.origins import duration, read_origin
from metaplastic.report.run_records import _in_print
from metaplastic.report.svg import DARK_PAGE

from .conftest import small
from .looking import Tree, looked_at


@pytest.fixture(scope="module")
def text(runs, tmp_path_factory):
    out = tmp_path_factory.mktemp("page")
    return next(path for path in report([runs], out) if path.suffix == ".html").read_text()


def flagged(folders) -> str:
    comparison = compare(folders)
    origins = [read_origin(one.folder) for group in comparison.groups for one in group.runs]
    return ". ".join(flags(comparison, origins))


def copied(run, folder, name="run"):
    shutil.copytree(run, folder / name)
    return folder / name


def changed(path, **fields):
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def test_the_page_shows_every_kind_of_figure_with_its_numbers_in_words(text):
    tree = Tree(text)
    names = [attributes["id"] for tag, attributes in tree.elements if tag == "figure"]
    kinds = ["final", "curves", "matrix", "consolidated-fraction", "flip-rate", "memory"]
    assert names == [f"tests-1-{kind}" for kind in kinds]
    pictures = [attributes for tag, attributes in tree.elements if tag == "svg"]
    assert len(pictures) == 2 * len(kinds)
    assert all(picture["role"] == "img" and len(picture["aria-label"]) > 60 for picture in pictures)
    assert all(re.search(r"\d\.\d", picture["aria-label"]) for picture in pictures)


def test_the_page_needs_no_other_file_and_no_network(text):
    for tag, attributes in Tree(text).elements:
        assert tag not in {"script", "img", "iframe", "object"}
        for name in ("src", "href", "xlink:href"):
            assert attributes.get(name, "#").startswith(("#", "data:")), (tag, attributes)
    assert set(re.findall(r"https?://[^\"' <]+", text)) == {"http://www.w3.org/1999/xlink"}
    assert len(text) < 1_000_000


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_page_is_readable_at_400_and_1400_pixels(dark, text, tmp_path):
    ground = [int(DARK_PAGE[place : place + 2], 16) for place in (1, 3, 5)] if dark else [255, 255, 255]
    narrow, wide = looked_at(text, tmp_path, f"runs-{'dark' if dark else 'light'}", dark)
    for seen in (narrow, wide):
        assert seen["needs"] == seen["width"]
        assert seen["ground"] == ground
        assert seen["letters"] >= 12
        assert seen["contrast"] >= 4.5  # WCAG 2.2, level AA
        assert seen["pictures"] == 6
        assert seen["shrunk"] > 0.85
    assert (narrow["width"], wide["width"]) == (400, 1400)


def test_the_heat_map_is_the_mean_of_the_matrices(runs):
    comparison = compare([runs])
    plain = comparison.groups[0]
    panel = accuracy_heat_map(comparison).axes[0]
    mean = np.mean([Record(run.folder).accuracy().accuracy for run in plain.runs], axis=0)
    shown = [[text.get_text() for text in panel.texts][row * 2 : row * 2 + 2] for row in range(2)]
    assert shown == [[f"{100 * share:.0f}" for share in row] for row in mean]
    opacity = panel.images[0].get_array()[..., 3]
    assert np.allclose(opacity / opacity.max(), mean / mean.max())


def test_the_final_table_holds_the_exact_paired_test(runs):
    comparison = compare([runs])
    final = next(figure for figure in run_figures(comparison) if figure.name == "final")
    header, plain, strong, joint = final.table
    ours, theirs = (
        [summary(Record(runs / f"m{m}-seed{seed}").accuracy())["average_accuracy"].value for seed in (0, 1)]
        for m in (80, 0)
    )
    found = paired_permutation_test(ours, theirs)
    cells = dict(zip(header, strong, strict=True))
    assert cells["minus m = 0"] == f"{100 * found.difference:+.1f}"
    assert cells["p"] == f"{found.p_value:.4g}"
    assert cells["common seeds"] == "2"
    assert dict(zip(header, plain, strict=True))["p"] == "-"
    assert dict(zip(header, joint, strict=True))["common seeds"] == "1"
    assert f"{100 * np.mean(Record(runs / 'joint').accuracy().accuracy[-1][1]):.1f}" == joint[-1]


def test_another_group_can_be_tested_against(runs):
    final = next(figure for figure in run_figures(compare([runs]), "joint, m = 0") if figure.name == "final")
    assert "minus joint, m = 0" in final.table[0]
    with pytest.raises(ValueError, match=r"unknown group to test against 'm = 8'.* 'm = 80'"):
        runs_page([compare([runs])], "m = 8")


@pytest.mark.parametrize(
    ("figure", "field"), [("consolidated-fraction", "consolidated_fraction"), ("flip-rate", "flip_rate")]
)
def test_what_happened_to_synapses_is_what_the_records_say(figure, field, runs):
    table = next(one for one in run_figures(compare([runs])) if one.name == figure).table
    ends = [
        [line["layers"] for line in Record(runs / f"m80-seed{seed}").metrics() if line["event"] == "task"]
        for seed in (0, 1)
    ]
    (row,) = (row for row in table if row[:2] == ["m = 80", "2"])
    for cell, layer in zip(row[2:], ends[0][1], strict=True):
        mean, half = mean_interval(100 * np.array([end[1][layer][field] for end in ends]))
        assert cell == f"{mean:.1f} ± {half:.1f}"


def test_memory_is_that_of_the_end_of_training_and_silence_is_said(runs, tmp_path):
    plain = compare([runs]).groups[0]
    memory = read_memory(plain)
    assert memory == Memory.from_json(Record(runs / "m0-seed0").metrics()[-1]["memory"])
    assert memory.hidden_weights == 4 * (64 * 8 + 8 * 10)
    earlier = copied(runs / "m0-seed0", tmp_path)
    lines = [json.loads(line) for line in (earlier / "metrics.jsonl").read_text().splitlines()]
    kept = [{name: value for name, value in line.items() if name != "memory"} for line in lines]
    (earlier / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in kept))
    assert read_memory(compare([earlier]).groups[0]) is None
    said = runs_page([compare([earlier])])
    assert "<dt>Memory</dt><dd>Not recorded.</dd>" in said
    assert "Accuracy against memory" not in said


@pytest.fixture
def two(runs, tmp_path):
    """Two seeds, and the versions of a record."""
    first, second = (copied(runs / f"m0-seed{seed}", tmp_path / "two", f"seed{seed}") for seed in (0, 1))
    return first, second, json.loads((first / "environment.json").read_text())["versions"]


def test_few_seeds_different_versions_commits_and_uncommitted_changes_are_flagged(two):
    first, second, versions = two
    changed(first / "environment.json", commit="a" * 40, versions=versions | {"torch": "2.13.0+cpu"})
    changed(second / "environment.json", commit="b" * 40 + "+", versions=versions | {"torch": "2.13.1"})
    said = flagged([first, second])
    assert "fewer than 5 seeds (m = 0: 2)" in said
    assert "runs were made with different versions: torch 2.13.0+cpu and 2.13.1" in said
    commits = f"{'a' * 10} (1 run), {'b' * 10} with changes (1 run)"
    assert f"runs were made at 2 different commits of the package: {commits}" in said
    assert "1 of 2 runs were made with changes that are not in the commit" in said
    assert commits in runs_page(compare_each([first, second]))


@pytest.mark.parametrize(
    ("package", "version", "listed"),
    [
        ("metaplastic", "0.0.9", r"metaplastic 0\.0\.9, torch [\d.]+: \S*seed1"),
        ("torch", "1.13.1", r"metaplastic [\d.]+, torch 1\.13: \S*seed1"),
    ],
)
def test_versions_that_may_differ_in_what_they_learn_are_refused_with_the_list(two, tmp_path, package, version, listed):
    first, second, versions = two
    changed(second / "environment.json", versions=versions | {package: version})
    do = r"To compare them, .*'metaplastic run --from FOLDER/config.json'.*report on each kind by itself"
    with pytest.raises(ValueError, match=rf"one version of metaplastic and one of torch, .*seed0; .*{listed}\. {do}"):
        report([first, second], tmp_path / "out")
    assert not (tmp_path / "out").exists()
    for kind, folder in enumerate((first, second)):
        assert report([folder], tmp_path / f"out{kind}")


def test_the_time_is_of_the_runs_that_record_it(two):
    first, second, _ = two
    assert "runs; not recorded" not in runs_page(compare_each([first, second]))
    (second / "metrics.jsonl").unlink()
    known = re.escape(duration(read_origin(first).seconds))
    said = runs_page(compare_each([first, second]))
    assert re.search(f"<dd>{known} for 1 of 2 runs; not recorded for the others</dd>", said)
    (first / "metrics.jsonl").unlink()
    assert "<dt>Training and tests</dt><dd>not recorded</dd>" in runs_page(compare_each([first, second]))


def test_groups_without_metrics_are_named_at_the_figures_that_need_them(runs, two, tmp_path):
    _, second, _ = two
    (second / "metrics.jsonl").unlink()
    comparison = compare([tmp_path / "two", runs / "m80-seed0"])
    figures = {figure.name: figure for figure in run_figures(comparison)}
    reason = "Without curves, because runs have no accuracy during training in metrics.jsonl: m = 0 (1 of 2 runs)."
    assert reason in figures["curves"].notes
    assert len(figures["curves"].figure.axes) == 1
    assert figures["curves"].figure.texts[-1].get_text().endswith("Without curves: m = 0.")
    for name in ("consolidated-fraction", "flip-rate", "memory"):
        assert "Not recorded: m = 0." in figures[name].notes


def test_no_curves_are_drawn_where_no_run_has_metrics_and_the_page_says_why(two, tmp_path):
    *folders, _ = two
    for folder in folders:
        (folder / "metrics.jsonl").unlink()
    paths = report(folders, tmp_path / "out")
    assert [path.name for path in paths] == ["final-accuracy.png", "report.md", "report.html"]
    text = paths[-1].read_text()
    assert [attributes["id"] for tag, attributes in Tree(text).elements if tag == "figure"] == [
        "tests-1-final",
        "tests-1-matrix",
    ]
    assert "<dt>Curves</dt><dd>Without curves, because runs have no accuracy during training in metrics.jsonl" in text


def test_statistics_of_the_test_batch_are_flagged_before_the_run_is_complete_too(tmp_path):
    run(replace(small(0.0, 0), norm=NormPolicy(statistics=Statistics.BATCH)), tmp_path / "run", progress=False)
    assert flagged([tmp_path / "run"]).count("test batch") == 1
    (tmp_path / "run" / "summary.json").unlink()
    assert flagged([tmp_path / "run"]).count("test batch") == 1


def test_settings_that_were_chosen_on_the_reported_tests_are_flagged(runs, tmp_path):
    copied(runs / "m80-seed0", tmp_path)
    assert "chosen by protocol" not in flagged([tmp_path])
    (tmp_path / "tuning.json").write_text('{"protocol": "first-task"}')
    assert "chosen by protocol" not in flagged([tmp_path])
    (tmp_path / "tuning.json").write_text('{"protocol": "end-of-training"}')
    assert "settings chosen by protocol 'end-of-training', on the tests that are reported" in flagged([tmp_path])
    copied(runs / "m80-seed0", tmp_path / "search" / "reported" / "runs")
    (tmp_path / "search" / "tuning.json").write_text('{"protocol": "end-of-training"}')
    (tmp_path / "tuning.json").unlink()
    assert "chosen by protocol 'end-of-training'" in flagged([tmp_path / "search" / "reported" / "runs"])
    (tmp_path / "tuning.json").write_text("[]")
    with pytest.raises(ValueError, match=r"expected a field 'protocol' in .*tuning.json, got '\[\]'"):
        flagged([tmp_path])


def test_several_values_of_one_setting_on_the_same_tests_are_flagged(runs, tmp_path):
    assert "tunes on the tests" not in flagged([runs])  # m = 0 is the control, not a choice
    other = copied(runs / "m80-seed0", tmp_path)
    config = json.loads((other / "config.json").read_text())
    config["optimizer"]["metaplasticity"] = [40.0]
    (other / "config.json").write_text(json.dumps(config))
    said = flagged([runs, other])
    assert "80 and 40 of metaplasticity are shown on the same tests" in said


@pytest.mark.parametrize(
    "config",
    [
        small(80.0, 3),
        replace(small(0.5, 0, Method.JOINT), batch_size=50),
        replace(
            small(0.0, 0),
            scenario=replace(small(0.0, 0).scenario, boundaries=True),
            method=Method.EWC,
            penalty=Penalty(strength=1e-3),
        ),
    ],
)
def test_the_command_of_a_group_makes_its_configuration(config, tmp_path):
    run(config, tmp_path / "run", progress=False)
    (command,) = group_commands(compare([tmp_path / "run"]).groups[0])
    program, run_word, *words = shlex.split(command)
    assert (program, run_word) == ("metaplastic", "run")
    options = parse(*_run_options(*base_config(words)))
    assert options.config == config


def test_long_labels_are_shortened_and_what_they_leave_out_is_said(runs, tmp_path):
    for epochs, lr in ((1, 0.01), (2, 0.002)):
        config = small(float(epochs), 0)
        config = replace(config, epochs=epochs, optimizer=replace(config.optimizer, lr=lr), batch_size=100 * epochs)
        run(config, tmp_path / f"run{epochs}", progress=False)
    tree = Tree(runs_page([compare([tmp_path])]))
    said = " ".join("".join(tree.words).split())
    assert "m = 1 · m = 2" in said
    assert "Command for m = 1, lr = 0.01, epochs = 1, batch size = 100" in said


def test_runs_on_other_tests_have_a_section_and_pictures_of_their_own(runs, stream, tmp_path):
    paths = report([runs, stream], tmp_path / "out")
    assert [path.name for path in paths] == [
        *("accuracy-curves-1.png", "final-accuracy-1.png", "accuracy-curves-2.png", "final-accuracy-2.png"),
        *("report.md", "report.html"),
    ]
    tree = Tree(paths[-1].read_text())
    assert [attributes["id"] for tag, attributes in tree.elements if tag == "section"] == ["tests-1", "tests-2"]
    assert paths[-2].read_text().count("**: accuracy in %") == 2


def test_one_test_has_a_page_too(stream):
    comparison = compare([stream])
    assert len(comparison.tests) == 1
    tree = Tree(runs_page([comparison]))
    assert [attributes["id"] for tag, attributes in tree.elements if tag == "section"] == ["tests-1"]


@pytest.mark.parametrize(
    ("name", "printed"),
    [
        ("permuted mnist", "permuted MNIST"),
        ("mnist then fashion-mnist", "MNIST then Fashion-MNIST"),
        ("cifar-10-part in 20 parts", "a part of CIFAR-10 in 20 parts"),
        ("permuted my_mnist", "permuted my_mnist"),
        ("permuted 2mnist.old", "permuted 2mnist.old"),
        ("permuted digits", "permuted digits"),
        ("split my-mnist", "split my-mnist"),
    ],
)
def test_data_sets_are_called_what_they_are_called_in_print(name, printed):
    assert _in_print(name) == printed
