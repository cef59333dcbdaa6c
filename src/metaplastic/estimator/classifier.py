"""The estimator itself: scikit-learn's conventions, and nothing of how a network learns."""

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets, unique_labels
from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data

from metaplastic.choices import choose
from metaplastic.estimator.continual_network import ContinualNetwork, Lesson, TrainedOutputs
from metaplastic.estimator.scaling import Features, Scaling
from metaplastic.learners import Engine
from metaplastic.optim import ConsolidationFunction
from metaplastic.packed import PackedNetwork


class MetaplasticClassifier(ClassifierMixin, BaseEstimator):
    """A classifier that goes on learning without forgetting what it learned, in one bit a weight.

    A binary network whose hidden layers are normalised by layer norm learns with `MetaplasticAdam`. Nothing is
    announced: each `partial_fit` may hold a new task, a piece of an old one or both, and `predict` is not told which
    task a sample belongs to. No sample is kept. Predictions are those of the packed network, in integers for bytes.

    Args:
        hidden: Widths of the hidden layers; a number for a single one.
        metaplasticity: Strength m of the consolidation, from 0 (none), per unit of hidden weight, or one for each
            layer. Larger keeps more and learns less of what is new; the right one falls with the steps that a task
            takes.
        lr: Learning rate, in units of hidden weight.
        epochs: Passes of `fit` over its samples, >= 1.
        partial_epochs: Passes of each `partial_fit` over its samples, >= 1.
        batch_size: Samples per step at most, >= 1.
        consolidation: Consolidation function, or its name. The default lets no synapse become rigid, so that one m
            serves tasks of few steps and of many.
        scaling: What the network is shown of the features, or its name: see `Scaling`.
        outputs: Which outputs a call trains, or its name: see `TrainedOutputs`.
        engine: `plain`, `fast`, or None: the fast one, but where it has to be compiled plain until so much is learned
            that waiting for the compiler pays. It depends on the number of steps only, not on a clock.
        random_state: Seed, generator or None, as everywhere in scikit-learn.
        verbose: Whether to print the loss of every epoch.

    Attributes:
        classes_: `[classes]`: the labels.
        n_features_in_: Number of features.
        feature_names_in_: `[n_features_in_]`: their names, where they came with a data frame.
        scaling_: What is done with features, a `Scaling` other than `auto`.
        n_steps_: Steps that were made since the network was new.
        loss_: Mean loss of the last epoch's steps.

    Example:
        >>> from sklearn.datasets import load_digits
        >>> x, y = load_digits(return_X_y=True)
        >>> x = x.astype("uint8")  # bytes stay bytes
        >>> classifier = MetaplasticClassifier(hidden=(64,), partial_epochs=5, random_state=0)
        >>> for part in (slice(0, 900), slice(900, 1500)):
        ...     _ = classifier.partial_fit(x[part], y[part], classes=range(10))
        >>> classifier.score(x[1500:], y[1500:]) > 0.8
        True
        >>> packed = classifier.pack()
        >>> bool((packed.predict(x[1500:]) == classifier.predict(x[1500:])).all())
        True

    References:
        Laborieux et al. 2021, doi 10.1038/s41467-021-22768-y.

    Deviations from the paper: layer norm in the place of a batch norm kept per task, which would have to be told the
    task; no gain, offset or bias is trained; a fixed scale makes the logits; a power law consolidates by default.
    """

    classes_: np.ndarray
    n_features_in_: int
    scaling_: Scaling
    n_steps_: int
    loss_: float
    _features: Features
    _network: ContinualNetwork

    def __init__(
        self,
        hidden: Sequence[int] | int = (512, 512),
        *,
        metaplasticity: float | Sequence[float] = 20.0,
        lr: float = 5e-3,
        epochs: int = 20,
        partial_epochs: int = 1,
        batch_size: int = 50,
        consolidation: ConsolidationFunction | str = "power-law",
        scaling: Scaling | str = "auto",
        outputs: TrainedOutputs | str = "present",
        engine: Engine | str | None = None,
        random_state: Any = None,
        verbose: bool = False,
    ) -> None:
        self.hidden = hidden
        self.metaplasticity = metaplasticity
        self.lr = lr
        self.epochs = epochs
        self.partial_epochs = partial_epochs
        self.batch_size = batch_size
        self.consolidation = consolidation
        self.scaling = scaling
        self.outputs = outputs
        self.engine = engine
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X: Any, y: Any) -> "MetaplasticClassifier":  # noqa: N803
        """Begin anew, and learn samples.

        Args:
            X: `[samples, features]`: an array, a data frame or a tensor.
            y: `[samples]`: labels of at least two classes, numbers or strings.

        Returns:
            The classifier.

        Raises:
            ValueError: When there is one class only, or anything that scikit-learn does not take for a classifier.
        """
        X, y = self._validated(X, y, first=True)  # noqa: N806
        classes, labels = np.unique(y, return_inverse=True)
        features = Features.for_first(X, self.scaling)
        return self._learn(X, labels, classes, features, self._new_network(features, X, classes), self.epochs)

    def partial_fit(self, X: Any, y: Any, classes: Any = None) -> "MetaplasticClassifier":  # noqa: N803
        """Go on learning.

        Args:
            X: As for `fit`.
            y: `[samples]`: labels among the classes; any of them, also a single one.
            classes: All labels that will ever come; in the first call, and the same ones in others if given.

        Returns:
            The classifier.

        Raises:
            ValueError: When classes are missing in the first call or differ in another, when a label is not among them,
                or when the samples are not such as were learned before; nothing is learned then.
            NonFiniteLossError: When the loss diverges. The steps before it stay, as where a call is interrupted: copy
                a classifier that must not be lost.
        """
        first = not hasattr(self, "classes_")
        if first and classes is None:
            raise ValueError("classes must be passed on the first call to partial_fit: all labels that will ever come")
        X, y = self._validated(X, y, first=first)  # noqa: N806
        known = unique_labels(classes) if first else self.classes_
        if classes is not None and not np.array_equal(unique_labels(classes), known):
            raise ValueError(
                f"`classes={classes!r}` is not the same as on last call to partial_fit, was: {known!r}; leave it out, "
                "or begin anew with all classes"
            )
        labels = _as_outputs(y, known)
        features = Features.for_first(X, self.scaling) if first else self._features
        network = self._new_network(features, X, known) if first else self._network
        return self._learn(X, labels, known, features, network, self.partial_epochs)

    def predict(self, X: Any) -> np.ndarray:  # noqa: N803
        """Predict labels.

        Args:
            X: `[samples, features]`, as for `fit`.

        Returns:
            `[samples]`.
        """
        shown = self.network_input(X)
        return self.classes_[self._network.packed().predict(shown)]

    def predict_proba(self, X: Any) -> np.ndarray:  # noqa: N803
        """Predict the probability of each class.

        Args:
            X: `[samples, features]`, as for `fit`.

        Returns:
            `[samples, classes]`, in the order of `classes_`: the softmax of the logits.
        """
        shown = self.network_input(X)
        return self._network.packed().predict_proba(shown)

    def pack(self) -> PackedNetwork:
        """Give the network of one bit a weight that makes the predictions.

        Returns:
            A network that takes what `network_input` gives and predicts positions in `classes_`; bytes it takes as they
            are. It is immutable, so it stays as it is when more is learned.
        """
        check_is_fitted(self)
        return self._network.packed()

    def network_input(self, X: Any) -> np.ndarray:  # noqa: N803
        """Show features as the network takes them, to call the packed network.

        Args:
            X: `[samples, features]`, as for `fit`.

        Returns:
            Bytes as they are; real features scaled by the statistics of what was learned so far, with the six constant
            inputs behind them, float64.
        """
        check_is_fitted(self)
        return self._features.shown(self._validated(X, first=False))

    def __sklearn_is_fitted__(self) -> bool:
        """Tell whether something was learned; names of features are known before."""
        return hasattr(self, "classes_")

    def _validated(self, x: Any, y: Any = "no_validation", *, first: bool) -> Any:
        """Check samples by scikit-learn's rules, and labels where there are any."""
        if isinstance(y, str):
            return validate_data(self, _array(x), reset=first)
        x, y = validate_data(self, _array(x), _array(y), reset=first)
        check_classification_targets(y)
        return x, column_or_1d(y)

    def _new_network(self, features: Features, x: np.ndarray, classes: np.ndarray) -> ContinualNetwork:
        if len(classes) < 2:
            raise ValueError(
                f"expected at least two classes, got 1 class: {classes.tolist()}; there is nothing to learn"
            )
        hidden = np.atleast_1d(self.hidden).tolist()
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        sizes = (features.inputs(x.shape[1]), *hidden, len(classes))
        return ContinualNetwork(sizes, features.scaling is Scaling.BYTES, seed)

    def _learn(
        self,
        x: np.ndarray,
        labels: np.ndarray,
        classes: np.ndarray,
        features: Features,
        network: ContinualNetwork,
        epochs: int,
    ) -> "MetaplasticClassifier":
        lesson = Lesson(
            epochs=operator.index(epochs),
            batch_size=operator.index(self.batch_size),
            lr=self.lr,
            metaplasticity=self.metaplasticity,
            consolidation=self.consolidation,
            outputs=choose(TrainedOutputs, self.outputs, "outputs"),
            engine=None if self.engine is None else choose(Engine, self.engine),
            verbose=bool(self.verbose),
        )
        features = features.after(x)
        self.loss_ = network.learn(features.shown(x), labels, lesson)
        self.classes_, self.scaling_, self.n_steps_ = classes, features.scaling, network.steps
        self._features, self._network = features, network
        return self


def _array(values: Any) -> Any:
    """Take a tensor as an array; scikit-learn knows the rest."""
    return values.detach().cpu().numpy() if isinstance(values, torch.Tensor) else values


def _as_outputs(y: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Turn labels into positions among the classes."""
    unseen = np.setdiff1d(y, classes)
    if len(unseen):
        raise ValueError(
            f"The target label(s) {unseen} in y do not exist in the initial classes {classes}; name all classes in the "
            "first call to partial_fit"
        )
    return np.searchsorted(classes, y)
