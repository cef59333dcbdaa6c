"""Predictions of a network, and how many of them are right."""

import torch
from jaxtyping import Int64
from torch import Tensor, nn

from metaplastic.nn import evaluating
from metaplastic.scenarios import Scenario, Test


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
    return torch.cat([predictions for predictions, _ in _answers(network, test, task, batch_size)])


@torch.no_grad()
def _answers(network: nn.Module, test: Test, task: int | None, batch_size: int) -> list[tuple[Tensor, Tensor]]:
    """Predict batch by batch; predictions with the labels they should have."""
    answers = []
    with evaluating(network, task):
        for rows in torch.arange(len(test.view)).split(batch_size):
            inputs, labels = test.view.batch(rows)
            logits = network(inputs)
            if test.outputs is not None:
                logits = logits[:, list(test.outputs)]
            answers.append((logits.argmax(1), labels))
    return answers


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
        answers = _answers(network, test, test.task if told else None, batch_size)
        correct.append(sum(int((predictions == labels).sum()) for predictions, labels in answers))
    return correct
