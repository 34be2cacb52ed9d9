"""Height, length, tilt and sag of text lines whose measures are known from geometry."""

from __future__ import annotations

import numpy as np
import pytest

from stn_deploy.errors import ShapeError
from stn_deploy.geometry import (
    box_control_points,
    control_point_targets,
    measure_text_lines,
    pixels_from_normalised,
    quad_control_points,
)
from tests.pictures import arc_points, box_points
from tests.tolerances import FLOAT64

PIECES = 10  # eleven points on an edge, so that one of them is the middle


@pytest.mark.parametrize("degrees", [10, 75, 180])
@pytest.mark.parametrize("upwards", [True, False], ids=["bulging up", "bulging down"])
def test_an_arc_has_the_measures_of_its_circle(degrees: float, upwards: bool) -> None:
    radius, height, angle = 130.0, 22.0, np.radians(degrees)
    points = arc_points(2 * PIECES + 2, radius=radius, angle=angle, height=height, centre=(70, 190))
    if not upwards:
        top, bottom = np.split(points * [1, -1], 2)
        points = np.concatenate([bottom, top])
    measures = measure_text_lines(points)
    # A line through control points: its length is that of the chords between them.
    chords = PIECES * 2 * radius * np.sin(angle / 2 / PIECES)
    assert abs(measures.height - height) < FLOAT64
    assert abs(measures.length - chords) < FLOAT64
    assert abs(measures.length / (radius * angle) - 1) < 0.005
    assert abs(measures.tilt) < FLOAT64
    assert abs(measures.sag - radius * (1 - np.cos(angle / 2)) / height) < FLOAT64


@pytest.mark.parametrize("degrees", [-170, -90, -12, 0, 33, 90, 135])
def test_a_turned_box_has_its_sides_and_its_angle(degrees: float) -> None:
    points = box_points(8, width=140, height=31, centre=(33, 60), tilt=np.radians(degrees))
    measures = measure_text_lines(points)
    assert abs(measures.height - 31) < FLOAT64
    assert abs(measures.length - 140) < FLOAT64
    assert abs(np.degrees(measures.tilt) - degrees) < 1e-6
    assert abs(measures.sag) < FLOAT64


def test_positive_tilt_is_clockwise_on_the_screen() -> None:
    falling = quad_control_points([[0, 0], [100, 20], [90, 50], [-10, 30]], 8)
    assert measure_text_lines(falling).tilt > 0


def test_many_lines_are_measured_as_each_alone() -> None:
    lines = np.random.default_rng(0).uniform(0, 90, (2, 3, 10, 2))
    together = measure_text_lines(lines)
    for name in ("height", "length", "tilt", "sag"):
        expected = [[getattr(measure_text_lines(line), name) for line in row] for row in lines]
        assert np.array_equal(getattr(together, name), expected)


def test_a_line_shrunk_to_a_point_has_finite_measures() -> None:
    measures = measure_text_lines(np.full((6, 2), 7.0))
    assert [measures.height, measures.length, measures.tilt, measures.sag] == [0, 0, 0, 0]


@pytest.mark.parametrize("shape", [(2,), (2, 2), (5, 2), (3, 7, 2)], ids=str)
def test_points_that_make_no_two_edges_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match=r"expected \(\.\.\., K, 2\) with K even and at least 4, got"):
        measure_text_lines(np.zeros(shape))


def test_points_of_a_quadrilateral_lie_evenly_on_its_top_and_bottom_edge() -> None:
    corners = np.array([[3.0, 1.0], [63.0, 13.0], [57.0, 40.0], [0.0, 31.0]])
    points = quad_control_points(corners, 8)
    assert points[[0, 3, 7, 4]].tolist() == corners.tolist()
    assert np.abs(points[1] - (corners[0] * 2 + corners[1]) / 3).max() < FLOAT64
    assert np.abs(points[6] - (corners[2] * 2 + corners[3]) / 3).max() < FLOAT64


def test_a_quadrilateral_of_another_shape_is_refused() -> None:
    with pytest.raises(ShapeError, match=r"quad: expected \(4, 2\), got \(8, 2\)"):
        quad_control_points(np.zeros((8, 2)), 8)


def test_the_box_of_an_image_is_the_identity_theta() -> None:
    expected = pixels_from_normalised(control_point_targets(12), (37, 90))
    assert np.abs(box_control_points((37, 90), 12) - expected).max() < FLOAT64
