"""Each transform is the map that the paper prints, for one theta or many."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.interpolate import RBFInterpolator

from stn_deploy.geometry import (
    AFFINE,
    AFFINE_3D,
    ATTENTION,
    PROJECTIVE,
    SIMILARITY,
    ThinPlateSpline,
    Transform,
    source_corners,
    source_grid,
    source_points,
    target_points,
)
from tests.tolerances import FLOAT64
from tests.transforms import TRANSFORMS, random_theta

PARAMETERS = {
    "affine": 6,
    "attention": 3,
    "similarity": 4,
    "projective": 8,
    "affine 3-D": 12,
    "spline on edges": 20,
    "spline on lattice": 32,
}
SIZES = {2: (5, 9), 3: (3, 4, 7)}

each_transform = pytest.mark.parametrize("name", TRANSFORMS)


def random_points(transform: Transform, count: int = 40) -> NDArray[np.float64]:
    return np.random.default_rng(8).uniform(-1, 1, (count, transform.dimensions))


def by_hand(transform: Transform, t: NDArray[np.float64], point: NDArray[np.float64]) -> NDArray[np.float64]:
    """The map of one theta, written out."""
    x, y = point[:2]
    if transform is AFFINE:
        return np.array([t[0] * x + t[1] * y + t[2], t[3] * x + t[4] * y + t[5]])
    if transform is ATTENTION:
        return np.array([t[0] * x + t[1], t[0] * y + t[2]])
    if transform is SIMILARITY:
        turned = complex(t[0], t[1]) * complex(x, y) + complex(t[2], t[3])
        return np.array([turned.real, turned.imag])
    if transform is PROJECTIVE:
        divisor = t[6] * x + t[7] * y + 1
        return np.array([t[0] * x + t[1] * y + t[2], t[3] * x + t[4] * y + t[5]]) / divisor
    if transform is AFFINE_3D:
        z = point[2]
        return np.array([t[i] * x + t[i + 1] * y + t[i + 2] * z + t[i + 3] for i in (0, 4, 8)])
    assert isinstance(transform, ThinPlateSpline)
    values = np.stack([t[0::2], t[1::2]], axis=1)
    spline = RBFInterpolator(transform.control_targets, values, kernel="thin_plate_spline", degree=1)
    return np.asarray(spline(point[None])[0])


@each_transform
def test_theta_has_as_many_numbers_as_the_paper_says(name: str) -> None:
    transform = TRANSFORMS[name]
    assert transform.parameters == PARAMETERS[name]
    assert transform.identity.shape == transform.displacements.shape == (PARAMETERS[name],)


def test_the_order_of_theta_is_that_of_first_appearance() -> None:
    assert SIMILARITY.symbols == ("a", "b", "tx", "ty")
    assert ATTENTION.symbols == ("s", "tx", "ty")
    assert PROJECTIVE.symbols == ("h11", "h12", "h13", "h21", "h22", "h23", "h31", "h32")
    assert AFFINE_3D.symbols[3:6] == ("t14", "t21", "t22")


@each_transform
def test_the_identity_maps_each_point_to_itself(name: str) -> None:
    transform = TRANSFORMS[name]
    points = random_points(transform)
    assert np.abs(source_points(transform, transform.identity, points) - points).max() < FLOAT64


@pytest.mark.parametrize("constant", ["identity", "displacements", "expansion", "offset"])
@each_transform
def test_the_constants_cannot_be_changed_by_accident(name: str, constant: str) -> None:
    array = getattr(TRANSFORMS[name], constant)
    with pytest.raises(ValueError, match="read-only"):
        array[...] = array.copy()


@each_transform
def test_the_constants_have_the_shapes_that_the_protocol_promises(name: str) -> None:
    transform = TRANSFORMS[name]
    basis = transform.basis(random_points(transform, 11))
    rows = transform.dimensions + transform.homogeneous
    assert basis.dtype == np.float64
    assert basis.shape[0] == 11
    assert transform.expansion.shape == (transform.parameters, rows * basis.shape[1])
    assert transform.offset.shape == (rows * basis.shape[1],)


@each_transform
def test_source_points_are_the_map_written_out(name: str) -> None:
    transform = TRANSFORMS[name]
    thetas, points = random_theta(transform, 3), random_points(transform, 7)
    expected = [[by_hand(transform, theta, point) for point in points] for theta in thetas]
    assert np.abs(source_points(transform, thetas, points) - expected).max() < FLOAT64


@each_transform
def test_a_source_grid_is_the_source_of_each_pixel_centre(name: str) -> None:
    transform = TRANSFORMS[name]
    theta, size = random_theta(transform), SIZES[transform.dimensions]
    grid = source_grid(transform, theta, size)
    assert grid.shape == (*size, transform.dimensions)
    last = [1 - 1 / length for length in size[::-1]]  # centre of the last pixel, (x, y) or (x, y, z)
    assert (
        np.abs(grid.reshape(-1, transform.dimensions)[-1] - by_hand(transform, theta, np.array(last))).max()
        < FLOAT64
    )
    flat = source_points(transform, theta, target_points(size))
    assert np.array_equal(grid.reshape(flat.shape), flat)


@each_transform
def test_source_corners_go_clockwise_from_the_top_left_and_from_near_to_far(name: str) -> None:
    transform = TRANSFORMS[name]
    theta = random_theta(transform)
    face = [(-1, -1), (1, -1), (1, 1), (-1, 1)]
    corners = face if transform.dimensions == 2 else [(*corner, z) for z in (-1, 1) for corner in face]
    expected = [by_hand(transform, theta, np.array(corner, np.float64)) for corner in corners]
    assert np.abs(source_corners(transform, theta) - expected).max() < FLOAT64


@pytest.mark.parametrize("leading", [(), (1,), (4,), (2, 3)], ids=str)
@each_transform
def test_theta_may_have_any_leading_dimensions(name: str, leading: tuple[int, ...]) -> None:
    transform = TRANSFORMS[name]
    size, theta = SIZES[transform.dimensions], random_theta(transform, *leading)
    grid = source_grid(transform, theta, size)
    corners = source_corners(transform, theta)
    assert grid.shape == (*leading, *size, transform.dimensions)
    assert corners.shape == (*leading, 2**transform.dimensions, transform.dimensions)
    for index in np.ndindex(*leading):
        assert np.abs(grid[index] - source_grid(transform, theta[index], size)).max() < FLOAT64
        assert np.abs(corners[index] - source_corners(transform, theta[index])).max() < FLOAT64


@each_transform
def test_no_theta_has_no_points(name: str) -> None:
    transform = TRANSFORMS[name]
    none, size = np.zeros((0, transform.parameters)), SIZES[transform.dimensions]
    assert source_grid(transform, none, size).shape == (0, *size, transform.dimensions)
    assert source_corners(transform, none).shape == (0, 2**transform.dimensions, transform.dimensions)


def test_a_similarity_turns_about_the_centre() -> None:
    """By +30 degrees from x to y, which is clockwise on the screen."""
    cos, sin = math.sqrt(0.75), 0.5
    theta = SIMILARITY.theta([[cos, -sin, 0], [sin, cos, 0]])
    points = source_points(SIMILARITY, theta, [[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.6, -0.8]])
    assert not points[0].any()
    assert np.abs(points[1] - [cos, sin]).max() < FLOAT64
    assert np.abs(points[2] - [-sin, cos]).max() < FLOAT64
    assert np.abs(np.linalg.norm(points[1:], axis=1) - 1).max() < FLOAT64


def test_a_shear_slides_rows_along_x() -> None:
    theta = AFFINE.theta([[1.0, 0.4, 0.0], [0.0, 1.0, 0.0]])
    points = source_points(AFFINE, theta, [[0.3, -1], [0.3, 0], [0.3, 0.5]])
    assert np.abs(points - [[-0.1, -1], [0.3, 0], [0.5, 0.5]]).max() < FLOAT64


def test_a_projective_map_makes_a_trapezoid_of_the_square() -> None:
    theta = PROJECTIVE.theta([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.5, 1.0]])
    third = 2 / 3
    expected = [[-2.0, -2.0], [2.0, -2.0], [third, third], [-third, third]]
    assert np.abs(source_corners(PROJECTIVE, theta) - expected).max() < FLOAT64


def test_a_projective_map_keeps_straight_lines_straight() -> None:
    line = np.array([-0.9, 0.4]) + np.linspace(0, 1, 9)[:, None] * [1.7, -1.1]
    points = source_points(PROJECTIVE, random_theta(PROJECTIVE), line)
    sides = points[1:] - points[0]
    assert np.abs(sides[:, 0] * sides[-1, 1] - sides[:, 1] * sides[-1, 0]).max() < FLOAT64


def test_a_point_on_the_horizon_is_not_finite() -> None:
    theta = PROJECTIVE.theta([[1, 0, 0], [0, 1, 0], [-2, 0, 1]])
    points = source_points(PROJECTIVE, theta, [[0.5, 0.2], [0.5, 0.0], [0.25, 0.2]])
    assert not np.isfinite(points[:2]).all(axis=-1).any()
    assert np.abs(points[2] - [0.5, 0.4]).max() < FLOAT64
