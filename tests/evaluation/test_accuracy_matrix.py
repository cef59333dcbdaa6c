import csv
import io
import json
import re
from dataclasses import asdict, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metaplastic.evaluation import accuracy_matrix as room
from metaplastic.evaluation.accuracy_matrix import AccuracyMatrix, Metric, intransigence, summary

NAMES = ("a", "b", "c", "d")
LITERATURE = AccuracyMatrix(
    NAMES,
    (100, 100, 100, 100),
    ((70, 10, 12, 8), (85, 94, 11, 9), (88, 70, 93, 12), (80, 95, 65, 92)),
    ((0,), (1,), (2,), (3,)),
    (10, 10, 10, 10),
)
JOINT = AccuracyMatrix(("a", "b"), (10, 10), ((9, 7),), ((0, 1),), (1, 1))
STREAM = AccuracyMatrix(("a",), (10,), ((3,), (5,), (9,)), ((0,), (0,), (0,)), (1,))
NEEDS_SEQUENCE = ("diaz_rodriguez_accuracy", "bwt", "bwt_dr", "remembering", "forgetting", "forgetting_first_last")


@st.composite
def fields(draw, kinds=("sequence", "any")):
    """Fields of a random matrix; a sequence trains one new task per stage, in any order.

    The matrix itself is made in the test: the type checks draw random numbers, which a strategy must not.
    """
    letters = st.characters(exclude_characters=";\r\n", exclude_categories=["Cs"])
    names = st.text(letters, min_size=1, max_size=5).filter(lambda name: name not in {"stage", "trained on"})
    tests = tuple(draw(st.lists(names, min_size=1, max_size=5, unique=True)))
    totals = tuple(draw(st.integers(1, room.LARGEST_TEST_SET)) for _ in tests)
    if draw(st.sampled_from(kinds)) == "sequence":
        order = draw(st.permutations(range(len(tests))))
        trained_on = tuple((test,) for test in order[: draw(st.integers(0, len(tests)))])
    else:
        stage = st.lists(st.integers(0, len(tests) - 1), min_size=1, unique=True).map(tuple)
        trained_on = tuple(draw(st.lists(stage, max_size=5)))
    row = st.tuples(*(st.integers(0, total) for total in totals))
    correct = tuple(draw(row) for _ in trained_on)
    return tests, totals, correct, trained_on, draw(st.none() | row)


def by_definition(matrix: AccuracyMatrix) -> dict[str, float]:
    """Every metric of a sequence, spelled out with indices from 1 as in the papers."""
    order = [trained[0] for trained in matrix.trained_on]
    tasks = len(order)

    def r(i, j):
        return matrix.correct[i - 1][order[j - 1]] / matrix.totals[order[j - 1]]

    def b(j):
        return matrix.untrained[order[j - 1]] / matrix.totals[order[j - 1]]

    one = range(1, tasks + 1)
    found = {
        "average_accuracy": sum(r(tasks, j) for j in one) / tasks,
        "average_incremental_accuracy": sum(sum(r(i, j) for j in one if j <= i) / i for i in one) / tasks,
        "diaz_rodriguez_accuracy": sum(r(i, j) for i in one for j in one if i >= j) / (tasks * (tasks + 1) / 2),
    }
    if tasks == 1:
        return found
    pairs = tasks * (tasks - 1) / 2
    backward = sum(r(i, j) - r(j, j) for i in one for j in one if i > j) / pairs
    drops = [max(r(i, j) for i in one if i < tasks) - r(tasks, j) for j in one if j < tasks]
    found |= {
        "bwt": sum(r(tasks, j) - r(j, j) for j in one if j < tasks) / (tasks - 1),
        "bwt_dr": backward,
        "remembering": 1 - abs(min(backward, 0)),
        "forgetting": sum(drops) / (tasks - 1),
        "forgetting_first_last": sum(r(j, j) - r(tasks, j) for j in one if j < tasks) / (tasks - 1),
        "fwt_dr": sum(r(i, j) for i in one for j in one if i < j) / pairs,
    }
    if matrix.untrained is not None:
        found["fwt"] = sum(r(j - 1, j) - b(j) for j in one if j > 1) / (tasks - 1)
    return found


