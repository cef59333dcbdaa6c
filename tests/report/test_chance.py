"""The accuracy of guessing, which figures have a line for."""

import pytest

from metaplastic.experiments import Config
from metaplastic.experiments.scenario_config import Permuted, Sequence, Split, Stream
from metaplastic.report.chance import chance
from metaplastic.scenarios import Increment


@pytest.mark.parametrize(
    ("scenario", "expected"),
    [
        (Permuted("mnist"), 1 / 10),
        (Stream("cifar-100"), 1 / 100),
        (Sequence(("mnist", "fashion-mnist")), 1 / 10),
        (Sequence(("mnist", "emnist-letters")), 1 / 26),
        (Sequence(("mnist", "fashion-mnist"), shared_head=False), 1 / 20),
        (Split("mnist", tasks=5, increment=Increment.CLASS), 1 / 10),
        (Split("mnist", tasks=5, increment=Increment.DOMAIN), 1 / 2),
        (Split("mnist", tasks=2, increment=Increment.TASK, boundaries=True), 1 / 5),
        (Sequence(("mnist", "own.npz")), None),
    ],
)
def test_one_of_the_outputs_that_may_answer_is_guessed(scenario, expected):
    assert chance(Config(scenario=scenario)) == (None if expected is None else pytest.approx(expected))
