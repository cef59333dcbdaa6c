"""Random convolutional features against a loop over patches."""

import pytest
import torch

from metaplastic.data import Dataset, Samples, load, random_convolutional_features
from metaplastic.data.random_features import CONTRAST, WHITENING, pooled_responses, whitened_filters
from metaplastic.learners import StreamingLDA

SIZE = 3


def pictures(samples=12, shape=(2, 7, 6), seed=0):
    random = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (samples, *shape), generator=random, dtype=torch.uint8)


def dataset(shape=(2, 7, 6), train=70, test=9):
    parts = [Samples(pictures(count, shape, count), torch.arange(count) % 3) for count in (train, test)]
    return Dataset("pictures", *parts, ("a", "b", "c"), 1 / 256)


def filters(images, count=5, seed=1):
    return whitened_filters(images, count, SIZE, torch.Generator().manual_seed(seed))


def patches_of(image):
    """Every patch of an image with its place, contrast-normalised, in float64."""
    _, rows, columns = image.shape
    for top in range(rows - SIZE + 1):
        for left in range(columns - SIZE + 1):
            patch = image[:, top : top + SIZE, left : left + SIZE].flatten().double()
            yield top, left, (patch - patch.mean()) / (patch.var() + CONTRAST) ** 0.5


def test_features_equal_a_loop_over_patches():
    images = pictures() / 256
    found = filters(images)
    features = pooled_responses(images, found, threshold=0.3)
    assert features.shape == (12, 20)
    for image, row in zip(images, features, strict=True):
        quarters = torch.zeros(5, 2, 2, dtype=torch.float64)
        counts = torch.zeros(2, 2)
        for top, left, patch in patches_of(image):
            response = found.weight.flatten(1).double() @ patch + found.offset.double() - 0.3
            # 5 positions in rows, of which the middle one is in both halves; 4 in columns.
            for i in {0, 1} if top == 2 else {top // 3}:
                quarters[:, i, left // 2] += response.clamp(min=0)
                counts[i, left // 2] += 1
        torch.testing.assert_close(row.double(), (quarters / counts).flatten(), rtol=1e-4, atol=1e-5)
    assert (features > 0).any(0).all()


def test_filters_whiten_the_patches_that_they_answer_to():
    """With the patches' own covariance, responses have the variance of whitened patches along the filter."""
    images = pictures(40, (1, 9, 9)) / 256
    images = (images + images.roll(1, 2) + images.roll(1, 3)) / 3  # neighbours resemble each other
    found = filters(images, count=6)
    patches = torch.stack([patch for image in images for _, _, patch in patches_of(image)])
    responses = patches @ found.weight.flatten(1).double().T + found.offset.double()
    assert responses.mean(0).abs().max() < 0.05
    variances, directions = torch.linalg.eigh(torch.cov(patches.T))
    whitening = directions * (variances + WHITENING).rsqrt() @ directions.T
    drawn = found.weight.flatten(1).double() @ torch.linalg.inv(whitening)
    torch.testing.assert_close(drawn.norm(dim=1), torch.ones(6).double(), rtol=0.05, atol=0)
    assert responses.var(0).max() < 1.1
    assert responses.var(0).min() > 0.3


def test_a_patch_without_contrast_answers_nothing_but_the_offset():
    images = pictures() / 256
    found = filters(images)
    flat = pooled_responses(torch.full((1, 2, 7, 6), 0.5), found, threshold=0.0)
    expected = found.offset.clamp(min=0).repeat_interleave(4)[None]
    torch.testing.assert_close(flat, expected, rtol=1e-4, atol=1e-3)


def test_features_depend_on_the_seed_and_on_no_other_sample():
    data = dataset()
    made = random_convolutional_features(data, features=16, size=SIZE)
    again = random_convolutional_features(data, features=16, size=SIZE)
    other = random_convolutional_features(data, features=16, size=SIZE, seed=1)
    assert torch.equal(made.train.inputs, again.train.inputs)
    assert not torch.equal(made.train.inputs, other.train.inputs)
    part = Dataset("part", data.train, Samples(data.test.inputs[3:4], data.test.labels[3:4]), data.class_names, 1 / 256)
    alone = random_convolutional_features(part, features=16, size=SIZE)
    torch.testing.assert_close(alone.test.inputs[0], made.test.inputs[3], rtol=1e-5, atol=1e-6)


def test_the_data_set_keeps_its_labels_and_gets_features():
    data = dataset()
    made = random_convolutional_features(data, features=16, size=SIZE)
    assert (made.name, made.scale, made.class_names) == ("pictures random features", 1.0, data.class_names)
    assert (made.train.inputs.dtype, made.input_shape) == (torch.float32, (16,))
    assert torch.equal(made.train.labels, data.train.labels)
    assert torch.equal(made.test.labels, data.test.labels)


def test_patches_may_come_from_other_images():
    data, other = dataset(), dataset(train=30)
    made = random_convolutional_features(data, features=16, size=SIZE, patches_from=other)
    swapped = Dataset("swapped", other.train, data.test, data.class_names, 1 / 256)
    expected = random_convolutional_features(swapped, features=16, size=SIZE)
    assert torch.equal(made.test.inputs, expected.test.inputs)
    assert not torch.equal(made.test.inputs, random_convolutional_features(data, 16, size=SIZE).test.inputs)


def test_images_of_one_channel_need_no_channel():
    flat = dataset((7, 6))
    parts = [Samples(part.inputs[:, None], part.labels) for part in (flat.train, flat.test)]
    deep = Dataset("pictures", *parts, flat.class_names, 1 / 256)
    first, second = (random_convolutional_features(data, 16, size=SIZE) for data in (flat, deep))
    assert torch.equal(first.train.inputs, second.train.inputs)


def test_a_linear_classifier_reads_more_from_the_features_than_from_pixels():
    digits = load("digits")

    def accuracy(data):
        scaled = [part.inputs.flatten(1) * data.scale for part in (data.train, data.test)]
        classifier = StreamingLDA(scaled[0].shape[1], 10, shrinkage=1e-3)
        classifier.observe(scaled[0], data.train.labels)
        return float((classifier(scaled[1]).argmax(1) == data.test.labels).double().mean())

    assert accuracy(random_convolutional_features(digits, features=256, size=3)) > accuracy(digits) + 0.01


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"features": 10}, "expected a multiple of 4 features, one per quarter of an image and filter, got 10"),
        ({"features": 0}, "expected a multiple of 4 features"),
        ({"size": 6}, r"expected images of more than 6 rows and columns.* got inputs of shape \(2, 7, 6\)"),
        ({"size": 1}, "patches of at least 2"),
    ],
)
def test_what_cannot_be_made_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        random_convolutional_features(dataset(), **options)


def test_inputs_that_are_no_images_are_refused():
    flat = Dataset("flat", *(Samples(torch.zeros(4, 5), torch.zeros(4, dtype=torch.int64)) for _ in range(2)), ("a",))
    with pytest.raises(ValueError, match=r"got inputs of shape \(5,\) in 'flat'"):
        random_convolutional_features(flat)
    with pytest.raises(ValueError, match="in 'flat'"):
        random_convolutional_features(dataset(), size=SIZE, patches_from=flat)
