"""Transforms that are a matrix compose and invert as matrices do; their layouts say what they can express."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from stn_deploy.errors import ArgumentError
from stn_deploy.geometry import (
    AFFINE,
    AFFINE_3D,
    ATTENTION,
    PROJECTIVE,
    SIMILARITY,
    MatrixTransform,
    source_corners,
    source_points,
)
from tests.tolerances import FLOAT64
from tests.transforms import MATRICES, random_theta

WINDOW = MatrixTransform("window", "0.5 0 tx", "0 0.5 ty")

each_matrix = pytest.mark.parametrize("name", MATRICES)


def random_points(transform: MatrixTransform) -> NDArray[np.float64]:
    return np.random.default_rng(8).uniform(-1, 1, (40, transform.dimensions))


@each_matrix
def test_matrix_and_theta_are_inverse(name: str) -> None:
    transform = MATRICES[name]
    thetas = random_theta(transform, 2, 5)
    matrices = transform.matrix(thetas)
    assert matrices.shape == (2, 5, *transform.shape)
    assert np.abs(transform.theta(matrices) - thetas).max() < FLOAT64


def test_matrices_are_as_printed() -> None:
    assert ATTENTION.matrix([2, 3, 4]).tolist() == [[2, 0, 3], [0, 2, 4]]
    assert SIMILARITY.matrix([2, 3, 4, 5]).tolist() == [[2, -3, 4], [3, 2, 5]]
    assert AFFINE.matrix(range(6)).tolist() == [[0, 1, 2], [3, 4, 5]]
    assert PROJECTIVE.matrix(range(8)).tolist() == [[0, 1, 2], [3, 4, 5], [6, 7, 1]]
    assert AFFINE_3D.matrix(range(12)).tolist() == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]


@pytest.mark.parametrize("scale", [3.0, -0.2, 1e-6])
def test_a_projective_matrix_may_come_at_any_scale(scale: float) -> None:
    theta = random_theta(PROJECTIVE)
    assert np.abs(PROJECTIVE.theta(scale * PROJECTIVE.matrix(theta)) - theta).max() < FLOAT64


@each_matrix
def test_a_map_and_its_inverse_leave_points_where_they_were(name: str) -> None:
    transform = MATRICES[name]
    for theta in random_theta(transform, 20):
        points = random_points(transform)
        there = source_points(transform, theta, points)
        assert np.abs(there - points).max() > 0.01
        assert np.abs(source_points(transform, transform.inverse(theta), there) - points).max() < FLOAT64


@each_matrix
def test_composed_with_its_inverse_a_map_is_the_identity(name: str) -> None:
    transform = MATRICES[name]
    thetas = random_theta(transform, 4, 25)
    back = transform.inverse(thetas)
    assert back.shape == thetas.shape
    for first, second in ((thetas, back), (back, thetas)):
        assert np.abs(transform.compose(first, second) - transform.identity).max() < FLOAT64


@each_matrix
def test_the_inverse_of_the_inverse_is_the_map(name: str) -> None:
    transform = MATRICES[name]
    thetas = random_theta(transform, 50)
    assert np.abs(transform.inverse(transform.inverse(thetas)) - thetas).max() < FLOAT64


@each_matrix
def test_composed_maps_are_the_maps_one_after_the_other(name: str) -> None:
    transform = MATRICES[name]
    outer, inner = random_theta(transform, 20, seed=1), random_theta(transform, 20, seed=2, spread=0.2)
    together = transform.compose(outer, inner)
    points = random_points(transform)
    for both, last, first in zip(together, outer, inner, strict=True):
        expected = source_points(transform, last, source_points(transform, first, points))
        assert np.abs(source_points(transform, both, points) - expected).max() < FLOAT64


def test_composing_goes_from_the_inner_to_the_outer_map() -> None:
    shift, shrink = ATTENTION.theta([[1, 0, 0.4], [0, 1, -0.2]]), ATTENTION.theta([[0.5, 0, 0], [0, 0.5, 0]])
    assert ATTENTION.compose(shift, shrink).tolist() == [0.5, 0.4, -0.2]
    assert ATTENTION.compose(shrink, shift).tolist() == [0.5, 0.2, -0.1]


@each_matrix
def test_composing_is_associative(name: str) -> None:
    transform = MATRICES[name]
    first, second, third = (random_theta(transform, 30, seed=seed) for seed in range(3))
    left = transform.compose(transform.compose(first, second), third)
    right = transform.compose(first, transform.compose(second, third))
    assert np.abs(left - right).max() < FLOAT64


@each_matrix
def test_composing_with_the_identity_changes_nothing(name: str) -> None:
    transform = MATRICES[name]
    thetas = random_theta(transform, 3, 4)
    assert np.abs(transform.compose(thetas, transform.identity) - thetas).max() < FLOAT64
    assert np.abs(transform.compose(transform.identity, thetas) - thetas).max() < FLOAT64


@each_matrix
def test_an_empty_batch_of_matrices_stays_empty(name: str) -> None:
    transform = MATRICES[name]
    none = np.zeros((0, transform.parameters))
    assert transform.matrix(none).shape == (0, *transform.shape)
    assert transform.theta(np.zeros((0, *transform.shape))).shape == none.shape
    assert transform.compose(none, none).shape == none.shape
    assert transform.inverse(none).shape == none.shape


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_tiny_and_huge_maps_have_an_inverse(scale: float) -> None:
    theta = SIMILARITY.theta([[0.6 * scale, -0.8 * scale, 0.3], [0.8 * scale, 0.6 * scale, -0.7]])
    there_and_back = SIMILARITY.compose(theta, SIMILARITY.inverse(theta))
    assert np.abs(there_and_back - SIMILARITY.identity).max() < FLOAT64


def test_no_plane_that_collapses_to_a_line_has_an_inverse() -> None:
    """Rounding makes few of these matrices singular to the last bit; what comes back would be noise."""
    generator = np.random.default_rng(0)
    accepted = []
    for _ in range(3000):
        outer = np.outer(generator.normal(size=2), generator.normal(size=2))
        theta = np.concatenate([outer, generator.normal(size=(2, 1))], axis=1).reshape(-1)
        try:
            AFFINE.inverse(theta)
        except ArgumentError:
            continue
        accepted.append(theta.tolist())
    assert not accepted


def test_a_layout_may_hold_fixed_numbers() -> None:
    assert WINDOW.symbols == ("tx", "ty")
    assert WINDOW.parameters == 2
    assert WINDOW.matrix([0.1, -0.4]).tolist() == [[0.5, 0, 0.1], [0, 0.5, -0.4]]
    assert WINDOW.theta([[0.5, 0, 0.1], [0, 0.5, -0.4]]).tolist() == [0.1, -0.4]
    assert source_points(WINDOW, [0.1, -0.4], [[1, -0.6]]).tolist() == [[0.6, -0.7]]


def test_where_fixed_numbers_rule_out_the_identity_the_nearest_map_stands_in() -> None:
    assert WINDOW.identity.tolist() == [0, 0]
    assert source_corners(WINDOW, WINDOW.identity)[2].tolist() == [0.5, 0.5]


def test_a_minus_mirrors_a_parameter() -> None:
    mirrored = MatrixTransform("mirrored", "-s 0 tx", "0 s -tx")
    assert mirrored.matrix([2, 3]).tolist() == [[-2, 0, 3], [0, 2, -3]]
    assert mirrored.theta([[-2, 0, 3], [0, 2, -3]]).tolist() == [2, 3]


def test_the_entries_that_only_move_points_are_known() -> None:
    def displacing(transform: MatrixTransform) -> list[str]:
        return [name for name, moves in zip(transform.symbols, transform.displacements, strict=True) if moves]

    assert displacing(AFFINE) == ["t13", "t23"]
    assert displacing(ATTENTION) == displacing(SIMILARITY) == displacing(WINDOW) == ["tx", "ty"]
    assert displacing(PROJECTIVE) == ["h13", "h23"]
    assert displacing(AFFINE_3D) == ["t14", "t24", "t34"]
    assert displacing(MatrixTransform("tied", "s 0 s", "0 s ty")) == ["ty"]
    assert displacing(MatrixTransform("free", "a 0 c", "0 b d", "g h 1")) == ["c", "d"]


def test_the_entries_of_the_divisor_are_known() -> None:
    assert PROJECTIVE.perspectives.tolist() == [False] * 6 + [True] * 2
    for transform in (AFFINE, ATTENTION, SIMILARITY, AFFINE_3D):
        assert not transform.perspectives.any()


@each_matrix
def test_the_mean_scale_is_that_of_the_singular_values(name: str) -> None:
    transform = MATRICES[name]
    for theta in random_theta(transform, 5):
        linear = transform.matrix(theta)[: transform.dimensions, : transform.dimensions]
        expected = np.sqrt((np.linalg.svd(linear, compute_uv=False) ** 2).mean())
        assert abs(np.sqrt(transform.scale_weights @ theta**2) - expected) < FLOAT64