def values(matrix: AccuracyMatrix) -> dict[str, float]:
    return {name: metric.value for name, metric in summary(matrix).items() if metric.value is not None}


@pytest.mark.parametrize(
    ("name", "printed"),
    [
        ("bwt", -0.0567),  # GEM, Mammoth, Avalanche
        ("fwt", 0.0100),  # GEM, Mammoth
        ("forgetting", 0.1167),  # Chaudhry, Continuum
        ("forgetting_first_last", 0.0567),  # Avalanche's forgetting
        ("bwt_dr", -0.0133),  # Continuum's and CapyMOA's BWT
        ("fwt_dr", 0.1033),  # CapyMOA's FWT
        ("average_accuracy", 0.8300),
        ("remembering", 0.9867),
    ],
)
def test_values_that_libraries_print_for_one_matrix(name, printed):
    assert round(summary(LITERATURE)[name].value, 4) == printed


def test_fwt_without_the_untrained_baseline_is_what_continuum_prints():
    assert round(summary(replace(LITERATURE, untrained=(0, 0, 0, 0)))["fwt"].value, 4) == 0.11


@given(fields(kinds=("sequence",)))
def test_metrics_equal_their_definitions(drawn):
    matrix = AccuracyMatrix(*drawn)
    expected = by_definition(matrix) if matrix.correct else {}
    assert values(matrix) == pytest.approx(expected, abs=1e-12)


@given(fields())
def test_every_metric_has_a_value_or_a_reason_and_goes_into_json(drawn):
    matrix = AccuracyMatrix(*drawn)
    metrics = summary(matrix)
    assert len(metrics) == 10
    for name, metric in metrics.items():
        lowest = -1 if name.startswith(("bwt", "fwt", "forgetting")) else 0
        assert metric.reason if metric.value is None else lowest <= metric.value <= 1
    as_json = json.loads(json.dumps({name: asdict(metric) for name, metric in metrics.items()}, allow_nan=False))
    assert {name: Metric(**parts) for name, parts in as_json.items()} == metrics


def test_one_task_has_accuracies_and_no_transfer():
    metrics = summary(AccuracyMatrix(("a",), (10,), untrained=(1,)).with_stage([9]))
    assert [metrics[name].value for name in list(metrics)[:3]] == [0.9, 0.9, 0.9]
    assert {metric.reason for metric in list(metrics.values())[3:]} == {"needs at least 2 trained tasks, got 1"}


def test_nothing_trained_has_no_metrics():
    metrics = summary(AccuracyMatrix(("a",), (10,)))
    assert metrics["average_accuracy"] == Metric(None, "no stage has been trained yet")
    assert not any(metric.value for metric in metrics.values())


@pytest.mark.parametrize(
    ("matrix", "average", "reason"),
    [
        (JOINT, 0.8, "needs one task per stage, but stage 1 trained 2 tasks together"),
        (STREAM, 0.9, "needs a new task in every stage, but stage 2 trained 'a' again"),
    ],
)
def test_joint_and_stream_have_an_average_and_a_reason_for_the_rest(matrix, average, reason):
    metrics = summary(matrix)
    assert metrics["average_accuracy"].value == pytest.approx(average)
    assert {metrics[name].reason for name in (*NEEDS_SEQUENCE, "fwt", "fwt_dr")} == {reason}


def test_incremental_accuracy_of_a_stream_is_the_mean_over_its_stages():
    assert summary(STREAM)["average_incremental_accuracy"].value == pytest.approx((0.3 + 0.5 + 0.9) / 3)


def test_fwt_says_when_the_untrained_network_was_not_measured():
    metric = summary(replace(LITERATURE, untrained=None))["fwt"]
    assert metric == Metric(None, "the accuracy of the untrained network was not measured")


