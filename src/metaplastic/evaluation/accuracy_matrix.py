"""The accuracy matrix R of a run, kept as counts, and what the literature computes from it.

In the formulas `R[i, j]` is the accuracy on task j after training task i, `b[j]` that of the untrained network, and T
the number of tasks trained so far, all counted from 1 in the order of training. Accuracies are in [0, 1]. The metrics'
argument `matrix` needs one new task per stage and at least two tasks, unless its function says otherwise; for another
matrix the metric has no value, and says why.

References:
    GEM: Lopez-Paz & Ranzato 2017, arXiv 1706.08840. iCaRL: Rebuffi et al. 2017, arXiv 1611.07725.
    Chaudhry et al. 2018, arXiv 1801.10112. Diaz-Rodriguez et al. 2018, arXiv 1810.13166.
"""

import csv
import io
import operator
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import SupportsIndex

import numpy as np
from jaxtyping import Float64

LARGEST_TEST_SET = 2**31 - 1  # up to here an accuracy of 15 digits, as spreadsheets keep them, gives back its count


@dataclass(frozen=True)
class AccuracyMatrix:
    """Correct predictions on every test set after every stage of training; nothing is rounded.

    `R[i, j] = correct[i][j] / totals[j]`, with stages i and tests j counted from 0.

    Args:
        tests: One name per test set; unique, without `;` and line breaks.
        totals: Number of samples of each test set, at least 1.
        correct: One row per stage trained so far: correct predictions on each test set.
        trained_on: For each of these stages the indices of the tests whose task it trained. Usually stage i
            trains test i; a joint learner has one stage that trains all, a stream many stages and one test.
        untrained: Correct predictions before any training, or None when not measured or without meaning.

    Raises:
        ValueError: When lengths differ, a count is outside `[0, total]`, or a name or an index is not allowed.

    Example:
        >>> matrix = AccuracyMatrix(("MNIST", "Fashion"), (100, 50)).with_stage([97, 5]).with_stage([90, 40])
        >>> matrix.accuracy.tolist()
        [[0.97, 0.1], [0.9, 0.8]]
        >>> bwt(matrix)
        Metric(value=-0.06999999999999995, reason='')
    """

    tests: tuple[str, ...]
    totals: tuple[int, ...]
    correct: tuple[tuple[int, ...], ...] = ()
    trained_on: tuple[tuple[int, ...], ...] = ()
    untrained: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        _check_tests(self.tests, self.totals)
        if len(self.trained_on) != len(self.correct):
            stages, got = len(self.correct), len(self.trained_on)
            raise ValueError(f"expected trained_on for {stages} stages, got {got}; name the tests that each trained")
        for indices in self.trained_on:
            if not 0 < len(indices) == len(set(indices) & set(range(len(self.tests)))):
                known = f"from 0 to {len(self.tests) - 1}"
                raise ValueError(f"expected distinct indices {known} in trained_on, got {indices}; name a test or more")
        for row in (*self.correct, *([] if self.untrained is None else [self.untrained])):
            if len(row) != len(self.totals) or not all(0 <= c <= n for c, n in zip(row, self.totals, strict=True)):
                raise ValueError(f"expected counts from 0 to {self.totals}, got {row}; count once per test sample")

    def with_stage(
        self, correct: Iterable[SupportsIndex], trained_on: Iterable[SupportsIndex] | None = None
    ) -> "AccuracyMatrix":
        """Add the row of one more stage.

        Args:
            correct: Correct predictions on each test set after the stage; any iterable of integers.
            trained_on: Indices of the tests whose task the stage trained; by default the stage's own index.

        Returns:
            A new matrix with one row more.
        """
        trained = (len(self.correct),) if trained_on is None else tuple(map(operator.index, trained_on))
        rows = (*self.correct, tuple(map(operator.index, correct)))
        return replace(self, correct=rows, trained_on=(*self.trained_on, trained))

    @property
    def accuracy(self) -> Float64[np.ndarray, "stage test"]:
        """R: accuracy in [0, 1] after each stage (row) on each test (column)."""
        return np.array(self.correct).reshape(len(self.correct), len(self.tests)) / np.array(self.totals)

    @property
    def untrained_accuracy(self) -> Float64[np.ndarray, " test"] | None:
        """b: accuracy in [0, 1] before any training, or None."""
        return None if self.untrained is None else np.array(self.untrained) / np.array(self.totals)

    def to_csv(self) -> str:
        r"""Write R as a table that a spreadsheet opens.

        A column per test; a row `untrained` when known, a row per stage (from 1) with the tests that it trained in
        the last column, and a row `samples` with the sizes of the test sets, from which the counts come back.

        Returns:
            The text of the file, with full-length accuracies.

        Example:
            >>> print(AccuracyMatrix(("MNIST", "Fashion"), (100, 50)).with_stage([97, 5]).to_csv(), end="")
            stage,MNIST,Fashion,trained on
            1,0.97,0.1,MNIST
            samples,100,50,
        """
        rows = [["stage", *self.tests, "trained on"]]
        if self.untrained is not None:
            rows.append(["untrained", *self._shares(self.untrained), ""])
        for stage, (row, trained) in enumerate(zip(self.correct, self.trained_on, strict=True), 1):
            rows.append([str(stage), *self._shares(row), ";".join(self.tests[test] for test in trained)])
        rows.append(["samples", *map(str, self.totals), ""])
        text = io.StringIO(newline="")
        csv.writer(text, lineterminator="\n").writerows(rows)
        return text.getvalue()

    def _shares(self, row: tuple[int, ...]) -> list[str]:
        return [repr(count / total) for count, total in zip(row, self.totals, strict=True)]

    @classmethod
    def from_csv(cls, text: str) -> "AccuracyMatrix":
        """Read what `to_csv` wrote, also after a spreadsheet has saved it again.

        Args:
            text: The text of the file.

        Returns:
            The matrix, with the counts that were written.

        Raises:
            ValueError: When the text is cut short or is not such a table.
        """
        (_, *tests, _), *body, last = _table(text)
        empty = cls(tuple(tests), tuple(_whole(cell) for cell in last[1:-1]))
        untrained = body.pop(0) if body and body[0][0] == "untrained" else None
        stages, expected = [row[0] for row in body], [str(stage) for stage in range(1, len(body) + 1)]
        if stages != expected:
            raise ValueError(f"expected the stages {expected} in the first column, got {stages}; restore the rows")
        counts = [tuple(map(_count, row[1:-1], empty.totals)) for row in body]
        trained_on = tuple(_indices(row[-1], empty.tests) for row in body)
        before = None if untrained is None else tuple(map(_count, untrained[1:-1], empty.totals))
        return replace(empty, correct=tuple(counts), trained_on=trained_on, untrained=before)


