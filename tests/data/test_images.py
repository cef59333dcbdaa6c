import dataclasses
import gzip
import hashlib
import lzma
import subprocess
import sys

import numpy as np
import pytest
import torch

from metaplastic.data import available, catalogue, load
from metaplastic.data.images import roots


def test_importing_the_room_imports_no_optional_or_slow_package():
    code = "import sys, metaplastic.data; print({'sklearn', 'pooch', 'PIL', 'requests', 'rich'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_digits_need_no_files_and_are_always_split_the_same_way():
    digits, again = load("digits"), load("digits")
    assert digits.train.inputs.dtype == torch.uint8
    assert digits.train.inputs.max() == 16
    assert digits.scale == 1 / 16
    assert digits.test.labels.bincount().tolist() == [36, 37, 35, 37, 36, 36, 36, 36, 35, 36]
    assert torch.equal(digits.test.inputs, again.test.inputs)
    # The split is part of every published number on this set: it must not move with a version of a library.
    assert hashlib.sha256(digits.test.inputs.numpy().tobytes()).hexdigest()[:16] == "fc8acf2e9e4d36bc"


def test_digits_train_and_test_are_all_samples_once():
    from sklearn.datasets import load_digits

    digits = load("digits")
    rows = torch.cat([digits.train.inputs, digits.test.inputs]).flatten(1).tolist()
    assert sorted(rows) == sorted(load_digits().data.astype(int).tolist())


@pytest.mark.parametrize(
    ("suffix", "wrap"), [("", bytes), (".gz", gzip.compress), (".xz", lzma.compress)], ids=["plain", "gz", "xz"]
)
def test_idx_files_are_read_in_every_wrapping(tmp_path, tiny, suffix, wrap):
    tiny.write(tmp_path, wrap, suffix)
    data = load("tiny", tmp_path)
    assert (data.train.inputs.numpy() == tiny.arrays["train-images-idx3-ubyte"]).all()
    assert (data.train.labels.numpy() == tiny.arrays["train-labels-idx1-ubyte"]).all()
    assert (data.test.inputs.numpy() == tiny.arrays["t10k-images-idx3-ubyte"]).all()
    assert (data.test.labels.numpy() == tiny.arrays["t10k-labels-idx1-ubyte"]).all()
    assert (data.train.inputs.dtype, data.train.labels.dtype) == (torch.uint8, torch.int64)
    assert data.scale == 1 / 256
    data.train.inputs[0] = 0  # writable, and no view of a read-only buffer


def test_transposed_images_are_turned_upright_and_labels_counted_from_0(tmp_path, tiny, monkeypatch):
    entry = dataclasses.replace(tiny.entry, transposed=True, first_label=1, class_names=tuple("abc"))
    monkeypatch.setitem(catalogue.CATALOGUE, "tiny", entry)
    labels = np.array([1, 2, 3] * 4, np.uint8)
    tiny.contents["train-labels-idx1-ubyte"] = b"\0\0\x08\x01\0\0\0\x0c" + labels.tobytes()
    tiny.contents["t10k-labels-idx1-ubyte"] = b"\0\0\x08\x01\0\0\0\x05" + labels[:5].tobytes()
    tiny.write(tmp_path)
    data = load("tiny", tmp_path)
    assert data.train.inputs.shape == (12, 3, 4)
    assert data.train.inputs.is_contiguous()
    assert (data.train.inputs[7].numpy() == tiny.arrays["train-images-idx3-ubyte"][7].T).all()
    assert data.train.labels.tolist() == [0, 1, 2] * 4


def test_digit_text_is_rounded_to_bytes(tmp_path, tiny_text):
    tiny_text.write(tmp_path)
    data = load("tiny-text", tmp_path)
    for part, name in ((data.train, "zip.train"), (data.test, "zip.test")):
        images, labels = tiny_text.arrays[name]
        assert (part.inputs.numpy() == images).all()
        assert (part.labels.numpy() == labels).all()


@pytest.mark.parametrize("folder", ["tiny-cifar", "tiny-cifar/batches-bin", "batches-bin"])
def test_record_batches_are_joined_in_order_wherever_they_lie(tmp_path, tiny_cifar, folder):
    (tmp_path / folder).mkdir(parents=True)
    for name, content in tiny_cifar.contents.items():
        (tmp_path / folder / name).write_bytes(content)
    data = load("tiny-cifar", tmp_path)
    train = np.concatenate([tiny_cifar.arrays["batch_1.bin"], tiny_cifar.arrays["batch_2.bin"]])
    assert (data.train.inputs.numpy() == train[:, 1:].reshape(8, 3, 32, 32)).all()
    assert (data.train.labels.numpy() == train[:, 0]).all()
    assert (data.test.labels.numpy() == tiny_cifar.arrays["batch_3.bin"][:, 0]).all()


