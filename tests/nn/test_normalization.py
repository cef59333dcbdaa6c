"""Normalisation against torch's own layers and against formulas written out."""

import copy
import io
import itertools

import pytest
import torch
from torch import nn

from metaplastic.nn import (
    BinaryMLP,
    GainInit,
    Normalization,
    NormPolicy,
    Scope,
    Statistics,
    evaluating,
    keep_task,
    normalizations,
    recalibrate,
)

BATCH_POLICIES = [Statistics.RUNNING, Statistics.BATCH, Statistics.RECALIBRATED]
FORMS = {"vectors": ((12, 5), nn.BatchNorm1d), "images": ((4, 5, 3, 2), nn.BatchNorm2d)}
every_form = pytest.mark.parametrize(("shape", "reference"), FORMS.values(), ids=FORMS.keys())
exact = {"rtol": 1e-12, "atol": 1e-12}


def normal(*shape, seed=0, scale=3.0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * scale + 1


def norm(statistics=Statistics.RECALIBRATED, features=5, **policy):
    layer = Normalization(features, NormPolicy(statistics=Statistics(statistics), **policy)).double()
    if layer.gain is not None:
        with torch.no_grad():
            layer.gain.copy_(torch.linspace(-0.5, 2, features))
            layer.offset.copy_(torch.linspace(1, -1, features))
    return layer


def twin(reference, layer, **options):
    other = reference(layer.features, affine=layer.gain is not None, **options).double()
    if layer.gain is not None:
        with torch.no_grad():
            other.weight.copy_(layer.gain)
            other.bias.copy_(layer.offset)
    return other


def by_hand(x, gain, offset, mean, variance, eps=1e-5):
    """The formula, feature by feature."""
    columns = [(x[:, i] - mean[i]) / (variance[i] + eps).sqrt() * gain[i] + offset[i] for i in range(x.shape[1])]
    return torch.stack(columns, 1)


def moments(x):
    columns = [x[:, i].flatten() for i in range(x.shape[1])]
    mean = torch.stack([column.sum() / len(column) for column in columns])
    centred = [column - column.sum() / len(column) for column in columns]
    return mean, torch.stack([(column**2).sum() / len(column) for column in centred])


@every_form
@pytest.mark.parametrize("statistics", BATCH_POLICIES)
@pytest.mark.parametrize("affine", [True, False])
def test_training_is_torchs_batch_norm(shape, reference, statistics, affine):
    layer = norm(statistics, affine=affine, eps=0.01)
    other = twin(reference, layer, eps=0.01)
    x, y = normal(*shape).requires_grad_(), normal(*shape).requires_grad_()
    torch.testing.assert_close(layer(x), other(y), **exact)
    layer(x).pow(3).sum().backward()
    other(y).pow(3).sum().backward()
    torch.testing.assert_close(x.grad, y.grad, **exact)
    if affine:
        torch.testing.assert_close(layer.gain.grad, other.weight.grad, **exact)
        torch.testing.assert_close(layer.offset.grad, other.bias.grad, **exact)
    else:
        assert list(layer.parameters()) == []


@every_form
@pytest.mark.parametrize("momentum", [0.1, 0.3, 1.0])
def test_running_statistics_are_torchs(shape, reference, momentum):
    layer = norm("running", momentum=momentum)
    other = twin(reference, layer, momentum=momentum)
    for seed in range(5):
        layer(normal(*shape, seed=seed))
        other(normal(*shape, seed=seed))
    torch.testing.assert_close(layer.mean, other.running_mean, **exact)
    torch.testing.assert_close(layer.variance, other.running_var, **exact)
    x = normal(*shape, seed=9)
    torch.testing.assert_close(layer.eval()(x), other.eval()(x), **exact)
    torch.testing.assert_close(layer.mean, other.running_mean, **exact)  # evaluation tracks nothing


@pytest.mark.parametrize("statistics", [Statistics.BATCH, Statistics.RECALIBRATED, Statistics.LAYER])
def test_other_policies_track_nothing_in_training(statistics):
    layer = norm(statistics)
    before = copy.deepcopy(layer.state_dict())
    layer(normal(12, 5))
    for name, value in layer.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0, equal_nan=True)


