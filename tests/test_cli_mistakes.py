"""What the command line says of mistakes: what was expected, what came, and what to do; never a traceback."""

import os
import shlex

import pytest
import torch

from metaplastic.cli import COMMANDS, main
from metaplastic.experiments import Config, Record


def one_line(out, err):
    """Take the boxes of the parser away, and its line ends."""
    return " ".join((out + err).replace("│", " ").split())


@pytest.mark.parametrize("command", ["run", "sweep"])
@pytest.mark.parametrize(
    ("words", "refused"),
    [
        (["--penalty.seed", "3"], "--penalty.seed"),
        (["--norm.lr=0.5"], "--norm.lr"),
        (["--lr.lr", "0.5"], "--lr.lr"),
        (["--optimizer.beakers.lr", "0.5"], "--optimizer.beakers.lr"),
        (["--nonsense.no-frozen"], "--nonsense.no-frozen"),
        (["--scenario.parts", "3"], "--scenario.parts"),
        (["--scenario.announced.boundaries"], "--scenario.announced.boundaries"),
    ],
)
def test_a_path_that_leads_to_no_field_is_refused_with_its_name(command, words, refused, said, tmp_path):
    status, out, err = said(command, "permuted-digits", *words, "--out", tmp_path / "run")
    assert status == 2
    assert f"Unrecognized options: {refused}" in one_line(out, err)
    assert not (tmp_path / "run").exists()


def failing(error):
    """Make a command that ends in an error."""

    def command(words):
        raise error

    return command


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (FileNotFoundError(2, "expected data at x, got none; fetch it"), "expected data at x, got none; fetch it"),
        (FileExistsError("expected a new folder, got x"), "expected a new folder, got x"),
        (
            PermissionError(13, "Permission denied", "a/b"),
            "expected to use a/b, got: Permission denied; check the path, or choose another",
        ),
        (OSError(28, "No space left on device"), "No space left on device"),
    ],
)
def test_an_error_of_the_system_is_told_without_its_number(error, message, said, monkeypatch):
    monkeypatch.setitem(COMMANDS, "list", failing(error))
    status, _, err = said("list")
    assert (status, err) == (2, f"metaplastic: {message}\n")


@pytest.mark.skipif(os.name != "posix", reason="other systems call it by other names")
def test_a_folder_that_cannot_be_made_is_told_in_one_sentence(said, tmp_path):
    (tmp_path / "file").touch()
    status, _, err = said("run", "permuted-digits", "--hidden", 8, "--out", tmp_path / "file" / "run")
    assert status == 2
    wanted = f"expected to write in {tmp_path / 'file' / 'run'}, got: Not a directory; make room or choose another"
    assert err == f"metaplastic: {wanted} folder\n"


LARGE = ["--hidden", str(4 * 10**12)]


@pytest.mark.parametrize(("words", "amount"), [(LARGE, "1024000.0 GB"), (["--hidden", str(4 * 10**18)], None)])
def test_a_network_that_memory_cannot_hold_is_refused(words, amount, said, tmp_path):
    status, _, err = said("run", "permuted-digits", *words, "--out", tmp_path / "run")
    assert status == 2
    more = f" for {amount} more" if amount else ""
    assert err.startswith(f"metaplastic: expected room in memory{more}, got none; make the network, the batches or the")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("error", "amount"),
    [
        (MemoryError(), ""),
        (MemoryError("Unable to allocate 29.1 TiB for an array with shape (2000000, 2000000)"), " for 29.1 TiB more"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has"), " for 2.00 GiB more"),
        (RuntimeError("CUDA error: out of memory"), ""),
        (
            RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 5000000000 bytes."),
            " for 5.0 GB",
        ),
    ],
)
def test_a_lack_of_memory_ends_any_command_with_what_to_do(error, amount, said, monkeypatch):
    monkeypatch.setitem(COMMANDS, "list", failing(error))
    status, _, err = said("list")
    assert status == 2
    assert err.startswith(f"metaplastic: expected room in memory{amount}")
    assert "--batch-size" in err


def test_a_workload_that_memory_cannot_hold_is_refused(said, tmp_path):
    status, _, err = said("bench", "--hidden", str(4 * 10**12), "--out", tmp_path / "bench.json")
    assert status == 2
    assert "metaplastic: expected room in memory" in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("words", "field"),
    [
        (["--hidden", "8", str(2**63)], "width"),
        ([f"--batch-size={2**63}"], "batch_size"),
        (["--seed", str(-(2**70))], "--seed"),
    ],
)
def test_whole_numbers_beyond_64_bits_are_refused_with_their_field(words, field, said, tmp_path):
    status, _, err = said("run", "permuted-digits", *words, "--out", tmp_path / "run")
    number = words[-1].rpartition("=")[2]
    assert status == 2
    assert f"expected {field} within 64 bits, up to about 9.2e18, got {number}" in " ".join(err.split())
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("error", [RuntimeError("a defect"), NotImplementedError("a gap"), TypeError("a defect")])
def test_what_no_user_can_mend_keeps_its_traceback(error, monkeypatch):
    monkeypatch.setitem(COMMANDS, "list", failing(error))
    with pytest.raises(type(error)) as caught:
        main(["list"])
    assert caught.value is error


def test_a_file_in_the_place_of_a_preset_is_told_how_it_is_run(said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Record.create(tmp_path / "runs" / "x", Config())
    file = tmp_path / "runs" / "x" / "config.json"
    (tmp_path / "mine.json").write_bytes(file.read_bytes())
    for word in (file, file.relative_to(tmp_path), "mine.json"):
        for command in ("run", "sweep"):
            status, _, err = said(command, word, "--epochs", 3)
            assert status == 2
            wanted = f"expected a preset or STUDY/PANEL, got the file {word}; run what it says by"
            assert err == f"metaplastic: {wanted} 'metaplastic {command} --from {shlex.quote(str(word))}'\n"


def test_a_preset_or_a_panel_is_found_though_a_file_has_its_name(said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fig2").mkdir()
    for name in ("permuted-digits", "fig2/a"):
        (tmp_path / name).touch()
        assert said("run", name, "--help")[0] == 0


@pytest.mark.parametrize(
    ("inside", "resumed", "what"),
    [
        ("study.json", "", "the runs of a study"),
        ("study.json", "a", "the runs of several seeds"),
        ("seed0/config.json", "", "the runs of several seeds"),
        ("seed12/config.json", "", "the runs of several seeds"),
    ],
)
def test_what_holds_several_runs_is_told_how_it_is_gone_on_with(inside, resumed, what, said, tmp_path):
    folder = tmp_path / "kept"
    (folder / inside).parent.mkdir(parents=True)
    (folder / inside).touch()
    (folder / "a" / "seed0").mkdir(parents=True)
    (folder / "a" / "seed0" / "config.json").touch()
    status, _, err = said("run", "--resume", folder / resumed)
    assert status == 2
    wanted = f"expected the folder of one run, got {folder / resumed}, which holds {what}; the same command with"
    assert err == f"metaplastic: {wanted} --out {folder} goes on with it\n"


def test_a_folder_of_a_study_that_holds_no_run_is_told_as_such(said, tmp_path):
    (tmp_path / "study.json").touch()
    (tmp_path / "a" / "seed0").mkdir(parents=True)
    for folder in (tmp_path / "a", tmp_path / "a" / "seed0"):
        assert "got a folder without config.json" in said("run", "--resume", folder)[2]
