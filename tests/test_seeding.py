"""Streams of random numbers: independent, and the same in every process."""

import itertools
import subprocess
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from metaplastic.seeding import Purpose, generator


def numbers(*arguments):
    return torch.rand(4, generator=generator(*arguments)).tolist()


@given(st.integers(-(2**100), 2**100), st.sampled_from(Purpose), st.lists(st.integers(0, 1000), max_size=3))
def test_the_same_arguments_give_the_same_stream_for_any_seed(seed, purpose, position):
    before = torch.get_rng_state()
    assert numbers(seed, purpose, *position) == numbers(seed, purpose, *position)
    assert torch.equal(torch.get_rng_state(), before)


def test_seed_purpose_and_position_each_make_another_stream():
    seeds = [0, 1, -1, 10, 2**32, 2**63, 2**64, -(2**70), 10**40]
    positions = [(), (0,), (1,), (11,), (0, 0), (0, 1), (1, 0), (1, 1), (0, 0, 0)]
    streams = [tuple(numbers(s, p, *at)) for s, p, at in itertools.product(seeds, Purpose, positions)]
    assert len(set(streams)) == len(streams) == 9 * len(Purpose) * 9


def test_a_stream_depends_on_nothing_drawn_before():
    first = generator(3, Purpose.BATCH_ORDER, 2)
    torch.rand(1000, generator=first)
    torch.manual_seed(8)
    expected = numbers(3, Purpose.BATCH_ORDER, 2)
    torch.rand(100)
    assert numbers(3, Purpose.BATCH_ORDER, 2) == expected
    assert generator(3, Purpose.BATCH_ORDER, 2) is not generator(3, Purpose.BATCH_ORDER, 2)


def test_streams_are_the_same_in_another_process():
    arguments = [(0, Purpose.CALIBRATION), (-5, Purpose.SPLIT, 1), (2**80, Purpose.PERMUTATION, 4, 2)]
    program = (
        "import torch; from metaplastic.seeding import Purpose, generator\n"
        "for a in [(0, Purpose.CALIBRATION), (-5, Purpose.SPLIT, 1), (2**80, Purpose.PERMUTATION, 4, 2)]:\n"
        "    print(torch.rand(4, generator=generator(*a)).tolist())"
    )
    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert printed.splitlines() == [str(numbers(*call)) for call in arguments]


@pytest.mark.parametrize(
    ("arguments", "order"),
    [
        ((0, Purpose.PERMUTATION, 1), [1, 0, 3, 4, 2, 5]),
        ((7, Purpose.BATCH_ORDER, 2, 1), [1, 2, 0, 3, 4, 5]),
    ],
)
def test_recorded_runs_can_be_repeated(arguments, order):
    """A change of these numbers makes every recorded run impossible to repeat."""
    assert torch.randperm(6, generator=generator(*arguments)).tolist() == order


def test_neighbouring_streams_are_not_correlated():
    draws = torch.stack([torch.rand(2000, generator=generator(0, Purpose.BATCH_ORDER, 0, e)) for e in range(8)])
    correlations = torch.corrcoef(draws) - torch.eye(8)
    assert correlations.abs().max() < 0.1
