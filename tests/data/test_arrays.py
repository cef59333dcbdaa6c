import re
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from metaplastic.data import load, load_csv, load_folder, load_npz
from metaplastic.data.arrays import stratified_split

X = np.arange(40, dtype=np.float32).reshape(20, 2)
Y = np.array([0, 1] * 10)


def saved(tmp_path, **arrays):
    np.savez(tmp_path / "own.npz", **arrays)
    return tmp_path / "own.npz"


def test_npz_with_four_arrays_is_taken_as_it_is(tmp_path):
    path = saved(tmp_path, x_train=X, y_train=Y, x_test=X[:4], y_test=Y[:4])
    data = load(str(path))
    assert (data.name, data.scale, data.class_names) == ("own", 1.0, ("0", "1"))
    assert torch.equal(data.train.inputs, torch.from_numpy(X))
    assert data.train.inputs.dtype == torch.float32
    assert data.test.labels.tolist() == [0, 1, 0, 1]


def test_npz_with_two_arrays_is_split_by_the_seed(tmp_path):
    path = saved(tmp_path, x=X, y=Y)
    first, again, other = load_npz(path, 0.3), load_npz(path, 0.3), load_npz(path, 0.3, seed=1)
    assert (len(first.train), len(first.test)) == (14, 6)
    assert first.test.labels.bincount().tolist() == [3, 3]
    assert torch.equal(first.test.inputs, again.test.inputs)
    assert not torch.equal(first.test.inputs, other.test.inputs)
    together = torch.cat([first.train.inputs, first.test.inputs])
    assert sorted(together.tolist()) == X.tolist()


def test_bytes_are_images_and_double_precision_becomes_float32(tmp_path):
    images = np.zeros((20, 4, 4), np.uint8)
    assert load_npz(saved(tmp_path, x=images, y=Y)).scale == 1 / 256
    assert load_npz(saved(tmp_path, x=X.astype(np.float64), y=Y)).train.inputs.dtype == torch.float32


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        ([30, 4] * 10, ("4", "30")),
        (["dog", "cat"] * 10, ("cat", "dog")),
        ([True, False] * 10, ("False", "True")),
        ([-1, 1] * 10, ("-1", "1")),
    ],
)
def test_labels_of_any_kind_are_numbered_in_order(tmp_path, labels, names):
    data = load_npz(saved(tmp_path, x_train=X, y_train=labels, x_test=X, y_test=labels))
    assert data.class_names == names
    assert data.train.labels.tolist() == [names.index(str(label)) for label in labels]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"x_test": None},
            "expected the arrays x_train, y_train, x_test, y_test, or x and y, got x_train, y_train, y_",
        ),
        ({"x_test": X[:0], "y_test": Y[:0]}, r"x_test: expected \[samples, ...\] with at least one sample, got shape"),
        ({"x_train": X[:, 0]}, r"x_train: expected \[samples, ...\] with at least one sample, got shape \(20,\)"),
        ({"x_train": X.astype(int)}, "x_train: expected uint8 or floating-point numbers, got int64; convert it"),
        ({"y_train": Y[:3]}, r"y_train: expected one label per sample, shape \(20,\), got \(3,\)"),
        ({"y_train": np.where(Y, np.nan, 0)}, "y_train: expected a label for every sample, got nan"),
        ({"x_train": np.where(X == 5, np.nan, X)}, r"x_train: expected finite float32 numbers, got nan at \[2, 1\]"),
        ({"x_test": np.full((20, 2), 1e39)}, r"x_test: expected finite float32 numbers, got 1e\+39 at \[0, 0\]"),
        ({"y_test": Y + 7}, "expected every test label among the training labels, got 7 in the test part only"),
        ({"x_test": np.zeros((20, 2), np.uint8)}, "inputs of one kind, got float32 and uint8"),
        ({"x_test": np.zeros((20, 3), np.float32)}, r"inputs of one shape, got \(2,\) and \(3,\) in 'own'"),
        ({"x_train": np.zeros((20, 8, 8, 3), np.uint8)}, r"got channels last, \(20, 8, 8, 3\); use x.transpose"),
        ({"y_train": np.array([{}] * 20)}, "expected a .npz file of numeric arrays, got Object arrays cannot be load"),
    ],
)
def test_an_array_that_cannot_be_used_is_named(tmp_path, change, message):
    arrays = {"x_train": X, "y_train": Y, "x_test": X, "y_test": Y} | change
    path = saved(tmp_path, **{key: array for key, array in arrays.items() if array is not None})
    with pytest.raises(ValueError, match=message):
        load_npz(path)


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04 cut short"])
def test_a_damaged_npz_is_named(tmp_path, content):
    path = tmp_path / "own.npz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"own\.npz: expected a \.npz file of numeric arrays, got"):
        load_npz(path)


