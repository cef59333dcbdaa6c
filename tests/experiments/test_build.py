"""From a configuration to what it describes."""

import pytest

from metaplastic.experiments.build import build_scenario
from metaplastic.experiments.config import Sequence


def test_a_sequence_takes_as_many_padded_samples_as_it_says():
    config = Sequence(("digits", "digits"), samples=(200, 180), image_side=12)
    scenario, other = build_scenario(config, seed=1), build_scenario(config, seed=2)
    assert [len(task.view) for task in scenario.tasks] == [200, 180]
    assert [len(test.view) for test in scenario.tests] == [360, 360]
    assert scenario.input_shape == (12, 12)
    assert scenario.tasks[0].view.rows.tolist() != other.tasks[0].view.rows.tolist()


def test_more_samples_than_a_data_set_has_are_refused():
    with pytest.raises(ValueError, match="expected from 1 to 1437 samples of 'digits', got 1438; ask for fewer"):
        build_scenario(Sequence(("digits",), samples=(1438,)), seed=0)