@given(fields(kinds=("sequence",)), st.randoms())
def test_metrics_do_not_depend_on_the_order_of_the_columns(drawn, random):
    matrix = AccuracyMatrix(*drawn)
    columns = list(range(len(matrix.tests)))
    random.shuffle(columns)

    def move(row):
        return tuple(row[column] for column in columns)

    moved = AccuracyMatrix(
        move(matrix.tests),
        move(matrix.totals),
        tuple(map(move, matrix.correct)),
        tuple((columns.index(test),) for (test,) in matrix.trained_on),
        matrix.untrained and move(matrix.untrained),
    )
    assert values(moved) == pytest.approx(values(matrix), abs=1e-12)


def test_intransigence_compares_the_last_task_with_joint_training():
    sequence = AccuracyMatrix(("a", "b"), (10, 10)).with_stage([9, 1]).with_stage([8, 6])
    assert intransigence(sequence, JOINT).value == pytest.approx(0.7 - 0.6)
    reverse = AccuracyMatrix(("a", "b"), (10, 10)).with_stage([1, 9], [1]).with_stage([6, 8], [0])
    assert intransigence(reverse, JOINT).value == pytest.approx(0.9 - 0.6)


def test_intransigence_needs_the_same_tasks_in_one_stage():
    begun = AccuracyMatrix(("a", "b"), (10, 10)).with_stage([9, 1])
    reason = "the reference did not train the same tasks together in one stage"
    assert intransigence(begun, JOINT) == Metric(None, reason)
    assert intransigence(begun.with_stage([8, 6]), begun.with_stage([8, 6])) == Metric(None, reason)
    assert intransigence(JOINT, JOINT).reason == "needs one task per stage, but stage 1 trained 2 tasks together"
    with pytest.raises(ValueError, match="run the joint learner on the same scenario"):
        intransigence(begun, STREAM)


def test_growth_leaves_the_old_matrix_alone_and_takes_any_integers():
    empty = AccuracyMatrix(("a", "b"), (10, 10))
    grown = empty.with_stage(np.array([9, 1])).with_stage(iter([8, 6]), trained_on=np.array([1]))
    assert empty.correct == ()
    assert grown == AccuracyMatrix(("a", "b"), (10, 10), ((9, 1), (8, 6)), ((0,), (1,)))
    assert empty.accuracy.shape == (0, 2)
    assert {type(count) for row in grown.correct for count in row} == {int}
    with pytest.raises(TypeError):
        empty.with_stage([0.9, 0.1])


@given(fields())
def test_csv_gives_back_the_matrix(drawn):
    matrix = AccuracyMatrix(*drawn)
    assert AccuracyMatrix.from_csv(matrix.to_csv()) == matrix


@given(fields(), st.data())
def test_a_shortened_csv_is_an_error(drawn, data):
    matrix = AccuracyMatrix(*drawn)
    text = matrix.to_csv()
    length = data.draw(st.integers(0, len(text) - 2))
    with pytest.raises(ValueError, match="expected"):
        AccuracyMatrix.from_csv(text[:length])


@given(st.text() | st.builds("stage,a,trained on\n{}\nsamples,{},\n".format, st.text(), st.text()))
def test_any_other_text_is_a_matrix_or_a_clear_error(text):
    try:
        AccuracyMatrix.from_csv(text)
    except ValueError as error:
        assert str(error).startswith("expected")  # noqa: PT017 - most texts raise, a few do not


def test_csv_reads_as_the_accuracy_matrix():
    rows = list(csv.DictReader(io.StringIO(LITERATURE.to_csv())))
    assert [row["stage"] for row in rows] == ["untrained", "1", "2", "3", "4", "samples"]
    stages = [[float(row[name]) for name in NAMES] for row in rows[1:-1]]
    assert np.array_equal(stages, LITERATURE.accuracy)
    assert [row["trained on"] for row in rows[1:-1]] == list(NAMES)


