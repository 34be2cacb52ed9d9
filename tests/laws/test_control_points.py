"""Where control points lie: on the edges or a lattice of V, and in U at the start of training."""

from __future__ import annotations

import numpy as np
import pytest

from stn_deploy.geometry import (
    control_point_lattice,
    control_point_targets,
    inset_control_points,
    sloped_control_points,
)
from tests.tolerances import FLOAT64

each_count = pytest.mark.parametrize("count", [4, 10, 20])


@each_count
def test_control_points_go_left_to_right_on_the_top_edge_then_on_the_bottom_edge(count: int) -> None:
    targets = control_point_targets(count)
    top, bottom = np.split(targets, 2)
    assert (top[:, 1] == -1).all()
    assert (bottom[:, 1] == 1).all()
    for edge in (top, bottom):
        assert edge[0, 0] == -1
        assert edge[-1, 0] == 1
        assert np.ptp(np.diff(edge[:, 0])) < FLOAT64


def test_control_points_cannot_be_changed_by_accident() -> None:
    with pytest.raises(ValueError, match="read-only"):
        control_point_targets(8)[0, 0] = 5.0


def test_the_lattice_of_the_paper_has_sixteen_points() -> None:
    third = 1 / 3
    expected = [(x, y) for y in (-1, -third, third, 1) for x in (-1, -third, third, 1)]
    assert np.abs(control_point_lattice() - expected).max() < FLOAT64


def test_a_lattice_goes_row_by_row_from_edge_to_edge() -> None:
    expected = [[-1, -1], [0, -1], [1, -1], [-1, 1], [0, 1], [1, 1]]
    assert control_point_lattice(2, 3).tolist() == expected
    assert control_point_lattice(3, 2).tolist() == [[x, y] for y in (-1, 0, 1) for x in (-1, 1)]


@each_count
def test_trba_starts_on_a_line_that_rises_by_half_the_height(count: int) -> None:
    """As published: y goes from 0 to -1 along the top edge, from 1 to 0 along the bottom edge."""
    xs = np.linspace(-1, 1, count // 2)
    top = np.stack([xs, np.linspace(0, -1, count // 2)], axis=1)
    bottom = np.stack([xs, np.linspace(1, 0, count // 2)], axis=1)
    assert np.abs(sloped_control_points(count) - np.concatenate([top, bottom])).max() < FLOAT64


@pytest.mark.parametrize("slope", [0.0, 0.3, 1.0])
def test_a_sloped_line_keeps_its_text_as_high_at_both_ends(slope: float) -> None:
    top, bottom = np.split(sloped_control_points(12, slope), 2)
    assert np.abs(bottom - top - [0, 2 - slope]).max() < FLOAT64
    assert abs(top[0, 1] - top[-1, 1] - slope) < FLOAT64


@each_count
def test_aster_starts_a_hundredth_of_the_image_from_its_edges(count: int) -> None:
    """As published: in the unit square, x from 0.01 to 0.99 along y = 0.01 and along y = 0.99."""
    xs = np.linspace(0.01, 0.99, count // 2)
    unit = np.concatenate([np.stack([xs, np.full_like(xs, y)], axis=1) for y in (0.01, 0.99)])
    assert np.abs(inset_control_points(count) - (2 * unit - 1)).max() < FLOAT64


def test_without_slope_or_margin_training_starts_at_the_identity() -> None:
    assert np.array_equal(sloped_control_points(8, 0), control_point_targets(8))
    assert np.array_equal(inset_control_points(8, 0), control_point_targets(8))


def test_a_start_may_be_changed_and_leaves_the_targets_alone() -> None:
    for start in (sloped_control_points(8), inset_control_points(8)):
        start[:] = 7
    assert np.abs(control_point_targets(8)).max() == 1