@every_form
def test_batch_statistics_evaluate_by_the_test_batch(shape, reference):
    layer = norm("batch")
    other = twin(reference, layer, track_running_stats=False)
    x = normal(*shape)
    torch.testing.assert_close(layer.eval()(x), other.eval()(x), **exact)
    assert layer.policy.depends_on_test_batch
    assert [norm(s).policy.depends_on_test_batch for s in ("running", "recalibrated", "layer")] == [False] * 3


@every_form
@pytest.mark.parametrize("affine", [True, False])
def test_layer_statistics_are_torchs_layer_norm_in_training_too(shape, reference, affine):
    layer = norm("layer", affine=affine)
    x = normal(*shape)
    expected = nn.functional.layer_norm(x, x.shape[1:])
    if affine:
        per_feature = (1, -1) + (1,) * (x.dim() - 2)
        expected = expected * layer.gain.view(per_feature) + layer.offset.view(per_feature)
    torch.testing.assert_close(layer(x), expected, **exact)
    torch.testing.assert_close(layer.eval()(x), expected, **exact)
    torch.testing.assert_close(layer(x[:1]), expected[:1], **exact)


@every_form
@pytest.mark.parametrize("affine", [True, False])
def test_recalibrated_statistics_are_those_of_the_samples(shape, reference, affine):
    layer = norm("recalibrated", affine=affine)
    samples, x = normal(*shape, seed=1), normal(*shape, seed=2)
    recalibrate(layer, samples)
    mean, variance = moments(samples)
    torch.testing.assert_close(layer.mean, mean, **exact)
    torch.testing.assert_close(layer.variance, variance, **exact)
    gain, offset = (layer.gain, layer.offset) if affine else (torch.ones(5), torch.zeros(5))
    torch.testing.assert_close(layer.eval()(x), by_hand(x, gain, offset, mean, variance), **exact)


def test_recalibration_goes_layer_by_layer():
    """What a layer measures is what reaches it when all layers in front of it are already calibrated."""
    samples = normal(40, 6, seed=1)
    net = nn.Sequential(nn.Linear(6, 5), norm(), nn.Tanh(), nn.Linear(5, 5), norm(), nn.Tanh(), norm()).double()
    expected, x = copy.deepcopy(net), samples
    recalibrate(net, samples)
    for layer, found in zip(expected, net, strict=True):
        if isinstance(layer, Normalization):
            mean, variance = moments(x)
            torch.testing.assert_close(found.mean, mean, **exact)
            torch.testing.assert_close(found.variance, variance, **exact)
            x = by_hand(x, layer.gain, layer.offset, mean, variance)
        else:
            x = layer(x)
    torch.testing.assert_close(net.eval()(samples), x, **exact)


def test_recalibration_silences_nothing_and_leaves_the_modes_as_found():
    net = nn.Sequential(nn.Dropout(0.9), norm(), norm("running"), norm("layer")).double()
    net[2].eval()
    running = copy.deepcopy(net[2].state_dict())
    samples = normal(50, 5)
    recalibrate(net, samples)
    torch.testing.assert_close(net[1].mean, moments(samples)[0], **exact)
    assert [module.training for module in net] == [True, True, False, True]
    assert all(torch.equal(value, running[name]) for name, value in net[2].state_dict().items())
    assert not any(layer.collecting for layer in normalizations(net))


def test_recalibration_of_other_policies_does_nothing():
    net = nn.Sequential(norm("running"))
    before = copy.deepcopy(net.state_dict())
    recalibrate(net, normal(1, 5))
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_an_interrupted_recalibration_ends():
    net = nn.Sequential(norm(), nn.Linear(4, 4)).double()
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        recalibrate(net, normal(10, 5))
    assert net.training
    assert not net[0].collecting


