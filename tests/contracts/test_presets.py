"""What every preset must do: build, round-trip, and end at a quick size on data that are always here."""

import re
from dataclasses import replace

import pytest

from metaplastic.experiments import PRESETS, Record, description, explanation, from_json, preset, run, to_json
from metaplastic.experiments.config import Running
from metaplastic.experiments.scenario_config import Permuted, Sequence, Split, Stream

QUICK = {
    Permuted: {"data": "digits", "tasks": 2},
    Sequence: {"data": ("digits", "digits")},
    Split: {"data": "digits"},
    Stream: {"data": "digits", "parts": 2},
}


def quick(name: str):
    config = preset(name)
    return replace(
        config,
        scenario=replace(config.scenario, **QUICK[type(config.scenario)]),
        network=replace(config.network, hidden=(8,)),
        epochs=1,
        running=Running(calibration_samples=200),
    )


def test_the_registry_is_whole():
    assert len(PRESETS) == 6


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_builds_and_round_trips(name):
    assert from_json(to_json(preset(name))) == preset(name)
    assert preset(name).name == name


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_says_what_it_shows_and_how_to_run_it(name):
    assert description(name).endswith(".")
    _, *said = explanation(name).split("\n\n")
    assert [text.split()[0].rstrip(":") for text in said] == ["Claim", "Expected", "Command"]
    _, expected, command = said
    assert re.search(r"\d", expected)
    assert "`results/" in expected
    assert command.startswith(f"Command: `metaplastic run {name}`")
    assert re.search(r"(second|minute)s?.* core", command)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_ends_at_its_quick_size(name, tmp_path):
    result = run(quick(name), tmp_path / name, progress=False)
    assert Record(tmp_path / name).complete
    assert result.matrix.correct
