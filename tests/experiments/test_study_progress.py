"""One display shows how far a study is."""

import shutil

import pytest

from metaplastic.experiments import Size, Study, TrainingPanel, can_stack, run_study
from metaplastic.experiments.carry_out import TrainingProgress
from metaplastic.experiments.progress import StudyProgress, counting
from metaplastic.learners import Moment

STEPS = 10
"""Steps of one training: two tasks, one epoch, five batches."""


@pytest.fixture
def mine(brief) -> Study:
    return Study("mine", Size.LAPTOP, {name: TrainingPanel(brief) for name in ("a", "b")})


@pytest.fixture
def seen(monkeypatch) -> list:
    """After every step, the lines of the display: what they are called, how far they are of how much, and a note."""
    lines, show = [], TrainingProgress.show

    def look(bar, event, line):
        show(bar, event, line)
        if event.moment is Moment.STEP:
            lines.append(
                [(line.description, line.completed, line.total, dict(line.fields)) for line in bar.progress.tasks]
            )

    monkeypatch.setattr(TrainingProgress, "show", look)
    return lines


def test_the_display_has_a_line_for_the_whole_study_above_the_run_at_hand(mine, seen, tmp_path):
    run_study(mine, (0, 1), tmp_path / "s", progress=True)
    together = 2 if can_stack(mine.config("a")) else 1
    assert len(seen) == 4 // together * STEPS
    for count, lines in enumerate(seen, start=1):
        (title, whole, runs, fields), (_, done, steps, _) = lines
        assert (title, runs, fields["rate"]) == ("mine, laptop", 4, "runs")
        assert fields["note"] == ("a, 1 of 2" if count <= len(seen) / 2 else "b, 2 of 2")
        assert whole == pytest.approx(together * count / STEPS)
        assert (done, steps) == ((count - 1) % STEPS + 1, STEPS)


def test_what_was_there_before_counts_from_the_start(mine, seen, tmp_path):
    run_study(mine, (0, 1), tmp_path / "s", progress=False)
    seen.clear()
    shutil.rmtree(tmp_path / "s" / "b" / "seed1")
    run_study(mine, (0, 1), tmp_path / "s", progress=True)
    assert [lines[0][1] for lines in seen] == pytest.approx([3 + step / STEPS for step in range(1, STEPS + 1)])


class Nothing:
    """A panel with nothing to do."""

    def settings(self):
        return {}

    def on(self, device):
        return self

    def carry_out(self, folder, seeds, *, data_dir=None, progress=None):
        pass


@pytest.mark.parametrize(("progress", "titles"), [(False, ["mine a, 1 of 2", "mine b, 2 of 2"]), (True, [])])
def test_panels_are_told_where_the_display_does_not_show_them(tmp_path, progress, titles):
    told, study = [], Study("mine", Size.LAPTOP, {"a": Nothing(), "b": Nothing()})
    run_study(study, (0, 1), tmp_path / "s", progress=progress, before=told.append)
    assert told == titles


def test_what_is_counted_is_a_line_of_the_study_for_a_while():
    with StudyProgress("mine", 4, show=True) as study:
        with counting("switching signs", 3, study) as advance:
            advance()
            assert [(line.description, line.completed) for line in study.bars.tasks] == [
                ("mine", 0),
                ("switching signs", 1),
            ]
        assert [line.description for line in study.bars.tasks] == ["mine"]
