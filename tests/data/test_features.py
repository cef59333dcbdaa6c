"""Features of a made extractor against images shown one by one, and normalisation against a loop over samples."""

import copy
import itertools

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from metaplastic.data import (
    AUTHORS,
    Dataset,
    Divisor,
    ExtractorStatistics,
    Recipe,
    Samples,
    extracted_features,
    load_npz,
    normalised_samples,
    save_npz,
)

PLAIN = Recipe(resize=None, crop=None, flip=False, passes=1)


def dataset(shape=(3, 5, 5), train=14, test=7):
    random = torch.Generator().manual_seed(0)

    def part(count):
        inputs = torch.randint(0, 256, (count, *shape), generator=random, dtype=torch.uint8)
        return Samples(inputs, torch.arange(count) % 2)

    return Dataset("pictures", part(train), part(test), ("a", "b"), 1 / 256)


def extractor(channels=3):
    torch.manual_seed(1)
    network = nn.Sequential(
        nn.Conv2d(channels, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5), nn.AdaptiveAvgPool2d(1)
    )
    network[1].running_mean += 0.3
    return network


class Everything(nn.Module):
    """Shows what it was shown."""

    def forward(self, x):
        return x


def test_in_evaluation_the_features_of_an_image_are_its_own():
    data, network = dataset(), extractor()
    features = extracted_features(data, network, PLAIN)
    shown = copy.deepcopy(network).eval()
    for image, row in zip(data.train.inputs, features.train.inputs, strict=True):
        torch.testing.assert_close(row, shown(image[None] / 255).flatten().detach(), rtol=1e-5, atol=1e-6)
    assert (features.input_shape, features.scale, features.name) == ((4,), 1.0, "pictures features")
    assert torch.equal(features.test.labels, data.test.labels)


def test_statistics_of_the_batch_are_those_of_neighbours_in_their_order():
    data, network = dataset(), extractor()
    recipe = Recipe(None, None, False, 1, ExtractorStatistics.BATCH, batch_size=5)
    features = extracted_features(data, network, recipe)
    shown = copy.deepcopy(network).train()
    shown[3].eval()
    expected = [shown(batch / 255).flatten(1).detach() for batch in data.test.inputs.split(5)]
    torch.testing.assert_close(features.test.inputs, torch.cat(expected), rtol=1e-5, atol=1e-6)
    alone = extracted_features(data, network, PLAIN)
    assert not torch.allclose(features.test.inputs, alone.test.inputs, atol=1e-3)


@pytest.mark.parametrize("statistics", ExtractorStatistics)
@pytest.mark.parametrize("training", [True, False])
def test_the_extractor_is_left_as_found(statistics, training):
    network = extractor().train(training)
    before = copy.deepcopy(network.state_dict())
    features = extracted_features(dataset(), network, Recipe(None, None, statistics=statistics, batch_size=4))
    assert not features.train.inputs.requires_grad
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    assert {module.training for module in network.modules()} == {training}
    assert all(parameter.grad is None for parameter in network.parameters())


def test_test_images_show_their_centre_enlarged():
    data = dataset()
    features = extracted_features(data, Everything(), Recipe(resize=10, crop=6, passes=1))
    large = functional.interpolate(data.test.inputs / 255, (10, 10), mode="bilinear", antialias=True)
    torch.testing.assert_close(features.test.inputs, large[:, :, 2:8, 2:8].flatten(1))


def test_training_images_show_any_part_mirrored_or_not_and_each_pass_anew():
    data = dataset(train=200)
    features = extracted_features(data, Everything(), Recipe(resize=None, crop=3, passes=3, batch_size=64), seed=3)
    assert torch.equal(features.train.labels, data.train.labels.repeat(3))
    assert len(features.test) == 7
    seen = []
    shown = features.train.inputs.unflatten(1, (3, 3, 3))
    for image, part in zip(data.train.inputs.repeat(3, 1, 1, 1) / 255, shown, strict=True):
        places = {
            (top, left, mirrored): image[:, top : top + 3, left : left + 3].flip(2 if mirrored else ())
            for top, left, mirrored in itertools.product(range(3), range(3), (False, True))
        }
        (place,) = [place for place, expected in places.items() if torch.allclose(part, expected)]
        seen.append(place)
    assert len(set(seen)) == 18
    counts = [seen.count(place) for place in set(seen)]
    assert max(counts) < 3 * min(counts)
    assert len({tuple(seen[first : first + 200]) for first in (0, 200, 400)}) == 3


def test_crops_depend_on_the_seed_alone():
    data = dataset()
    recipe = Recipe(resize=None, crop=3, passes=2)
    first, again = (extracted_features(data, Everything(), recipe, seed=5).train.inputs for _ in range(2))
    assert torch.equal(first, again)
    assert not torch.equal(first, extracted_features(data, Everything(), recipe, seed=6).train.inputs)


