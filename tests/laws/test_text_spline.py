"""The spline of a line of text: where its control points lie in V, and what V's coordinates span."""

from __future__ import annotations

import numpy as np
import pytest

from stn_deploy.artifact import RectifierSpec
from stn_deploy.errors import ArgumentError
from stn_deploy.geometry import (
    TextSpline,
    ThinPlateSpline,
    control_point_targets,
    normalised_from_pixels,
    target_points,
)
from tests.tolerances import FLOAT64

SIZES = [(32, 100), (7, 23), (1, 5)]
THETA = np.random.default_rng(3).uniform(-1, 1, (14, 2))

each_size = pytest.mark.parametrize("size", SIZES, ids=str)


@each_size
@pytest.mark.parametrize("aspect", [1.0, 0.15])
def test_without_settings_it_is_the_spline_with_its_control_points_on_the_edges(
    size: tuple[int, int], aspect: float
) -> None:
    spline = TextSpline(kernel_aspect=aspect)
    expected = ThinPlateSpline.on_edges(14, kernel_aspect=aspect).basis(target_points(size))
    assert np.array_equal(spline.pixel_basis(14, size), expected)


@each_size
@pytest.mark.parametrize("corners", [False, True])
def test_rows_sum_to_one_so_that_scaling_theta_scales_the_grid(size: tuple[int, int], corners: bool) -> None:
    spline = TextSpline(control_inset=0.1, target_align_corners=corners)
    basis = spline.pixel_basis(14, size)
    assert np.abs(basis.sum(axis=1) - 1).max() < FLOAT64
    shift, scale = np.array([0.3, -0.2]), np.array([0.97, 0.5])
    assert np.abs(basis @ (THETA * scale + shift) - ((basis @ THETA) * scale + shift)).max() < FLOAT64


def test_an_inset_moves_the_control_points_inwards_by_the_same_part_of_width_and_height() -> None:
    spline = TextSpline(control_inset=0.1)
    at_targets = spline.basis(14, control_point_targets(14) * 0.9, (32, 100))
    assert np.abs(at_targets - np.eye(14)).max() < FLOAT64


def test_aligned_corners_put_the_outermost_pixel_centres_where_the_control_points_are() -> None:
    height, width = 9, 31
    centres = normalised_from_pixels([[0.5, 0.5], [width - 0.5, height - 0.5]], (height, width))
    found = TextSpline(target_align_corners=True).basis(14, centres, (height, width)) @ THETA
    assert np.abs(found - THETA[[0, 13]]).max() < FLOAT64
    on_edges = TextSpline().basis(14, [[-1, -1], [1, 1]], (height, width)) @ THETA
    assert np.abs(found - on_edges).max() < FLOAT64


def test_a_single_pixel_lies_in_the_middle_even_with_aligned_corners() -> None:
    for corners in (False, True):
        basis = TextSpline(target_align_corners=corners).pixel_basis(14, (1, 1))
        assert np.abs(basis @ control_point_targets(14)).max() < FLOAT64


def test_it_is_made_from_a_spec() -> None:
    spec = RectifierSpec(kernel_aspect=0.3, control_inset=0.1, target_align_corners=True)
    assert TextSpline.of(spec) == TextSpline(kernel_aspect=0.3, control_inset=0.1, target_align_corners=True)


@pytest.mark.parametrize(
    "settings", [{"control_inset": 1.0}, {"control_inset": -0.1}, {"kernel_aspect": 0.0}], ids=str
)
def test_settings_out_of_range_are_refused(settings: dict) -> None:
    with pytest.raises(ArgumentError):
        TextSpline(**settings).pixel_basis(20, (4, 9))
