"""Predictions of a network, and how many of them are right."""

import torch
from jaxtyping import Int64
from torch import Tensor, nn

from metaplastic.nn import evaluating
from metaplastic.scenarios import Scenario, Test


@torch.no_grad()
def predict(
    network: nn.Module, test: Test, *, task: int | None = None, batch_size: int = 1000
) -> Int64[Tensor, " samples"]:
    """Predict the label of every sample of a test.

    Args:
        network: Maps inputs to logits; its mode is left as found.
        test: The samples, in their order.
        task: Index of the task, for networks that keep a normalisation state per task; None where it is not known.
        batch_size: Samples per forward pass, >= 1. Predictions do not depend on it, except under `Statistics.BATCH`.

    Returns:
        `[samples]`: labels, counted within the outputs that may answer.
    """
    rows = torch.arange(len(test.view))
    with evaluating(network, task):
        predictions = [_answers(network, test, part) for part in rows.split(batch_size)]
    return torch.cat(predictions)


def _answers(network: nn.Module, test: Test, rows: Tensor) -> Tensor:
    logits = network(test.view.batch(rows)[0])
    if test.outputs is not None:
        logits = logits[:, list(test.outputs)]
    return logits.argmax(1)


def count_correct(network: nn.Module, scenario: Scenario, *, batch_size: int = 1000) -> list[int]:
    """Count the right predictions on every test of a scenario.

    The task of a test is told to the network only where the scenario announces it.

    Args:
        network: Maps inputs to logits; its mode is left as found.
        scenario: Its tests.
        batch_size: Samples per forward pass, >= 1.

    Returns:
        One count per test.

    Example:
        >>> from metaplastic.data import load
        >>> from metaplastic.nn import BinaryMLP
        >>> from metaplastic.scenarios import permuted
        >>> scenario = permuted(load("digits"), tasks=2)
        >>> len(count_correct(BinaryMLP([64, 16, 10], norm="layer"), scenario))
        2
    """
    told = scenario.announced.task_at_test
    correct = []
    for test in scenario.tests:
        predictions = predict(network, test, task=test.task if told else None, batch_size=batch_size)
        labels = test.view.batch(torch.arange(len(test.view)))[1]
        correct.append(int((predictions == labels).sum()))
    return correct
