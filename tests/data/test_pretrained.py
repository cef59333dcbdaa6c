"""Files of ResNet-18 features, with a small network of the same face in the place of torchvision's."""

import enum
import sys
import types

import numpy as np
import pytest
import torch
from torch import nn

from metaplastic.cli import main
from metaplastic.data import catalogue, load, resnet18, write_features
from metaplastic.data.feature_files import command_for, feature_file

WEIGHT = np.random.default_rng(4).normal(size=(5, 3))
MEAN, VARIANCE, BIAS = np.linspace(0.1, 0.5, 5), np.linspace(0.5, 2, 5), np.linspace(0.5, 1, 5)


class SmallResNet(nn.Module):
    """One convolution of single pixels, normalisation, the mean over the image, and a last layer to be left out."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 5, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(5)
        self.fc = nn.Linear(5, 1000)
        self.conv1.weight.data = torch.tensor(WEIGHT, dtype=torch.float32)[:, :, None, None]
        self.bn1.running_mean += torch.tensor(MEAN)
        self.bn1.running_var *= torch.tensor(VARIANCE)
        self.bn1.bias.data += torch.tensor(BIAS)

    def forward(self, x):
        return self.fc(self.bn1(self.conv1(x)).relu().mean((2, 3)))


class Weights(enum.Enum):
    IMAGENET1K_V1 = "weights"

    @property
    def url(self):
        return "https://download.pytorch.org/models/resnet18-f37072fd.pth"


@pytest.fixture
def torchvision(monkeypatch):
    """torchvision as far as it is used; a list of the weights that were asked for."""
    asked = []
    models = types.ModuleType("torchvision.models")
    models.ResNet18_Weights = Weights
    models.resnet18 = lambda *, weights: asked.append(weights) or SmallResNet()
    package = types.ModuleType("torchvision")
    package.models = models
    monkeypatch.setitem(sys.modules, "torchvision", package)
    monkeypatch.setitem(sys.modules, "torchvision.models", models)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    return asked


def enlarged(images, side=220):
    """Interpolate linearly between the middles of pixels, rows and then columns."""
    place = np.clip((np.arange(side) + 0.5) * images.shape[-1] / side - 0.5, 0, images.shape[-1] - 1)
    low = np.minimum(place.astype(int), images.shape[-1] - 2)
    share = place - low
    rows = images[:, :, low] * (1 - share)[:, None] + images[:, :, low + 1] * share[:, None]
    return rows[..., low] * (1 - share) + rows[..., low + 1] * share


def reference(records, authors):
    """Features of images as the paper's code computes them, or with what the extractor learned, in float64."""
    centre = enlarged(records[:, 1:].reshape(-1, 3, 32, 32) / 255)[:, :, 10:210, 10:210]
    shown = np.einsum("fc,bcij->bfij", WEIGHT, centre)
    mean, variance = (shown.mean((0, 2, 3)), shown.var((0, 2, 3))) if authors else (MEAN, VARIANCE)
    normal = (shown - mean[:, None, None]) / np.sqrt(variance + 1e-5)[:, None, None]
    features = np.maximum(normal + BIAS[:, None, None], 0).mean((2, 3))
    spread = features.var(1, keepdims=True) if authors else features.std(1, keepdims=True)
    return (features - features.mean(1, keepdims=True)) / spread