def test_a_single_array_is_no_npz(tmp_path):
    with (tmp_path / "own.npz").open("wb") as file:
        np.save(file, X)
    with pytest.raises(ValueError, match=r"expected a \.npz file of numeric arrays, got"):
        load_npz(tmp_path / "own.npz")


def test_a_class_too_small_for_both_parts_is_named():
    with pytest.raises(ValueError, match="got a smallest class 'rare' of 1"):
        stratified_split(np.array(["often"] * 9 + ["rare"]), 0.2, 0)
    with pytest.raises(ValueError, match=r"expected a test fraction between 0 and 1, got 1\.5"):
        stratified_split(Y, 1.5, 0)


def table(tmp_path, text):
    path = tmp_path / "own.csv"
    path.write_text(text, encoding="utf-8")
    return path


ROWS = "".join(f"{i},{i % 2 + 9},{i * i},5\n" for i in range(20))


def test_csv_features_are_standardised_by_the_training_samples_unless_told_not_to(tmp_path):
    path = table(tmp_path, "a,label,b,constant\n" + ROWS)
    data = load(path)
    assert (data.name, data.scale, data.class_names) == ("own", 1.0, ("9", "10"))
    assert data.train.inputs.dtype == torch.float32
    torch.testing.assert_close(data.train.inputs.mean(0), torch.zeros(3), atol=1e-6, rtol=0)
    torch.testing.assert_close(data.train.inputs.std(0, correction=0), torch.tensor([1.0, 1.0, 0.0]))
    raw = load_csv(path, standardise=False)
    assert sorted(torch.cat([raw.train.inputs, raw.test.inputs]).tolist()) == [[i, i * i, 5] for i in range(20)]
    assert torch.equal(raw.train.labels, raw.train.inputs[:, 0].long() % 2)
    seen = raw.train.inputs[:, 0]
    torch.testing.assert_close(data.test.inputs[:, 0], (raw.test.inputs[:, 0] - seen.mean()) / seen.std(correction=0))


@pytest.mark.parametrize("constant", [5.0, 0.1, 0.7])
def test_a_column_that_is_constant_in_training_is_not_divided_by_what_was_rounded(tmp_path, constant):
    """Its mean is not quite the number, and its deviation not quite 0."""
    rows = "".join(f"{i % 2},{constant}\n" for i in range(60))
    shown = load(table(tmp_path, "label,x\n" + rows)).test.inputs
    assert torch.equal(shown, torch.zeros_like(shown))
    _, test = stratified_split(np.array([0, 1] * 30), 0.2, 0)
    lines = rows.splitlines()
    lines[test[0]] = f"{test[0] % 2},{constant + 0.5}"
    data = load(table(tmp_path, "label,x\n" + "\n".join(lines)))
    assert torch.equal(data.train.inputs, torch.zeros_like(data.train.inputs))
    assert data.test.inputs.max() == 0.5


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (("1_2", "12", "007", "7"), ("007", "12", "1_2", "7")),
        (("9007199254740992", "9007199254740993"), ("9007199254740992", "9007199254740993")),
        (("10", "9", "1.0", "1"), ("1.0", "9", "10")),
        (("-1", "0", "1e1", ".5"), ("-1", "0", ".5", "1e1")),
        (("nan", "1"), ("1", "nan")),
    ],
)
def test_labels_are_numbers_only_where_they_are_plain_ones(tmp_path, labels, names):
    rows = "".join(f"{i},{label}\n" for i, label in enumerate(labels * 10))
    assert load(table(tmp_path, "x,label\n" + rows)).class_names == names


