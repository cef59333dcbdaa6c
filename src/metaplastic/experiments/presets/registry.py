"""The presets by name."""

import inspect
from collections.abc import Callable

from metaplastic.choices import unknown
from metaplastic.experiments.config import Config
from metaplastic.experiments.presets import (
    digits,
    fashion_stream,
    figure1,
    figure2,
    figure3,
    figure4,
    figure5,
    figure6,
    mnist_fashion,
    permuted_mnist,
    split_mnist,
    supplement,
    table1,
    verification,
)
from metaplastic.experiments.presets.published import DEVIATIONS
from metaplastic.experiments.study import Size, Study

PRESETS: dict[str, Callable[[], Config]] = {
    "permuted-digits": digits.permuted_digits,
    "permuted-mnist": permuted_mnist.permuted_mnist,
    "permuted-mnist-unannounced": permuted_mnist.permuted_mnist_unannounced,
    "mnist-fashion": mnist_fashion.mnist_fashion,
    "split-mnist": split_mnist.split_mnist,
    "fashion-stream": fashion_stream.fashion_stream,
}
"""Every preset, by the name that the command line knows it by."""

STUDIES: dict[str, Callable[[Size], Study]] = {
    "fig1": figure1.figure_1,
    "fig2": figure2.figure_2,
    "fig2f": figure2.figure_2f,
    "table1": table1.table_1,
    "fig3": figure3.figure_3,
    "fig4ab": figure4.figure_4ab,
    "fig4ab-reversed": figure4.figure_4ab_reversed,
    "fig4cd": figure4.figure_4cd,
    "fig4ef": figure4.figure_4ef,
    "fig4gh": figure4.figure_4gh,
    "fig5-fashion": figure5.figure_5_fashion,
    "fig5-cifar": figure5.figure_5_cifar,
    "fig6ab": figure6.figure_6ab,
    "fig6ce": figure6.figure_6ce,
    "supplement": supplement.supplement,
    "real-check": verification.real_valued_check,
    "width": verification.width_and_normalization,
    "width-decay": verification.width_and_weight_decay,
}
"""The figures and tables of the paper, and the checks beside them, by the name that the command line knows them by."""


def study(name: str, size: Size = Size.LAPTOP) -> Study:
    """Make a study.

    Args:
        name: Its name.
        size: How large its runs are.

    Returns:
        The study.

    Raises:
        ValueError: When there is none of that name, with the nearest one.

    Example:
        >>> list(study("fig2").panels)
        ['a', 'b', 'c', 'd']
    """
    if name not in STUDIES:
        raise ValueError(unknown("study", name, STUDIES))
    return STUDIES[name](size)


def preset(name: str) -> Config:
    """Make the configuration of a preset.

    Args:
        name: Its name.

    Returns:
        The configuration.

    Raises:
        ValueError: When there is none of that name, with the nearest one.

    Example:
        >>> preset("permuted-digits").scenario.data
        'digits'
    """
    if name not in PRESETS:
        raise ValueError(unknown("preset", name, [*PRESETS, *STUDIES]))
    return PRESETS[name]()


def description(name: str) -> str:
    """Say in a line what a preset or a study shows.

    Args:
        name: Name of a preset or a study.

    Returns:
        First line of its docstring.
    """
    return _docstring(name).splitlines()[0]


def claim(name: str) -> str:
    """Say what a preset or a study is to show, and how it differs from the paper.

    Args:
        name: Name of a preset or a study.

    Returns:
        The paragraph of its docstring that begins with "Claim", in one line.

    Example:
        >>> claim("fig6ab")[:20]
        'Claim (Fig. 6a, b): '
    """
    return next((text for text in _paragraphs(name) if text.startswith("Claim")), "")


def explanation(name: str) -> str:
    """Say all that is said of a preset or a study: what it shows, its claim, what to expect, and how to run it.

    Where it counts deviations of all studies among its own, these are said too.

    Args:
        name: Name of a preset or a study.

    Returns:
        The paragraphs of its docstring, a line for each and a blank one between them.

    Example:
        >>> explanation("fig6ab").splitlines()[-1][:35]
        'Command: `metaplastic run fig6ab --'
    """
    paragraphs = _paragraphs(name)
    if any("those of all studies" in text for text in paragraphs):
        paragraphs.insert(-2, f"Deviations of all studies: {DEVIATIONS}.")
    return "\n\n".join(paragraphs)


def _paragraphs(name: str) -> list[str]:
    return [" ".join(text.split()) for text in _docstring(name).split("\n\n")]


def _docstring(name: str) -> str:
    found: Callable[..., object] = PRESETS[name] if name in PRESETS else STUDIES[name]
    return inspect.getdoc(found) or ""
