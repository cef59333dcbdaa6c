"""The estimator against scikit-learn's own checks, its conventions, and what it promises beyond them."""

import copy
import os
import pickle
import pickletools
import subprocess
import sys

import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_digits, load_iris
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import SGDClassifier
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import metaplastic as mp
from metaplastic import native
from metaplastic.estimator import MetaplasticClassifier, Scaling, continual_network
from metaplastic.estimator.moments import Moments
from metaplastic.learners import Engine, NonFiniteLossError
from metaplastic.packed import Input, PackedNetwork

EXPECTED_FAILURES: dict[str, str] = {}
"""Checks of scikit-learn that are not passed, with the reason: none."""

ARRAY_API_CHECK = """
import metaplastic as mp
from sklearn.utils.estimator_checks import estimator_checks_generator

estimator = mp.MetaplasticClassifier(hidden=(32, 32), epochs=5)
checks = [check for _, check in estimator_checks_generator(estimator) if check.func.__name__ == "check_array_api_input"]
for check in checks:
    check(estimator)
print(len(checks))
"""


def small(**options):
    return MetaplasticClassifier(**{"hidden": (32,), "random_state": 0} | options)


@pytest.fixture(scope="module")
def digits():
    x, y = load_digits(return_X_y=True)
    return x.astype(np.uint8), y


@pytest.fixture(scope="module")
def cloud():
    """Real features of three named classes."""
    source = np.random.default_rng(0)
    y = source.integers(0, 3, 240)
    return source.normal(size=(240, 5)) * [1, 10, 0.1, 1, 1] + 3 * y[:, None], np.array(["ant", "bee", "cow"])[y]


@parametrize_with_checks(
    [small(hidden=(32, 32), epochs=5, random_state=None)], expected_failed_checks=lambda _: EXPECTED_FAILURES
)
def test_scikit_learns_checks(estimator, check):
    check(estimator)


