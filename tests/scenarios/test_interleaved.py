"""All tasks at once."""

import pytest

from metaplastic.scenarios import Announced, interleaved, permuted, sequence, split, stream


def test_the_union_holds_every_sample_of_every_task(make, shown):
    separate = sequence([make("a"), make("b", first_mark=100)], shared_head=False)
    scenario = interleaved(separate)
    (task,) = scenario.tasks
    images, labels = [], []
    for part in separate.tasks:
        more_images, more_labels = shown(part.view)
        images += more_images
        labels += more_labels
    assert shown(task.view) == (images, labels)
    assert (task.name, task.tests, task.outputs) == ("all tasks", (0, 1), None)
    assert scenario.tests == separate.tests
    assert (scenario.name, scenario.classes, scenario.kind) == (separate.name, 8, "joint")


def test_nothing_is_announced_whatever_the_sequence_announced(make):
    told = Announced(boundaries=True, task_at_test=True)
    assert interleaved(permuted(make(), tasks=2, announced=told)).announced == Announced()


def test_parts_with_one_test_name_it_once(make):
    assert interleaved(stream(make(), 5)).tasks[0].tests == (0,)


def test_outputs_per_task_are_refused(make):
    message = "expected tasks that share their outputs, got scenario 'split marked' with outputs per task; use a class"
    with pytest.raises(ValueError, match=message):
        interleaved(split(make(), [(0, 1), (2, 3)], "task"))
    for increment in ("domain", "class"):
        assert len(interleaved(split(make(), [(0, 1), (2, 3)], increment)).tasks) == 1