def test_of_records_with_a_coarse_and_a_fine_label_the_fine_one_is_taken(tmp_path, tiny_fine):
    tiny_fine.write(tmp_path, lzma.compress, ".xz")
    data = load("tiny-fine", tmp_path)
    for part, name in ((data.train, "train.bin"), (data.test, "test.bin")):
        coarse, fine, pixels = tiny_fine.arrays[name]
        assert part.labels.tolist() == fine.tolist() != coarse.tolist()
        # Red, green, blue, each row by row.
        assert part.inputs[1, 2, 3, 4] == pixels[1, 2 * 1024 + 3 * 32 + 4]
        assert (part.inputs.numpy().reshape(len(pixels), -1) == pixels).all()


def test_files_of_one_label_a_record_are_not_taken_for_those_of_two(tmp_path, tiny_fine):
    (tiny_fine.write(tmp_path, bytes, "") / "test.bin").write_bytes(bytes(3 * 3073))
    with pytest.raises(ValueError, match=r"test\.bin: expected 3 records of 3074 bytes \(9222 bytes\), got 9219"):
        load("tiny-fine", tmp_path)


def test_fine_labels_outside_the_classes_are_an_error(tmp_path, tiny_fine):
    record = bytes([0, 4]) + bytes(3072)
    (tiny_fine.write(tmp_path, bytes, "") / "test.bin").write_bytes(record * 3)
    with pytest.raises(ValueError, match=r"test\.bin: expected labels from 0 to 3, got 4 to 4"):
        load("tiny-fine", tmp_path)


def test_the_argument_goes_before_the_environment_and_that_before_the_cache(tmp_path, tiny, monkeypatch, cache):
    monkeypatch.setenv("METAPLASTIC_DATA", str(tmp_path / "environment"))
    assert list(roots(tmp_path / "argument")) == [tmp_path / "argument", tmp_path / "environment", cache]
    tiny.write(cache)
    assert len(load("tiny").train) == 12
    (tiny.write(tmp_path / "environment") / "train-images-idx3-ubyte.gz").write_bytes(b"damaged")
    with pytest.raises(ValueError, match="environment"):
        load("tiny")
    tiny.write(tmp_path / "argument")
    assert len(load("tiny", tmp_path / "argument").train) == 12


def test_missing_files_are_named_with_the_places_searched_and_the_command(tmp_path, tiny, cache):
    (tiny.write(tmp_path) / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(FileNotFoundError) as caught:
        load("tiny", tmp_path)
    text = str(caught.value)
    assert "expected t10k-labels-idx1-ubyte (plain" in text
    assert f"{tmp_path / 'tiny'}, {cache / 'tiny'}" in text
    assert "`metaplastic data fetch tiny`" in text


def test_cifar_with_missing_batches_points_to_the_part_that_can_be_loaded(tmp_path):
    folder = tmp_path / "cifar-10"
    folder.mkdir()
    for i in (1, 2, 5):
        (folder / f"data_batch_{i}.bin").touch()
    with pytest.raises(
        FileNotFoundError, match=r"data_batch_3\.bin, data_batch_4\.bin, test_batch\.bin.*cifar-10-part"
    ):
        load("cifar-10", tmp_path)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda whole: gzip.compress(whole)[:-9], "expected a whole compressed file, got a truncated or damaged one"),
        (lambda whole: gzip.compress(whole)[:40] + b"????" + gzip.compress(whole)[44:], "truncated or damaged one"),
        (lambda whole: lzma.compress(whole)[:-5], "truncated or damaged one"),
        (lambda whole: whole[:-1], r"expected 160 bytes for shape \(12, 4, 3\), got 159; the file is truncated"),
        (lambda whole: whole[:9], "expected a header of 16 bytes, got a file of 9 bytes"),
        (lambda whole: b"", "expected an idx file that begins 00 00 08 03, got nothing"),
        (lambda whole: b"<html>not found</html>", "begins 00 00 08 03, got 3c 68 74 6d"),
        (lambda whole: b"\0\0\x08\x03" + b"\0\0\0\x02" * 3 + bytes(8), r"expected images of \(4, 3\), got \(2, 2\)"),
        (lambda whole: whole[:7] + b"\x0b" + whole[8:-12], "expected 12 samples, got 11"),
    ],
)
def test_a_damaged_file_is_named_with_what_is_wrong(tmp_path, tiny, damage, message):
    path = tiny.write(tmp_path) / "train-images-idx3-ubyte.gz"
    path.write_bytes(damage(tiny.contents["train-images-idx3-ubyte"]))
    with pytest.raises(ValueError, match=message) as caught:
        load("tiny", tmp_path)
    assert str(path) in str(caught.value)
    assert "run `metaplastic data fetch tiny`" in str(caught.value)


def test_labels_outside_the_classes_are_an_error(tmp_path, tiny):
    path = tiny.write(tmp_path) / "t10k-labels-idx1-ubyte.gz"
    path.write_bytes(b"\0\0\x08\x01\0\0\0\x05\0\1\2\3\x09")
    with pytest.raises(ValueError, match="expected labels from 0 to 3, got 0 to 9"):
        load("tiny", tmp_path)