def test_the_check_that_scikit_learn_skips_without_an_environment_variable_is_passed_too():
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", ARRAY_API_CHECK],
        env=os.environ | {"SCIPY_ARRAY_API": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["1"]


@pytest.mark.parametrize(
    ("load", "least"), [(load_iris, 0.85), (load_breast_cancer, 0.9)], ids=["three classes", "two classes"]
)
def test_tables_of_few_and_of_differently_large_features_are_learned(load, least):
    train_x, test_x, train_y, test_y = train_test_split(*load(return_X_y=True), random_state=0)
    assert small(hidden=(128, 128)).fit(train_x, train_y).score(test_x, test_y) >= least


def test_what_was_learned_first_is_kept_better_than_by_sgd_and_without_metaplasticity(digits):
    x, y = digits
    orders = [np.random.default_rng(seed).permutation(64) for seed in range(3)]

    def kept(classifier):
        for order in orders:
            for _ in range(8):
                classifier.partial_fit(x[:1200, order], y[:1200], classes=np.arange(10))
        return np.mean([classifier.score(x[1200:, order], y[1200:]) for order in orders])

    ours = kept(small(hidden=(64,)))
    assert ours > kept(small(hidden=(64,), metaplasticity=0)) + 0.05
    assert ours > kept(SGDClassifier(loss="log_loss", random_state=0)) + 0.05


def test_classes_that_come_one_pair_after_the_other_are_kept_better_where_only_present_outputs_are_trained(digits):
    x, y = digits

    def kept(outputs):
        classifier = small(outputs=outputs, partial_epochs=5)
        for first in (0, 2, 4):
            chosen = (y == first) | (y == first + 1)
            classifier.partial_fit(x[chosen], y[chosen], classes=range(6))
        return classifier.score(x[y < 6], y[y < 6])

    assert kept("present") > kept("all") + 0.1


def test_samples_of_a_single_class_are_learned_against_all_others(digits):
    x, y = digits
    classifier = small().partial_fit(x[y == 3], y[y == 3], classes=range(10))
    assert (classifier.predict(x[y == 3]) == 3).mean() > 0.9


def naive_logits(classifier, x):
    """The network in float64, from nothing but the hidden weights and the definition."""
    *hidden, last = [np.where(w >= 0, 1.0, -1.0) for w in classifier._network.__getstate__()["hidden_weights"]]
    for signs in hidden:
        sums = x @ signs.T
        x = np.where(sums.shape[1] * sums >= sums.sum(1, keepdims=True), 1.0, -1.0)
    return x @ last.T * 0.25 / np.sqrt(last.shape[1])


def test_predictions_are_those_of_the_packed_network_and_of_the_definition(digits, cloud):
    for (x, y), kind in ((digits, Input.BYTES), (cloud, Input.REAL)):
        classifier = small(hidden=(32, 16), epochs=2).fit(x, y)
        packed, shown = classifier.pack(), classifier.network_input(x)
        assert isinstance(packed, PackedNetwork)
        assert packed.input is kind
        np.testing.assert_array_equal(classifier.classes_[packed.predict(shown)], classifier.predict(x))
        np.testing.assert_array_equal(packed.predict_proba(shown), classifier.predict_proba(x))
        exact = shown.astype(float) if kind is Input.BYTES else np.rint(shown * 2.0**24) / 2.0**24
        np.testing.assert_allclose(packed.logits(shown), naive_logits(classifier, exact), rtol=1e-6)


def test_the_trained_network_predicts_what_the_packed_one_does_but_for_ties(digits):
    x, y = digits
    classifier = small(epochs=2).fit(x, y)
    with torch.no_grad():
        logits = classifier._network.network(torch.from_numpy(x) / 256)
    assert (logits.argmax(1).numpy() == classifier.predict(x)).mean() > 0.99


def test_bytes_are_taken_as_they_are_and_stay_so_after_saving(digits, tmp_path):
    x, y = digits
    classifier = small(epochs=1).fit(x, y)
    assert classifier.scaling_ is Scaling.BYTES
    assert classifier.network_input(x).dtype == np.uint8
    np.testing.assert_array_equal(classifier.network_input(x), x)
    loaded = PackedNetwork.load(classifier.pack().save(tmp_path / "digits.safetensors"))
    np.testing.assert_array_equal(loaded.predict(x), classifier.predict(x))
    np.testing.assert_array_equal(classifier.predict(x.astype(float)), classifier.predict(x))


def test_a_packed_network_stays_as_it_is_when_more_is_learned(digits):
    x, y = digits
    classifier = small(epochs=1).fit(x, y)
    packed = classifier.pack()
    before = packed.predict(x)
    assert classifier.partial_fit(x, y).pack() != packed
    np.testing.assert_array_equal(packed.predict(x), before)


def test_numbers_that_are_no_bytes_are_refused_after_bytes_and_nothing_is_learned(digits):
    x, y = digits
    classifier = small(epochs=1).fit(x, y)
    before = classifier.pack()
    for wrong in (x - 0.5, x + 250.0):
        with pytest.raises(ValueError, match="expected integers from 0 to 255, as this classifier learns bytes"):
            classifier.partial_fit(wrong, y)
    assert classifier.pack() == before


def test_features_are_standardised_by_everything_seen_so_far(cloud):
    x, y = cloud
    classifier = small(hidden=(8,))
    for part in np.array_split(np.arange(len(x)), 5):
        classifier.partial_fit(x[part], y[part], classes=["ant", "bee", "cow"])
    expected = StandardScaler().fit_transform(x)
    shown = classifier.network_input(x)
    np.testing.assert_allclose(shown[:, :5], expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(shown[:, 5:], [np.sqrt(5) / np.array([1, 2, 4, 8, 16, 32])] * len(x))


def test_frozen_statistics_are_those_of_the_first_call(cloud):
    x, y = cloud
    classifier = small(hidden=(8,), scaling="frozen").partial_fit(x[:50], y[:50], classes=["ant", "bee", "cow"])
    before = classifier.network_input(x)
    np.testing.assert_allclose(before[:50, :5], StandardScaler().fit_transform(x[:50]), rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(classifier.partial_fit(x[50:], y[50:]).network_input(x), before)


def test_without_scaling_features_are_shown_as_they_are(cloud):
    x, y = cloud
    np.testing.assert_array_equal(small(hidden=(8,), scaling="none", epochs=1).fit(x, y).network_input(x)[:, :5], x)


def test_features_that_never_vary_and_outliers_stay_finite():
    moments = Moments.of(np.array([[0.1, 1.0], [0.1, 2.0], [0.1, 3.0]])).merged(Moments.of(np.array([[0.1, 2.0]])))
    assert moments.deviation[0] == 1
    assert moments.standardised(np.array([[0.1, 1e12]]))[0].tolist() == pytest.approx([0, 8], abs=1e-12)


def test_arrays_tensors_and_lists_give_the_same(cloud):
    x, y = cloud
    expected = small(epochs=1).fit(x, y).predict_proba(x)
    for given in (torch.from_numpy(x).requires_grad_(), x.tolist(), np.asfortranarray(x)):
        np.testing.assert_array_equal(small(epochs=1).fit(given, y.tolist()).predict_proba(given), expected)
    labels = torch.from_numpy(np.unique(y, return_inverse=True)[1])
    np.testing.assert_array_equal(small(epochs=1).fit(x, labels).predict_proba(x), expected)


def test_data_frames_keep_their_names(cloud):
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    x, y = cloud
    frame = pandas.DataFrame(x, columns=list("abcde"))
    classifier = small(epochs=1).fit(frame, pandas.Series(y))
    assert classifier.feature_names_in_.tolist() == list("abcde")
    np.testing.assert_array_equal(classifier.predict_proba(frame), small(epochs=1).fit(x, y).predict_proba(x))
    with pytest.raises(ValueError, match="feature names should match"):
        classifier.predict(frame.rename(columns={"a": "z"}))


def test_it_works_in_a_pipeline_and_a_grid_search(cloud):
    x, y = cloud
    search = GridSearchCV(
        make_pipeline(StandardScaler(), small(scaling="none")),
        {"metaplasticclassifier__epochs": np.array([1, 8]), "metaplasticclassifier__hidden": [32, (np.int64(64), 16)]},
        cv=2,
    ).fit(x, y)
    assert search.score(x, y) > 0.75
    assert clone(search.best_estimator_).get_params()["metaplasticclassifier__scaling"] == "none"


@pytest.mark.parametrize("again", [copy.deepcopy, lambda it: pickle.loads(pickle.dumps(it))], ids=["copied", "pickled"])  # noqa: S301
def test_after_copying_or_pickling_it_learns_on_with_the_same_bits(digits, again):
    x, y = digits
    classifier = small().partial_fit(x[:500], y[:500], classes=range(10))
    other = again(classifier)
    for one in (classifier, other):
        one.partial_fit(x[500:], y[500:])
    assert other.pack() == classifier.pack()
    np.testing.assert_array_equal(other.predict_proba(x), classifier.predict_proba(x))


def test_a_pickle_names_nothing_but_numpy_scikit_learn_and_our_values(cloud):
    named = {
        text.split()[0].split(".")[0] if " " in text else text.split(".")[0]
        for text in strings_that_name_modules(pickle.dumps(small(epochs=1).fit(*cloud), protocol=2))
    }
    assert named <= {"metaplastic", "numpy", "copyreg", "copy_reg", "_codecs", "builtins", "__builtin__"}


def strings_that_name_modules(pickled):
    return [argument for code, argument, _ in pickletools.genops(pickled) if code.name == "GLOBAL"]


def test_the_same_calls_give_the_same_network_and_another_seed_another(digits):
    x, y = digits

    def learned(seed):
        classifier = small(random_state=seed)
        for part in np.array_split(np.arange(1000), 4):
            classifier.partial_fit(x[part], y[part], classes=range(10))
        return classifier.pack()

    torch.manual_seed(5)
    first = learned(0)
    assert learned(0) == first
    assert learned(1) != first
    assert learned(np.random.RandomState(0)) == first


def test_a_fit_forgets_what_was_learned_before(cloud):
    x, y = cloud
    classifier = small(epochs=2).fit(x[:100] * 50, y[:100])
    assert classifier.fit(x, y).pack() == small(epochs=2).fit(x, y).pack()


def test_parameters_can_be_changed_between_calls_and_are_checked_then(digits):
    x, y = digits
    classifier = small().partial_fit(x, y, classes=range(10))
    before = classifier.pack()
    with pytest.raises(ValueError, match="expected lr to be a finite number from 0, got -1"):
        classifier.set_params(lr=-1).partial_fit(x, y)
    assert classifier.set_params(lr=0.0).partial_fit(x, y).pack() == before
    assert classifier.set_params(lr=0.01).partial_fit(x, y).pack() != before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hidden": (0,)}, "expected at least an input and an output width, all >= 1"),
        ({"metaplasticity": -1.0}, "expected metaplasticity to be a finite number from 0, got -1.0"),
        ({"metaplasticity": (1.0,)}, "expected one metaplasticity per hidden weight, 2, got 1"),
        ({"epochs": 0}, "expected epochs >= 1, got 0"),
        ({"batch_size": 0}, "expected batch_size >= 1, got 0"),
        ({"consolidation": "tanh"}, "unknown consolidation function 'tanh'; did you mean 'tanh-squared'"),
        ({"scaling": "byte"}, "unknown scaling 'byte'; did you mean 'bytes'"),
        ({"outputs": "some"}, "unknown outputs 'some'"),
        ({"engine": "quick"}, "unknown engine 'quick'"),
        ({"scaling": "bytes"}, "expected integers from 0 to 255"),
    ],
    ids=str,
)
def test_parameters_out_of_range_are_refused_and_leave_nothing_fitted(cloud, options, message):
    classifier = small(**options)
    with pytest.raises(ValueError, match=message):
        classifier.fit(*cloud)
    with pytest.raises(NotFittedError):
        classifier.predict(cloud[0])


def wrong_samples(x, y):
    nan = x.copy()
    nan[3, 2] = np.nan
    return {
        "not a number": (nan, y, ValueError, "Input X contains NaN"),
        "another number of features": (
            x[:, :3],
            y,
            ValueError,
            "X has 3 features, but MetaplasticClassifier is expect",
        ),
        "no samples": (x[:0], y[:0], ValueError, r"Found array with 0 sample\(s\)"),
        "sparse": (sparse.csr_array(x), y, TypeError, "Sparse data was passed"),
        "words": (np.full(x.shape, "word"), y, ValueError, "not compatible with arrays of bytes/strings"),
        "one sample as a row": (x[0], y[:1], ValueError, "Expected 2D array, got 1D array instead"),
        "images that are not flat": (x[:, None], y, ValueError, "Found array with dim 3"),
        "fewer labels": (x, y[:-1], ValueError, "inconsistent numbers of samples"),
        "an unseen class": (
            x,
            np.where(y == "bee", "wasp", y),
            ValueError,
            r"target label\(s\) \['wasp'\] in y do not",
        ),
        "labels that are real numbers": (x, np.linspace(0, 1, len(y)), ValueError, "Unknown label type: continuous"),
    }


@pytest.mark.parametrize("name", list(wrong_samples(np.zeros((4, 3)), np.array(list("abca")))))
def test_bad_samples_are_refused_as_scikit_learn_does_and_nothing_is_learned(cloud, name):
    x, y = cloud
    classifier = small(epochs=1).fit(x, y)
    before, input_before = classifier.pack(), classifier.network_input(x)
    wrong_x, wrong_y, error, message = wrong_samples(x, y)[name]
    with pytest.raises(error, match=message):
        classifier.partial_fit(wrong_x, wrong_y)
    assert classifier.pack() == before
    np.testing.assert_array_equal(classifier.network_input(x), input_before)


def test_one_class_is_refused_by_fit_and_as_all_classes(cloud):
    x, _ = cloud
    with pytest.raises(ValueError, match=r"expected at least two classes, got 1 class: \['ant'\]"):
        small().fit(x, np.full(len(x), "ant"))
    with pytest.raises(ValueError, match="expected at least two classes, got 1 class"):
        small().partial_fit(x, np.full(len(x), "ant"), classes=["ant"])


def test_classes_are_needed_in_the_first_call_and_stay(cloud):
    x, y = cloud
    with pytest.raises(ValueError, match="classes must be passed on the first call to partial_fit"):
        small().partial_fit(x, y)
    classifier = small().partial_fit(x, y, classes=["cow", "bee", "ant"])
    assert classifier.classes_.tolist() == ["ant", "bee", "cow"]
    with pytest.raises(ValueError, match="is not the same as on last call to partial_fit"):
        classifier.partial_fit(x, y, classes=["ant", "bee"])


def test_a_loss_that_is_not_finite_is_an_error(cloud):
    x, y = cloud
    with pytest.raises(NonFiniteLossError, match="expected a finite loss, got nan in 'samples'"):
        small(lr=1e38, epochs=20).fit(x, y)


def test_it_is_compiled_only_where_so_much_is_learned_that_it_pays(digits, monkeypatch):
    x, y = digits
    asked = []
    ours = continual_network.accelerated

    def accelerated(network, optimizer, scenario, engine, **rest):
        asked.append(engine)
        return ours(network, optimizer, scenario, Engine.PLAIN, **rest)

    monkeypatch.setattr(continual_network, "accelerated", accelerated)
    monkeypatch.setattr(native, "update", None)
    classifier = small().partial_fit(x[:100], y[:100], classes=range(10))
    weights = 64 * 32 + 32 * 10
    monkeypatch.setattr(continual_network, "WORTH_COMPILING", 5 * weights)
    for _ in range(2):
        classifier.partial_fit(x[:100], y[:100])
    classifier.set_params(engine="fast").partial_fit(x[:100], y[:100])
    assert asked == ["plain", "plain", None, "fast"]
    assert classifier.n_steps_ == 8


@pytest.mark.skipif(native.update is None, reason="not compiled, or a processor without AVX-512")
def test_native_steps_begin_at_once_and_others_are_not_taken_for_them(digits):
    x, y = digits
    classifier = small().partial_fit(x[:100], y[:100], classes=range(10))
    assert classifier._network.optimizer.begins_at_once()
    classifier.set_params(consolidation="logistic").partial_fit(x[:100], y[:100])
    assert not classifier._network.optimizer.begins_at_once()


def test_verbose_prints_a_line_an_epoch(digits, capsys):
    small(epochs=2, verbose=True).fit(*digits)
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["epoch 1 of 2", "epoch 2 of 2"]


def test_the_name_is_part_of_the_package():
    assert mp.MetaplasticClassifier is MetaplasticClassifier