def _check_tests(tests: tuple[str, ...], totals: tuple[int, ...]) -> None:
    if not tests or len(tests) != len(totals):
        raise ValueError(f"expected a name and a total per test, got {len(tests)} names and {len(totals)} totals")
    if len({*tests, "stage", "trained on"}) != len(tests) + 2:
        raise ValueError(f"expected distinct test names other than 'stage' and 'trained on', got {tests}; rename one")
    for name in tests:
        if not name or set(name) & set(";\r\n"):
            raise ValueError(f"expected test names without ';' and line breaks, got {name!r}; rename that test")
    if not all(1 <= total <= LARGEST_TEST_SET for total in totals):
        raise ValueError(f"expected totals from 1 to {LARGEST_TEST_SET}, got {totals}; leave out empty test sets")


def _table(text: str) -> list[list[str]]:
    """The cells of an accuracy table: a header, rows of its length, and a row of totals."""
    try:
        rows = [row for row in csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=""), strict=True) if row]
    except csv.Error as error:
        raise ValueError(f"expected comma-separated values, got a malformed line ({error}); copy it again") from error
    header = rows[0] if rows else []
    if len(header) < 3 or (header[0], header[-1]) != ("stage", "trained on"):
        raise ValueError(f"expected the header 'stage,...,trained on', got {header}; give a table made by to_csv")
    for number, row in enumerate(rows, 1):
        if len(row) != len(header):
            raise ValueError(f"expected {len(header)} cells in row {number}, got {len(row)}; copy the whole file again")
    if rows[-1][0] != "samples":
        raise ValueError(f"expected a last row 'samples', got {rows[-1][0]!r}; the file is cut short, copy it again")
    return rows


def _whole(cell: str) -> int:
    if not (cell.isascii() and cell.isdigit() and len(cell) <= 10):
        raise ValueError(f"expected a whole number of samples, got {cell!r}; write the size of the test set")
    return int(cell)


