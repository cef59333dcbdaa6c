"""Methods against one of them, over the same seeds."""

import numpy as np

from metaplastic.evaluation import MOST_PAIRS, paired_permutation_test, summary
from metaplastic.report.groups import Comparison, Group
from metaplastic.report.table import NOTHING

_NOTES = (
    "Average accuracy over the tasks in %, mean and standard deviation between seeds; forgetting in percentage points.",
    "p: exact paired permutation test over common seeds, two-sided, all 2^n sign flips, not corrected for the number "
    "of methods. With n seeds no p is below 2 / 2^n: with 5 seeds 1/16 = 0.0625.",
)


def paired_rows(comparison: Comparison, reference: str) -> list[list[str]]:
    """Compute a table of methods, each against one of them.

    Args:
        comparison: A group per method.
        reference: Label of the group that the others are tested against; without it nothing is tested.

    Returns:
        A header, then a row per group; `-` where a number does not exist, or p is not computed.
    """
    other = _labelled(comparison, reference)
    header = ["method", "seeds", "average", "sd", "forgetting", f"minus {reference}", "p", "common seeds"]
    return [
        header,
        *([group.label, str(len(group.runs)), *_spread(group), *_against(group, other)] for group in comparison.groups),
    ]


def paired_notes(comparison: Comparison, reference: str) -> tuple[str, ...]:
    """Say what the rows of `paired_rows` hold.

    Args:
        comparison: A group per method.
        reference: Label of the group that the others are tested against.

    Returns:
        Sentences; the last says where p is not computed, if it is not somewhere.
    """
    other = _labelled(comparison, reference)
    many = [
        group.label
        for group in comparison.groups
        if other is not None and group is not other and len(_common(group, other)) > MOST_PAIRS
    ]
    untested = f"p is not computed over more than {MOST_PAIRS} common seeds, whose sign flips are too many"
    return (*_NOTES, *([f"{untested}: {'; '.join(many)}."] if many else []))


def _labelled(comparison: Comparison, label: str) -> Group | None:
    return next((group for group in comparison.groups if group.label == label), None)


def _spread(group: Group) -> list[str]:
    values = 100 * np.array(list(_by_seed(group).values()))
    lost = [summary(run.matrix)["forgetting"].value for run in group.runs]
    forgotten = [100 * value for value in lost if value is not None]
    return [
        f"{values.mean():.1f}",
        f"{values.std(ddof=1):.1f}" if len(values) > 1 else NOTHING,
        f"{np.mean(forgotten):.1f}" if forgotten else NOTHING,
    ]


def _against(group: Group, other: Group | None) -> list[str]:
    if other is None or other is group or not (group.complete and other.complete):
        return [NOTHING] * 3
    pairs = _common(group, other)
    if not pairs:
        return [NOTHING, NOTHING, "0"]
    difference = np.mean([ours - theirs for ours, theirs in pairs])
    p = f"{paired_permutation_test(*zip(*pairs, strict=True)).p_value:.4g}" if len(pairs) <= MOST_PAIRS else NOTHING
    return [f"{100 * difference:+.1f}", p, str(len(pairs))]


def _common(group: Group, other: Group) -> list[tuple[float, float]]:
    """Average accuracies in [0, 1] of the seeds that both have, in pairs."""
    ours, theirs = _by_seed(group), _by_seed(other)
    return [(ours[seed], theirs[seed]) for seed in ours if seed in theirs]


def _by_seed(group: Group) -> dict[int, float]:
    """Average accuracy in [0, 1] by seed."""
    found = {run.config.seed: summary(run.matrix)["average_accuracy"].value for run in group.runs}
    return {seed: value for seed, value in found.items() if value is not None}
