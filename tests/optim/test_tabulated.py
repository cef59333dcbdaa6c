"""Consolidation functions read from a measurement."""

import copy
import pickle

import pytest
import torch

from metaplastic.optim import Tabulated

CURVE = Tabulated(states=(0.0, 1.0, 3.0), relative_steps=(1.0, 0.5, 0.25))


def test_the_curve_is_linear_between_points_and_held_beyond():
    factors = CURVE(torch.tensor([0.0, 0.25, -0.5, 1.0, -1.5, 1e9], dtype=torch.float64), 2.0)
    assert factors.tolist() == pytest.approx([1.0, 0.75, 0.5, 0.375, 0.25, 0.25])


def test_points_too_close_for_the_dtype_stay_in_range():
    curve = Tabulated((0.0, 1.0, 1.0 + 1e-9, 2.0), (1.0, 1.0, 0.0, 0.0))
    factors = curve(torch.linspace(0, 3, 1001), 1.0)
    assert ((factors >= 0) & (factors <= 1)).all()


def test_a_curve_is_a_value():
    for twin in (copy.deepcopy(CURVE), pickle.loads(pickle.dumps(CURVE))):  # noqa: S301
        assert twin == CURVE
        assert hash(twin) == hash(CURVE)


@pytest.fixture
def table(tmp_path):
    def write(text):
        path = tmp_path / "device.csv"
        path.write_text(text)
        return path

    return write


def test_a_curve_is_read_from_a_table(table):
    assert Tabulated.from_csv(table("state,relative_step\n0,1\n1,0.5\n\n3, 0.25\n")) == CURVE


def test_the_header_may_be_written_as_words(table):
    assert Tabulated.from_csv(str(table("\ufeffState, Relative step\r\n0,1\r\n1,0.5\r\n3,2.5e-1\r\n"))) == CURVE


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected a header and at least 2 points, got an empty file"),
        ("\n \n", "got an empty file"),
        ("0,1\n1,0.5\n", "line 1: expected the header 'state,relative_step', got '0,1'"),
        ("relative_step,state\n1,0\n", "line 1: expected the header"),
        ("state,relative_step\n", "line 1: expected at least 2 points, got 0"),
        ("state,relative_step\n0,1\n", "line 2: expected at least 2 points, got 1"),
        ("state,relative_step\n0,1\n1,half\n", "line 3: expected two numbers, got '1,half'"),
        ("state,relative_step\n0,1\n\n1,0.5,7\n", "line 4: expected two numbers, got '1,0.5,7'"),
        ("state,relative_step\n0,1\n1\n", "line 3: expected two numbers, got '1'"),
        ("state,relative_step\n0.1,1\n1,0.5\n", "line 2: expected the first state to be 0, got 0.1"),
        ("state,relative_step\n0,1\n2,0.5\n2,0.4\n", "line 4: expected states to increase strictly, got 2.0 after 2.0"),
        ("state,relative_step\n0,1\nnan,0.5\n", "line 3: expected states to increase strictly, got nan"),
        ("state,relative_step\n0,1\ninf,0.5\n", "line 3: expected states to increase strictly, got inf"),
        ("state,relative_step\n0,1\n1,1.5\n", r"line 3: expected a relative step in \[0, 1\], got 1.5"),
        ("state,relative_step\n0,1\n1,nan\n", r"line 3: expected a relative step in \[0, 1\], got nan"),
        ("state,relative_step\n0,0.9\n1,0.5\n", "line 2: expected a relative step of 1 at state 0, got 0.9"),
    ],
)
def test_a_table_that_is_no_curve_is_refused_with_its_line(table, text, message):
    with pytest.raises(ValueError, match=message):
        Tabulated.from_csv(table(text))


def test_a_missing_table_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"expected a CSV file .* got no file at .*nowhere\.csv"):
        Tabulated.from_csv(tmp_path / "nowhere.csv")


@pytest.mark.parametrize(
    ("states", "steps", "message"),
    [
        ((0.0, 1.0), (1.0,), "expected one relative step per state, got 2 states and 1 relative steps"),
        ((), (), "point 0: expected at least 2 points, got 0"),
        ((0.0, 1.0, 0.5), (1.0, 0.5, 0.2), "point 2: expected states to increase strictly"),
    ],
)
def test_points_that_are_no_curve_are_refused(states, steps, message):
    with pytest.raises(ValueError, match=message):
        Tabulated(states, steps)
