"""The real sets, where METAPLASTIC_DATA names a folder that has them."""

import os
from pathlib import Path

import pytest
import torch

from metaplastic.data import fetch, load
from metaplastic.data.catalogue import CATALOGUE
from metaplastic.data.download import check
from metaplastic.data.images import locate

pytestmark = [
    pytest.mark.large_data,
    pytest.mark.skipif(not os.environ.get("METAPLASTIC_DATA"), reason="METAPLASTIC_DATA names no data folder"),
]

USPS_TRAIN = [1194, 1005, 731, 658, 652, 556, 664, 645, 542, 644]
USPS_TEST = [359, 264, 198, 166, 200, 160, 170, 147, 166, 177]
COUNTS = {
    "mnist": (
        [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949],
        [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009],
    ),
    "fashion-mnist": ([6000] * 10, [1000] * 10),
    "usps": (USPS_TRAIN, USPS_TEST),
    "emnist-letters": ([4800] * 26, [800] * 26),
}


@pytest.mark.parametrize("name", COUNTS)
def test_samples_per_class(name):
    data = load(name)
    assert data.train.inputs.dtype == torch.uint8
    assert data.train.labels.bincount().tolist() == COUNTS[name][0]
    assert data.test.labels.bincount().tolist() == COUNTS[name][1]


@pytest.mark.parametrize("name", [name for name, entry in CATALOGUE.items() if not entry.embedded])
def test_every_file_that_is_there_has_the_hash_of_the_catalogue(name):
    entry = CATALOGUE[name]
    found = [
        (form.layout, file, path)
        for form in entry.forms
        for file in form.files
        if (path := locate(entry, file, [Path(os.environ["METAPLASTIC_DATA"])])) is not None
    ]
    if not found:
        pytest.skip(f"the folder has no file of {name}")
    for layout, file, path in found:
        check(entry, layout, file, path.read_bytes())
    layout, file, path = min(found, key=lambda one: one[2].stat().st_size)
    content = path.read_bytes()
    with pytest.raises(ValueError, match=r"expected .*, got"):
        check(entry, layout, file, content[:-1] + bytes([content[-1] ^ 1]))


@pytest.mark.slow
def test_cifar_part_is_batches_1_and_2_against_5():
    data = load("cifar-10-part")
    assert data.train.inputs.shape == (20_000, 3, 32, 32)
    assert data.test.inputs.shape == (10_000, 3, 32, 32)
    # The first training image is the frog of every picture of this set.
    assert data.class_names[int(data.train.labels[0])] == "frog"
    assert data.train.inputs[0, :, 0, 0].tolist() == [59, 62, 63]


def test_letters_stand_upright():
    # An upright "l" or "i" is tall: its ink varies more over columns than over rows.
    letters = load("emnist-letters").test
    mean = letters.inputs[letters.labels == letters.labels.new_tensor(8)].float().mean(0)
    assert mean.sum(0).std() > 1.5 * mean.sum(1).std()


@pytest.mark.parametrize("name", ["mnist", "usps"])
def test_fetched_from_a_server_they_are_the_same(name, tmp_path, server):
    shared = Path(os.environ["METAPLASTIC_DATA"]) / name
    for path in shared.glob("*.gz"):
        server.contents[f"/{path.name}"] = path.read_bytes()
    fetch(name, tmp_path, [server.url])
    fetched, original = load(name, tmp_path), load(name)
    assert len(server.requests) == len(CATALOGUE[name].forms[-1].files)
    for part in ("train", "test"):
        for field in ("inputs", "labels"):
            assert torch.equal(getattr(getattr(fetched, part), field), getattr(getattr(original, part), field))
