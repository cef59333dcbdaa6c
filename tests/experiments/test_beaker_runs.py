"""Runs whose hidden weights have a chain of beakers: what is saved, gone on with and reported of it."""

from dataclasses import replace

import pytest
import torch

from metaplastic.experiments import run, run_seeds
from metaplastic.experiments.config import Optimizer, Rule
from metaplastic.experiments.run import make_trial
from metaplastic.experiments.scenario_config import Permuted
from metaplastic.learners import Moment
from metaplastic.nn import NormPolicy, Statistics
from metaplastic.optim import Beakers, TanhSquared


@pytest.fixture
def chained(small):
    """Few steps, and a chain whose last beaker lags far behind the hidden weight."""
    return replace(
        small,
        scenario=Permuted("digits", tasks=2),
        norm=NormPolicy(statistics=Statistics.LAYER),
        optimizer=Optimizer(
            rule=Rule.BEAKERS, lr=0.05, metaplasticity=(10.0,), beakers=Beakers((0.3, 0.1), (1.0, 4.0), feedback=0.1)
        ),
        epochs=1,
        batch_size=500,
    )


def hidden_weights(trial):
    return {name: weight for name, weight in trial.network.named_parameters() if name in trial.signs}


def finished(trial):
    for _ in trial.run():
        pass
    return {name: trial.optimizer.levels(weight) for name, weight in hidden_weights(trial).items()}


def test_a_checkpoint_holds_the_beakers_and_training_goes_on_with_them(chained):
    whole, other = make_trial(chained), make_trial(chained)
    whole.begin()
    for event, _ in whole.run():
        if event.moment is Moment.TASK:
            break
    saved = {name: tensor.clone() for name, tensor in whole.tensors().items()}
    chains = {name for name in saved if name.endswith("/beaker_1")}
    assert chains == {"optimizer/layers.0.weight/beaker_1", "optimizer/layers.2.weight/beaker_1"}
    assert not torch.equal(saved["optimizer/layers.0.weight/beaker_1"], saved["network/layers.0.weight"])
    other.restore(saved, whole.position, whole.matrix)
    expected, got = finished(whole), finished(other)
    assert expected.keys() == got.keys()
    assert other.matrix == whole.matrix
    for name, levels in expected.items():
        assert len(levels) == 2
        assert all(map(torch.equal, levels, got[name]))


def test_the_consolidation_that_is_reported_is_that_of_the_last_beaker(chained, tmp_path):
    trial = make_trial(chained)
    trial.begin()
    lines = [line for event, line in trial.run() if event.moment is Moment.TASK]
    for name, weight in hidden_weights(trial).items():
        reported = lines[-1]["layers"][name]["consolidated_fraction"]
        fractions = [
            (TanhSquared()(level, 10.0) < 0.5).float().mean().item() for level in trial.optimizer.levels(weight)
        ]
        assert reported == pytest.approx(fractions[-1])
        assert abs(fractions[-1] - fractions[0]) > 0.05


def test_seeds_in_a_stack_report_what_they_report_alone(chained, tmp_path):
    together = run_seeds(chained, (0, 1), tmp_path / "stack", stack=True, progress=False)
    for seed, result in enumerate(together):
        alone = run(replace(chained, seed=seed), tmp_path / f"alone{seed}", progress=False)
        assert result.metrics[0]["engine"]["members"] == 2
        for name, layer in alone.metrics[-1]["layers"].items():
            for key in ("flip_rate", "consolidated_fraction", "mean_magnitude"):
                assert result.metrics[-1]["layers"][name][key] == pytest.approx(layer[key], abs=0.02)
        for ours, theirs in zip(result.network.parameters(), alone.network.parameters(), strict=True):
            assert (ours - theirs).abs().mean() < 1e-2
