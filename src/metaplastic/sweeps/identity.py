"""What a run is called: by what is run, so that the same run has the same name everywhere."""

import dataclasses
import hashlib
import json
from typing import Any

from metaplastic.experiments import Config

_LETTERS = 16


def run_id(config: Config) -> str:
    """Name a run by a hash of its configuration, seed included.

    Fields that have the default of their class are left out, so a field that a later version adds leaves the names of
    earlier runs as they are.

    Args:
        config: What is run.

    Returns:
        Sixteen hexadecimal digits, the same in every process and on every machine.

    Example:
        >>> run_id(Config())
        '99d4a70f57366549'
        >>> run_id(Config(seed=1)) == run_id(Config())
        False
    """
    said = json.dumps(_differing(config), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(said.encode()).hexdigest()[:_LETTERS]


def _differing(value: Any) -> dict[str, Any]:
    """The fields of a frozen value that do not have the default of its class, as JSON values."""
    found: dict[str, Any] = {}
    for field in dataclasses.fields(value):
        inner = getattr(value, field.name)
        if dataclasses.is_dataclass(inner):
            # A scenario may be of several classes, which tell themselves apart by nothing but their names.
            kind = {"kind": type(inner).__name__.lower()} if field.name == "scenario" else {}
            if said := kind | _differing(inner):
                found[field.name] = said
        elif inner != field.default:
            found[field.name] = inner
    return found
