"""Normalised coordinates span pixel edges, points are (x, y), sizes are (height, width)."""

from __future__ import annotations

import numpy as np
import pytest
from torch.nn import functional as F

from stn_deploy.errors import ArgumentError, ShapeError
from stn_deploy.geometry import (
    AFFINE,
    checked_extent,
    checked_size,
    normalised_from_pixels,
    pixels_from_normalised,
    target_points,
)
from tests.tolerances import FLOAT64

CORNERS: dict[tuple[float, float], tuple[float, float]] = {
    (-1, -1): (0, 0),
    (1, -1): (90, 0),
    (-1, 1): (0, 40),
    (1, 1): (90, 40),
    (0, 0.5): (45, 30),
}


@pytest.mark.parametrize("normalised", CORNERS, ids=str)
def test_minus_one_and_one_are_the_edges_of_the_image(normalised: tuple[float, float]) -> None:
    pixels = pixels_from_normalised(normalised, (40, 90))
    assert pixels.tolist() == list(CORNERS[normalised])
    assert normalised_from_pixels(pixels, (40, 90)).tolist() == list(normalised)


@pytest.mark.parametrize("size", [(1, 1), (7, 13), (480, 31)], ids=str)
def test_pixels_and_normalised_coordinates_are_inverse(size: tuple[int, int]) -> None:
    points = np.random.default_rng(0).uniform(-3, 3, (4, 5, 2))
    there = pixels_from_normalised(points, size)
    assert not np.allclose(there, points)
    assert np.abs(normalised_from_pixels(there, size) - points).max() < FLOAT64


def test_each_item_of_a_batch_has_its_own_size() -> None:
    points, sizes = np.random.default_rng(0).uniform(-1, 1, (2, 6, 2)), np.array([[5, 9], [70, 33]])
    together = pixels_from_normalised(points, sizes[:, None])
    for item, size, expected in zip(points, sizes, together, strict=True):
        assert np.array_equal(pixels_from_normalised(item, size), expected)
    assert np.abs(normalised_from_pixels(together, sizes[:, None]) - points).max() < FLOAT64


def test_float32_stays_float32_and_whole_numbers_become_float64() -> None:
    assert pixels_from_normalised(np.zeros((3, 2), np.float32), (4, 9)).dtype == np.float32
    assert pixels_from_normalised([[0, 1]], (4, 9)).tolist() == [[4.5, 4.0]]


def test_target_points_are_pixel_centres_row_by_row() -> None:
    centres = pixels_from_normalised(target_points((2, 3)), (2, 3))
    expected = [[0.5, 0.5], [1.5, 0.5], [2.5, 0.5], [0.5, 1.5], [1.5, 1.5], [2.5, 1.5]]
    assert np.abs(centres - expected).max() < FLOAT64


@pytest.mark.parametrize("size", [(1, 4), (5, 9), (32, 100)], ids=str)
def test_target_points_are_those_of_torch(size: tuple[int, int]) -> None:
    import torch

    identity = torch.eye(2, 3, dtype=torch.float64)[None]
    grid = F.affine_grid(identity, [1, 1, *size], align_corners=False)
    assert np.abs(grid.reshape(-1, 2).numpy() - target_points(size)).max() < FLOAT64


def test_the_affine_basis_applies_the_matrix_of_the_paper() -> None:
    matrix = np.array([[0.3, -0.7, 0.2], [1.1, 0.4, -0.6]])  # A of equation 1
    x, y = 0.25, -0.5
    expected = matrix @ [x, y, 1]
    assert AFFINE.basis([[x, y]]).tolist() == [[x, y, 1]]
    assert np.abs(AFFINE.basis([[x, y]]) @ matrix.T - expected).max() < FLOAT64
    assert AFFINE.matrix(AFFINE.identity).tolist() == np.eye(2, 3).tolist()


def test_in_a_volume_x_is_the_width_and_z_the_depth() -> None:
    pixels = pixels_from_normalised([[0.5, -1.0, 0.0], [-1.0, 0.0, 1.0]], (4, 10, 80))
    assert pixels.tolist() == [[60, 0, 2], [0, 5, 4]]
    assert normalised_from_pixels(pixels, (4, 10, 80)).tolist() == [[0.5, -1, 0], [-1, 0, 1]]


def test_target_points_of_a_volume_are_voxel_centres_x_fastest_and_z_slowest() -> None:
    centres = pixels_from_normalised(target_points((2, 1, 3)), (2, 1, 3))
    expected = [[x, 0.5, z] for z in (0.5, 1.5) for x in (0.5, 1.5, 2.5)]
    assert np.abs(centres - expected).max() < FLOAT64


def test_target_points_of_a_volume_are_those_of_torch() -> None:
    import torch

    identity = torch.eye(3, 4, dtype=torch.float64)[None]
    grid = F.affine_grid(identity, [1, 1, 3, 5, 4], align_corners=False)
    assert np.abs(grid.reshape(-1, 3).numpy() - target_points((3, 5, 4))).max() < FLOAT64


@pytest.mark.parametrize("extent", [(2, 3), (2, 3, 4), np.array([5, 1, 7]), [6, 2]], ids=str)
def test_an_extent_is_whole_numbers_in_the_order_given(extent: tuple[int, ...]) -> None:
    checked = checked_extent(extent)
    assert checked == tuple(extent)
    assert all(type(length) is int for length in checked)


@pytest.mark.parametrize(
    "extent", [5, (5,), (2, 3, 4, 5), (2, 0, 3), (2.0, 3.0), (True, True), ((1, 2), (3,))], ids=str
)
def test_an_extent_that_is_none_is_refused(extent: object) -> None:
    expected = r"size: expected \(height, width\) or \(depth, height, width\), each at least 1 pixel, got"
    with pytest.raises(ArgumentError, match=expected):
        checked_extent(extent)  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match=expected):
        target_points(extent)  # type: ignore[arg-type]


def test_an_extent_of_another_number_of_dimensions_is_refused_by_its_name() -> None:
    with pytest.raises(
        ArgumentError, match=r"canvas: expected \(depth, height, width\), each .*, got \(2, 3\)"
    ):
        checked_extent((2, 3), "canvas", 3)
    with pytest.raises(ArgumentError, match=r"canvas: expected \(height, width\), each .*, got \(2, 3, 4\)"):
        checked_extent((2, 3, 4), "canvas", 2)


@pytest.mark.parametrize("size", [(0, 5), (5,), (2, 3, 4), (2.0, 3.0), "ab", (-1, 4), 7], ids=str)
def test_a_size_that_is_none_is_refused(size: object) -> None:
    with pytest.raises(ArgumentError, match=r"expected \(height, width\), each at least 1 pixel, got"):
        checked_size(size)  # type: ignore[arg-type]


@pytest.mark.parametrize("points", [3.0, [1, 2, 3], np.zeros((4, 3))], ids=str)
def test_points_that_are_not_pairs_are_refused(points: object) -> None:
    for function in (pixels_from_normalised, normalised_from_pixels):
        with pytest.raises(ShapeError, match=r"expected \(\.\.\., 2\) holding \(x, y\), got"):
            function(points, (4, 5))  # type: ignore[arg-type]


def test_points_and_size_must_have_the_same_number_of_dimensions() -> None:
    for function in (pixels_from_normalised, normalised_from_pixels):
        with pytest.raises(
            ShapeError, match=r"points: expected \(\.\.\., 3\) holding \(x, y, z\), got \(1, 2\)"
        ):
            function([[0, 0]], (4, 5, 6))
        with pytest.raises(ArgumentError, match="size: expected"):
            function([[0, 0]], 7)
