"""Images that move: against loops over pixels, against another library, and the same whenever an epoch is shown."""

import math

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from metaplastic.scenarios import Augmentation, AugmentedView, IndexView, interleaved, stacked, stream
from metaplastic.scenarios.augmentation import Moves, draw_moves, moved

MOVING = [augmentation for augmentation in Augmentation if augmentation is not Augmentation.NONE]
SHIFTS = range(-4, 5)
every_augmentation = pytest.mark.parametrize("augmentation", MOVING)


def images(count, shape, seed=0):
    return torch.randint(1, 256, (count, *shape), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)


def move(flipped=False, angle=0.0, shift=(0, 0)):
    """The same move of one image, as a Moves."""
    return Moves(torch.tensor([flipped]), torch.tensor([angle], dtype=torch.float64), torch.tensor([shift]))


def naive(image, flipped, angle, shift):
    """One channel of one image, pixel by pixel."""
    height, width = image.shape
    theta, out = math.radians(angle), torch.zeros_like(image)
    for i in range(height):
        for j in range(width):
            y, x = i - (height - 1) / 2, j - (width - 1) / 2
            k = math.floor(math.cos(theta) * y + math.sin(theta) * x + height / 2) + shift[0]
            m = math.floor(math.cos(theta) * x - math.sin(theta) * y + width / 2) + shift[1]
            if angle and not (0 <= k < height and 0 <= m < width):
                continue
            k, m = min(max(k, 0), height - 1), min(max(m, 0), width - 1)
            out[i, j] = image[k, width - 1 - m if flipped else m]
    return out


@given(
    st.sampled_from([(5, 6), (1, 4, 4), (3, 6, 5), (2, 2, 3, 4), (1, 1)]),
    st.lists(
        st.tuples(
            st.booleans(),
            st.floats(-10, 10, allow_subnormal=False) | st.just(0.0),
            st.tuples(*[st.integers(-4, 4)] * 2),
        ),
        min_size=1,
        max_size=4,
    ),
)
@settings(deadline=None)
def test_moving_equals_a_loop_over_pixels(shape, moves):
    before = images(len(moves), shape)
    flipped, angle, shift = zip(*moves, strict=True)
    how = Moves(torch.tensor(flipped), torch.tensor(angle, dtype=torch.float64), torch.tensor(shift))
    found = moved(before, how)
    assert (found.shape, found.dtype) == (before.shape, torch.uint8)
    for ours, image, how in zip(found, before, moves, strict=True):
        for one, channel in zip(ours.reshape(-1, *shape[-2:]), image.reshape(-1, *shape[-2:]), strict=True):
            assert torch.equal(one, naive(channel, *how))


def test_an_image_that_is_not_moved_is_a_copy_of_its_own():
    before = images(1, (3, 4, 5))
    found = moved(before, move())
    assert torch.equal(found, before)
    found.zero_()
    assert before.all()


def test_a_shift_is_a_crop_of_the_image_with_its_border_repeated():
    before = images(1, (3, 9, 8))
    padded = np.pad(before[0].numpy(), ((0, 0), (4, 4), (4, 4)), mode="edge")
    for down in range(9):
        for right in range(9):
            expected = padded[:, down : down + 9, right : right + 8]
            assert (moved(before, move(shift=(down - 4, right - 4)))[0].numpy() == expected).all()


@pytest.mark.parametrize("angle", [-10.0, -7.3, 5.0, 10.0])
@pytest.mark.parametrize("size", [(32, 32), (28, 28), (17, 24)])
def test_a_rotation_is_that_of_pillow_which_the_authors_used(angle, size):
    pillow = pytest.importorskip("PIL.Image")
    before = images(1, size)
    expected = np.asarray(pillow.fromarray(before[0].numpy()).rotate(angle))
    differing = (moved(before, move(angle=angle))[0].numpy() != expected).mean()
    assert differing < 0.01  # pillow counts in fixed point, so a place between two pixels may round otherwise
    assert (moved(before, move(angle=-angle))[0].numpy() != expected).mean() > differing


