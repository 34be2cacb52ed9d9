"""Transforms that cannot be built, and what transforms cannot map, are refused by name."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

from stn_deploy.errors import ArgumentError, ShapeError
from stn_deploy.geometry import (
    AFFINE,
    AFFINE_3D,
    ATTENTION,
    PROJECTIVE,
    SIMILARITY,
    MatrixTransform,
    ThinPlateSpline,
    Transform,
    control_point_lattice,
    control_point_targets,
    inset_control_points,
    sloped_control_points,
    source_corners,
    source_grid,
    source_points,
    thin_plate_basis,
)
from tests.refusals import check_refusal
from tests.transforms import TRANSFORMS

WINDOW = MatrixTransform("window", "0.5 0 tx", "0 0.5 ty")
SQUARE = [[-1, -1], [1, -1], [-1, 1], [1, 1]]


@pytest.mark.parametrize("count", [-2, 0, 2, 3, 7, 6.0])
@pytest.mark.parametrize(
    "build", [control_point_targets, sloped_control_points, inset_control_points, ThinPlateSpline.on_edges]
)
def test_an_odd_or_too_small_number_of_control_points_is_refused(build: Callable, count: float) -> None:
    message = f"control points: expected an even number of at least 4, got {count}"
    check_refusal(lambda: build(count), ArgumentError, message)


@pytest.mark.parametrize(("rows", "columns"), [(1, 4), (4, 1), (0, 5), (-3, 3), (2.0, 4)])
@pytest.mark.parametrize("build", [control_point_lattice, ThinPlateSpline.on_lattice])
def test_a_lattice_of_one_row_or_column_is_refused(build: Callable, rows: float, columns: float) -> None:
    message = f"control points: expected at least 2 rows and 2 columns, got {rows} and {columns}"
    check_refusal(lambda: build(rows, columns), ArgumentError, message)


@pytest.mark.parametrize("margin", [-0.01, 1.0, 2.0, np.nan, np.inf])
def test_a_margin_that_leaves_nothing_is_refused(margin: float) -> None:
    message = f"margin: expected a number in [0, 1), got {margin}"
    check_refusal(lambda: inset_control_points(8, margin), ArgumentError, message)


@pytest.mark.parametrize("slope", [np.nan, np.inf])
def test_a_slope_that_is_no_number_is_refused(slope: float) -> None:
    message = f"slope: expected a finite number, got {slope}"
    check_refusal(lambda: sloped_control_points(8, slope), ArgumentError, message)


@pytest.mark.parametrize("aspect", [0, -1.0, np.nan, np.inf])
@pytest.mark.parametrize(
    "build",
    [
        lambda aspect: ThinPlateSpline.on_edges(6, kernel_aspect=aspect),
        lambda aspect: thin_plate_basis(SQUARE, [[0, 0]], kernel_aspect=aspect),
    ],
    ids=["transform", "basis"],
)
def test_a_frame_without_height_is_refused(build: Callable[[float], object], aspect: float) -> None:
    message = f"kernel_aspect: expected a number above 0, got {aspect}"
    check_refusal(lambda: build(aspect), ArgumentError, message)


@pytest.mark.parametrize("build", [ThinPlateSpline, lambda points: thin_plate_basis(points, [[0, 0]])])
@pytest.mark.parametrize(
    "points",
    [
        [[0, 0], [1, 2], [2, 4]],
        [[0, 0], [1, 2], [2, 4], [3, 6]],
        [[0, 0], [1, 0], [0, 1], [1, 0]],
        SQUARE[:2],
    ],
    ids=["three on one line", "four on one line", "two at one place", "two alone"],
)
def test_control_points_that_define_no_spline_are_refused(build: Callable, points: list) -> None:
    message = "control points: expected distinct points that are not all on one line"
    check_refusal(lambda: build(points), ArgumentError, message)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_control_points_that_are_not_finite_are_refused(bad: float) -> None:
    points = [[0.0, 0.0], [bad, 0.0], [0.0, 1.0], [1.0, 1.0]]
    message = "control_targets: expected finite numbers, got"
    check_refusal(lambda: ThinPlateSpline(points), ArgumentError, message)


@pytest.mark.parametrize("points", [np.zeros((4, 3)), np.zeros(3), "ab", [[1, 2], [3]]], ids=str)
@pytest.mark.parametrize("build", [ThinPlateSpline, lambda points: thin_plate_basis(points, [[0, 0]])])
def test_control_points_that_are_no_pairs_are_refused(build: Callable, points: Any) -> None:
    check_refusal(lambda: build(points), ShapeError, "control_targets: expected ... got")


@pytest.mark.parametrize("shape", [(2,), (2, 4, 2)], ids=str)
def test_a_spline_wants_one_list_of_control_points(shape: tuple[int, ...]) -> None:
    message = f"control_targets: expected (K, 2), got {shape}"
    check_refusal(lambda: ThinPlateSpline(np.zeros(shape)), ShapeError, message)


ROWS = "rows: expected 2 rows of 3 entries, 3 of 3 or 3 of 4, got "
ENTRY = "rows: expected a number or a name such as 0, tx or -b, got "
LAYOUTS: dict[str, tuple[tuple[str, ...], str]] = {
    "no rows": ((), ROWS + "[]"),
    "an empty row": (("",), ROWS + "[0]"),
    "one row": (("a b c",), ROWS + "[3]"),
    "two columns": (("a b", "c d"), ROWS + "[2, 2]"),
    "ragged": (("a b c", "d e"), ROWS + "[3, 2]"),
    "two of four": (("a b c d",) * 2, ROWS + "[4, 4]"),
    "four of four": (("a b c d",) * 4, ROWS + "[4, 4, 4, 4]"),
    "numbers alone": (("1 0 0", "0 1 0"), "rows: expected at least one parameter, got numbers only"),
    "free scale": (("a b c", "d e f", "g h i"), "rows: expected 1 as the last entry ... got 'i'"),
    "another scale": (("a b c", "d e f", "g h 2"), "rows: expected 1 as the last entry ... got '2'"),
    "negative scale": (("a b c", "d e f", "g h -1"), "rows: expected 1 as the last entry ... got '-1'"),
    **{
        f"unreadable {entry}": ((f"{entry} 0 tx", "0 1 ty"), f"{ENTRY}'{entry}'")
        for entry in ("2s", "s+1", "--s", "S", "s*t", "1.", "é")
    },
}


@pytest.mark.parametrize(("rows", "message"), LAYOUTS.values(), ids=LAYOUTS)
def test_a_layout_that_is_none_is_refused(rows: tuple[str, ...], message: str) -> None:
    check_refusal(lambda: MatrixTransform("odd", *rows), ArgumentError, message)


MATRICES: dict[str, tuple[MatrixTransform, Any]] = {
    "squeezed": (ATTENTION, [[1, 0, 0], [0, 1.1, 0]]),
    "sheared": (ATTENTION, [[1, 0.1, 0], [0, 1, 0]]),
    "mirrored": (SIMILARITY, [[1, 0.2, 0], [0.2, 1, 0]]),
    "of another size": (WINDOW, [[0.6, 0, 0.1], [0, 0.6, 0.2]]),
    "horizon at the centre": (PROJECTIVE, [[1, 0, 0], [0, 1, 0], [0, 1, 0]]),
    "not finite": (AFFINE, [[1, 0, 0], [0, np.nan, 0]]),
    "one of a batch": (ATTENTION, [[[1, 0, 0], [0, 1, 0]], [[1, 0.01, 0], [0, 1, 0]]]),
}


@pytest.mark.parametrize(("transform", "matrix"), MATRICES.values(), ids=MATRICES)
def test_a_matrix_of_another_family_is_refused(transform: MatrixTransform, matrix: list) -> None:
    message = f"matrix: expected one of the {transform.name} family, got"
    check_refusal(lambda: transform.theta(matrix), ArgumentError, message)


@pytest.mark.parametrize(
    "matrix",
    [*(np.zeros(shape) for shape in ((3,), (3, 3), (2, 4), (2, 3, 2))), [[1, 0, 0], [0, 1]], "ab", None],
    ids=["a row", "projective", "of a volume", "transposed", "ragged", "a name", "nothing"],
)
def test_a_matrix_of_another_shape_is_refused(matrix: Any) -> None:
    check_refusal(lambda: AFFINE.theta(matrix), ShapeError, "matrix: expected (..., 2, 3), got")


@pytest.mark.parametrize(
    ("transform", "theta"),
    [
        (ATTENTION, [0, 0.3, 0.4]),
        (SIMILARITY, [0, 0, 1, 2]),
        (AFFINE, [1, 2, 0.5, 2, 4, -0.5]),
        (AFFINE, [0.1, 0.3, 0.5, 0.2, 0.6, -0.5]),
        (PROJECTIVE, [1, 0, 2, 0, 1, 3, 0.5, 0]),
        (AFFINE_3D, [1, 0, 0, 0.1, 0, 1, 0, 0.2, 1, 1, 0, 0.3]),
        (AFFINE, [np.nan, 0, 0, 0, 1, 0]),
        (AFFINE, [np.inf, 0, 0, 0, 1, 0]),
    ],
    ids=str,
)
def test_a_theta_without_an_inverse_is_refused(transform: MatrixTransform, theta: list[float]) -> None:
    message = f"theta: expected an invertible {transform.name} transform, got"
    check_refusal(lambda: transform.inverse(np.array([transform.identity, theta])), ArgumentError, message)


def test_an_inverse_or_a_product_that_the_layout_cannot_express_is_refused() -> None:
    """A window of a window is a quarter as wide, the way back twice as wide; and a projective matrix may be
    invertible while the last entry of its inverse is 0 and cannot be scaled to 1."""
    message = "matrix: expected one of the window family, got"
    check_refusal(lambda: WINDOW.compose([0, 0], [0, 0]), ArgumentError, message)
    check_refusal(lambda: WINDOW.inverse([0, 0]), ArgumentError, message)
    message = "matrix: expected one of the projective family, got"
    check_refusal(lambda: PROJECTIVE.inverse([0, 0, 1, 0, 1, 0, 1, 0]), ArgumentError, message)


each_transform = pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS)


@each_transform
def test_a_theta_of_another_length_is_refused(transform: Transform) -> None:
    p, points = transform.parameters, np.zeros((4, transform.dimensions))
    message = f"theta: expected (..., {p}) for {transform.name}, got"
    thetas: list[Any] = [np.zeros(p + 1), np.zeros((3, p - 1)), 0.0, [[0.0] * p, [0.0]], "ab", None]
    for theta in thetas:
        check_refusal(partial(source_points, transform, theta, points), ShapeError, message)
        check_refusal(partial(source_corners, transform, theta), ShapeError, message)
        if isinstance(transform, MatrixTransform):
            check_refusal(partial(transform.matrix, theta), ShapeError, message)


@each_transform
def test_points_of_another_number_of_dimensions_are_refused(transform: Transform) -> None:
    message = f"points: expected (..., {transform.dimensions}) holding ... got"
    for points in (np.zeros((4, 5 - transform.dimensions)), [[0.0] * transform.dimensions, [0.0]]):
        check_refusal(partial(source_points, transform, transform.identity, points), ShapeError, message)


@each_transform
def test_a_size_of_another_number_of_dimensions_is_refused(transform: Transform) -> None:
    flat = transform.dimensions == 2
    letters = "(height, width)" if flat else "(depth, height, width)"
    message = f"size: expected {letters}, each at least 1 pixel, got"
    for size in ((3, 4, 7) if flat else (5, 9), [[3], [4, 5]], (3, 0, 7)[: transform.dimensions]):
        check_refusal(partial(source_grid, transform, transform.identity, size), ArgumentError, message)
