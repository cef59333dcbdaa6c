"""The demonstration goes on with its own runs, and with nobody else's."""

from dataclasses import replace

import pytest

from metaplastic.experiments import Record, run_demo
from metaplastic.experiments.config import Network
from metaplastic.experiments.demo import demo_configs


@pytest.mark.parametrize("place", ["plain-seed0", "joint-seed1"])
def test_a_run_of_another_configuration_is_refused_before_anything_is_trained(place, tmp_path):
    config = replace(demo_configs(0)["metaplastic"], network=Network(hidden=(8,)))
    Record.create(tmp_path / place, config)
    titles = []
    with pytest.raises(ValueError, match=rf"expected in .*{place} a record of what is to be run, got one of another"):
        run_demo(tmp_path, 2, titles.append)
    assert not titles
    assert [path.name for path in tmp_path.iterdir()] == [place]
    assert not Record(tmp_path / place).complete


def test_the_same_configuration_with_another_seed_is_refused_too(tmp_path):
    Record.create(tmp_path / "plain-seed0", demo_configs(1)["plain"])
    with pytest.raises(ValueError, match=r"got one of another configuration; choose another folder with --out"):
        run_demo(tmp_path, 1, lambda title: None)