def test_a_truncated_batch_is_an_error(tmp_path, tiny_cifar):
    path = tiny_cifar.write(tmp_path, bytes, "") / "batch_2.bin"
    path.write_bytes(tiny_cifar.contents["batch_2.bin"][:-3073])
    with pytest.raises(ValueError, match=r"batch_2\.bin: expected 4 records of 3073 bytes \(12292 bytes\), got 9219"):
        load("tiny-cifar", tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"1 0.5 0.5\n", "expected lines of 13 numbers, got 3"),
        (b"1 0.5\n2 0.5 0.5\n", "expected lines of 13 numbers, got something else"),
        (b"1 " + b"2.5 " * 12, "expected pixels from -1 to 1"),
        (b"", "expected 6 samples, got 0"),
    ],
)
def test_text_of_another_kind_is_an_error(tmp_path, tiny_text, content, message):
    (tiny_text.write(tmp_path) / "zip.train.gz").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        load("tiny-text", tmp_path)


def test_an_unknown_name_gives_the_nearest_and_says_how_own_data_is_given():
    with pytest.raises(ValueError, match=r"unknown data set 'mnits'; did you mean 'mnist'\?.*give the path of a \.npz"):
        load("mnits")


def test_a_path_to_nothing_is_not_taken_for_a_name(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"expected a file or folder at .*absent\.npz, found nothing"):
        load(tmp_path / "absent.npz")
    with pytest.raises(FileNotFoundError, match="found nothing; check the path"):
        load("absent.csv")


def test_the_list_of_sets_says_what_is_there_and_what_to_type(tmp_path, tiny):
    folder = tiny.write(tmp_path)
    states = {line.name: line for line in available(tmp_path)}
    assert states["digits"].state == "embedded"
    assert states["tiny"].state == "complete"
    assert states["tiny"].folder == folder
    assert states["tiny"].size == sum(path.stat().st_size for path in folder.iterdir())
    assert states["tiny"].command == ""
    assert states["mnist"].state == "missing files"
    assert len(states["mnist"].missing) == 4
    assert states["mnist"].command == "metaplastic data fetch mnist"


def test_every_entry_of_the_catalogue_is_whole():
    assert list(catalogue.CATALOGUE) == [
        "digits", "mnist", "fashion-mnist", "usps", "emnist-letters", "cifar-10", "cifar-10-part", "cifar-100",
    ]  # fmt: skip
    lengths = {"sha256": 64, "md5": 32}
    for entry in catalogue.CATALOGUE.values():
        for form in entry.forms:
            for file in form.files:
                algorithm, _, digits = file.digest.partition(":")
                assert len(digits) == lengths[algorithm]
                assert file.samples > 0
        assert entry.embedded or all("{file}" in mirror for mirror in entry.mirrors)
        assert len(set(entry.class_names)) == len(entry.class_names)


def test_the_fine_classes_are_numbered_by_their_alphabet():
    fine = catalogue.CATALOGUE["cifar-100"].class_names
    assert len(fine) == 100
    assert list(fine) == sorted(fine)
    assert [fine[number] for number in (0, 19, 53, 99)] == ["apple", "cattle", "orange", "worm"]


def test_a_file_named_without_a_folder_is_looked_for_where_data_are(tmp_path, monkeypatch, cache):
    monkeypatch.setenv("METAPLASTIC_DATA", str(tmp_path / "environment"))
    places = [tmp_path / "argument", tmp_path / "here", tmp_path / "environment", cache]
    for number, place in enumerate(places):
        place.mkdir()
        np.savez(place / "own.npz", x=np.full((10, 1), number, np.float32), y=np.arange(10) % 2)
    monkeypatch.chdir(tmp_path / "here")
    assert load("own.npz").train.inputs.unique() == 1, "without an argument the current folder comes first"
    for number, place in enumerate(places):
        assert load("own.npz", tmp_path / "argument").train.inputs.unique() == number
        (place / "own.npz").unlink()
    with pytest.raises(FileNotFoundError) as caught:
        load("own.npz", tmp_path / "argument")
    named = ", ".join(str(place) for place in places)
    assert str(caught.value) == f"expected own.npz in {named}, found nothing; check the path"


def test_a_file_named_with_its_folder_is_looked_for_there_only(tmp_path, monkeypatch, cache):
    (cache / "here").mkdir(parents=True)
    np.savez(cache / "here" / "own.npz", x=np.zeros((10, 1), np.float32), y=np.arange(10) % 2)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match=rf"at {tmp_path}/here/own\.npz, found nothing"):
        load("here/own.npz")


def test_a_missing_file_of_features_is_asked_for_with_the_command_that_makes_it(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"make it by `metaplastic data features cifar-100 --authors`"):
        load("cifar-100-resnet18-authors.npz", tmp_path)
