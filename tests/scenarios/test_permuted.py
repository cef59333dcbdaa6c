"""Permuted images against a loop over pixels."""

import numpy as np
import pytest
import torch

from metaplastic.scenarios import Announced, permuted


def naive(part, order, scale):
    return [[image.flatten().tolist()[source] * scale for source in order] for image in part.inputs]


@pytest.mark.parametrize("shape", [(3, 4), (2, 2, 3), (12,)])
def test_explicit_permutations_move_every_pixel_of_training_and_test(make, shown, shape):
    data = make(shape=shape)
    orders = [list(range(11, -1, -1)), [1, 0, *range(2, 12)]]
    scenario = permuted(data, permutations=orders)
    for index, order in enumerate(orders):
        assert shown(scenario.tasks[index].view) == (naive(data.train, order, 1 / 256), data.train.labels.tolist())
        assert shown(scenario.tests[index].view) == (naive(data.test, order, 1 / 256), data.test.labels.tolist())
    assert [task.tests for task in scenario.tasks] == [(0,), (1,)]
    assert [test.task for test in scenario.tests] == [0, 1]
    assert (scenario.classes, scenario.input_shape, scenario.name) == (4, (12,), "permuted marked")


def orders(scenario):
    return [task.view.permutation.tolist() for task in scenario.tasks]


def test_drawn_permutations_are_permutations_and_differ(make):
    found = orders(permuted(make(), tasks=5, seed=3))
    assert all(sorted(order) == list(range(12)) for order in found)
    assert list(range(12)) not in found
    assert len(set(map(tuple, found))) == 5
    assert [test.view.permutation.tolist() for test in permuted(make(), tasks=5, seed=3).tests] == found


def test_a_seed_decides_the_permutations_and_each_depends_on_its_task_only(make):
    assert orders(permuted(make(), tasks=3, seed=1)) == orders(permuted(make(), tasks=6, seed=1))[:3]
    assert orders(permuted(make(), tasks=3, seed=1)) != orders(permuted(make(), tasks=3, seed=2))


def test_the_first_task_can_be_left_as_it_is(make, shown):
    data = make()
    plain = permuted(data, tasks=3, permute_first=False)
    assert orders(plain)[0] == list(range(12))
    assert orders(plain)[1:] == orders(permuted(data, tasks=3))[1:]
    assert shown(plain.tasks[0].view)[0] == (data.train.inputs.flatten(1) / 256).tolist()


def test_the_kind_follows_what_is_announced(make):
    assert permuted(make(), tasks=2).announced == Announced(boundaries=False, task_at_test=False)
    assert permuted(make(), tasks=2).kind == "domain-incremental"
    told = Announced(boundaries=True, task_at_test=True)
    assert permuted(make(), tasks=2, announced=told).kind == "task-incremental"
    assert permuted(make(), tasks=2, announced=told).announced == told


@pytest.mark.parametrize("tasks", [None, 0, -1])
def test_no_task_is_refused(make, tasks):
    with pytest.raises(ValueError, match=f"expected at least 1 task, got {tasks}; give tasks=... or permutations"):
        permuted(make(), tasks=tasks)


@pytest.mark.parametrize(
    ("order", "found"),
    [
        ([0, *range(11)], "12 entries, 11 of them different"),
        (list(range(11)), "11 entries, 11 of them different"),
        (list(range(1, 13)), "12 entries, 12 of them different"),
    ],
)
def test_what_is_not_a_permutation_is_refused(make, order, found):
    message = f"expected a permutation of 0 to 11, got {found}; each pixel must occur once"
    with pytest.raises(ValueError, match=message):
        permuted(make(), permutations=[list(range(12)), order])


def test_a_permutation_that_the_caller_changes_later_stays_as_it_was(make):
    order = np.arange(12)
    scenario = permuted(make(), permutations=[order])
    order[:] = order[::-1].copy()
    assert orders(scenario) == [list(range(12))]


def test_another_number_of_tasks_than_of_permutations_is_refused(make):
    order = list(range(12))
    assert len(permuted(make(), 2, permutations=[order, order]).tasks) == 2
    with pytest.raises(ValueError, match="expected one permutation per task, got 2 for 5 tasks; give only one"):
        permuted(make(), 5, permutations=[order, order])


def test_tasks_share_the_samples_in_memory(make):
    data = make()
    scenario = permuted(data, tasks=4)
    assert all(task.view.samples is data.train for task in scenario.tasks)
    assert all(test.view.samples is data.test for test in scenario.tests)
    assert torch.equal(data.train.inputs, make().train.inputs)
