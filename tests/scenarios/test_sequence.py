"""Several data sets in a row."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

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
    message = (
        r"expected data sets of one shape, scale and offset, got 'a' with \(3, 4\) times .* and 'b' with \(4, 4\) "
    )
    with pytest.raises(ValueError, match=message):
        sequence([make("a"), make("a"), make("b", shape=(4, 4))])


def test_another_scale_is_refused(make):
    message = r"'a' with \(3, 4\) times 0.5 plus 0.0 and 'b' with \(3, 4\) times 1.0 plus 0.0; pad the images \(Data"
    with pytest.raises(ValueError, match=message):
        sequence([make("a", scale=0.5), make("b", scale=1.0)])
    with pytest.raises(ValueError, match=r"times 0.5 plus 0.0 and .* times 0.5 plus -0.25; pad the images"):
        sequence([make("a", scale=0.5), make("b", scale=0.5).two_signed()])


def test_no_data_set_is_refused():
    with pytest.raises(ValueError, match="expected at least one data set, got none; give them in the order"):
        sequence([])


def chosen(scenario):
    return [task.view.rows.tolist() for task in scenario.tasks]


@given(st.integers(1, 23), st.integers(1, 9), st.integers(-5, 2**40))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_a_subset_holds_as_many_different_samples_as_asked_for(make, shown, first, second, seed):
    data = [make("a"), make("b", train=9, first_mark=100)]
    scenario = sequence(data, samples=(first, second), seed=seed)
    assert [len(set(rows)) for rows in chosen(scenario)] == [len(rows) for rows in chosen(scenario)] == [first, second]
    for task, rows, whole in zip(scenario.tasks, chosen(scenario), data, strict=True):
        images, labels = whole.train.inputs.flatten(1) / 256, whole.train.labels
        assert shown(task.view) == ([images[row].tolist() for row in rows], [int(labels[row]) for row in rows])
    for test, whole in zip(scenario.tests, data, strict=True):
        assert len(test.view) == len(whole.test)
    assert scenario.name == f"{first} of a then {second} of b"
    assert [task.name for task in scenario.tasks] == ["a", "b"]


def test_every_sample_is_as_likely_to_be_in_a_subset(make):
    drawn = [row for seed in range(400) for row in chosen(sequence([make(train=8)], samples=(2,), seed=seed))[0]]
    assert all(70 < drawn.count(row) < 130 for row in range(8))  # 100 expected, deviation 8.7


def test_a_subset_depends_on_the_seed_and_not_on_its_place_or_size(make):
    a, b = make("a"), make("b", train=9)
    small = chosen(sequence([a, b], samples=(8, 5), seed=3))
    assert chosen(sequence([b, a], samples=(5, 8), seed=3)) == small[::-1]
    assert chosen(sequence([b], samples=(5,), seed=3)) == small[1:]
    assert set(small[0]) < set(chosen(sequence([a], samples=(12,), seed=3))[0])
    assert chosen(sequence([a, b], samples=(8, 5), seed=4)) != small


def test_without_numbers_of_samples_all_are_learned(make, shown):
    data = make()
    (task,) = sequence([data]).tasks
    assert task.view.rows is None
    assert len(shown(task.view)[1]) == 23
    assert sequence([data]).name == "marked"


@pytest.mark.parametrize("count", [0, -1, 24])
def test_more_samples_than_there_are_or_none_are_refused(make, count):
    with pytest.raises(ValueError, match=f"expected from 1 to 23 samples of 'b', got {count}; ask for fewer"):
        sequence([make("a"), make("b")], samples=(3, count))


def test_a_number_of_samples_is_given_for_every_data_set_or_for_none(make):
    with pytest.raises(ValueError, match="expected one number of samples per data set, got 1 for 2; give none for all"):
        sequence([make("a"), make("b")], samples=(3,))