def test_csv_survives_a_spreadsheet():
    matrix = AccuracyMatrix(("a", "b"), (60_000, 9_999), ((19_999, 3_333),), ((0, 1),))
    cells = list(csv.reader(io.StringIO(matrix.to_csv())))
    short = [f"{float(cell):.15g}" for cell in cells[1][1:3]]
    text = "\ufeff" + "\r\n".join([",".join(cells[0]), ",".join(["1", *short, "a;b"]), "samples,60000,9999,", ""])
    assert AccuracyMatrix.from_csv(text) == matrix


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected the header"),
        ("task,a,trained on\nsamples,10,\n", "got ['task', 'a', 'trained on']"),
        ("stage,a,trained on\n", "expected a last row 'samples', got 'stage'; the file is cut short"),
        ("stage,a,trained on\n1,0.9,a\n", "expected a last row 'samples', got '1'; the file is cut short"),
        ("stage,a,trained on\n1,0.9\nsamples,10,\n", "expected 3 cells in row 2, got 2"),
        ('stage,a,trained on\n1,"0.9,a\nsamples,10,\n', "got a malformed line"),
        ("stage,a,trained on\n1,good,a\nsamples,10,\n", "expected an accuracy from 0 to 1, got 'good'"),
        ("stage,a,trained on\n1,nan,a\nsamples,10,\n", "expected an accuracy from 0 to 1, got 'nan'"),
        ("stage,a,trained on\n1,90,a\nsamples,10,\n", "write shares, not per cent"),
        ("stage,a,trained on\n1,0.33,a\nsamples,10,\n", "expected a multiple of 1/10, got '0.33'"),
        ("stage,a,trained on\n1,0.9,a\nsamples,ten,\n", "expected a whole number of samples, got 'ten'"),
        ("stage,a,trained on\n1,0.9,a\nsamples,0,\n", "expected totals from 1"),
        ("stage,a,trained on\n2,0.9,a\nsamples,10,\n", "expected the stages ['1'] in the first column, got ['2']"),
        ("stage,a,trained on\n1,0.9,a\nuntrained,0.1,\nsamples,10,\n", "got ['1', 'untrained']"),
        ("stage,a,trained on\n1,0.9,b\nsamples,10,\n", "expected names out of ('a',) under 'trained on', got 'b'"),
        ("stage,a,a,trained on\nsamples,10,10,\n", "expected distinct test names"),
    ],
)
def test_a_broken_csv_says_what_is_wrong(text, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        AccuracyMatrix.from_csv(text)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tests": ("a",)}, "expected a name and a total per test, got 1 names and 4 totals"),
        ({"tests": ("a", "b", "c", "c")}, "expected distinct test names"),
        ({"tests": ("a", "b", "c", "d;e")}, "expected test names without ';' and line breaks, got 'd;e'"),
        ({"totals": (100, 100, 100, 0)}, "leave out empty test sets"),
        ({"trained_on": ((0,),)}, "expected trained_on for 4 stages, got 1"),
        ({"trained_on": ((0,), (1,), (2,), (4,))}, "from 0 to 3 in trained_on, got (4,)"),
        ({"trained_on": ((0,), (1,), (2,), ())}, "in trained_on, got (); name a test or more"),
        ({"trained_on": ((0,), (1,), (2,), (3, 3))}, "expected distinct indices"),
        ({"untrained": (10, 10, 10)}, "got (10, 10, 10); count once per test sample"),
        ({"untrained": (10, 10, 10, 101)}, "expected counts from 0 to (100, 100, 100, 100)"),
        ({"correct": ((0, 0, 0, -1),) * 4}, "got (0, 0, 0, -1)"),
    ],
)
def test_an_impossible_matrix_says_what_is_wrong(changes, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        replace(LITERATURE, **changes)


@pytest.mark.parametrize("parts", [(None, ""), (0.5, "a reason")])
def test_a_metric_has_either_a_value_or_a_reason(parts):
    with pytest.raises(ValueError, match="expected a value or a reason"):
        Metric(*parts)