def test_recalibration_ignores_a_selected_task():
    net = nn.Sequential(norm(scope=Scope.PER_TASK))
    recalibrate(net, normal(30, 5, seed=1))
    keep_task(net, 0)
    with evaluating(net, task=0):
        recalibrate(net, normal(30, 5, seed=2, scale=9.0))
        torch.testing.assert_close(net[0].mean, moments(normal(30, 5, seed=2, scale=9.0))[0], **exact)
        assert net[0].task == 0


def test_kept_statistics_are_taken_anew_with_the_gains_of_their_task():
    """As if the current state were the task's: its gains and offsets, and the weights as they are by then."""
    net = nn.Sequential(nn.Linear(5, 5), norm(scope=Scope.PER_TASK), nn.Linear(5, 5), norm(scope=Scope.PER_TASK))
    net.double()
    old, new = normal(40, 5, seed=1), normal(40, 5, seed=2, scale=3.0)
    for task, samples in enumerate((old, new)):
        recalibrate(net, samples)
        keep_task(net, task)
        for parameter in net.parameters():
            nn.init.normal_(parameter, generator=torch.Generator().manual_seed(task))
    expected = copy.deepcopy(net)
    for layer in normalizations(expected):
        gain, offset, *_ = layer.kept[0]
        layer.gain.data, layer.offset.data = gain.clone(), offset.clone()
    recalibrate(expected, old)
    before = copy.deepcopy(net)
    recalibrate(net, old, task=0)
    with evaluating(net, task=0), evaluating(expected):
        torch.testing.assert_close(net(old), expected(old), **exact)
    for layer, was in zip(normalizations(net), normalizations(before), strict=True):
        assert not torch.equal(layer.kept[0], was.kept[0])
        assert torch.equal(layer.kept[1], was.kept[1])
        assert torch.equal(layer.mean, was.mean)
        assert torch.equal(layer.variance, was.variance)


def test_statistics_of_a_task_that_kept_none_are_refused():
    net = nn.Sequential(norm(scope=Scope.PER_TASK))
    recalibrate(net, normal(30, 5))
    keep_task(net, 2)
    with pytest.raises(ValueError, match=r"one of \[2\], got 0; None takes the current statistics"):
        recalibrate(net, normal(30, 5), task=0)


def test_too_few_samples_are_refused():
    with pytest.raises(ValueError, match="expected at least 2 samples to calibrate with, got 1; give 1,000 or more"):
        recalibrate(norm(), normal(1, 5))


def test_evaluation_before_calibration_is_refused():
    message = r"this normalisation was never calibrated; call recalibrate\(network, inputs\) with at least 1,000"
    with pytest.raises(ValueError, match=message):
        norm("recalibrated").eval()(normal(4, 5))
    norm("running").eval()(normal(4, 5))  # starts at mean 0 and variance 1


@pytest.mark.parametrize("statistics", BATCH_POLICIES)
def test_a_batch_of_one_sample_is_refused_in_training(statistics):
    message = r"expected at least 2 values per feature under batch norm, got \(1, 5\): .* or statistics='layer'"
    with pytest.raises(ValueError, match=message):
        norm(statistics)(normal(1, 5))
    with pytest.raises(ValueError, match=r"got \(1, 5, 1, 1\)"):
        norm(statistics)(normal(1, 5, 1, 1))
    assert norm(statistics)(normal(1, 5, 2, 1)).shape == (1, 5, 2, 1)


@pytest.mark.parametrize("values", [1, 2])
def test_layer_norm_of_one_or_two_values_is_refused_because_nothing_is_left_of_them(values):
    message = f"expected at least 3 values per sample under layer norm, got {values}: .*FixedScale"
    with pytest.raises(ValueError, match=message):
        norm("layer", values)(normal(4, values))
    assert norm("layer", values)(normal(4, values, 2, 2)).shape == (4, values, 2, 2)
    assert norm("layer", 3)(normal(4, 3)).shape == (4, 3)


