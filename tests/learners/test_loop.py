"""The one loop against a loop written out, and against itself interrupted anywhere."""

import copy
import io
import itertools
import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from metaplastic.data import Dataset, Samples
from metaplastic.learners import FineTune, Moment, NonFiniteLossError, Position, Schedule, calibrate, learn
from metaplastic.nn import BinaryMLP, NormPolicy, RealMLP, Scope, Statistics, keep_task, normalizations, recalibrate
from metaplastic.optim import MetaplasticAdam, param_groups
from metaplastic.scenarios import Announced, IndexView, Task, permuted, split, stream
from metaplastic.seeding import Purpose, generator

TOLD = Announced(boundaries=True, task_at_test=True)


def dataset(train=19, test=6, pixels=6, classes=3):
    random = torch.Generator().manual_seed(5)

    def part(count):
        inputs = torch.randint(0, 256, (count, pixels), generator=random, dtype=torch.uint8)
        return Samples(inputs, torch.arange(count) % classes)

    return Dataset("tiny", part(train), part(test), tuple("abcdefgh"[:classes]), 1 / 256)


def network(norm="recalibrated", sizes=(6, 7, 5, 3), **options):
    return BinaryMLP(list(sizes), norm, generator=torch.Generator().manual_seed(2), **options)


@pytest.mark.parametrize("steps", [0, 1, None])
def test_the_mode_of_every_module_is_left_as_it_was_found(steps):
    """Also when the loop is left in the middle."""
    net = network().eval()
    net.layers[0].train()
    modes = [module.training for module in net.modules()]
    events = learn(net, permuted(dataset(), 2), adam(net), schedule=Schedule(epochs=1, batch_size=4))
    for _ in itertools.islice(events, steps):
        pass
    events.close()
    assert [module.training for module in net.modules()] == modes


def adam(net):
    return MetaplasticAdam(param_groups(net, 1.3), lr=0.01)


def run(net, scenario, schedule, **options):
    return list(learn(net, scenario, adam(net), schedule=schedule, **options))


def same_state(left, right):
    left, right = left.state_dict(), right.state_dict()
    return left.keys() == right.keys() and all(
        torch.equal(left[name].nan_to_num(7.0), right[name].nan_to_num(7.0)) for name in left
    )


@pytest.mark.parametrize("statistics", ["running", "recalibrated", "layer"])
def test_learning_equals_a_loop_written_out(statistics):
    scenario = permuted(dataset(), tasks=2)
    schedule = Schedule(epochs=3, batch_size=8, seed=4, calibration_samples=10)
    net = network(statistics)
    events = run(net, scenario, schedule)

    naive = network(statistics)
    optimizer = adam(naive)
    losses = []
    for index, task in enumerate(scenario.tasks):
        for epoch in range(3):
            order = torch.randperm(19, generator=generator(4, Purpose.BATCH_ORDER, index, epoch))
            for rows in (order[:7], order[7:13], order[13:]):
                inputs, labels = task.view.batch(rows)
                loss = functional.cross_entropy(naive(inputs), labels)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                losses.append(loss.item())
        chosen = torch.randperm(19, generator=generator(4, Purpose.CALIBRATION, index))[:10]
        recalibrate(naive, task.view.batch(chosen)[0])
    assert same_state(net, naive)
    assert not same_state(net, network(statistics))
    assert [event.loss for event in events if event.moment is Moment.STEP] == losses
    means = [sum(losses[i : i + 3]) / 3 for i in range(0, 18, 3)]
    assert [event.loss for event in events if event.moment is Moment.EPOCH] == means


def images():
    """The data set of the other tests, its six pixels in two rows."""
    data = dataset()
    train, test = (Samples(part.inputs.reshape(-1, 2, 3), part.labels) for part in (data.train, data.test))
    return replace(data, train=train, test=test)


def augmented():
    return stream(images(), 2, seed=3, augment="flip-and-crop-or-rotate")