def _count(cell: str, total: int) -> int:
    """Correct predictions behind an accuracy; the tolerance is for spreadsheets, which keep 15 digits."""
    try:
        share = float(cell)
    except ValueError:
        share = np.nan
    if not 0 <= share <= 1:
        raise ValueError(f"expected an accuracy from 0 to 1, got {cell!r}; write shares, not per cent")
    count = round(share * total)
    if abs(share * total - count) > 1e-5:
        raise ValueError(f"expected a multiple of 1/{total}, got {cell!r}; the accuracy was rounded, use the original")
    return count


def _indices(cell: str, tests: tuple[str, ...]) -> tuple[int, ...]:
    names = cell.split(";")
    if not set(names) <= set(tests):
        raise ValueError(f"expected names out of {tests} under 'trained on', got {cell!r}; separate them by ';'")
    return tuple(tests.index(name) for name in names)


@dataclass(frozen=True)
class Metric:
    """A number, or the reason why there is none.

    Args:
        value: The number, accuracies counted in [0, 1], or None.
        reason: Why there is none; empty when there is one.

    Raises:
        ValueError: When both or neither are given.
    """

    value: float | None
    reason: str = ""

    def __post_init__(self) -> None:
        if (self.value is None) != bool(self.reason):
            raise ValueError(f"expected a value or a reason, got {self.value} and {self.reason!r}; give one of them")


def average_accuracy(matrix: AccuracyMatrix) -> Metric:
    """ACC of GEM: `1/T sum_j R[T, j]`.

    Returns:
        In [0, 1], over the tasks trained so far; also for one task, a joint learner and a stream.
    """
    return _over_stages(matrix, lambda means: means[-1])


def average_incremental_accuracy(matrix: AccuracyMatrix) -> Metric:
    """Average incremental accuracy of iCaRL: `1/T sum_i (1/i) sum_{j<=i} R[i, j]`.

    Returns:
        In [0, 1], over the tasks trained until each stage; also for one task, a joint learner and a stream.
    """
    return _over_stages(matrix, lambda means: sum(means) / len(means))


def diaz_rodriguez_accuracy(matrix: AccuracyMatrix) -> Metric:
    """A of Diaz-Rodriguez: `sum_{i>=j} R[i, j] / (T(T+1)/2)`.

    Returns:
        In [0, 1], the mean of the lower triangle of R with its diagonal; also for one task.
    """
    return _over_tasks(matrix, lambda r: r[np.tril_indices(len(r))], least=1)


def bwt(matrix: AccuracyMatrix) -> Metric:
    """Backward transfer of GEM: `1/(T-1) sum_{j<T} (R[T, j] - R[j, j])`.

    Returns:
        In [-1, 1]; negative when earlier tasks were forgotten.
    """
    return _over_tasks(matrix, lambda r: (r[-1] - np.diag(r))[:-1])


def bwt_dr(matrix: AccuracyMatrix) -> Metric:
    """Backward transfer of Diaz-Rodriguez: `sum_{i>j} (R[i, j] - R[j, j]) / (T(T-1)/2)`.

    Returns:
        In [-1, 1]. Continuum and CapyMOA call it BWT.
    """
    return _over_tasks(matrix, lambda r: (r - np.diag(r))[np.tril_indices(len(r), -1)])


def remembering(matrix: AccuracyMatrix) -> Metric:
    """REM of Diaz-Rodriguez: `1 - |min(BWT, 0)|`, with BWT of `bwt_dr`.

    Returns:
        In [0, 1].
    """
    backward = bwt_dr(matrix)
    return backward if backward.value is None else Metric(1 - abs(min(backward.value, 0.0)))


def forgetting(matrix: AccuracyMatrix) -> Metric:
    """Forgetting of Chaudhry: `1/(T-1) sum_{j<T} (max_{l<T} R[l, j] - R[T, j])`.

    Returns:
        In [-1, 1]. Mammoth lets the maximum include the final row, so its value is never negative.
    """
    return _over_tasks(matrix, lambda r: (r[:-1].max(axis=0) - r[-1])[:-1])


def forgetting_first_last(matrix: AccuracyMatrix) -> Metric:
    """Forgetting as Avalanche counts it, first minus last: `1/(T-1) sum_{j<T} (R[j, j] - R[T, j])`, which is -BWT.

    Returns:
        In [-1, 1].
    """
    return _over_tasks(matrix, lambda r: (np.diag(r) - r[-1])[:-1])


