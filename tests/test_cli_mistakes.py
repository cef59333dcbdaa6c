"""What the command line says of mistakes: what was expected, what came, and what to do; never a traceback."""

import pytest


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