@pytest.mark.parametrize("statistics", ["running", "recalibrated"])
def test_augmented_images_are_learned_epoch_by_epoch_and_statistics_taken_from_images_as_they_are(statistics):
    schedule = Schedule(epochs=3, batch_size=5, seed=4, calibration_samples=8)
    net, naive = network(statistics), network(statistics)
    run(net, augmented(), schedule)
    optimizer = adam(naive)
    for index, task in enumerate(augmented().tasks):
        for epoch in range(3):
            for rows in schedule.batches(task, index, epoch):
                inputs, labels = task.view.in_epoch(epoch).batch(rows)
                optimizer.zero_grad()
                functional.cross_entropy(naive(inputs), labels).backward()
                optimizer.step()
        recalibrate(naive, task.view.batch(schedule.calibration_rows(task, index))[0])
    assert same_state(net, naive)
    plain = network(statistics)
    run(plain, stream(images(), 2, seed=3), schedule)
    assert not same_state(net, plain)


def test_events_come_in_order_and_say_where_training_goes_on():
    events = run(network(), permuted(dataset(), tasks=2), Schedule(epochs=2, batch_size=10))
    expected = []
    for task in (0, 1):
        for epoch in (0, 1):
            expected += [("step", task, epoch, (task, epoch, step)) for step in (1, 2)]
            expected.append(("epoch", task, epoch, (task, epoch + 1, 0)))
        expected.append(("task", task, 1, (task + 1, 0, 0)))
    found = [(e.moment.value, e.task, e.epoch, (e.position.task, e.position.epoch, e.position.step)) for e in events]
    assert found == expected
    for first, second, _ in zip(events, events[1:], events[2:], strict=False):
        if first.moment is second.moment is Moment.STEP:
            assert second.position.loss_sums == (first.loss + second.loss,)
    assert all(math.isnan(event.loss) for event in events if event.moment is Moment.TASK)


RESUMED = {
    "running": lambda: network("running"),
    "dropout": lambda: network("recalibrated", dropout=0.4),
    "per task": lambda: network(NormPolicy(Statistics.RECALIBRATED, Scope.PER_TASK)),
}
SCHEDULE = Schedule(epochs=2, batch_size=7, calibration_samples=9)


def resumed_scenario():
    return permuted(dataset(), tasks=2, announced=TOLD)


def interrupted(build, stop, schedule):
    """Train to event `stop`, save, and go on from the file in fresh objects; events and network."""
    net = build()
    optimizer = adam(net)
    events = list(itertools.islice(learn(net, resumed_scenario(), optimizer, schedule=schedule), stop + 1))
    file = io.BytesIO()
    torch.save({"net": net.state_dict(), "optimizer": optimizer.state_dict()}, file)
    file.seek(0)
    saved = torch.load(file)
    other = build()
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.zero_()
    restored = adam(other)
    other.load_state_dict(saved["net"])
    restored.load_state_dict(saved["optimizer"])
    start = events[-1].position
    return [*events, *learn(other, resumed_scenario(), restored, schedule=schedule, start=start)], other


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("kind", RESUMED)
def test_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit(kind, reset):
    schedule = Schedule(epochs=2, batch_size=7, calibration_samples=9, reset_optimizer=reset)
    net = RESUMED[kind]()
    events = run(net, resumed_scenario(), schedule)
    assert len(events) == 2 * (2 * (3 + 1) + 1)
    for stop in range(len(events)):
        again, other = interrupted(RESUMED[kind], stop, schedule)
        assert same_state(net, other), f"stopped after event {stop}"
        assert list(map(repr, again)) == list(map(repr, events))  # losses too; their text is exact, and knows NaN


def test_a_resumed_run_sees_the_same_augmented_images():
    net, schedule = network("running"), Schedule(epochs=2, batch_size=4)
    events = run(net, augmented(), schedule)
    for stop in range(len(events)):
        other = network("running")
        optimizer = adam(other)
        start = list(itertools.islice(learn(other, augmented(), optimizer, schedule=schedule), stop + 1))[-1].position
        list(learn(other, augmented(), optimizer, schedule=schedule, start=start))
        assert same_state(net, other), f"stopped after event {stop}"


def test_evaluating_between_steps_changes_nothing():
    scenario = permuted(dataset(), tasks=2)
    schedule = Schedule(epochs=2, batch_size=7)
    net, watched = (network("running", dropout=0.3) for _ in range(2))
    run(net, scenario, schedule)
    for event in learn(watched, scenario, adam(watched), schedule=schedule):
        watched.eval()
        watched(scenario.tests[0].view.batch(torch.arange(6))[0])
        assert event.task in (0, 1)
    assert same_state(net, watched)