def test_one_sample_is_enough_where_no_batch_is_needed():
    assert norm("layer")(normal(1, 5)).shape == (1, 5)
    assert norm("running").eval()(normal(1, 5)).shape == (1, 5)
    with pytest.raises(ValueError, match="at least 2 values per feature"):
        norm("batch").eval()(normal(1, 5))


def test_gains_start_at_one_or_uniformly():
    policy = NormPolicy(gain_init=GainInit.UNIFORM)
    first, again, other = (Normalization(2000, policy, torch.Generator().manual_seed(s)) for s in (1, 1, 2))
    assert torch.equal(first.gain, again.gain)
    assert not torch.equal(first.gain, other.gain)
    assert 0 <= first.gain.min() < 0.01
    assert 0.99 < first.gain.max() < 1
    assert first.gain.mean().item() == pytest.approx(0.5, abs=0.03)
    assert Normalization(3, NormPolicy()).gain.tolist() == [1.0] * 3
    assert first.offset.unique().tolist() == [0.0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"momentum": 0.0}, r"expected a momentum in \(0, 1\], got 0.0; torch's default is 0.1"),
        ({"momentum": 1.5}, r"expected a momentum in \(0, 1\], got 1.5"),
        ({"eps": 0.0}, "expected eps > 0, got 0.0; torch's default is 1e-5"),
        (
            {"statistics": Statistics.LAYER, "scope": Scope.PER_TASK},
            "expected scope 'shared' with 'layer' statistics, got 'per_task'; they have no task state",
        ),
        (
            {"statistics": Statistics.NONE, "scope": Scope.PER_TASK},
            "expected scope 'shared' with 'none' statistics, got 'per_task'; they have no task state",
        ),
    ],
)
def test_illegal_policies_cannot_be_written(options, message):
    with pytest.raises(ValueError, match=message):
        NormPolicy(**options)


def kept(statistics, states=(0, 2)):
    """Two normalisations whose state was kept for some tasks, and then moved on."""
    net = nn.Sequential(norm(statistics, scope=Scope.PER_TASK), norm(statistics))
    snapshots = {}
    for seed, task in enumerate((*states, None)):
        with torch.no_grad():
            net[0].gain.add_(0.25)
            net[0].offset.sub_(0.5)
        net.train()(normal(30, 5, seed=seed, scale=1.0 + seed))
        recalibrate(net, normal(30, 5, seed=seed, scale=1.0 + seed))
        if task is not None:
            keep_task(net, task)
        snapshots[task] = copy.deepcopy(net)
    return net, snapshots


@pytest.mark.parametrize("statistics", BATCH_POLICIES)
def test_a_kept_state_is_used_for_its_task_only(statistics):
    net, snapshots = kept(statistics)
    x = normal(8, 5, seed=7)

    def first(network, task):
        with evaluating(network, task):
            return network[0](x).detach()

    for task in (0, 2):
        assert torch.equal(first(net, task), first(snapshots[task], None))
    for task in (None, 1, 3):
        assert torch.equal(first(net, task), first(snapshots[None], None))
    for left, right in itertools.combinations((0, 2, None), 2):
        assert not torch.allclose(first(net, left), first(net, right))


def test_training_uses_the_current_state_whatever_task_is_selected():
    net, _ = kept("batch")
    x = normal(8, 5)
    net.train()
    expected = net[0](x)
    net[0].task = 0
    assert torch.equal(net[0](x), expected)


def test_only_layers_with_that_scope_keep_a_task():
    net, _ = kept("running")
    assert net[0].kept_tasks.tolist() == [0, 2]
    assert net[1].kept_tasks.tolist() == []
    assert net[0].kept.shape == (2, 4, 5)
    assert not net[0].kept.requires_grad


