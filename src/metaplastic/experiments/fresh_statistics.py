"""A second test of a trained network, with statistics taken anew: what weights hold, whatever was kept beside them."""

import logging
from pathlib import Path

from safetensors.torch import load_file

from metaplastic.evaluation import count_correct
from metaplastic.experiments.progress import Shown, counting
from metaplastic.experiments.record import Record
from metaplastic.experiments.run import computing, make_trial
from metaplastic.files import write_json
from metaplastic.nn import recalibrate

_LOG = logging.getLogger(__name__)

FRESH = "fresh_statistics.json"
"""File of a record with the shares of right answers, by kept statistics and by fresh ones."""


def retest(folder: Path, data_dir: Path | None = None, progress: Shown = None) -> None:
    """Test every task of a record by the statistics that were kept for it, then by statistics taken anew.

    Anew means from training images of the task, with the weights at the end and the task's own gains and offsets. That
    needs images of earlier tasks, so it is no way to learn; it tells weights that lost a task from statistics that no
    longer fit the weights. What is found is in `fresh_statistics.json`; where that exists, and where a
    record was kept without its network, nothing is done.

    Args:
        folder: A complete record, with its network, whose statistics are exact and kept per task.
        data_dir: Where the data lie; None looks where `load` looks.
        progress: Whether, or where, to show a progress bar; None shows it on a terminal.
    """
    if (folder / FRESH).exists():
        return
    weights = folder / "network.safetensors"
    if not weights.exists():
        _LOG.info("%s is not tested with fresh statistics: it was kept without its network", folder)
        return
    config = Record(folder).config
    trial = make_trial(config, data_dir)
    title = f"taking statistics anew, seed {config.seed}"
    with computing(config.running.threads), counting(title, len(trial.scenario.tasks), progress) as advance:
        network, scenario = trial.network, trial.scenario
        network.load_state_dict(load_file(weights))
        kept = count_correct(network, scenario, batch_size=trial.test_batch)
        for index, task in enumerate(scenario.tasks):
            inputs, _ = task.view.batch(trial.schedule.calibration_rows(task, index))
            recalibrate(network, inputs, index)
            advance()
        fresh = count_correct(network, scenario, batch_size=trial.test_batch)
    samples = [len(test.view) for test in scenario.tests]
    shares = {
        name: [right / count for right, count in zip(correct, samples, strict=True)]
        for name, correct in (("kept", kept), ("fresh", fresh))
    }
    write_json(folder / FRESH, shares)