def test_images_may_be_oblong_have_one_channel_or_be_no_bytes():
    data = dataset((4, 6))
    features = extracted_features(data, Everything(), Recipe(resize=8, crop=None, passes=1))
    assert features.input_shape == (8 * 12,)
    parts = [Samples(part.inputs / 255, part.labels) for part in (data.train, data.test)]
    real = Dataset("real", *parts, data.class_names)
    same = extracted_features(real, Everything(), Recipe(resize=8, crop=None, passes=1))
    torch.testing.assert_close(same.test.inputs, features.test.inputs)


def test_the_authors_recipe_differs_from_the_default_in_one_choice():
    assert Recipe(statistics=ExtractorStatistics.BATCH) == AUTHORS
    assert (AUTHORS.resize, AUTHORS.crop, AUTHORS.flip, AUTHORS.passes, AUTHORS.batch_size) == (220, 200, True, 10, 500)
    assert Recipe().statistics is ExtractorStatistics.EVALUATION


@pytest.mark.parametrize("name", ["resize", "crop", "passes", "batch_size"])
def test_a_recipe_out_of_range_is_refused(name):
    with pytest.raises(ValueError, match=f"expected {name} >= 1, got 0"):
        Recipe(**{name: 0})


def test_a_crop_larger_than_the_image_and_inputs_that_are_no_images_are_refused():
    with pytest.raises(ValueError, match=r"expected images of at least 9 rows and columns to crop, got \(5, 5\)"):
        extracted_features(dataset(), Everything(), Recipe(resize=None, crop=9))
    with pytest.raises(ValueError, match=r"expected images, got inputs of shape \(5,\) in 'pictures'"):
        extracted_features(dataset((5,)), Everything())


@pytest.mark.parametrize("divisor", Divisor)
def test_normalised_samples_equal_a_loop(divisor):
    data = dataset()
    normalised = normalised_samples(data, divisor)
    for image, row in zip(data.train.inputs, normalised.train.inputs, strict=True):
        x = image.numpy().flatten().astype(np.float64) / 256
        expected = (x - x.mean()) / (x.var() if divisor is Divisor.VARIANCE else x.std())
        np.testing.assert_allclose(row.numpy(), expected, rtol=1e-4, atol=1e-5)
    assert (normalised.scale, normalised.name) == (1.0, "pictures")
    assert torch.equal(normalised.test.inputs.sign(), normalised_samples(data).test.inputs.sign())


def test_what_would_not_come_back_from_a_file_is_not_written(tmp_path):
    labels = torch.tensor([0, 1] * 2)
    pixels = Samples(torch.zeros(4, 2, dtype=torch.uint8), labels)
    unknown = Samples(torch.full((4, 2), torch.nan), labels)
    signed = Dataset("bytes", pixels, pixels, ("a", "b"), scale=1 / 256).two_signed()
    with pytest.raises(ValueError, match=r"expected inputs without an offset, which a file does not keep, got -0\.001"):
        save_npz(signed, tmp_path / "own.npz")
    with pytest.raises(ValueError, match="expected finite inputs in 'nan', got others"):
        save_npz(Dataset("nan", unknown, unknown, ("a", "b")), tmp_path / "own.npz")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("divisor", Divisor)
@pytest.mark.parametrize(("features", "value"), [(4, 1.0), (7, 0.7), (12, 0.7), (512, 0.1)])
def test_a_sample_of_equal_features_becomes_zero(features, value, divisor):
    """Also where the mean of these is not quite the value."""
    parts = [Samples(torch.full((2, features), value), torch.tensor([0, 1])) for _ in range(2)]
    normalised = normalised_samples(Dataset("flat", *parts, ("a", "b")), divisor).train.inputs
    assert torch.equal(normalised, torch.zeros(2, features))


def test_a_saved_data_set_comes_back(tmp_path):
    data = normalised_samples(dataset())
    back = load_npz(save_npz(data, tmp_path / "pictures.npz"))
    for part in ("train", "test"):
        assert torch.equal(getattr(back, part).inputs, getattr(data, part).inputs)
        assert torch.equal(getattr(back, part).labels, getattr(data, part).labels)
    assert (back.name, back.class_names, back.scale) == (data.name, data.class_names, data.scale)
    assert load_npz(save_npz(dataset(), tmp_path / "bytes.npz")).scale == 1 / 256


@pytest.mark.parametrize(
    ("names", "scale", "file", "message"),
    [
        (("b", "a"), 1 / 256, "x.npz", r"expected class names in alphabetical order.* got \('b', 'a'\)"),
        (("a", "b", "c"), 1 / 256, "x.npz", "each with training samples"),
        (("a", "b"), 1 / 16, "x.npz", r"got torch.uint8 with scale 0.0625"),
        (("a", "b"), 1 / 256, "x.csv", r"expected a path that ends in .npz"),
    ],
)
def test_what_would_not_come_back_is_not_saved(tmp_path, names, scale, file, message):
    data = dataset()
    with pytest.raises(ValueError, match=message):
        save_npz(Dataset("own", data.train, data.test, names, scale), tmp_path / file)
    assert list(tmp_path.iterdir()) == []
