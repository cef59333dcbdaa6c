"""What files of features are called, so that what makes them and what looks for them agree."""

from itertools import product

from metaplastic.data import catalogue


def feature_file(name: str, authors: bool = False) -> str:
    """Name the file of a data set's ResNet-18 features.

    Args:
        name: Name of the data set.
        authors: Whether the features are made by the recipe of the paper's code, see `AUTHORS`.

    Returns:
        The file's name, without a folder.

    Example:
        >>> feature_file("cifar-10"), feature_file("cifar-10", authors=True)
        ('cifar-10-resnet18.npz', 'cifar-10-resnet18-authors.npz')
    """
    return f"{name}-resnet18{'-authors' if authors else ''}.npz"


def command_for(file: str) -> str | None:
    """Tell by which command a file of features is made.

    Args:
        file: Name of a file, without a folder.

    Returns:
        The command, or None where the file is not one of features of a set of color images in the catalogue.

    Example:
        >>> command_for("cifar-100-resnet18-authors.npz")
        'metaplastic data features cifar-100 --authors'
        >>> command_for("mine.npz")
    """
    colored = (name for name, entry in catalogue.CATALOGUE.items() if len(entry.image_shape) == 3)
    for name, authors in product(colored, (False, True)):
        if file == feature_file(name, authors):
            return f"metaplastic data features {name}{' --authors' if authors else ''}"
    return None
