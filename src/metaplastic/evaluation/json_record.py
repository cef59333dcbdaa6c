"""Results of measurements as plain JSON, and back."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, TypeVar

Kind = TypeVar("Kind", bound="JsonRecord")


@dataclass(frozen=True)
class JsonRecord:
    """A frozen result whose fields are numbers and tuples of numbers.

    Example:
        >>> @dataclass(frozen=True)
        ... class Pair(JsonRecord):
        ...     values: tuple[float, ...]
        >>> Pair((1.0, 2.0)).as_json()
        {'values': [1.0, 2.0]}
        >>> Pair.from_json({"values": [1.0, 2.0]})
        Pair(values=(1.0, 2.0))
    """

    def as_json(self) -> dict[str, Any]:
        """Return the fields as what `json` writes and reads back equal; nothing is rounded."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}

    @classmethod
    def from_json(cls: type[Kind], plain: Mapping[str, Any]) -> Kind:
        """Make the result from its fields.

        Args:
            plain: What `as_json` returned.

        Returns:
            An equal result.

        Raises:
            ValueError: When the fields are others.
        """
        names = [field.name for field in fields(cls)]
        if set(plain) != set(names):
            raise ValueError(
                f"expected the fields {names} of a {cls.__name__}, got {list(plain)}; give what as_json returned"
            )
        return cls(**{name: tuple(value) if isinstance(value, list) else value for name, value in plain.items()})
