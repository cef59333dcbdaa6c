"""Synaptic intelligence against a stored trajectory."""

import pytest
import torch
from torch import nn

from metaplastic.data import Dataset, Samples
from metaplastic.learners import FineTune, Schedule, SynapticIntelligence, Weights, learn, task_loss
from metaplastic.nn import BinaryMLP, RealMLP
from metaplastic.optim import MetaplasticAdam, param_groups
from metaplastic.scenarios import Announced, permuted

SCHEDULE = Schedule(epochs=3, batch_size=10)


def scenario(tasks=2):
    random = torch.Generator().manual_seed(3)
    inputs = torch.randint(0, 256, (40, 6), generator=random, dtype=torch.uint8)
    part = Samples(inputs, torch.arange(40) % 3)
    dataset = Dataset("tiny", part, part, ("a", "b", "c"), 1 / 256)
    return permuted(dataset, tasks=tasks, announced=Announced(True, True))


def network(family=BinaryMLP):
    return family([6, 7, 3], "running", generator=torch.Generator().manual_seed(1))


def face(value, weights, family):
    return torch.where(value >= 0, 1.0, -1.0) if weights is Weights.BINARY and family is BinaryMLP else value


def matrices(net):
    return {name: value for name, value in net.named_parameters() if name.endswith("weight")}


class Trajectory(FineTune):
    """Follows a learner, and stores weights and the gradients of the task's loss at every step."""

    def __init__(self, net, learner, tasks):
        self.net, self.learner, self.tasks = net, learner, tasks
        self.weights, self.gradients, self.penalties = [[]], [[]], []
        self.index = self.step = 0

    def penalty(self):
        task = self.tasks.tasks[self.index]
        batches = SCHEDULE.batches(task, self.index, self.step // SCHEDULE.steps(task))
        # A copy, so that running statistics are not touched by looking.
        kept = {name: buffer.clone() for name, buffer in self.net.named_buffers()}
        loss = task_loss(self.net, task, batches[self.step % SCHEDULE.steps(task)])
        gradients = torch.autograd.grad(loss, list(matrices(self.net).values()))
        for name, buffer in self.net.named_buffers():
            buffer.copy_(kept[name])
        self.weights[-1].append(self.current())
        self.gradients[-1].append(gradients)
        return self.learner.penalty()

    def current(self):
        return [weight.detach().clone() for weight in matrices(self.net).values()]

    def after_step(self):
        self.learner.after_step()
        self.step += 1

    def end_task(self, task, index):
        self.weights[-1].append(self.current())
        self.learner.end_task(task, index)
        self.weights.append([])
        self.gradients.append([])
        self.index, self.step = self.index + 1, 0


@pytest.mark.parametrize("family", [BinaryMLP, RealMLP])
@pytest.mark.parametrize("path", Weights)
@pytest.mark.parametrize("held", Weights)
@pytest.mark.parametrize("signed", [False, True])
def test_importance_is_that_of_the_stored_trajectory(family, path, held, signed):
    net, tasks = network(family), scenario()
    learner = SynapticIntelligence(net, 5.0, 0.1, path, held, signed)
    follower = Trajectory(net, learner, tasks)
    optimizer = MetaplasticAdam(param_groups(net, 0.5), lr=0.02)
    list(learn(net, tasks, optimizer, follower, schedule=SCHEDULE))
    for layer, name in enumerate(matrices(net)):
        omega = 0.0
        for weights, gradients in zip(follower.weights[:2], follower.gradients[:2], strict=True):
            way = [face(step[layer], path, family) for step in weights]
            integral = sum(
                -gradient[layer] * (after - before)
                for gradient, before, after in zip(gradients, way[:-1], way[1:], strict=True)
            )
            omega = omega + (integral if signed else integral.clamp(min=0)) / ((way[-1] - way[0]) ** 2 + 0.1)
        torch.testing.assert_close(learner.quadratic.curvature[name], omega, rtol=1e-3, atol=1e-5)
        assert omega.max() > 1e-3
        assert torch.equal(learner.quadratic.centre[name], face(follower.weights[1][-1][layer], held, family))


def test_with_small_steps_the_path_integral_is_what_the_loss_lost():
    """Full batches and plain descent on real weights, in float64: the sum over weights is the fall of the loss."""
    random = torch.Generator().manual_seed(0)
    net = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 1)).to(torch.float64)
    for parameter in net.parameters():
        nn.init.uniform_(parameter, -0.4, 0.4, generator=random)
    inputs, targets = (torch.randn(20, width, generator=random, dtype=torch.float64) for width in (5, 1))
    learner = SynapticIntelligence(net, 1.0)

    def loss():
        return (net(inputs) - targets).square().mean()

    before = loss().item()
    optimizer = torch.optim.SGD(net.parameters(), lr=1e-3)
    for _ in range(300):
        learner.penalty()
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()
        learner.after_step()
    gained = sum(float(integral.sum()) for integral in learner.path_integral.values())
    assert gained == pytest.approx(before - loss().item(), rel=5e-3)
    assert gained > 0.05


