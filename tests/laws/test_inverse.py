"""The inverse of a map leads back to where the map came from."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from stn_deploy.geometry import (
    control_point_targets,
    invert_map,
    normalised_from_pixels,
    pixels_from_normalised,
    thin_plate_basis,
)
from tests.pictures import arc_points, box_points
from tests.tolerances import FLOAT64, ROUND_TRIP

COUNT = 20
SIZE = (160, 300)
LINES = {
    "box": box_points(COUNT, width=200, height=50, centre=(150, 80)),
    "turned box": box_points(COUNT, width=180, height=40, centre=(150, 80), tilt=np.radians(-40)),
    "upside-down box": box_points(COUNT, width=180, height=40, centre=(150, 80), tilt=np.radians(175)),
    "arc": arc_points(COUNT, radius=180, angle=np.radians(60), height=36, centre=(150, 250)),
}


@pytest.mark.parametrize("points", LINES.values(), ids=LINES)
def test_a_spline_is_inverted(points: NDArray[np.float64]) -> None:
    theta = normalised_from_pixels(points, SIZE)

    def source_from_target(target: NDArray[np.floating]) -> NDArray[np.float64]:
        return np.asarray(thin_plate_basis(control_point_targets(COUNT), target) @ theta)

    target = np.random.default_rng(0).uniform(-1.02, 1.02, (400, 2))
    source = source_from_target(target)
    found = invert_map(source_from_target, source)
    assert np.abs(found - target).max() < 1e-6
    again = pixels_from_normalised(source_from_target(found), SIZE)
    assert np.abs(again - pixels_from_normalised(source, SIZE)).max() < ROUND_TRIP


def test_points_that_the_spline_reaches_twice_come_back_to_the_same_place() -> None:
    """The spline of a half circle folds near its outer edge; a point of the fold has two ways back."""
    theta = normalised_from_pixels(
        arc_points(COUNT, radius=90, angle=np.pi, height=36, centre=(150, 130)), SIZE
    )

    def source_from_target(target: NDArray[np.floating]) -> NDArray[np.float64]:
        return np.asarray(thin_plate_basis(control_point_targets(COUNT), target) @ theta)

    source = source_from_target(np.random.default_rng(0).uniform(-0.9, 0.9, (400, 2)))
    again = source_from_target(invert_map(source_from_target, source))
    assert (
        np.abs(pixels_from_normalised(again, SIZE) - pixels_from_normalised(source, SIZE)).max() < ROUND_TRIP
    )


def test_an_affine_map_is_inverted_far_outside_too() -> None:
    matrix = np.array([[0.3, 0.8], [-0.5, 0.2]])
    target = np.array([[0.0, 0.0], [0.4, -0.9], [2.0, -3.0]])
    assert np.abs(invert_map(lambda p: p @ matrix + 0.1, target @ matrix + 0.1) - target).max() < FLOAT64


def test_a_map_without_an_inverse_gives_finite_points() -> None:
    found = invert_map(lambda p: np.zeros(p.shape), [[0.5, 0.5], [0.0, 0.0]])
    assert np.isfinite(found).all()


def test_without_points_there_is_nothing_to_find() -> None:
    assert invert_map(lambda p: p.astype(float), np.zeros((0, 2))).shape == (0, 2)
