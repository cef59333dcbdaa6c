"""Closed-form classifiers against loops over samples, against scikit-learn, and against themselves cut anywhere."""

import copy
import io
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.covariance import EmpiricalCovariance
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.neighbors import NearestCentroid

from metaplastic.data import Dataset, Samples
from metaplastic.evaluation import predict
from metaplastic.learners import (
    ClosedForm,
    Moment,
    NearestMean,
    Position,
    Schedule,
    StreamingLDA,
    learn,
    observe_scenario,
)
from metaplastic.nn import BinaryMLP
from metaplastic.optim import MetaplasticAdam, param_groups
from metaplastic.scenarios import Increment, permuted, split

FEATURES, CLASSES = 5, 4
CLASSIFIERS = {"nearest mean": NearestMean, "streaming LDA": StreamingLDA}
every_classifier = pytest.mark.parametrize("kind", CLASSIFIERS.values(), ids=CLASSIFIERS.keys())


def clouds(samples=60, classes=3, seed=0):
    """Correlated clouds far from the origin, of different sizes."""
    random = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, classes, (samples,), generator=random)
    mix = torch.randn(FEATURES, FEATURES, generator=random, dtype=torch.float64)
    centres = 3 * torch.randn(CLASSES, FEATURES, generator=random, dtype=torch.float64)
    inputs = torch.randn(samples, FEATURES, generator=random, dtype=torch.float64) @ mix + centres[labels] + 100
    return inputs, labels


def taught(kind, inputs, labels, cuts=(), **options):
    classifier = kind(FEATURES, CLASSES, **options)
    for rows in torch.arange(len(labels)).tensor_split(list(cuts)):
        classifier.observe(inputs[rows], labels[rows])
    return classifier


def dataset(classes=4):
    random = torch.Generator().manual_seed(5)

    def part(count):
        labels = torch.arange(count) % classes
        inputs = torch.randint(0, 100, (count, 2, 3), generator=random, dtype=torch.uint8) + 30 * labels[:, None, None]
        return Samples(inputs.to(torch.uint8), labels)

    return Dataset("tiny", part(37), part(11), tuple("abcdefgh"[:classes]), 1 / 256)


@every_classifier
@settings(deadline=None)
@given(cuts=st.lists(st.integers(0, 60), max_size=8).map(sorted), seed=st.integers(0, 5))
def test_what_is_learned_depends_on_no_cut_and_no_order(kind, cuts, seed):
    inputs, labels = clouds()
    order = torch.randperm(60, generator=torch.Generator().manual_seed(seed))
    whole, cut = taught(kind, inputs, labels), taught(kind, inputs[order], labels[order], cuts)
    for (name, buffer), other in zip(whole.named_buffers(), cut.buffers(), strict=True):
        torch.testing.assert_close(other, buffer, rtol=1e-10, atol=1e-10, msg=name)
    torch.testing.assert_close(cut(inputs), whole(inputs), rtol=1e-10, atol=1e-10)


def test_samples_of_one_class_at_a_time_are_as_good_as_all_at_once():
    inputs, labels = clouds()
    order = labels.argsort(stable=True)
    one_by_one = taught(StreamingLDA, inputs[order], labels[order], cuts=range(1, 60))
    torch.testing.assert_close(one_by_one(inputs), taught(StreamingLDA, inputs, labels)(inputs), rtol=1e-9, atol=1e-9)


def test_means_and_scatter_equal_a_loop_over_samples():
    inputs, labels = clouds()
    classifier = taught(StreamingLDA, inputs, labels, cuts=(7, 8, 30))
    scatter = np.zeros((FEATURES, FEATURES))
    for label in range(3):
        own = [x for x, y in zip(inputs.numpy(), labels.tolist(), strict=True) if y == label]
        mean = sum(own) / len(own)
        np.testing.assert_allclose(classifier.means[label].numpy(), mean, rtol=1e-12)
        assert int(classifier.counts[label]) == len(own)
        scatter += sum(np.outer(x - mean, x - mean) for x in own)
    np.testing.assert_allclose(classifier.scatter.numpy(), scatter, rtol=1e-10)


def test_nearest_mean_answers_as_scikit_learn():
    inputs, labels = clouds()
    new = clouds(200, seed=0)[0] + 0.5
    theirs = NearestCentroid().fit(inputs.numpy(), labels.numpy())
    ours = taught(NearestMean, inputs, labels, cuts=(11, 40))
    np.testing.assert_allclose(ours.means[:3].numpy(), theirs.centroids_, rtol=1e-12)
    answers = ours(new).argmax(1).numpy()
    assert np.array_equal(answers, theirs.predict(new.numpy()))
    assert len(set(answers)) == 3


