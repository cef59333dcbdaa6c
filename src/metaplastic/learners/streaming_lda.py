"""Streaming linear discriminant analysis: class means, and one covariance for all classes."""

from typing import Any

import torch
from jaxtyping import Float, Int64, Shaped
from torch import Tensor, nn

from metaplastic.learners.nearest_mean import Counts, Means, class_means, merged_means, never_seen, require_samples

Scatter = Float[Tensor, "features features"]


def within_scatter(
    inputs: Float[Tensor, "batch features"],
    labels: Int64[Tensor, " batch"],
    counts: Counts,
    means: Means,
    new_counts: Counts,
    new_means: Means,
) -> Scatter:
    r"""Find by how much some samples increase the scatter around the class means.

    .. math:: \Delta S = \sum_i (x_i - \mu^b_{y_i})(x_i - \mu^b_{y_i})^T
              + \sum_k \frac{n^a_k n^b_k}{n^a_k + n^b_k} (\mu^b_k - \mu^a_k)(\mu^b_k - \mu^a_k)^T

    :math:`x_i` and :math:`y_i` are `inputs` and `labels`, :math:`n^a`, :math:`\mu^a` what was seen before (`counts`,
    `means`) and :math:`n^b`, :math:`\mu^b` the samples' own (`new_counts`, `new_means`).

    Args:
        inputs: `[batch, features]`.
        labels: `[batch]`: the class of each.
        counts: `[classes]`: samples of each class seen before.
        means: `[classes, features]`: their means.
        new_counts: `[classes]`: samples of each class in the batch.
        new_means: `[classes, features]`: their means.

    Returns:
        `[features, features]`, symmetric.

    References:
        Chan, Golub and LeVeque 1983, The American Statistician 37:242.
    """
    weight = (counts * new_counts).to(means.dtype) / (counts + new_counts).clamp(min=1)
    spread = torch.cat([inputs - new_means[labels], weight.sqrt()[:, None] * (new_means - means)])
    return spread.T @ spread


def discriminant(means: Means, covariance: Scatter, shrinkage: float) -> tuple[Means, Float[Tensor, " classes"]]:
    r"""Find the linear classifier of classes that are clouds of one shape.

    .. math:: w_k = \Lambda \mu_k, \quad b_k = -\tfrac{1}{2} \mu_k \cdot w_k,
              \quad \Lambda = [(1 - \epsilon) \Sigma + \epsilon I]^{-1}

    :math:`\mu` is `means`, :math:`\Sigma` `covariance` and :math:`\epsilon` `shrinkage`.

    Args:
        means: `[classes, features]`.
        covariance: `[features, features]`, within classes.
        shrinkage: In (0, 1]; in units of variance of the features.

    Returns:
        Weights `[classes, features]` and offsets `[classes]`.
    """
    shrunk = (1 - shrinkage) * covariance
    shrunk.diagonal().add_(shrinkage)
    weight = torch.cholesky_solve(means.T, torch.linalg.cholesky(shrunk)).T
    return weight, -(weight * means).sum(1) / 2