def test_a_number_with_an_underscore_is_refused(tmp_path):
    with pytest.raises(ValueError, match="expected a finite number, got '1_0'"):
        load(table(tmp_path, "x,label\n1_0,a\n2,b\n"))


def test_a_column_whose_deviation_is_too_small_for_a_number_is_left_at_its_size(tmp_path):
    rows = "".join(f"{i % 2},{1e-170 * (i % 3)}\n" for i in range(60))
    data = load(table(tmp_path, "label,x\n" + rows))
    assert torch.equal(data.train.inputs, torch.zeros_like(data.train.inputs))  # in float32


def test_csv_labels_are_text_or_numbers_of_any_column(tmp_path):
    text = "\ufeffkind,a\n" + '"big, red",1\nsmall,2\n\n' * 5
    assert load_csv(table(tmp_path, text), label="kind").class_names == ("big, red", "small")
    assert load_csv(table(tmp_path, "label,a\n" + "10,1\n9,2\n9.0,3\n" * 5)).class_names == ("9", "10")
    assert load_csv(table(tmp_path, "label,a\n" + "nan,1\n9,2\n" * 5)).class_names == ("9", "nan")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: expected one column 'label', got an empty file"),
        ("a,b\n1,2\n", "line 1: expected one column 'label', got a, b; name the column of labels with label="),
        ("a,label,label\n", "line 1: expected one column 'label', got 2 of that name"),
        ("label\nx\n", "line 1: expected a column of features beside 'label', got none"),
        ("a,label\n", "expected samples below the header line, got none"),
        ("a,label\n1,x\n2, \n", "line 3, column 'label': expected a label, got an empty cell"),
        ("a,label\n1,x\n\n,y\n", "line 4, column 'a': expected a finite number, got ''"),
        ("a,label\n1,x\nred,y\n", "line 3, column 'a': expected a finite number, got 'red'"),
        ("a,label\ninf,x\n", "line 2, column 'a': expected a finite number, got 'inf'"),
        ("a,label\n1e39,x\n", "line 2, column 'a': expected a finite number, got '1e39'"),
        ("a,label\n1,x,3\n", "line 2: expected 2 cells as in the header, got 3"),
        ("a,label\n1\n", "line 2: expected 2 cells as in the header, got 1"),
        ('a,label\n1,"x\n', "expected comma separated text in UTF-8, got unexpected end of data"),
    ],
)
def test_a_table_that_cannot_be_used_is_named_with_line_and_column(tmp_path, text, message):
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        load_csv(table(tmp_path, text))
    assert "own.csv" in str(caught.value)


def test_a_table_in_another_encoding_is_named(tmp_path):
    (tmp_path / "own.csv").write_bytes("a,label\n1,grün\n".encode("latin-1"))
    with pytest.raises(ValueError, match="expected comma separated text in UTF-8"):
        load_csv(tmp_path / "own.csv")


def draw(root, names, size=(5, 4), mode="L", count=5):
    for value, name in enumerate(names):
        (root / name).mkdir(parents=True)
        for i in range(count):
            color = value * 10 + i
            Image.new(mode, size, color if mode == "L" else (color, 0, 255)).save(root / name / f"{i}.png")
    return root