def test_what_is_mirrored_is_mirrored_before_it_is_turned_or_shifted():
    before = images(1, (8, 8))
    for how in ({"angle": 9.0}, {"shift": (2, -3)}):
        mirrored = moved(before.flip(-1), move(**how))
        assert torch.equal(moved(before, move(flipped=True, **how)), mirrored)
        assert not torch.equal(moved(before, move(**how)).flip(-1), mirrored)


def drawn(augmentation, count=9000, seed=0):
    return draw_moves(augmentation, count, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("augmentation", Augmentation)
def test_moves_are_drawn_as_the_augmentation_says(augmentation):
    moves = drawn(augmentation)
    turned, shifted = moves.angle != 0, (moves.shift != 0).any(1)
    share = float(moves.flipped.float().mean())
    assert share == 0 if augmentation is Augmentation.NONE else 0.47 < share < 0.53
    rotates, crops, either = (
        augmentation is kind
        for kind in (Augmentation.FLIP_AND_ROTATE, Augmentation.FLIP_AND_CROP, Augmentation.FLIP_AND_CROP_OR_ROTATE)
    )
    assert bool(turned.all()) == rotates
    assert bool(turned.any()) == (rotates or either)
    assert bool(shifted.any()) == (crops or either)
    if either:
        assert 0.47 < float(turned.float().mean()) < 0.53
        assert not (turned & shifted).any()
    if rotates:
        assert 9.9 < moves.angle.max() <= 10
        assert -10 <= moves.angle.min() < -9.9
        assert moves.angle.mean().abs() < 0.3
    if crops:
        counts = [int(((moves.shift[:, 0] == a) & (moves.shift[:, 1] == b)).sum()) for a in SHIFTS for b in SHIFTS]
        assert sum(counts) == 9000
        assert all(60 < count < 170 for count in counts)  # 111 expected, deviation 10.5


def view_of(make, augmentation=Augmentation.FLIP_AND_CROP, seed=0, parts=2, **shape):
    return stream(make(**{"shape": (6, 7), **shape}), parts, seed=seed, augment=augmentation).tasks[0].view


def whole(view):
    return view.batch(torch.arange(len(view)))


@every_augmentation
def test_a_view_shows_in_an_epoch_what_the_moves_of_the_epoch_make_of_its_images(make, augmentation):
    data = make(shape=(3, 6, 7))
    view = stream(data, 2, seed=5, augment=augmentation.value).tasks[1].view.in_epoch(4)
    rows, moves = view.view.rows, view.moves
    inputs, labels = whole(view)
    for row in range(len(view)):
        how = bool(moves.flipped[row]), float(moves.angle[row]), tuple(moves.shift[row].tolist())
        for channel in range(3):
            expected = naive(data.train.inputs[rows[row], channel], *how)
            differing = (inputs[row, channel] * 256 != expected).float().mean()
            assert differing < 0.1 if how[1] else differing == 0  # angles are of float32 here
    assert torch.equal(labels, data.train.labels[rows])


@given(st.lists(st.integers(0, 11), min_size=1, max_size=15), st.integers(0, 3), st.sampled_from(MOVING))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_an_epoch_is_the_same_however_it_is_cut_into_batches(make, rows, epoch, augmentation):
    inputs, labels = whole(view_of(make, augmentation).in_epoch(epoch))
    found, same = view_of(make, augmentation).in_epoch(epoch).batch(torch.tensor(rows))
    assert torch.equal(found, inputs[rows])
    assert torch.equal(same, labels[rows])


@every_augmentation
def test_epochs_parts_and_seeds_each_move_the_images_in_another_way(make, augmentation):
    def seen(seed, part, epoch):
        view = stream(make(shape=(6, 7)), 2, seed=seed, augment=augmentation).tasks[part].view.in_epoch(epoch)
        return tuple(torch.column_stack([view.moves.flipped, view.moves.angle, view.moves.shift]).flatten().tolist())

    places = [(seed, part, epoch) for seed in (0, 1) for part in (0, 1) for epoch in (0, 1, 2)]
    assert len({seen(*place) for place in places}) == len(places)
    assert seen(1, 1, 2) == seen(1, 1, 2)


def test_an_epoch_does_not_depend_on_those_shown_before(make):
    view = view_of(make)
    later = view.in_epoch(0).in_epoch(1).in_epoch(2)
    assert torch.equal(whole(later)[0], whole(view.in_epoch(2))[0])
    assert not torch.equal(whole(later)[0], whole(view.in_epoch(1))[0])


@every_augmentation
def test_outside_of_epochs_images_are_as_they_are(make, augmentation):
    plain = stream(make(shape=(6, 7)), 2)
    scenario = stream(make(shape=(6, 7)), 2, augment=augmentation)
    for one, other in zip((*plain.tasks, *plain.tests), (*scenario.tasks, *scenario.tests), strict=True):
        for ours, theirs in zip(whole(one.view), whole(other.view), strict=True):
            assert torch.equal(ours, theirs)
    assert isinstance(scenario.tests[0].view, IndexView)
    assert not torch.equal(whole(scenario.tasks[0].in_epoch(0).view)[0], whole(scenario.tasks[0].view)[0])


def test_without_augmentation_a_task_is_the_same_in_every_epoch(make):
    task = stream(make(), 2).tasks[0]
    assert isinstance(task.view, IndexView)
    assert task.in_epoch(3) == task


@every_augmentation
def test_bytes_stay_bytes_and_stand_for_the_same_inputs(make, augmentation):
    scenario = stream(make(shape=(6, 7)), 2, augment=augmentation)
    assert scenario.unit_of_bytes == 1 / 256
    inputs = whole(scenario.stored().tasks[0].in_epoch(1).view)[0]
    assert inputs.dtype is torch.uint8
    assert torch.equal(inputs * (1 / 256), whole(scenario.tasks[0].in_epoch(1).view)[0])


def test_what_a_rotation_takes_from_outside_is_as_dark_as_a_pixel_of_0(make):
    data = make(shape=(8, 8)).two_signed()
    (task,) = stream(data, 1, augment="flip-and-rotate").tasks
    assert whole(task.in_epoch(0).view)[0].min() == -1 / 512
    assert stream(data, 1, augment="flip-and-rotate").unit_of_bytes is None


def test_a_union_and_a_stack_show_the_epochs_of_their_views(make):
    scenarios = [stream(make(shape=(6, 7), train=24), 2, seed=seed, augment="flip-and-crop") for seed in (0, 1)]
    parts = [task.in_epoch(3).view for task in scenarios[0].tasks]
    (union,) = interleaved(scenarios[0]).tasks
    assert torch.equal(whole(union.in_epoch(3).view)[0], torch.cat([whole(part)[0] for part in parts]))
    both = stacked(scenarios).tasks[1].in_epoch(3).view.batch(torch.arange(12)[:, None].expand(-1, 2))[0]
    expected = [whole(scenario.tasks[1].in_epoch(3).view)[0].flatten(1) for scenario in scenarios]
    assert torch.equal(both, torch.cat(expected, 1))


def test_moving_to_where_it_is_changes_nothing(make):
    view = view_of(make).in_epoch(1)
    assert torch.equal(whole(view.to(torch.device("cpu")))[0], whole(view)[0])
    assert view_of(make).to(torch.device("cpu")).moves is None


def test_what_is_no_image_is_refused(make):
    message = r"expected images \[..., height, width\] for augmentation 'flip', got inputs of shape \(12,\); use --augm"
    with pytest.raises(ValueError, match=message):
        stream(make(shape=(12,)), 2, augment="flip")
    permuted = IndexView(make().train, permutation=torch.arange(12))
    with pytest.raises(ValueError, match=r"got permuted inputs of shape \(3, 4\)"):
        AugmentedView(permuted, Augmentation.FLIP, 0)


def test_an_unknown_augmentation_is_refused(make):
    with pytest.raises(ValueError, match="unknown augmentation 'flip-and-corp'; did you mean 'flip-and-crop'"):
        stream(make(), 2, augment="flip-and-corp")