def test_keeping_a_task_again_replaces_its_state():
    net, _ = kept("running")
    keep_task(net, 0)
    assert sorted(net[0].kept_tasks.tolist()) == [0, 2]
    x = normal(8, 5)
    with evaluating(net, 0):
        found = net[0](x)
    with evaluating(net):
        assert torch.equal(net[0](x), found)


def test_a_kept_state_without_gain_and_offset():
    net = nn.Sequential(norm("running", scope=Scope.PER_TASK, affine=False))
    net(normal(30, 5, seed=1))
    keep_task(net, 3)
    expected = copy.deepcopy(net).eval()(normal(4, 5))
    net(normal(30, 5, seed=2))
    with evaluating(net, 3):
        torch.testing.assert_close(net(normal(4, 5)), expected, **exact)
    with evaluating(net, 1):
        assert not torch.allclose(net(normal(4, 5)), expected)


def test_evaluating_restores_modes_and_task_even_after_an_exception():
    net, _ = kept("running")
    net.train()
    net[1].eval()
    net[0].task, net[1].task = 2, 5
    seen = []

    def fail_inside():
        with evaluating(net, 0):
            seen.extend((layer.training, layer.task) for layer in net)
            raise RuntimeError("inside")

    with pytest.raises(RuntimeError, match="inside"):
        fail_inside()
    assert seen == [(False, 0), (False, 0)]
    assert [layer.training for layer in (net, *net)] == [True, True, False]
    assert [layer.task for layer in net] == [2, 5]


def test_evaluating_can_be_nested():
    net, _ = kept("running")
    with evaluating(net, 0):
        with evaluating(net):
            assert net[0].task is None
        assert net[0].task == 0
        assert not net.training
    assert net[0].task is None
    assert net.training


@pytest.mark.parametrize("statistics", BATCH_POLICIES)
def test_a_fresh_network_takes_kept_tasks_from_a_state_dict(statistics):
    net, _ = kept(statistics)
    file = io.BytesIO()
    torch.save(net.state_dict(), file)
    file.seek(0)
    fresh = nn.Sequential(norm(statistics, scope=Scope.PER_TASK), norm(statistics))
    fresh.load_state_dict(torch.load(file))
    x = normal(8, 5)
    for task in (None, 0, 1, 2):
        with evaluating(net, task), evaluating(fresh, task):
            assert torch.equal(net(x), fresh(x))
    keep_task(fresh, 4)
    assert net[0].kept_tasks.tolist() == [0, 2]
    assert fresh[0].kept_tasks.tolist() == [0, 2, 4]


def test_a_state_dict_without_kept_tasks_clears_them():
    net, _ = kept("running")
    empty = nn.Sequential(norm("running", scope=Scope.PER_TASK), norm("running"))
    net.load_state_dict(empty.state_dict())
    assert net[0].kept_tasks.tolist() == []


def test_normalizations_are_listed_in_order():
    net = BinaryMLP([4, 3, 2, 5])
    assert [layer.features for layer in normalizations(net)] == [3, 2, 5]
    assert "5, statistics=recalibrated, scope=shared" in repr(normalizations(net)[-1])


@pytest.mark.parametrize("task", [0, None])
def test_a_network_of_binary_layers_is_moved_by_the_task(task):
    """Through a whole network: the logits of task 0 stay as they were when it was kept, unless it is not told."""
    policy = NormPolicy(Statistics.RECALIBRATED, Scope.PER_TASK)
    net = BinaryMLP([6, 8, 4], policy, generator=torch.Generator().manual_seed(0)).double()
    recalibrate(net, normal(50, 6, seed=1))
    keep_task(net, 0)
    x = normal(10, 6, seed=3)
    with evaluating(net):
        before = net(x)
    recalibrate(net, normal(50, 6, seed=2, scale=0.5) - 5)
    with evaluating(net, task):
        assert torch.equal(net(x), before) == (task == 0)
