"""The presets by name."""

import inspect
from collections.abc import Callable

from metaplastic.choices import unknown
from metaplastic.experiments.config import Config
from metaplastic.experiments.presets import digits, fashion_stream, mnist_fashion, permuted_mnist, split_mnist

PRESETS: dict[str, Callable[[], Config]] = {
    "permuted-digits": digits.permuted_digits,
    "permuted-mnist": permuted_mnist.permuted_mnist,
    "permuted-mnist-unannounced": permuted_mnist.permuted_mnist_unannounced,
    "mnist-fashion": mnist_fashion.mnist_fashion,
    "split-mnist": split_mnist.split_mnist,
    "fashion-stream": fashion_stream.fashion_stream,
}
"""Every preset, by the name that the command line knows it by."""


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
        raise ValueError(unknown("preset", name, PRESETS))
    return PRESETS[name]()


def description(name: str) -> str:
    """Say in a line what a preset shows.

    Args:
        name: Name of a preset.

    Returns:
        First line of its docstring.
    """
    return (inspect.getdoc(PRESETS[name]) or "").splitlines()[0]
