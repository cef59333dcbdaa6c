"""Views of samples, and what a scenario refuses."""

import dataclasses

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from metaplastic.data import Samples
from metaplastic.scenarios import Announced, IndexView, Scenario, Task, Test, UnionView


def samples(count=7, pixels=6, first=0):
    inputs = torch.arange(first, first + count * pixels, dtype=torch.uint8).reshape(count, 2, pixels // 2)
    return Samples(inputs, torch.arange(count) % 3)


def scenario(view=None, announced=Announced(), **parts):  # noqa: B008
    view = IndexView(samples()) if view is None else view
    values = {"tasks": (Task("first", view, tests=(0,)),), "tests": (Test("all", view),)} | parts
    return Scenario("tiny", announced=announced, classes=3, input_shape=(2, 3), **values)


@given(
    st.lists(st.integers(0, 4), max_size=9),
    st.permutations(range(6)) | st.none(),
    st.lists(st.integers(0, 6), min_size=5, max_size=5) | st.none(),
    st.permutations(range(3)) | st.none(),
    st.sampled_from([1.0, 1 / 256, 0.5]),
    st.sampled_from([0.0, -1 / 512]),
)
def test_a_view_equals_a_loop_over_samples(rows, permutation, members, labels, scale, offset):
    data = samples()

    def index(values):
        return None if values is None else torch.tensor(values)

    view = IndexView(data, scale, index(permutation), index(members), index(labels), offset)
    assert len(view) == (7 if members is None else 5)
    inputs, shown = view.batch(torch.tensor(rows, dtype=torch.int64))
    assert (inputs.dtype, shown.dtype) == (torch.float32, torch.int64)
    assert inputs.shape == ((len(rows), 6) if permutation is not None else (len(rows), 2, 3))
    for position, row in enumerate(rows):
        stored = row if members is None else members[row]
        pixels = data.inputs[stored].flatten().tolist()
        expected = pixels if permutation is None else [pixels[source] for source in permutation]
        assert inputs[position].flatten().tolist() == [pixel * scale + offset for pixel in expected]
        label = int(data.labels[stored])
        assert shown[position] == (label if labels is None else labels[label])


@given(st.lists(st.integers(0, 13), min_size=1, max_size=20))
def test_a_union_returns_rows_in_the_order_asked(rows):
    views = (
        IndexView(samples(3)),
        IndexView(samples(7, first=50), rows=torch.tensor([6, 0, 2, 4])),
        IndexView(samples(7, first=150), labels=torch.tensor([5, 6, 7])),
    )
    union = UnionView(views)
    assert len(union) == 14
    inputs, labels = union.batch(torch.tensor(rows))
    in_line = [(view, row) for view in views for row in range(len(view))]
    for position, row in enumerate(rows):
        view, within = in_line[row]
        (expected,), (label,) = view.batch(torch.tensor([within]))
        assert torch.equal(inputs[position], expected)
        assert labels[position] == label


def test_a_view_copies_nothing():
    data = samples()
    view = IndexView(data, rows=torch.tensor([1, 2]))
    assert view.samples is data
    for moved in (view.to(torch.device("cpu")), UnionView((view,)).to(torch.device("cpu")).views[0]):
        assert moved.samples.inputs.data_ptr() == data.inputs.data_ptr()
        assert moved.samples.labels.data_ptr() == data.labels.data_ptr()


def test_a_batch_is_the_callers_own():
    data = samples()
    before = data.inputs.clone()
    for view in (IndexView(data), IndexView(Samples(data.inputs.float(), data.labels))):
        inputs, labels = view.batch(torch.arange(7))
        inputs.zero_()
        labels.zero_()
        assert torch.equal(view.samples.inputs, before.to(view.samples.inputs.dtype))
        assert view.samples.labels.any()


def test_moving_moves_every_part(monkeypatch):
    monkeypatch.setattr(Samples, "__post_init__", lambda _: None)  # a device without values has no labels to check
    index = torch.tensor([1, 0, 2])
    view = IndexView(samples(), permutation=torch.arange(6), rows=index, labels=index)
    meta = torch.device("meta")
    moved = scenario(UnionView((view,)), tests=(Test("all", view),)).to(meta)
    for part in (moved.tasks[0].view.views[0], moved.tests[0].view):
        tensors = (part.samples.inputs, part.samples.labels, part.permutation, part.rows, part.labels)
        assert {tensor.device for tensor in tensors} == {meta}
    assert IndexView(samples()).to(meta).rows is None
    assert (moved.name, moved.classes, moved.tasks[0].name) == ("tiny", 3, "first")


def test_bytes_stand_for_inputs_only_where_0_is_shown_as_0():
    assert IndexView(samples(), 1 / 16).unit_of_bytes == 1 / 16
    assert IndexView(samples(), 1 / 16, offset=-1 / 32).unit_of_bytes is None
    assert scenario(IndexView(samples(), offset=0.5)).unit_of_bytes is None


def test_what_is_laid_out_is_shown_the_same():
    view = IndexView(samples(), 0.5, torch.tensor([5, 4, 3, 2, 1, 0]), torch.tensor([6, 0, 3]), offset=-0.25)
    for one in (view, view.stored()):
        (expected, labels), (inputs, same) = (v.batch(torch.tensor([2, 0, 1])) for v in (one, one.laid_out()))
        assert torch.equal(inputs, expected)
        assert torch.equal(same, labels)
    assert view.batch(torch.tensor([0]))[0].min() == 36 * 0.5 - 0.25
    assert view.stored().batch(torch.tensor([0]))[0].dtype is torch.uint8


def test_values_are_frozen():
    made = scenario()
    for value, name in ((made, "tasks"), (made.tasks[0], "view"), (made.tests[0], "view"), (made.announced, "seed")):
        with pytest.raises(dataclasses.FrozenInstanceError, match="cannot assign"):
            setattr(value, name, None)


def test_a_scenario_without_task_or_test_is_refused():
    with pytest.raises(ValueError, match="expected at least one task and one test in 'tiny', got 0 and 1; a scenario"):
        scenario(tasks=())
    with pytest.raises(ValueError, match="got 1 and 0; a scenario with nothing to learn or to measure is a mistake"):
        scenario(tests=())


@pytest.mark.parametrize("kind", ["tasks", "tests"])
def test_an_empty_part_is_refused(kind):
    empty = IndexView(samples(), rows=torch.empty(0, dtype=torch.int64))
    value = {"tasks": Task, "tests": Test}[kind]("hollow", empty)
    with pytest.raises(ValueError, match="expected samples in 'hollow' of scenario 'tiny', got none; give each task"):
        scenario(**{kind: (value,)})


def test_what_is_not_announced_cannot_be_asked_for():
    nothing, everything = scenario(), scenario(announced=Announced(boundaries=True, task_at_test=True))
    everything.require_boundaries("a reset")
    everything.require_task_at_test("kept gains")
    message = r"expected announced task boundaries for a reset, got scenario 'tiny' that announces none; .*--boundaries"
    with pytest.raises(ValueError, match=message):
        nothing.require_boundaries("a reset")
    message = r"expected the task to be known at test for kept gains, got scenario 'tiny' that .*\(--task-at-test\)"
    with pytest.raises(ValueError, match=message):
        nothing.require_task_at_test("kept gains")
    with pytest.raises(ValueError, match="known at test"):
        scenario(announced=Announced(boundaries=True)).require_task_at_test("x")
    with pytest.raises(ValueError, match="announced task boundaries"):
        scenario(announced=Announced(task_at_test=True)).require_boundaries("x")


@pytest.mark.parametrize("tests", [(), (1,), (-1,)])
def test_a_task_that_names_no_test_is_refused(tests):
    with pytest.raises(ValueError, match=r"expected 'first' to name its tests, from 0 to 0, got"):
        scenario(tasks=(Task("first", IndexView(samples()), tests=tests),))


def test_outputs_restricted_at_test_need_the_task_to_be_announced():
    tests = (Test("all", IndexView(samples()), outputs=(0, 1)),)
    with pytest.raises(ValueError, match="announce the task at test, or leave outputs=None"):
        scenario(tests=tests)
    assert scenario(tests=tests, announced=Announced(task_at_test=True)).tests == tests