class TowardsIdentity(EmpiricalCovariance):
    """The covariance as `discriminant` shrinks it; scikit-learn's own goes towards the mean variance."""

    def fit(self, x, y=None):
        super().fit(x)
        self.covariance_ = 0.7 * self.covariance_ + 0.3 * np.eye(x.shape[1])
        return self


def test_streaming_lda_equals_scikit_learn_but_for_its_priors():
    inputs, labels = clouds()
    theirs = LinearDiscriminantAnalysis(solver="lsqr", covariance_estimator=TowardsIdentity())
    theirs.fit(inputs.numpy(), labels.numpy())
    expected = theirs.decision_function(inputs.numpy()) - np.log(theirs.priors_)
    ours = taught(StreamingLDA, inputs, labels, cuts=(13,), shrinkage=0.3)(inputs)
    np.testing.assert_allclose(ours[:, :3].numpy(), expected, rtol=1e-8, atol=1e-8)


def test_a_shrinkage_towards_the_mean_variance_is_a_larger_or_smaller_one_towards_the_identity():
    inputs, labels = clouds()
    variance = float(taught(StreamingLDA, inputs, labels).scatter.trace()) / len(labels) / FEATURES
    theirs = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.3).fit(inputs.numpy(), labels.numpy())
    ratio = 0.3 * variance / 0.7
    ours = taught(StreamingLDA, inputs, labels, shrinkage=ratio / (1 + ratio))(inputs)[:, :3].numpy()
    expected = theirs.decision_function(inputs.numpy()) - np.log(theirs.priors_)
    np.testing.assert_allclose(ours * (1 - ratio / (1 + ratio)) / 0.7, expected, rtol=1e-8)


def test_streaming_lda_with_full_shrinkage_is_the_nearest_mean():
    inputs, labels = clouds()
    lda, nearest = (taught(kind, inputs, labels) for kind in (lambda *n: StreamingLDA(*n, shrinkage=1.0), NearestMean))
    torch.testing.assert_close(lda(inputs), nearest(inputs))


def test_whitening_tells_apart_what_the_nearest_mean_does_not():
    random = torch.Generator().manual_seed(1)
    labels = torch.arange(400) % 2
    inputs = torch.randn(400, FEATURES, generator=random) * torch.tensor([10.0, 1, 1, 1, 1])
    inputs[:, 1] += 3 * labels
    right = {
        kind: int((taught(kind, inputs, labels)(inputs).argmax(1) == labels).sum()) for kind in CLASSIFIERS.values()
    }
    assert right[StreamingLDA] > 360 > right[NearestMean]


@every_classifier
def test_a_class_never_seen_is_never_the_answer(kind):
    inputs, labels = clouds()
    classifier = taught(kind, inputs, labels)
    assert torch.equal(classifier(inputs)[:, 3], torch.full((60,), -torch.inf, dtype=torch.float64))
    assert classifier(inputs)[:, :3].isfinite().all()
    assert bool((kind(FEATURES, CLASSES)(inputs) == -torch.inf).all())


@every_classifier
def test_it_goes_on_after_being_saved_and_loaded(kind):
    inputs, labels = clouds()
    first = taught(kind, inputs[:30], labels[:30])
    second = taught(kind, inputs[30:], labels[30:])  # with a classifier already computed from other samples
    second(inputs)
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    second.load_state_dict(torch.load(file))
    assert torch.equal(second(inputs), first(inputs))
    second.observe(inputs[30:], labels[30:])
    first.observe(inputs[30:], labels[30:])
    assert torch.equal(second(inputs), first(inputs))
    assert all(buffer.is_contiguous() for buffer in first.state_dict().values())


@every_classifier
def test_answers_follow_every_observation(kind):
    inputs, labels = clouds()
    classifier = taught(kind, inputs[:20], labels[:20])
    before = classifier(inputs)
    assert torch.equal(classifier(inputs), before)
    classifier.observe(inputs[20:], labels[20:])
    torch.testing.assert_close(classifier(inputs), taught(kind, inputs, labels)(inputs), rtol=1e-10, atol=1e-10)
    assert not torch.equal(classifier(inputs), before)


@every_classifier
def test_float32_is_nearly_as_good(kind):
    inputs, labels = clouds()
    single = taught(kind, inputs, labels, cuts=range(1, 60), dtype=torch.float32)
    assert {buffer.dtype for buffer in single.buffers()} == {torch.float32, torch.int64}
    double = taught(kind, inputs, labels)
    torch.testing.assert_close(single.means.double(), double.means, rtol=1e-6, atol=0)
    assert torch.equal(single(inputs).argmax(1), double(inputs).argmax(1))