def fwt(matrix: AccuracyMatrix) -> Metric:
    """Forward transfer of GEM: `1/(T-1) sum_{j>1} (R[j-1, j] - b[j])`.

    Args:
        matrix: One new task per stage, at least two tasks, and `untrained`; leave that out in class-incremental
            scenarios, where accuracy on a task before its training has no meaning.

    Returns:
        In [-1, 1].
    """
    if (b := matrix.untrained_accuracy) is None:
        return Metric(None, "the accuracy of the untrained network was not measured")
    return _over_tasks(matrix, lambda r: np.diag(r, 1) - b[_order(matrix)[1:]])


def fwt_dr(matrix: AccuracyMatrix) -> Metric:
    """Forward transfer of Diaz-Rodriguez: `sum_{i<j} R[i, j] / (T(T-1)/2)`.

    Returns:
        In [0, 1]; chance level, not 0, when nothing is transferred.
    """
    return _over_tasks(matrix, lambda r: r[np.triu_indices(len(r), 1)])


def intransigence(matrix: AccuracyMatrix, joint: AccuracyMatrix) -> Metric:
    """Intransigence of Chaudhry: `a*[T] - R[T, T]`, with `a*[T]` the joint learner's accuracy on the last task.

    Args:
        matrix: One new task per stage.
        joint: The reference, with one stage that trained the same tasks together, on the same test sets.

    Returns:
        In [-1, 1]; positive when the last task was learned less well than in joint training.

    Raises:
        ValueError: When the test sets differ.
    """
    if (matrix.tests, matrix.totals) != (joint.tests, joint.totals):
        raise ValueError(
            f"expected a joint reference on tests {matrix.tests} with {matrix.totals} samples, got {joint.tests} with "
            f"{joint.totals}; run the joint learner on the same scenario"
        )
    if len(joint.trained_on) != 1 or set(joint.trained_on[0]) != {test for row in matrix.trained_on for test in row}:
        return Metric(None, "the reference did not train the same tasks together in one stage")
    return _over_tasks(matrix, lambda r: joint.accuracy[0, _order(matrix)[-1:]] - r[-1, -1], least=1)


def summary(matrix: AccuracyMatrix) -> dict[str, Metric]:
    """Every metric that needs no second run, under the name of its function.

    Args:
        matrix: Any accuracy matrix.

    Returns:
        Name to value, or to the reason why there is none.
    """
    metrics = (
        average_accuracy,
        average_incremental_accuracy,
        diaz_rodriguez_accuracy,
        bwt,
        bwt_dr,
        remembering,
        forgetting,
        forgetting_first_last,
        fwt,
        fwt_dr,
    )
    return {metric.__name__: metric(matrix) for metric in metrics}


def _over_stages(matrix: AccuracyMatrix, reduce: Callable[[list[float]], float]) -> Metric:
    """Reduce a list of one number per stage: the mean accuracy on the tasks trained until then."""
    seen: list[int] = []
    means = []
    for row, trained in zip(matrix.accuracy, matrix.trained_on, strict=True):
        seen.extend(test for test in trained if test not in seen)
        means.append(float(row[seen].mean()))
    return Metric(float(reduce(means))) if means else Metric(None, "no stage has been trained yet")


def _over_tasks(matrix: AccuracyMatrix, terms: Callable[[np.ndarray], np.ndarray], least: int = 2) -> Metric:
    """Average the terms made from the square R whose columns are in the order of training."""
    if reason := _obstacle(matrix, least):
        return Metric(None, reason)
    return Metric(float(np.mean(terms(matrix.accuracy[:, _order(matrix)]))))


def _order(matrix: AccuracyMatrix) -> list[int]:
    return [trained[0] for trained in matrix.trained_on]


def _obstacle(matrix: AccuracyMatrix, least: int) -> str:
    """Why R is not square with at least so many tasks, or nothing."""
    seen: set[int] = set()
    for stage, trained in enumerate(matrix.trained_on, 1):
        if len(trained) > 1:
            return f"needs one task per stage, but stage {stage} trained {len(trained)} tasks together"
        if trained[0] in seen:
            return f"needs a new task in every stage, but stage {stage} trained {matrix.tests[trained[0]]!r} again"
        seen.add(trained[0])
    return "" if len(seen) >= least else f"needs at least {least} trained tasks, got {len(seen)}"