def test_the_gradient_of_the_penalty_stays_out_of_the_path_integral():
    """A step by hand, 0.01 up, while springs pull: the integral is that of the task's gradient, however they pull."""
    task = scenario().tasks[0]
    found = []
    for strength in (0.0, 50.0):
        net = network()
        learner = SynapticIntelligence(net, 1.0)
        learner.strength = strength or 1.0
        if strength:
            values = learner.weights.values()
            learner.quadratic.add(
                {name: torch.ones_like(value) for name, value in values.items()},
                {name: -value for name, value in values.items()},
            )
        penalty = learner.penalty()
        assert (penalty is not None) == bool(strength)
        loss = task_loss(net, task, torch.arange(40))
        (loss if penalty is None else loss + penalty).backward()
        gradient = net.layers[0].weight.grad.clone()
        with torch.no_grad():
            net.layers[0].weight.add_(0.01)
        learner.after_step()
        found.append((learner.path_integral["layers.0.weight"], gradient))
    (plain, task_gradient), (pulled, gradient) = found
    torch.testing.assert_close(plain, -0.01 * task_gradient, rtol=1e-3, atol=1e-7)
    torch.testing.assert_close(pulled, plain, rtol=1e-3, atol=1e-6)
    assert (gradient - task_gradient).abs().min() > 100


@pytest.mark.parametrize("signed", [False, True])
def test_a_way_that_raised_the_loss_has_negative_importance_or_none(signed):
    """A step by hand along the gradient: each weight did harm, by 0.1 g^2."""
    net, task = network(), scenario().tasks[0]
    learner = SynapticIntelligence(net, 1.0, signed=signed)
    learner.penalty()
    task_loss(net, task, torch.arange(40)).backward()
    weight = net.layers[0].weight
    with torch.no_grad():
        weight.add_(weight.grad, alpha=0.1)
    learner.after_step()
    learner.end_task(task, 0)
    harm = -0.1 * weight.grad.square() / ((0.1 * weight.grad).square() + 0.1)
    assert harm.min() < -1e-5
    expected = harm if signed else torch.zeros_like(harm)
    torch.testing.assert_close(learner.quadratic.curvature["layers.0.weight"], expected, rtol=1e-3, atol=1e-8)


def test_what_moves_weights_between_tasks_is_no_part_of_the_path():
    """Steps by hand, 0.01 up, before and after a jump of 5: the second task has the way of its own step alone."""
    net, tasks = network(), scenario().tasks
    learner, weight = SynapticIntelligence(net, 1.0), net.layers[0].weight

    def step(task):
        learner.penalty()
        net.zero_grad()
        task_loss(net, task, torch.arange(40)).backward()
        with torch.no_grad():
            weight.add_(0.01)
        learner.after_step()

    step(tasks[0])
    learner.end_task(tasks[0], 0)
    with torch.no_grad():
        weight.add_(5.0)
    learner.quadratic.centre = learner.weights.values()  # no spring is stretched by the jump
    step(tasks[1])
    found = learner.path_integral["layers.0.weight"]
    torch.testing.assert_close(found, -0.01 * weight.grad, rtol=1e-3, atol=1e-7)
    assert found.abs().max() > 1e-4


@pytest.mark.parametrize("damping", [0.0, -1.0, float("nan")])
def test_a_damping_out_of_range_is_refused(damping):
    with pytest.raises(ValueError, match=r"expected a damping > 0, got"):
        SynapticIntelligence(network(), 1.0, damping)
