"""Groups of classes against a loop over samples."""

from dataclasses import replace

import pytest

from metaplastic.scenarios import Announced, Grouping, Increment, class_groups, split

GROUPS = [(3, 0), (1, 4)]


def naive(part, group, label_of):
    """Flattened images and shown labels of the samples of a group, in their order."""
    chosen = [i for i, label in enumerate(part.labels.tolist()) if label in group]
    images = [(part.inputs[i].flatten() / 256).tolist() for i in chosen]
    return images, [label_of(int(part.labels[i])) for i in chosen]


@pytest.mark.parametrize("increment", Increment)
def test_a_task_holds_the_samples_of_its_classes(make, shown, increment):
    data = make(classes=6, train=40, test=20)
    scenario = split(data, GROUPS, increment.value)
    for index, group in enumerate(GROUPS):
        label_of = int if increment is Increment.CLASS else group.index
        task, test = scenario.tasks[index], scenario.tests[index]
        assert shown(task.view) == naive(data.train, group, label_of)
        assert shown(test.view) == naive(data.test, group, label_of)
        assert (task.tests, test.task) == ((index,), index)
        outputs = group if increment is Increment.TASK else None
        assert (task.outputs, test.outputs) == (outputs, outputs)
    assert [task.name for task in scenario.tasks] == ["marked-3 marked-0", "marked-1 marked-4"]
    assert scenario.classes == (2 if increment is Increment.DOMAIN else 6)
    assert scenario.kind == f"{increment.value}-incremental"


@pytest.mark.parametrize("boundaries", [False, True])
def test_only_a_task_incremental_split_tells_the_task(make, boundaries):
    for increment in Increment:
        announced = split(make(), [(0, 1), (2, 3)], increment, announced=Announced(boundaries)).announced
        assert announced == Announced(boundaries, task_at_test=increment is Increment.TASK)


def test_the_task_may_be_told_while_all_outputs_answer(make):
    scenario = split(make(), [(0, 1), (2, 3)], Increment.CLASS, announced=Announced(True, True))
    assert scenario.kind == "task-incremental"
    assert scenario.announced == Announced(True, True)
    assert [test.outputs for test in scenario.tests] == [None, None]


def test_tasks_may_differ_in_size_where_they_share_no_outputs(make):
    for increment in (Increment.TASK, Increment.CLASS):
        assert len(split(make(), [(0,), (1, 2, 3)], increment).tasks) == 2
    message = r"expected tasks of one size to share their outputs, got \[\(0,\), \(1, 2, 3\)\]; use 'class' or 'task'"
    with pytest.raises(ValueError, match=message):
        split(make(), [(0,), (1, 2, 3)], Increment.DOMAIN)


@pytest.mark.parametrize("increment", Increment)
@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ([(0, 1), (2, 4)], r"expected labels from 0 to 3, got \[4\]; 'marked' has no others"),
        ([(0, -1), (2, 3)], r"expected labels from 0 to 3, got \[-1\]"),
        ([(0, 1), (1, 2)], r"expected each label in one task, got \[\(0, 1\), \(1, 2\)\]; remove the label"),
        ([(0, 0), (1, 2)], "expected each label in one task"),
        ([], r"expected at least one group of classes, got none; e.g. \[\(0, 1\), \(2, 3\)\]"),
        ([(), ()], "expected samples in '' of scenario 'split marked', got none; give each task classes that occur"),
    ],
)
def test_bad_groups_are_refused(make, increment, groups, message):
    with pytest.raises(ValueError, match=message):
        split(make(), groups, increment)


def test_an_unknown_increment_is_refused(make):
    with pytest.raises(ValueError, match="unknown increment 'label'"):
        split(make(), [(0, 1)], "label")


OBJECTS = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def test_groups_in_order_are_as_many_classes_for_each_task(make):
    assert class_groups(make(classes=6), 3) == [(0, 1), (2, 3), (4, 5)]
    message = "expected a number of tasks that divides the 6 classes of 'marked', got 4"
    with pytest.raises(ValueError, match=message):
        class_groups(make(classes=6), 4)
    with pytest.raises(ValueError, match="expected a number of tasks that divides the 6 classes of 'marked', got 0"):
        class_groups(make(classes=6), 0)


def test_the_authors_vehicles_come_first_and_hold_the_horse(make):
    data = replace(make(classes=10, train=40), class_names=OBJECTS)
    groups = class_groups(data, 2, "vehicles-animals")
    assert [[OBJECTS[label] for label in group] for group in groups] == [
        ["airplane", "automobile", "horse", "ship", "truck"],
        ["bird", "cat", "deer", "dog", "frog"],
    ]
    relabelled = [5, 6, 0, 1, 2, 3, 4, 7, 8, 9]  # as the authors number CIFAR-10: animals below 5
    assert [{relabelled[label] < 5 for label in group} for group in groups] == [{False}, {True}]
    assert [len(task.view) for task in split(data, groups).tasks] == [20, 20]


def test_vehicles_and_animals_need_the_classes_of_cifar_10_and_two_tasks(make):
    data = replace(make(classes=10, train=40), class_names=OBJECTS)
    with pytest.raises(ValueError, match=r"expected 2 tasks of the classes of CIFAR-10.*, got 5 of 'marked'"):
        class_groups(data, 5, Grouping.VEHICLES_ANIMALS)
    with pytest.raises(ValueError, match=r"with classes marked-0, marked-1.*; use 'in-order'"):
        class_groups(make(), 2, Grouping.VEHICLES_ANIMALS)
