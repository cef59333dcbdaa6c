"""Nearest class mean: count, average, compare."""

import torch
from jaxtyping import Float, Int64, Shaped
from torch import Tensor, nn

Means = Float[Tensor, "classes features"]
Counts = Int64[Tensor, " classes"]


def class_means(
    inputs: Float[Tensor, "batch features"], labels: Int64[Tensor, " batch"], classes: int
) -> tuple[Counts, Means]:
    """Average the samples of each class.

    Args:
        inputs: `[batch, features]`.
        labels: `[batch]`: the class of each, from 0.
        classes: Number of classes.

    Returns:
        `[classes]` numbers of samples and `[classes, features]` means; 0 for a class without samples.
    """
    counts = torch.bincount(labels, minlength=classes)
    sums = inputs.new_zeros(classes, inputs.shape[1]).index_add_(0, labels, inputs)
    return counts, sums / counts.clamp(min=1)[:, None]


def merged_means(counts: Counts, means: Means, new_counts: Counts, new_means: Means) -> tuple[Counts, Means]:
    r"""Put the means of two sets of samples together, class by class.

    .. math:: \mu = \mu_a + \frac{n_b}{n_a + n_b} (\mu_b - \mu_a), \quad n = n_a + n_b

    :math:`n_a`, :math:`\mu_a` are `counts` and `means`, :math:`n_b`, :math:`\mu_b` are `new_counts` and `new_means`.

    Args:
        counts: `[classes]`: samples of each class in the first set.
        means: `[classes, features]`: their means.
        new_counts: `[classes]`: samples of each class in the second set.
        new_means: `[classes, features]`: their means.

    Returns:
        Counts and means of both sets together.

    References:
        Chan, Golub and LeVeque 1983, The American Statistician 37:242.
    """
    total = counts + new_counts
    share = new_counts.to(means.dtype) / total.clamp(min=1)
    return total, means + share[:, None] * (new_means - means)


def require_samples(inputs: Tensor, labels: Tensor, means: Tensor) -> None:
    """Fail on samples that running statistics must not take in, for they could never be taken out again.

    Args:
        inputs: `[batch, features]`.
        labels: `[batch]`.
        means: `[classes, features]`: what they would be added to.

    Raises:
        ValueError: When the samples have another number of features, a label is not a class, or a number is not finite.
    """
    classes, features = means.shape
    if inputs.shape[1] != features:
        raise ValueError(f"expected inputs of {features} features, got {inputs.shape[1]}; reshape them")
    outside = labels[(labels < 0) | (labels >= classes)]
    if len(outside):
        raise ValueError(
            f"expected labels from 0 to {classes - 1}, got {int(outside[0])}; make the classifier for all classes that "
            "will ever come"
        )
    if not bool(inputs.isfinite().all()):
        raise ValueError("expected finite inputs, got some that are not; remove such samples")


def never_seen(logits: Float[Tensor, "batch classes"], counts: Counts) -> Float[Tensor, "batch classes"]:
    """Give classes without samples the logit minus infinity: they are never the answer.

    Args:
        logits: `[batch, classes]`.
        counts: `[classes]`: samples seen of each class.

    Returns:
        `[batch, classes]`.
    """
    return logits.masked_fill(counts == 0, -torch.inf)


class NearestMean(nn.Module):
    r"""Answer with the class whose mean is nearest.

    .. math:: \mathrm{logit}_k = \mu_k \cdot x - \tfrac{1}{2} \lVert \mu_k \rVert^2
              = -\tfrac{1}{2} \lVert x - \mu_k \rVert^2 + \tfrac{1}{2} \lVert x \rVert^2

    :math:`\mu_k` is `means[k]`, the mean of all samples of class k that were observed. The softmax of the logits is the
    probability of the classes if each were a cloud of unit variance, all equally frequent.

    The means are exact: they depend neither on the order of the samples nor on how they were cut into batches, so there
    is nothing that could be forgotten. The state is in buffers, one mean and one count per class.

    Args:
        features: Number of features of a sample, >= 1; inputs are flattened.
        classes: Number of classes that will ever come, >= 1.
        dtype: What is computed in.

    Example:
        >>> classifier = NearestMean(features=1, classes=3)
        >>> classifier.observe(torch.tensor([[0.0], [2.0], [7.0]]), torch.tensor([0, 0, 1]))
        >>> classifier(torch.tensor([[3.0], [5.0]])).argmax(1).tolist()
        [0, 1]

    References:
        Mensink et al. 2013, IEEE TPAMI 35:2624; as a baseline of class-incremental learning: Rebuffi et al. 2017,
        arXiv 1611.07725.
    """

    counts: Tensor
    means: Tensor

    def __init__(self, features: int, classes: int, dtype: torch.dtype = torch.float64) -> None:
        super().__init__()
        self.register_buffer("counts", torch.zeros(classes, dtype=torch.int64))
        self.register_buffer("means", torch.zeros(classes, features, dtype=dtype))

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
        counts, means = merged_means(self.counts, self.means, *class_means(inputs, labels, len(self.counts)))
        self.counts.copy_(counts)
        self.means.copy_(means)

    def forward(self, x: Shaped[Tensor, "batch ..."]) -> Float[Tensor, "batch classes"]:
        """Compute the logits.

        Args:
            x: `[batch, ...]`, flattened.

        Returns:
            `[batch, classes]`, minus infinity for classes of which no sample was seen.
        """
        x = x.flatten(1).to(self.means.dtype)
        logits = x @ self.means.T - self.means.square().sum(1) / 2
        return never_seen(logits, self.counts)

    def extra_repr(self) -> str:
        """Show the sizes."""
        return f"{self.means.shape[1]}, {self.means.shape[0]}"