class StreamingLDA(nn.Module):
    r"""Linear discriminant analysis on samples that come one after the other.

    .. math:: \mathrm{logit}_k = w_k \cdot x + b_k

    with :math:`w` and :math:`b` of `discriminant`, :math:`\mu_k` the mean of class k (`means[k]`) and :math:`\Sigma`
    the covariance around the class means: `scatter` divided by the number of samples. All classes are taken to be
    equally frequent. Whitening is what this adds to `NearestMean`, to which it comes down at `shrinkage` 1.

    Means and scatter are exact: they depend neither on the order of the samples nor on how they were cut into batches,
    so what is learned in parts is what would have been learned at once. The state is in buffers, `features**2` numbers
    for the scatter. The linear classifier is computed when it is first needed after samples were taken in.

    Args:
        features: Number of features of a sample, >= 1; inputs are flattened.
        classes: Number of classes that will ever come, >= 1.
        shrinkage: Share of the identity in the covariance, in (0, 1].
        dtype: What is computed in.

    Raises:
        ValueError: When the shrinkage is out of range.

    Example:
        >>> x = torch.tensor([[0.0, 0.0], [9.0, 1.0], [0.0, 2.0], [9.0, 3.0]])
        >>> classifier = StreamingLDA(features=2, classes=2)
        >>> classifier.observe(x, torch.tensor([0, 0, 1, 1]))
        >>> classifier(torch.tensor([[9.0, 1.2], [0.0, 1.8]])).argmax(1).tolist()
        [0, 1]

    References:
        Hayes and Kanan 2020, "Lifelong machine learning with deep streaming linear discriminant analysis", arXiv
        1909.01520.

    Deviations from the paper and from the authors' code: there a sample's outer product enters the covariance with the
    weight t / (t + 1), where t counts the samples of all classes; here t counts those of its class, which makes the
    covariance exact whatever the order. There is no base initialisation, and no pseudo-inverse: with a shrinkage above
    0 the covariance has an inverse.
    """

    counts: Tensor
    means: Tensor
    scatter: Tensor
    weight: Tensor | None
    offset: Tensor | None

    def __init__(
        self, features: int, classes: int, shrinkage: float = 1e-4, dtype: torch.dtype = torch.float64
    ) -> None:
        super().__init__()
        if not 0 < shrinkage <= 1:
            raise ValueError(f"expected a shrinkage in (0, 1], got {shrinkage}; the paper uses 1e-4")
        self.shrinkage = shrinkage
        self.register_buffer("counts", torch.zeros(classes, dtype=torch.int64))
        self.register_buffer("means", torch.zeros(classes, features, dtype=dtype))
        self.register_buffer("scatter", torch.zeros(features, features, dtype=dtype))
        self._forget_classifier()

    def _forget_classifier(self) -> None:
        self.register_buffer("weight", None, persistent=False)
        self.register_buffer("offset", None, persistent=False)

    @torch.no_grad()
    def observe(self, inputs: Shaped[Tensor, "batch ..."], labels: Int64[Tensor, " batch"]) -> None:
        """Take in some samples.

        Args:
            inputs: `[batch, ...]`, flattened.
            labels: `[batch]`: the class of each, from 0.

        Raises:
            ValueError: When the samples do not fit or are not finite; nothing is taken in then.
        """
        inputs = inputs.flatten(1).to(self.means.dtype)
        require_samples(inputs, labels, self.means)
        new = class_means(inputs, labels, len(self.counts))
        self.scatter.add_(within_scatter(inputs, labels, self.counts, self.means, *new))
        counts, means = merged_means(self.counts, self.means, *new)
        self.counts.copy_(counts)
        self.means.copy_(means)
        self._forget_classifier()

    def forward(self, x: Shaped[Tensor, "batch ..."]) -> Float[Tensor, "batch classes"]:
        """Compute the logits.

        Args:
            x: `[batch, ...]`, flattened.

        Returns:
            `[batch, classes]`, minus infinity for classes of which no sample was seen.
        """
        weight, offset = self._classifier()
        return never_seen(x.flatten(1).to(weight.dtype) @ weight.T + offset, self.counts)

    def _classifier(self) -> tuple[Tensor, Tensor]:
        if self.weight is None or self.offset is None:
            covariance = self.scatter / self.counts.sum().clamp(min=1)
            self.weight, self.offset = discriminant(self.means, covariance, self.shrinkage)
        return self.weight, self.offset

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        self._forget_classifier()
        super()._load_from_state_dict(state_dict, prefix, *rest)

    def extra_repr(self) -> str:
        """Show the sizes and the shrinkage."""
        return f"{self.means.shape[1]}, {self.means.shape[0]}, shrinkage={self.shrinkage}"
