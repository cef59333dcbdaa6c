"""What is searched: fields of the configuration, and where their values are drawn from."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from metaplastic.sweeps.axis import parse_values
from metaplastic.sweeps.optional import require

if TYPE_CHECKING:
    import optuna

SPELLINGS = "FIELD=log:LOW:HIGH, FIELD=float:LOW:HIGH, FIELD=int:LOW:HIGH or FIELD=VALUE,VALUE,..."
"""How a search is written on the command line."""


@dataclass(frozen=True)
class Between:
    """Numbers between two.

    Args:
        low: The least.
        high: The largest, > low.
        log: Whether their logarithm is drawn evenly; low must be > 0 then.
        whole: Whether they are whole numbers.

    Raises:
        ValueError: When there is nothing between the two.
    """

    low: float
    high: float
    log: bool = False
    whole: bool = False

    def __post_init__(self) -> None:
        if not self.low < self.high or (self.log and not self.low > 0):
            least = "0 < LOW < HIGH" if self.log else "LOW < HIGH"
            raise ValueError(f"expected {least} to search between, got {self.low:g} and {self.high:g}")

    def distribution(self) -> "optuna.distributions.BaseDistribution":
        """Give what Optuna draws from."""
        kinds = require("optuna.distributions", "tune")
        if self.whole:
            return kinds.IntDistribution(int(self.low), int(self.high), log=self.log)
        return kinds.FloatDistribution(self.low, self.high, log=self.log)

    def value(self, drawn: Any) -> Any:
        """Give the JSON value of what Optuna drew."""
        return drawn


@dataclass(frozen=True)
class Among:
    """Some values, in no order.

    Args:
        values: JSON values.
    """

    values: tuple[Any, ...]

    def distribution(self) -> "optuna.distributions.BaseDistribution":
        """Give what Optuna draws from: texts, because it takes no lists."""
        kinds = require("optuna.distributions", "tune")
        return kinds.CategoricalDistribution([json.dumps(value) for value in self.values])

    def value(self, drawn: Any) -> Any:
        """Give the JSON value of what Optuna drew."""
        return json.loads(drawn)


Space = Mapping[str, Between | Among]
"""Name of a field to where its values are drawn from."""


def parse_search(text: str) -> tuple[str, Between | Among]:
    """Read what is searched as the command line has it.

    Args:
        text: The field and where its values are drawn from.

    Returns:
        Both.

    Raises:
        ValueError: When it is written otherwise.

    Example:
        >>> parse_search("metaplasticity=log:0.5:20")
        ('metaplasticity', Between(low=0.5, high=20.0, log=True, whole=False))
        >>> parse_search("method=finetune,joint")
        ('method', Among(values=('finetune', 'joint')))
    """
    field, _, values = text.partition("=")
    kind, *ends = values.split(":")
    if not (field and values):
        raise ValueError(f"expected {SPELLINGS}, got {text!r}")
    if kind not in ("log", "float", "int"):
        return field, Among(tuple(parse_values(values)))
    try:
        low, high = map(int if kind == "int" else float, ends)
    except ValueError as error:
        raise ValueError(f"expected {SPELLINGS}, got {text!r}") from error
    return field, Between(low, high, kind == "log", kind == "int")
