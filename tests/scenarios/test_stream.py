"""A data set in parts: everything exactly once."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from metaplastic.scenarios import Announced, stream


@given(st.integers(1, 23), st.integers(-5, 2**40))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_parts_hold_everything_exactly_once(make, parts, seed):
    scenario = stream(make(), parts, seed=seed)
    rows = [task.view.rows.tolist() for task in scenario.tasks]
    assert len(rows) == parts
    assert sorted(row for part in rows for row in part) == list(range(23))
    sizes = {len(part) for part in rows}
    assert max(sizes) - min(sizes) <= 1


def test_samples_are_dealt_at_random_and_keep_their_labels(make, shown):
    data = make()
    original = dict(zip(map(tuple, (data.train.inputs.flatten(1) / 256).tolist()), data.train.labels.tolist()))  # noqa: B905
    scenario = stream(data, 3)
    seen = [pair for task in scenario.tasks for pair in zip(*shown(task.view), strict=True)]
    assert all(original[tuple(image)] == label for image, label in seen)
    rows = [row for task in scenario.tasks for row in task.view.rows.tolist()]
    assert rows != list(range(23))
    again, other = stream(data, 3), stream(data, 3, seed=1)
    assert [row for task in again.tasks for row in task.view.rows.tolist()] == rows
    assert [row for task in other.tasks for row in task.view.rows.tolist()] != rows


def test_one_test_serves_all_parts_and_nothing_is_announced(make, shown):
    data = make()
    scenario = stream(data, 4)
    (test,) = scenario.tests
    assert shown(test.view) == ((data.test.inputs.flatten(1) / 256).tolist(), data.test.labels.tolist())
    assert (test.task, test.outputs) == (None, None)
    assert [task.tests for task in scenario.tasks] == [(0,)] * 4
    assert scenario.announced == Announced(boundaries=False, task_at_test=False)
    assert (scenario.kind, scenario.name, scenario.classes, scenario.input_shape) == (
        "stream",
        "marked in 4 parts",
        4,
        (3, 4),
    )


@pytest.mark.parametrize("parts", [0, -1, 24])
def test_a_number_of_parts_that_cannot_be_dealt_is_refused(make, parts):
    with pytest.raises(ValueError, match=f"expected from 1 to 23 parts of 'marked', got {parts}"):
        stream(make(), parts)
