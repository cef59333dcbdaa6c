"""Several data sets in a row."""

import pytest

from metaplastic.scenarios import Announced, sequence


@pytest.fixture
def three(make):
    return [make("a"), make("b", classes=2, first_mark=100), make("c", train=9, classes=3, first_mark=200)]


def test_each_data_set_is_a_task_with_shared_outputs(three, shown):
    scenario = sequence(three)
    assert scenario.name == "a then b then c"
    assert (scenario.classes, scenario.kind, scenario.input_shape) == (4, "domain-incremental", (3, 4))
    for index, data in enumerate(three):
        task, test = scenario.tasks[index], scenario.tests[index]
        assert (task.name, test.name, task.tests, test.task) == (data.name, data.name, (index,), index)
        assert (task.outputs, test.outputs) == (None, None)
        for view, part in ((task.view, data.train), (test.view, data.test)):
            assert shown(view) == ((part.inputs.flatten(1) / 256).tolist(), part.labels.tolist())


def test_separate_heads_give_each_class_an_output_of_its_own(three, shown):
    scenario = sequence(three, shared_head=False)
    assert (scenario.classes, scenario.kind) == (9, "class-incremental")
    for index, offset in enumerate((0, 4, 6)):
        for view, part in (
            (scenario.tasks[index].view, three[index].train),
            (scenario.tests[index].view, three[index].test),
        ):
            assert shown(view)[1] == [label + offset for label in part.labels.tolist()]
    assert {label for task in scenario.tasks for label in shown(task.view)[1]} == set(range(9))


def test_the_kind_follows_what_is_announced(three):
    told = Announced(task_at_test=True)
    assert sequence(three).announced == Announced()
    for shared in (True, False):
        scenario = sequence(three, shared_head=shared, announced=told)
        assert (scenario.kind, scenario.announced) == ("task-incremental", told)


def test_another_shape_is_refused(make):
    message = r"expected data sets of one shape and scale, got 'a' with \(3, 4\) times .* and 'b' with \(4, 4\) times"
    with pytest.raises(ValueError, match=message):
        sequence([make("a"), make("a"), make("b", shape=(4, 4))])


def test_another_scale_is_refused(make):
    with pytest.raises(ValueError, match=r"'a' with \(3, 4\) times 0.5 and 'b' with \(3, 4\) times 1.0; pad or rescal"):
        sequence([make("a", scale=0.5), make("b", scale=1.0)])


def test_no_data_set_is_refused():
    with pytest.raises(ValueError, match="expected at least two data sets, got none; give them in the order"):
        sequence([])
