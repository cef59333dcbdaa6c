"""The command line as a user meets it; the heavy commands are called in this process."""

import subprocess
import sys
from pathlib import Path

import pytest

from metaplastic.cli import COMMANDS
from metaplastic.experiments import PRESETS, Record

TINY = ["--hidden", "8", "--epochs", "1", "--threads", "1", "--calibration-samples", "200", "--quiet"]


def test_help_comes_without_torch():
    code = "import sys; sys.argv = ['metaplastic', '--help']; from metaplastic.cli import main; main()"
    check = f"{code}; assert not {{'torch', 'sklearn', 'matplotlib'}} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert all(command in done.stdout for command in COMMANDS)


def test_list_names_every_preset(said):
    status, out, _ = said("list")
    assert status == 0
    assert all(name in out for name in PRESETS)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["runn"], "unknown command 'runn'; did you mean 'run'?"),
        (["run", "permuted-mnits"], "unknown preset 'permuted-mnits'; did you mean 'permuted-mnist'?"),
        (["run"], "expected a preset, --from FILE or --resume FOLDER"),
        (["run", "--from", "nowhere.json"], "expected a configuration at nowhere.json, got no file"),
        (["run", "--resume", "nowhere"], "expected the folder of a run at nowhere, got no such folder"),
        (["run", "permuted-digits", "--epohs", "3"], "--epochs"),
        (["run", "permuted-digits", "--metaplasticity", "-1"], "expected metaplasticity >= 0 and finite, got"),
        (["run", "permuted-digits", "--metaplasticity", "nan"], "expected metaplasticity >= 0 and finite, got nan"),
        (["run", "permuted-digits", "--data", "mnits"], "unknown data set 'mnits'; did you mean 'mnist'"),
        (["report"], "expected the folder of a run, got none"),
        (["report", "nowhere"], "nowhere"),
        (["report", "--paper", "nowhere", "--against", "ewc"], "expected --paper or --against, got both; leave one"),
        (["data"], "expected `metaplastic data list`, `metaplastic data fetch NAME...` or `metaplastic data features"),
        (["data", "features"], "run: metaplastic data features --help"),
        (["data", "fetch"], "expected the name of a data set, got none"),
        (["data", "fetch", "mnits"], "did you mean 'mnist'"),
    ],
)
def test_a_mistake_ends_with_status_2_and_what_to_do(said, tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    status, out, err = said(*words)
    assert status == 2
    assert message in " ".join((out + err).replace("│", " ").split())
    assert not list(tmp_path.iterdir()), "a mistake must leave nothing behind"


def test_help_of_a_study_says_what_to_expect_in_lines_that_fit(said, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    status, out, _ = said("run", "fig4ab", "--help")
    assert status == 0
    about = out.split("╭")[0].splitlines()
    assert max(map(len, about)) <= 80
    assert [line.split()[0] for line in about if line[:1] in {"C", "E"}] == ["Claim", "Expected:", "Command:"]


def test_run_keeps_a_record_and_report_draws_it(said, tmp_path):
    status, out, _ = said("run", "permuted-digits", *TINY, "--tasks", 2, "--out", tmp_path / "run")
    assert status == 0
    assert str(tmp_path / "run") in out
    assert Record(tmp_path / "run").complete
    status, out, _ = said("report", tmp_path / "run", "--out", tmp_path / "pictures")
    assert status == 0
    assert (tmp_path / "pictures" / "accuracy-curves.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "pictures" / "final-accuracy.png").read_bytes().startswith(b"\x89PNG")


def test_fields_go_by_their_own_name_or_by_their_path(said, tmp_path):
    fields = ["--scenario.tasks", 1, "--optimizer.lr=0.001", "--norm.no-affine", "--running.evaluate-epochs", 0]
    assert said("run", "permuted-digits", *TINY, *fields, "--out", tmp_path / "run")[0] == 0
    config = Record(tmp_path / "run").config
    assert (config.scenario.tasks, config.optimizer.lr) == (1, 0.001)
    assert (config.norm.affine, config.running.evaluate_epochs) == (False, 0)


def test_a_configuration_of_an_earlier_run_can_be_changed_and_run(said, tmp_path):
    said("run", "permuted-digits", *TINY, "--tasks", 1, "--out", tmp_path / "first")
    words = ["run", "--from", tmp_path / "first" / "config.json", "--seed", 1, "--quiet", "--out", tmp_path / "second"]
    assert said(*words)[0] == 0
    first, second = (Record(tmp_path / name).config for name in ("first", "second"))
    assert (first.seed, second.seed) == (0, 1)
    assert second.network == first.network


@pytest.mark.parametrize(
    ("preset", "flags"),
    [
        ("fashion-stream", ["--augment", "flip-and-crop-or-rotate", "--binarize-input"]),
        ("mnist-fashion", ["--samples", "--image-side", "--binarize-input"]),
    ],
)
def test_help_of_a_preset_names_the_fields_of_its_scenario(said, preset, flags):
    status, out, _ = said("run", preset, "--help")
    assert status == 0
    assert all(flag in out for flag in flags)


def test_fields_of_data_reach_the_run(said, tmp_path):
    words = [*TINY, "--data", "digits", "--parts", 2, "--augment", "flip-and-crop", "--binarize-input"]
    assert said("run", "fashion-stream", *words, "--out", tmp_path / "run")[0] == 0
    config = Record(tmp_path / "run").config
    assert (config.scenario.augment, config.network.binarize_input) == ("flip-and-crop", True)
    words = [*TINY, "--data", "digits", "digits", "--samples", 60, 50, "--image-side", 10]
    assert said("run", "mnist-fashion", *words, "--out", tmp_path / "other")[0] == 0
    scenario = Record(tmp_path / "other").config.scenario
    assert (scenario.samples, scenario.image_side) == ((60, 50), 10)


def test_an_existing_folder_is_refused_and_kept(said, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    status, _, err = said("run", "permuted-digits", *TINY, "--out", tmp_path)
    assert status == 2
    assert "choose another with --out" in err
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_data_list_says_what_is_here(said, tmp_path):
    status, out, _ = said("data", "list", "--data-dir", tmp_path)
    assert status == 0
    assert "embedded" in out


@pytest.mark.slow
def test_the_demo_compares_learners_and_goes_on_where_it_was_stopped(said, tmp_path: Path, monkeypatch):
    from dataclasses import replace

    from metaplastic.experiments import demo

    whole = demo.permuted_digits()
    small = replace(whole, epochs=1, network=replace(whole.network, hidden=(16,)))
    monkeypatch.setattr(demo, "permuted_digits", lambda: small)
    status, out, _ = said("demo", "--out", tmp_path / "demo", "--seeds", 2)
    assert status == 0
    assert {path.name for path in (tmp_path / "demo").iterdir() if path.is_dir()} == {
        f"{name}-seed{seed}" for name in ("plain", "metaplastic", "joint") for seed in range(2)
    }
    assert (tmp_path / "demo" / "accuracy-curves.png").exists()
    assert "joint" in out
    again, _, _ = said("demo", "--out", tmp_path / "demo", "--seeds", 2)
    assert again == 0