def test_a_folder_with_train_and_test_is_taken_as_it_is(tmp_path):
    draw(tmp_path / "train", ["cat", "dog"])
    draw(tmp_path / "test", ["dog"], count=2)
    (tmp_path / "train" / "cat" / "notes.txt").write_text("passed over")
    data = load(tmp_path)
    assert (data.name, data.scale, data.class_names) == (tmp_path.name, 1 / 256, ("cat", "dog"))
    assert data.train.inputs.shape == (10, 4, 5)
    assert data.train.inputs.dtype == torch.uint8
    assert data.train.inputs[:, 0, 0].tolist() == [0, 1, 2, 3, 4, 10, 11, 12, 13, 14]
    assert data.test.labels.tolist() == [1, 1]


def test_a_folder_of_classes_is_split_by_the_seed(tmp_path):
    data = load_folder(draw(tmp_path, ["cat", "dog"], mode="RGB"), test_fraction=0.4)
    assert data.train.inputs.shape == (6, 3, 4, 5)
    assert data.test.labels.bincount().tolist() == [2, 2]
    assert data.test.inputs[:, 2].unique().tolist() == [255]
    assert (data.train.inputs[:, 0, 0, 0] // 10).tolist() == data.train.labels.tolist()


def test_grayscale_among_colour_images_becomes_colour(tmp_path):
    draw(tmp_path, ["cat"], mode="RGB")
    draw(tmp_path, ["dog"])
    assert load_folder(tmp_path).input_shape == (3, 4, 5)


def test_images_of_two_sizes_are_both_named_with_their_sizes(tmp_path):
    draw(tmp_path, ["cat"])
    draw(tmp_path, ["dog"], size=(7, 4))
    message = r"expected images of one size, got .*cat/0\.png of 5x4 and .*dog/0\.png of 7x4 pixels; resize them"
    with pytest.raises(ValueError, match=message):
        load_folder(tmp_path)


def test_an_unreadable_image_is_named(tmp_path):
    draw(tmp_path, ["cat", "dog"])
    whole = (tmp_path / "dog" / "3.png").read_bytes()
    for content in (b"no image", whole[:-30]):
        (tmp_path / "dog" / "3.png").write_bytes(content)
        with pytest.raises(ValueError, match=r"dog/3\.png: expected an image, got .*; replace or remove it"):
            load_folder(tmp_path)


def test_an_image_of_16_bits_is_named(tmp_path):
    draw(tmp_path, ["cat"])
    Image.new("I;16", (5, 4), 3000).save(tmp_path / "cat" / "5.png")
    with pytest.raises(ValueError, match=r"5\.png: expected 8 bits a channel, got mode I;16"):
        load_folder(tmp_path)


def test_empty_folders_and_half_divided_ones_are_errors(tmp_path):
    with pytest.raises(ValueError, match="expected one folder per class, got none"):
        load_folder(tmp_path)
    draw(tmp_path, ["cat"])
    (tmp_path / "dog").mkdir()
    with pytest.raises(ValueError, match=r"dog: expected images \(.png, .*\), got none"):
        load_folder(tmp_path)
    (tmp_path / "train").mkdir()
    with pytest.raises(ValueError, match="expected both folders train and test, or neither, got one"):
        load_folder(tmp_path)


def test_a_test_class_that_was_never_trained_is_named(tmp_path):
    draw(tmp_path / "train", ["cat", "dog"])
    draw(tmp_path / "test", ["cow"])
    with pytest.raises(ValueError, match="got cow in the test part only"):
        load_folder(tmp_path)


def test_without_pillow_the_error_says_what_to_install(tmp_path, monkeypatch):
    draw(tmp_path, ["cat"])
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ImportError, match=r"pip install metaplastic\[images\]"):
        load_folder(tmp_path)


def test_a_file_of_another_kind_is_an_error(tmp_path):
    (tmp_path / "own.txt").write_text("")
    with pytest.raises(ValueError, match=r"expected a \.npz file, a \.csv file or a folder of images, got .*own\.txt"):
        load(tmp_path / "own.txt")