@every_classifier
@pytest.mark.parametrize(
    ("inputs", "label", "message"),
    [
        (torch.zeros(2, FEATURES + 1), 0, "expected inputs of 5 features, got 6"),
        (torch.zeros(2, FEATURES), 4, "expected labels from 0 to 3, got 4; make the classifier for all classes"),
        (torch.zeros(2, FEATURES), -1, "expected labels from 0 to 3, got -1"),
        (torch.full((2, FEATURES), math.nan), 0, "expected finite inputs"),
    ],
)
def test_samples_that_do_not_fit_are_refused_and_leave_no_trace(kind, inputs, label, message):
    classifier = taught(kind, *clouds())
    before = copy.deepcopy(classifier.state_dict())
    with pytest.raises(ValueError, match=message):
        classifier.observe(inputs, torch.tensor([0, label]))
    assert all(torch.equal(before[name], buffer) for name, buffer in classifier.state_dict().items())


@pytest.mark.parametrize("shrinkage", [0.0, -0.1, 1.1, math.nan])
def test_a_shrinkage_out_of_range_is_refused(shrinkage):
    with pytest.raises(ValueError, match=r"expected a shrinkage in \(0, 1\]"):
        StreamingLDA(2, 2, shrinkage)


def test_events_are_those_of_the_loop():
    scenario, schedule = permuted(dataset(), tasks=2), Schedule(epochs=1, batch_size=10)
    net = BinaryMLP([6, 4], "layer")
    optimizer = MetaplasticAdam(param_groups(net), lr=0.01)

    def places(events):
        return [(e.moment, e.task, e.epoch, e.position.task, e.position.epoch, e.position.step) for e in events]

    events = list(observe_scenario(NearestMean(6, 4), scenario, schedule=schedule))
    assert places(events) == places(learn(net, scenario, optimizer, schedule=schedule))
    assert all(math.isnan(event.loss) for event in events)


@pytest.mark.parametrize("increment", Increment)
def test_a_scenario_is_learned_as_its_samples_are(increment):
    """Labels that count within a task's outputs are put where they belong."""
    data, groups = dataset(), [(3, 0), (1, 2)]
    scenario = split(data, groups, increment)
    classifier = NearestMean(6, scenario.classes)
    list(observe_scenario(classifier, scenario, schedule=Schedule(epochs=1, batch_size=5)))
    shown = {3: 0, 0: 1, 1: 0, 2: 1} if increment is Increment.DOMAIN else {label: label for label in range(4)}
    for output in range(scenario.classes):
        own = [x for x, y in zip(data.train.inputs, data.train.labels.tolist(), strict=True) if shown[y] == output]
        expected = torch.stack(own).double().flatten(1).mean(0) / 256
        torch.testing.assert_close(classifier.means[output], expected, rtol=1e-12, atol=0)
    if increment is Increment.TASK:
        test = scenario.tests[0]
        answers, labels = predict(classifier, test), test.view.batch(torch.arange(len(test.view)))[1]
        assert float((answers == labels).double().mean()) > 0.9


def test_it_can_be_stopped_at_any_event_and_gone_on_with():
    scenario, schedule = split(dataset(), [(0, 1), (2, 3)]), Schedule(epochs=1, batch_size=4)
    whole = StreamingLDA(6, 4)
    events = list(observe_scenario(whole, scenario, schedule=schedule))
    for stop in range(len(events)):
        classifier = StreamingLDA(6, 4)
        training = observe_scenario(classifier, scenario, schedule=schedule)
        seen = [next(training) for _ in range(stop + 1)]
        training.close()
        other = StreamingLDA(6, 4)
        other.load_state_dict(copy.deepcopy(classifier.state_dict()))
        seen += observe_scenario(other, scenario, schedule=schedule, start=seen[-1].position)
        assert [event.position for event in seen] == [event.position for event in events]
        assert torch.equal(other.scatter, whole.scatter)
    assert sum(event.moment is Moment.TASK for event in events) == 2


def test_a_second_epoch_is_refused():
    scenario = permuted(dataset(), tasks=2)
    with pytest.raises(ValueError, match="expected one epoch for NearestMean, got 2: it takes in every sample"):
        next(observe_scenario(NearestMean(6, 4), scenario, schedule=Schedule(epochs=2)))


def test_a_label_beyond_the_outputs_of_its_task_is_refused():
    scenario = permuted(dataset(), tasks=1)
    narrow = replace(scenario, tasks=(replace(scenario.tasks[0], outputs=(0, 1)),))
    with pytest.raises(ValueError, match="expected labels below 2, the outputs that learn 'permutation 1', got 3"):
        list(observe_scenario(NearestMean(6, 4), narrow, schedule=Schedule(epochs=1)))


@every_classifier
def test_it_is_a_closed_form_and_other_networks_are_not(kind):
    assert isinstance(kind(2, 2), ClosedForm)
    assert not isinstance(BinaryMLP([2, 2]), ClosedForm)
    assert list(kind(2, 2).parameters()) == []
    assert Position().task == 0
