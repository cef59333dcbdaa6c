"""The ranks of the house: a file imports from a lower rank or from its own room, never upwards."""

import ast
from pathlib import Path

import pytest

import metaplastic

SOURCE = Path(metaplastic.__file__).parent
RANKS = {
    "seeding": 0,
    "hidden_weight": 0,
    "storage": 0,
    "native": 0,
    "choices": 0,
    "files": 0,
    "plugins": 0,
    "nn": 1,
    "data": 1,
    "optim": 1,
    "scenarios": 2,
    "packed": 2,
    "learners": 3,
    "evaluation": 4,
    "testing": 4,
    "experiments": 5,
    "estimator": 5,
    "sweeps": 6,
    "report": 6,
    "benchmark": 6,
    "integrations": 7,
    "cli": 7,
    "__main__": 8,
    "__init__": 8,
}
FILES = sorted(SOURCE.rglob("*.py"))


def room(path: Path) -> str:
    return path.relative_to(SOURCE).with_suffix("").parts[0]


def imports(path: Path) -> set[str]:
    """Every module that a file imports, at its top or inside a function."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def rooms_imported(path: Path) -> set[str]:
    """Rooms of the package that a file imports from."""
    parts = (name.split(".") for name in imports(path) if name.startswith("metaplastic."))
    return {name[1] for name in parts}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_never_go_upwards(path):
    here = room(path)
    for other in rooms_imported(path):
        assert other == here or RANKS[other] < RANKS[here], f"{here} (rank {RANKS[here]}) imports {other}"


def test_every_room_has_a_rank():
    assert {room(path) for path in FILES} <= set(RANKS)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_matplotlib_and_avalanche_are_imported_in_one_room_each_and_torchvision_in_none(path):
    names = {name.split(".")[0] for name in imports(path)}
    assert "torchvision" not in names
    assert "matplotlib" not in names or room(path) == "report"
    assert "avalanche" not in names or path.parent == SOURCE / "integrations" / "avalanche"


def test_the_report_room_never_imports_learners():
    report = [path for path in FILES if room(path) == "report"]
    assert len(report) > 5
    assert not [path for path in report if "learners" in rooms_imported(path)]
