"""Which commit a record names."""

import subprocess

import pytest

from metaplastic.experiments import environment


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package of two files in a repository of its own, in the place of ours."""
    inside = tmp_path / "metaplastic" / "experiments"
    inside.mkdir(parents=True)
    (inside / "environment.py").write_text("")
    (tmp_path / "metaplastic" / "rule.py").write_text("")
    (tmp_path / "notes.md").write_text("")
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "begin"]):
        who = ["-c", "user.name=nobody", "-c", "user.email=nobody@localhost"]
        subprocess.run(["git", *who, *command], cwd=tmp_path, check=True)
    monkeypatch.setattr(environment, "__file__", str(inside / "environment.py"))
    return tmp_path


def test_a_plus_says_that_a_file_of_the_package_differs_from_the_commit(package):
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=package, capture_output=True, text=True, check=True)
    commit = head.stdout.strip()
    (package / "notes.md").write_text("beside the package")
    assert environment.environment()["commit"] == commit
    (package / "metaplastic" / "rule.py").write_text("m = 0")
    assert environment.environment()["commit"] == commit + "+"
