"""The figures of the quadratic binary task show the numbers of the result."""

import json
from dataclasses import replace

import numpy as np
import pytest

from metaplastic.evaluation import (
    QuadraticResult,
    high_dimensional_quadratic,
    run_quadratic,
    two_dimensional_quadratic,
)
from metaplastic.report import quadratic_path, switch_scatter, write_png


@pytest.fixture(scope="module")
def plane():
    return run_quadratic(two_dimensional_quadratic())


@pytest.fixture(scope="module")
def forty():
    return run_quadratic(replace(high_dimensional_quadratic(40), steps=200))


def line(figure, label):
    (found,) = [line for line in figure.axes[0].lines if line.get_label() == label]
    return np.column_stack(found.get_data())


def test_the_path_is_the_results_first_steps(plane):
    figure = quadratic_path(plane, steps=7)
    assert line(figure, "hidden weights, step by step").tolist() == [list(point) for point in plane.path[:8]]
    assert line(figure, "their start").tolist() == [list(plane.path[0])]
    assert line(figure, "optimum").tolist() == [[1.5, 0.5]]
    assert line(figure, "binary weights after the last").tolist() == [
        [1.0 if weight >= 0 else -1.0 for weight in plane.path[7]]
    ]


def test_everything_drawn_in_the_plane_lies_within_it(plane):
    panel = quadratic_path(plane).axes[0]
    low, high = panel.get_xlim()
    assert panel.get_ylim() == (low, high) == (-high, high)
    for drawn in panel.lines:
        assert np.abs(np.column_stack(drawn.get_data())).max() < high


def test_lines_of_equal_loss_are_that(plane):
    panel = quadratic_path(plane).axes[0]
    hessian, optimum = np.array(plane.hessian), np.array(plane.optimum)
    lines = panel.collections[-1]
    seen = 0
    for level, path in zip(lines.levels, lines.get_paths(), strict=True):
        away = path.vertices - optimum
        if len(away):
            losses = 0.5 * np.einsum("pi,ij,pj->p", away, hessian, away)
            assert losses == pytest.approx(np.full(len(away), level), rel=0.02)
            seen += len(away)
    assert seen > 500


def test_dots_bins_and_line_are_the_results(forty):
    figure = switch_scatter(forty, bins=4)
    magnitudes = np.abs(forty.hidden)
    dots = line(figure, "one weight")
    assert dots[:, 0] == pytest.approx(magnitudes / magnitudes.max())
    assert dots[:, 1].tolist() == list(forty.switch_losses)
    (container,) = figure.axes[0].containers
    points, bins = np.column_stack(container.lines[0].get_data()), forty.bins(4)
    assert points[:, 1].tolist() == [mean for mean in bins.means if mean is not None]
    assert points[:, 0].tolist() == [magnitude for magnitude in bins.magnitudes if magnitude is not None]
    (ends,) = [line(figure, "predicted by the magnitude")]
    curvature = 2 * np.mean(forty.curvature)
    assert ends[0] == pytest.approx([0, curvature])
    assert ends[1] == pytest.approx([1, curvature + 2 * magnitudes.max() / (0.01 * 200)])


def test_the_foot_tells_how_many_drift_and_how_well_they_are_predicted(forty):
    said = " ".join(text.get_text().replace("\n", " ") for text in switch_scatter(forty).texts)
    numbers = forty.summary()
    assert f"{numbers['drifting']} weights drift: beyond the dashed line, 5% of the largest" in said
    assert f"off by {numbers['relative_error']:.1%} on average" in said
    assert "40 weights, learning rate 0.01, 200 steps, float32" in said


@pytest.mark.parametrize(("draw", "kind"), [(quadratic_path, "plane"), (switch_scatter, "forty")])
def test_a_stored_result_gives_the_same_picture(draw, kind, request, tmp_path):
    result = request.getfixturevalue(kind)
    stored = QuadraticResult.from_json(json.loads(json.dumps(result.as_json())))
    for name, drawn in (("first", result), ("second", stored)):
        write_png(draw(drawn), tmp_path / name)
    pictures = [(tmp_path / name).read_bytes() for name in ("first", "second")]
    assert pictures[0].startswith(b"\x89PNG")
    assert pictures[0] == pictures[1]


@pytest.mark.parametrize("steps", [0, 501])
def test_steps_that_were_not_taken_are_refused(plane, steps):
    with pytest.raises(ValueError, match=f"from 1 to 500 steps to draw, got 2 weights and {steps} steps"):
        quadratic_path(plane, steps)


def test_more_weights_than_the_plane_holds_are_refused(forty):
    with pytest.raises(ValueError, match=r"expected two weights .* got 40 weights .* with switch_scatter"):
        quadratic_path(forty)
