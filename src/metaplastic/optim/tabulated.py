"""A consolidation function measured on a device: a table of states and relative steps."""

import csv
import functools
import math
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float, Int64
from torch import Tensor

HEADER = ("state", "relative_step")


@dataclass(frozen=True)
class Tabulated:
    """A measured consolidation function, linear between its points.

        f(m, W) = interpolation of relative_steps at x = m |W|        m: metaplasticity, W: hidden

    The state x has no unit: the metaplasticity says how much state one unit of hidden weight is worth. Beyond the last
    point the last relative step is held. The curve need not fall monotonically, since measured ones rarely do.

    Args:
        states: States at which the step was measured, strictly increasing from 0, at least two.
        relative_steps: Size of a weakening step at each state relative to the one at state 0: the first is 1, all are
            in [0, 1].

    Raises:
        ValueError: When the points are not such a curve, naming the first that is wrong.

    Example:
        >>> curve = Tabulated(states=(0.0, 1.0, 3.0), relative_steps=(1.0, 0.5, 0.0))
        >>> curve(torch.tensor([0.0, -0.5, 2.0, 10.0]), 1.0).tolist()
        [1.0, 0.75, 0.25, 0.0]

    Deviation from the paper and the authors' code: not in either.
    """

    states: tuple[float, ...]
    relative_steps: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.states) != len(self.relative_steps):
            raise ValueError(
                f"expected one relative step per state, got {len(self.states)} states and "
                f"{len(self.relative_steps)} relative steps; check the columns of the measurement"
            )
        problem = _first_problem(self.states, self.relative_steps)
        if problem is not None:
            position, text = problem
            raise ValueError(f"point {position}: {text}")

    def __call__(self, hidden: Float[Tensor, "..."], metaplasticity: float) -> Float[Tensor, "..."]:
        """Give one factor per hidden weight."""
        states, steps, slopes = _tables(self, hidden.dtype, hidden.device)
        state = hidden.abs().mul_(metaplasticity).clamp(max=self.states[-1])
        segment = _segment(state, states)
        # The slope of a very short segment may round above its end points, hence the last clamp.
        return (steps[segment] + slopes[segment] * (state - states[segment])).clamp(0.0, 1.0)

    @classmethod
    def from_csv(cls, path: Path | str) -> "Tabulated":
        r"""Read a measured curve.

        The file has the columns `state` and `relative_step`, named in its first line, and one point per line.

        Args:
            path: A CSV file.

        Returns:
            The curve.

        Raises:
            FileNotFoundError: When there is no such file.
            ValueError: When the file is not such a table, naming the line.

        Example:
            >>> import tempfile
            >>> path = Path(tempfile.mkdtemp()) / "device.csv"
            >>> _ = path.write_text("state,relative_step\n0,1\n2,0.25\n")
            >>> Tabulated.from_csv(path)
            Tabulated(states=(0.0, 2.0), relative_steps=(1.0, 0.25))
        """
        path = Path(path)
        lines, points = _read_points(path)
        states = tuple(state for state, _ in points)
        steps = tuple(step for _, step in points)
        problem = _first_problem(states, steps)
        if problem is not None:
            position, text = problem
            raise ValueError(f"{path}, line {lines[position] if lines else 1}: {text}")
        return cls(states, steps)


def _first_problem(states: tuple[float, ...], steps: tuple[float, ...]) -> tuple[int, str] | None:
    """Find the first point that cannot belong to a consolidation curve, and say what is wrong with it."""
    for position, (state, step) in enumerate(zip(states, steps, strict=True)):
        if position == 0 and state != 0:
            return position, f"expected the first state to be 0, got {state}; shift the states so that rest is 0"
        if position > 0 and not (math.isfinite(state) and state > states[position - 1]):
            return position, (
                f"expected states to increase strictly, got {state} after {states[position - 1]}; "
                "sort the points and average repeated ones"
            )
        if not 0 <= step <= 1:
            return position, f"expected a relative step in [0, 1], got {step}; divide by the step at state 0"
        if position == 0 and step != 1:
            return position, f"expected a relative step of 1 at state 0, got {step}; divide all steps by the first"
    if len(states) < 2:
        return max(0, len(states) - 1), f"expected at least 2 points, got {len(states)}; measure one more state"
    return None


def _read_points(path: Path) -> tuple[list[int], list[tuple[float, float]]]:
    """Read the numbers of a table and the line each point stands on; blank lines are skipped."""
    if not path.is_file():
        raise FileNotFoundError(f"expected a CSV file with the columns {', '.join(HEADER)}, got no file at {path}")
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.reader(file)
        rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader if "".join(row).strip()]
    if not rows:
        raise ValueError(f"{path}: expected a header and at least 2 points, got an empty file; export the curve again")
    line, header = rows[0]
    if tuple(name.lower().replace(" ", "_") for name in header) != HEADER:
        raise ValueError(
            f"{path}, line {line}: expected the header {','.join(HEADER)!r}, got {','.join(header)!r}; "
            "put the names of the two columns first"
        )
    return [line for line, _ in rows[1:]], [_numbers(path, line, row) for line, row in rows[1:]]


def _numbers(path: Path, line: int, row: list[str]) -> tuple[float, float]:
    try:
        state, step = map(float, row)
    except ValueError:
        raise ValueError(
            f"{path}, line {line}: expected two numbers, got {','.join(row)!r}; "
            "write each point as state,relative step with a decimal point"
        ) from None
    return state, step


# Copying to a device waits for it, so the tables of a curve are built once per dtype and device.
@functools.lru_cache(maxsize=16)
def _tables(curve: Tabulated, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Give the states, the relative steps and the slope of the segment after each point (0 after the last)."""
    states, steps = curve.states, curve.relative_steps
    rises = ((steps[i + 1] - steps[i]) / (states[i + 1] - states[i]) for i in range(len(states) - 1))
    columns = (states, steps, (*rises, 0.0))
    return tuple(torch.tensor(column, dtype=dtype, device=device) for column in columns)  # type: ignore[return-value]


def _segment(state: Float[Tensor, "*weight"], states: Float[Tensor, " points"]) -> Int64[Tensor, "*weight"]:
    """Find the last point at or below each state."""
    return (torch.bucketize(state, states, right=True) - 1).clamp(min=0)
