"""What the command line says of mistakes: what was expected, what came, and what to do; never a traceback."""

import os

import pytest
import torch

from metaplastic.cli import COMMANDS, main


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


LARGE = ["--hidden", "4000000", "4000000"]


@pytest.mark.parametrize(("words", "amount"), [(LARGE, "64000.0 GB"), (["--hidden", str(4 * 10**18)], None)])
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


@pytest.mark.parametrize("error", [RuntimeError("a defect"), NotImplementedError("a gap"), TypeError("a defect")])
def test_what_no_user_can_mend_keeps_its_traceback(error, monkeypatch):
    monkeypatch.setitem(COMMANDS, "list", failing(error))
    with pytest.raises(type(error)) as caught:
        main(["list"])
    assert caught.value is error