@pytest.mark.parametrize("authors", [False, True])
def test_the_command_writes_what_the_recipe_says(tmp_path, torchvision, pictures, capfd, authors):
    pictures.write(tmp_path)
    main(["data", "features", "pictures", "--data-dir", str(tmp_path), *(["--authors"] if authors else [])])
    path = tmp_path / ("pictures-resnet18-authors.npz" if authors else "pictures-resnet18.npz")
    said = capfd.readouterr()
    assert (said.out.split(), said.err) == ([str(path)], "")
    features = load(path)
    train, test = pictures.arrays["train.bin"], pictures.arrays["test.bin"]
    # Every one of the ten passes shows the same, because images of one color do.
    expected = np.tile(reference(train, authors), (10, 1))
    np.testing.assert_allclose(features.train.inputs.numpy(), expected, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(features.test.inputs.numpy(), reference(test, authors), rtol=1e-3, atol=1e-4)
    assert features.train.labels.tolist() == train[:, 0].tolist() * 10
    assert features.test.labels.tolist() == test[:, 0].tolist()
    assert features.class_names == tuple("abcd")
    assert torchvision == [Weights.IMAGENET1K_V1]


def test_the_recipes_differ_where_a_test_could_not_tell_them_apart_otherwise(pictures):
    test = pictures.arrays["test.bin"]
    assert np.abs(reference(test, True) - reference(test, False)).max() > 0.1
    assert not np.allclose(reference(test, True), reference(test[:1], True)[0])


def test_the_last_layer_is_left_out(torchvision):
    assert resnet18()(torch.zeros(2, 3, 8, 8)).shape == (2, 5)


def test_the_bar_shows_how_many_images_are_done(tmp_path, torchvision, pictures, capfd):
    pictures.write(tmp_path)
    write_features("pictures", data_dir=tmp_path, progress=True)
    assert "63/63 images" in capfd.readouterr().err


def test_without_torchvision_it_says_what_to_install(monkeypatch, capfd):
    monkeypatch.setitem(sys.modules, "torchvision", None)
    monkeypatch.setitem(sys.modules, "torchvision.models", None)
    with pytest.raises(SystemExit) as caught:
        main(["data", "features", "cifar-10"])
    assert caught.value.code == 2
    err = capfd.readouterr().err
    assert "expected torchvision, which ResNet-18 comes from" in err
    assert "pip install 'metaplastic[features]'" in err


def test_a_torchvision_for_another_torch_is_named(monkeypatch):
    def fail(name):
        raise RuntimeError("operator torchvision::nms does not exist")

    monkeypatch.setattr("metaplastic.data.pretrained.importlib.import_module", fail)
    with pytest.raises(ImportError, match=r"expected a torchvision that fits torch .*nms does not exist.*one index"):
        resnet18()


def test_weights_that_cannot_be_fetched_are_asked_for_with_their_place(torchvision, monkeypatch):
    def fail(*, weights):
        raise OSError("no network")

    monkeypatch.setattr(sys.modules["torchvision.models"], "resnet18", fail)
    with pytest.raises(OSError, match=r"expected the weights .*checkpoints or from https://.*resnet18.*\(no network\)"):
        resnet18()


def test_what_could_not_be_saved_is_refused_before_anything_is_computed(tmp_path, torchvision, pictures, monkeypatch):
    pictures.write(tmp_path)
    monkeypatch.setattr("metaplastic.data.pretrained.extracted_features", lambda *_, **__: pytest.fail("computed"))
    (tmp_path / "pictures-resnet18.npz").write_text("hours of work")
    with pytest.raises(FileExistsError, match=r"expected a new file for features, got .*pictures-resnet18\.npz"):
        write_features("pictures", data_dir=tmp_path)
    assert (tmp_path / "pictures-resnet18.npz").read_text() == "hours of work"
    with pytest.raises(ValueError, match=r"expected a path that ends in \.npz, got .*features\.csv"):
        write_features("pictures", tmp_path / "features.csv", data_dir=tmp_path)
    with pytest.raises(ValueError, match=r"expected color images .*got inputs of shape \(8, 8\) in 'digits'"):
        write_features("digits", data_dir=tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"file"):
        write_features("pictures", tmp_path / "file" / "features.npz", data_dir=tmp_path)


def test_every_set_of_color_images_has_a_command_and_other_files_have_none():
    colored = [name for name, entry in catalogue.CATALOGUE.items() if entry.image_shape == (3, 32, 32)]
    assert {"cifar-10", "cifar-10-part", "cifar-100"} == set(colored)
    for name in colored:
        assert command_for(feature_file(name)) == f"metaplastic data features {name}"
        assert command_for(feature_file(name, authors=True)) == f"metaplastic data features {name} --authors"
    for other in ("mnist-resnet18.npz", "cifar-11-resnet18.npz", "cifar-10.npz", "cifar-10-resnet18.csv"):
        assert command_for(other) is None