@given(st.integers(1, 200), st.integers(1, 70), st.integers(-3, 3), st.integers(0, 3), st.integers(0, 3))
def test_batches_hold_every_sample_once_and_differ_by_one_at_most(samples, size, seed, index, epoch):
    data = Samples(torch.zeros(samples, 1), torch.zeros(samples, dtype=torch.int64))
    task, schedule = Task("all", IndexView(data)), Schedule(epochs=1, batch_size=size, seed=seed)
    batches = schedule.batches(task, index, epoch)
    lengths = [len(rows) for rows in batches]
    assert sorted(torch.cat(batches).tolist()) == list(range(samples))
    assert max(lengths) - min(lengths) <= 1
    if size > 1 and samples > 1:
        assert min(lengths) > 1, "a batch of one sample has no variance"
    few = -(-samples // size)
    assert len(batches) == (few if max(lengths) <= size else few - 1)
    assert max(lengths) <= size or samples // few == 1
    again = schedule.batches(task, index, epoch)
    assert all(map(torch.equal, batches, again))


def test_the_order_depends_on_seed_task_and_epoch():
    task = permuted(dataset(), tasks=1).tasks[0]
    at = [(seed, index, epoch) for seed in (0, 1) for index in (0, 1) for epoch in (0, 1)]
    orders = [
        torch.cat(Schedule(epochs=1, batch_size=5, seed=seed).batches(task, index, epoch)).tolist()
        for seed, index, epoch in at
    ]
    assert len(set(map(tuple, orders))) == 8


def with_a_hole(data, sample):
    """The same data in floats, one training sample of it not a number."""
    inputs = data.train.inputs.float()
    inputs[sample] = torch.nan
    return replace(
        data, train=Samples(inputs, data.train.labels), test=Samples(data.test.inputs.float(), data.test.labels)
    )


@pytest.mark.parametrize("task", [0, 1])
@pytest.mark.parametrize("sample", [2, 11])
def test_a_loss_that_is_not_finite_stops_before_the_step(task, sample):
    """The weights are those of the step before the sample that is not a number was met."""
    scenario = permuted(dataset(), tasks=2)
    tasks = list(scenario.tasks)
    tasks[task] = permuted(with_a_hole(dataset(), sample), tasks=2).tasks[task]
    scenario = replace(scenario, tasks=tuple(tasks))
    schedule = Schedule(epochs=2, batch_size=4, seed=1)
    batches = schedule.batches(tasks[task], task, 0)
    (step,) = (number for number, rows in enumerate(batches) if sample in rows.tolist())
    net = network("layer")
    good = [(copy.deepcopy(net), Position())]

    def train():
        good.extend(
            (copy.deepcopy(net), event.position) for event in learn(net, scenario, adam(net), schedule=schedule)
        )

    message = (
        rf"expected a finite loss, got nan in 'permutation {task + 1}' \(task {task + 1}\), epoch 1, step {step + 1}; "
        "lower the learning rate"
    )
    with pytest.raises(NonFiniteLossError, match=message):
        train()
    last, position = good[-1]
    assert same_state(net, last)
    assert (position.task, position.epoch, position.step) == (task, 0, step)
    assert all(parameter.isfinite().all() for parameter in net.parameters())


def test_labels_outside_the_head_are_refused():
    net = network(sizes=(6, 5, 2))
    message = "expected labels below 2, the outputs that learn 'permutation 1', got 2; give the network one output per"
    with pytest.raises(ValueError, match=message):
        run(net, permuted(dataset(), tasks=1), Schedule(epochs=1))


def test_a_task_of_one_sample_is_refused_under_batch_norm_only():
    scenario = stream(dataset(train=3), parts=3)
    with pytest.raises(ValueError, match=r"got \(1, 7\): a batch of one sample has no variance; .* statistics='layer'"):
        run(network(), scenario, Schedule(epochs=1))
    net = network("layer")
    assert len(run(net, scenario, Schedule(epochs=1))) == 9


def test_a_reset_needs_announced_boundaries():
    scenario = permuted(dataset(), tasks=2)
    message = "expected announced task boundaries for an optimizer reset at each task, got scenario 'permuted tiny'"
    with pytest.raises(ValueError, match=message):
        run(network(), scenario, Schedule(epochs=1, reset_optimizer=True))


@pytest.mark.parametrize(
    ("announced", "message"),
    [
        (Announced(), "expected announced task boundaries for normalisation kept per task"),
        (Announced(task_at_test=True), "expected announced task boundaries for normalisation kept per task"),
        (Announced(boundaries=True), "expected the task to be known at test for normalisation kept per task"),
    ],
)
def test_a_scope_per_task_needs_all_to_be_announced(announced, message):
    net = RESUMED["per task"]()
    before = copy.deepcopy(net)
    with pytest.raises(ValueError, match=message):
        run(net, permuted(dataset(), tasks=2, announced=announced), Schedule(epochs=1))
    assert same_state(net, before)


def test_a_reset_clears_the_optimizer_at_each_task_and_only_then():
    scenario = resumed_scenario()
    schedule = Schedule(epochs=2, batch_size=10, reset_optimizer=True)
    net = network()
    optimizer = adam(net)
    steps = []
    for event in learn(net, scenario, optimizer, schedule=schedule):
        if event.moment is Moment.STEP:
            steps.append({int(state["step"]) for state in optimizer.state.values()})
    assert steps == [{1}, {2}, {3}, {4}] * 2


def test_without_a_reset_the_optimizer_goes_on():
    net = network()
    optimizer = adam(net)
    list(learn(net, resumed_scenario(), optimizer, schedule=Schedule(epochs=1, batch_size=10)))
    assert {int(state["step"]) for state in optimizer.state.values()} == {4}


def test_a_task_ends_with_statistics_taken_and_kept():
    scenario, net = resumed_scenario(), RESUMED["per task"]()
    schedule = Schedule(epochs=1, batch_size=10, calibration_samples=8)
    for event in learn(net, scenario, adam(net), schedule=schedule):
        if event.moment is Moment.TASK:
            expected = copy.deepcopy(net)
            calibrate(expected, scenario.tasks[event.task], event.task, schedule)
            keep_task(expected, event.task)
            assert same_state(net, expected)
            for layer in normalizations(net):
                assert sorted(layer.kept_tasks.tolist()) == list(range(event.task + 1))


def test_calibration_takes_so_many_training_samples_and_all_of_a_small_task():
    scenario = permuted(dataset(), tasks=2)
    for wanted, taken in ((5, 5), (1000, 19)):
        net, expected = network(), network()
        calibrate(net, scenario.tasks[1], 1, Schedule(epochs=1, seed=6, calibration_samples=wanted))
        rows = torch.randperm(19, generator=generator(6, Purpose.CALIBRATION, 1))[:taken]
        recalibrate(expected, scenario.tasks[1].view.batch(rows)[0])
        assert same_state(net, expected)


def test_a_task_incremental_split_trains_its_own_outputs_only():
    scenario = split(dataset(classes=4), [(3, 0), (1, 2)], "task")
    net = network("running", sizes=(6, 7, 4))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    last, norm = net.layers[-2:]
    before = [tensor.detach().clone() for tensor in (last.weight, norm.gain, norm.offset)]
    first_layer = net.layers[0].weight.detach().clone()
    ends = []
    for event in learn(net, scenario, optimizer, schedule=Schedule(epochs=2, batch_size=5)):
        if event.moment is Moment.TASK:
            after = [tensor.detach().clone() for tensor in (last.weight, norm.gain, norm.offset)]
            moved = [(x != y).flatten(1).any(1) if x.dim() > 1 else x != y for x, y in zip(before, after, strict=True)]
            ends.append([flags.nonzero().flatten().tolist() for flags in moved])
            before = after
    assert ends == [[[0, 3]] * 3, [[1, 2]] * 3]
    assert not torch.equal(net.layers[0].weight, first_layer)


def test_labels_count_within_the_outputs_of_a_task():
    """Output 3 is the first of the group (3, 0): training on its samples alone must raise it over output 0."""
    data = dataset(classes=4)
    rows = (data.train.labels == 3).nonzero().flatten()
    only = Task(
        "threes",
        IndexView(data.train, 1 / 256, rows=rows, labels=torch.tensor([1, 0, 0, 0])),
        outputs=(3, 0),
        tests=(0,),
    )
    scenario = split(data, [(3, 0)], "task")
    scenario = replace(scenario, tasks=(only,))
    net = RealMLP([6, 8, 4], "running", generator=torch.Generator().manual_seed(0))
    list(learn(net, scenario, torch.optim.SGD(net.parameters(), lr=0.5), schedule=Schedule(epochs=20)))
    logits = net.eval()(only.view.batch(torch.arange(len(rows)))[0])
    assert (logits[:, 3] > logits[:, 0]).all()


def test_training_on_a_simple_task_learns_it():
    inputs = torch.cat([torch.full((20, 6), 20), torch.full((20, 6), 230)]).to(torch.uint8)
    inputs += torch.randint(0, 20, (40, 6), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    part = Samples(inputs, torch.arange(2).repeat_interleave(20))
    data = Dataset("dark and bright", part, part, ("dark", "bright"), 1 / 256)
    net = network("running", sizes=(6, 9, 2))
    losses = [e.loss for e in run(net, stream(data, 1), Schedule(epochs=15, batch_size=10)) if e.moment is Moment.EPOCH]
    assert losses[-1] < losses[0] / 2
    assert (net.eval()(part.inputs / 256).argmax(1) == part.labels).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "expected epochs >= 1, got 0"),
        ({"epochs": 1, "batch_size": 0}, "expected batch_size >= 1, got 0"),
        ({"epochs": 1, "calibration_samples": 1}, "expected calibration_samples >= 2, got 1"),
    ],
)
def test_schedules_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Schedule(**options)


