"""Predictions and counts against a loop over samples."""

import pytest
import torch
from torch import nn

from metaplastic.data import Dataset, Samples
from metaplastic.evaluation.accuracy import count_correct, predict
from metaplastic.nn import BinaryMLP, NormPolicy, Scope, Statistics, keep_task, recalibrate
from metaplastic.scenarios import Announced, permuted, split

TOLD = Announced(boundaries=True, task_at_test=True)


def dataset():
    random = torch.Generator().manual_seed(5)

    def part(count):
        inputs = torch.randint(0, 256, (count, 6), generator=random, dtype=torch.uint8)
        return Samples(inputs, torch.randint(0, 4, (count,), generator=random))

    return Dataset("tiny", part(40), part(23), tuple("abcd"), 1 / 256)


def network(scenario, norm="recalibrated"):
    net = BinaryMLP([6, 9, 4], norm, generator=torch.Generator().manual_seed(2))
    for index, task in enumerate(scenario.tasks):
        recalibrate(net, task.view.batch(torch.arange(len(task.view)))[0])
        keep_task(net, index)
        with torch.no_grad():
            net.layers[-1].gain.mul_(-1)  # so that each task's state answers otherwise than the next one's
    return net


def naive(net, test):
    """One sample at a time; the largest logit among the outputs that may answer, the first of equals."""
    answers = []
    net.eval()
    for row in range(len(test.view)):
        logits = net(test.view.batch(torch.tensor([row]))[0])[0].tolist()
        allowed = range(4) if test.outputs is None else test.outputs
        values = [logits[output] for output in allowed]
        answers.append(values.index(max(values)))
    net.train()
    return answers


@pytest.mark.parametrize("increment", ["class", "task"])
@pytest.mark.parametrize("batch_size", [1, 4, 23, 1000])
def test_predictions_and_counts_equal_a_loop(increment, batch_size):
    scenario = split(dataset(), [(3, 0), (1, 2)], increment)
    net = network(scenario)
    expected = []
    for test in scenario.tests:
        answers = naive(net, test)
        predictions = predict(net, test, batch_size=batch_size)
        assert predictions.tolist() == answers
        assert len(set(answers)) > 1
        labels = test.view.batch(torch.arange(len(test.view)))[1].tolist()
        expected.append(sum(map(int.__eq__, answers, labels)))
    assert count_correct(net, scenario, batch_size=batch_size) == expected
    assert all(type(count) is int for count in count_correct(net, scenario))


def test_labels_count_within_the_outputs_that_may_answer():
    class Fixed(nn.Module):
        def forward(self, x):
            return torch.tensor([0.0, 9.0, 5.0, 1.0]).expand(len(x), 4)

    scenario = split(dataset(), [(3, 0), (2, 1)], "task")
    assert set(predict(Fixed(), scenario.tests[0]).tolist()) == {0}  # output 3
    assert set(predict(Fixed(), scenario.tests[1]).tolist()) == {1}  # output 1
    test = dataset().test.labels.tolist()
    assert count_correct(Fixed(), scenario) == [test.count(3), test.count(1)]


@pytest.mark.parametrize("training", [True, False])
def test_the_mode_is_left_as_found_and_no_gradient_is_recorded(training):
    scenario = permuted(dataset(), tasks=1)
    net = network(scenario).train(training)
    net.layers[0].train(not training)
    modes = [module.training for module in net.modules()]
    seen = []
    net.register_forward_hook(lambda module, _, out: seen.append((module.training, out.requires_grad)))
    predict(net, scenario.tests[0], batch_size=10)
    count_correct(net, scenario, batch_size=10)
    assert seen == [(False, False)] * 6
    assert [module.training for module in net.modules()] == modes


def test_a_failing_network_is_left_as_found():
    scenario = permuted(dataset(), tasks=1)
    net = BinaryMLP([6, 9, 4])
    with pytest.raises(ValueError, match="never calibrated"):
        count_correct(net, scenario)
    assert all(module.training for module in net.modules())


PER_TASK = NormPolicy(Statistics.RECALIBRATED, Scope.PER_TASK)


def test_the_task_is_told_only_where_it_is_announced():
    told, untold = permuted(dataset(), tasks=3, announced=TOLD), permuted(dataset(), tasks=3)
    net = network(told, PER_TASK)
    selected = []
    net.layers[-1].register_forward_hook(lambda layer, *_: selected.append(layer.task))
    right = [predict(net, test, task=index) for index, test in enumerate(told.tests)]
    unknown = [predict(net, test) for test in told.tests]
    assert selected == [0, 1, 2, None, None, None]
    selected.clear()
    labels = dataset().test.labels
    assert count_correct(net, told) == [int((answers == labels).sum()) for answers in right]
    assert selected == [0, 1, 2]
    selected.clear()
    assert count_correct(net, untold) == [int((answers == labels).sum()) for answers in unknown]
    assert selected == [None] * 3
    assert not any(map(torch.equal, right, unknown))
    assert net.layers[-1].task is None


def test_batch_statistics_depend_on_the_batch_size():
    """Or else the independence shown above would be no achievement."""
    scenario = permuted(dataset(), tasks=1)
    net = BinaryMLP([6, 9, 4], "batch", generator=torch.Generator().manual_seed(2))
    assert not torch.equal(predict(net, scenario.tests[0], batch_size=6), predict(net, scenario.tests[0]))