def test_a_parameter_without_numbers_is_no_hindrance():
    net = network()
    net.nothing = torch.nn.Parameter(torch.empty(0))
    assert len(run(net, resumed_scenario(), SCHEDULE)) > 0


def test_a_start_behind_the_end_does_nothing():
    net = network()
    assert run(net, resumed_scenario(), SCHEDULE, start=Position(2)) == []
    assert same_state(net, network())


def test_fine_tuning_is_the_default():
    net, other = network(), network()
    run(net, resumed_scenario(), SCHEDULE)
    list(learn(other, resumed_scenario(), adam(other), FineTune(), schedule=SCHEDULE))
    assert same_state(net, other)


def test_the_learning_rate_is_divided_at_every_boundary_and_left_as_found():
    net = network()
    optimizer, rates = adam(net), []
    schedule = Schedule(epochs=1, batch_size=8, lr_division=4.0)
    tasks = permuted(dataset(), tasks=3, announced=TOLD)
    for event in learn(net, tasks, optimizer, schedule=schedule):
        if event.moment is Moment.EPOCH:
            rates.append({group["lr"] for group in optimizer.param_groups})
    assert rates == [{0.01}, {0.01 / 4}, {0.01 / 16}]
    assert {group["lr"] for group in optimizer.param_groups} == {0.01}
    later = learn(net, tasks, optimizer, schedule=schedule, start=Position(task=2))
    next(later)
    assert {group["lr"] for group in optimizer.param_groups} == {0.01 / 16}
    later.close()
    with pytest.raises(ValueError, match=r"expected announced task boundaries for a learning rate divided at each"):
        next(learn(net, permuted(dataset(), tasks=2), optimizer, schedule=schedule))


def test_a_divided_rate_is_not_divided_again_where_training_goes_on():
    tasks, schedule = permuted(dataset(), tasks=3, announced=TOLD), Schedule(epochs=1, batch_size=8, lr_division=4.0)
    net = network()
    run(net, tasks, schedule)
    for stop in (6, 7, 11):  # two in the second task, one in the third
        other = network()
        optimizer = adam(other)
        events = learn(other, tasks, optimizer, schedule=schedule)
        start = list(itertools.islice(events, stop + 1))[-1].position
        saved = copy.deepcopy(optimizer.state_dict())  # while `events` is at work
        assert {group["lr"] for group in saved["param_groups"]} == {0.01 / 4**start.task}
        events.close()
        restored = adam(other)
        restored.load_state_dict(saved)
        list(learn(other, tasks, restored, schedule=schedule, start=start))
        assert same_state(net, other), f"stopped after event {stop}"
        assert {group["lr"] for group in restored.param_groups} == {0.01}


def test_a_learning_rate_that_is_not_divided_is_left_to_others():
    net = network()
    optimizer = adam(net)
    for _ in learn(net, permuted(dataset(), tasks=2), optimizer, schedule=Schedule(epochs=1, batch_size=8)):
        for group in optimizer.param_groups:
            group["lr"] *= 0.5
    assert optimizer.param_groups[0]["lr"] == 0.01 * 0.5**10


@pytest.mark.parametrize("division", [0.5, 0.0, -1.0, float("inf"), float("nan")])
def test_a_division_that_would_raise_the_learning_rate_is_refused(division):
    with pytest.raises(ValueError, match=r"expected lr_division >= 1 and finite, got"):
        Schedule(epochs=1, lr_division=division)
