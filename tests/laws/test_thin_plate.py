"""The folded basis is the thin-plate spline of Bookstein: against SciPy's, and by what defines it."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.interpolate import RBFInterpolator

from stn_deploy.errors import ArgumentError, ShapeError
from stn_deploy.geometry import control_point_targets, target_points, thin_plate_basis
from stn_deploy.training.bends import Arc
from stn_deploy.training.warp import Warp
from tests.tolerances import ARC, FLOAT64

SCATTERED = np.random.default_rng(4).uniform([-1, -0.4], [1, 1.3], (7, 2))
CONTROLS = {
    "4 on the edges": control_point_targets(4),
    "20 on the edges": control_point_targets(20),
    "7 scattered": SCATTERED,
    "3, affine": SCATTERED[:3],
}
POINTS = np.concatenate([target_points((7, 12)), np.random.default_rng(2).uniform(-2.5, 2.5, (40, 2))])

each_aspect = pytest.mark.parametrize("aspect", [1.0, 0.15, 2.5])
each_control = pytest.mark.parametrize("controls", CONTROLS.values(), ids=CONTROLS)


@each_aspect
@each_control
def test_it_is_the_spline_of_scipy(controls: NDArray[np.float64], aspect: float) -> None:
    values = np.random.default_rng(1).normal(size=(len(controls), 2))
    frame = [1, aspect]
    oracle = RBFInterpolator(controls * frame, values, kernel="thin_plate_spline", degree=1)
    basis = thin_plate_basis(controls, POINTS, kernel_aspect=aspect)
    assert np.abs(basis @ values - oracle(POINTS * frame)).max() < FLOAT64


def test_the_plain_spline_is_the_default() -> None:
    assert np.array_equal(
        thin_plate_basis(SCATTERED, POINTS), thin_plate_basis(SCATTERED, POINTS, kernel_aspect=1.0)
    )


@each_aspect
@each_control
def test_it_passes_through_its_control_points(controls: NDArray[np.float64], aspect: float) -> None:
    basis = thin_plate_basis(controls, controls, kernel_aspect=aspect)
    assert np.abs(basis - np.eye(len(controls))).max() < FLOAT64


@each_aspect
@each_control
def test_it_reproduces_affine_maps(controls: NDArray[np.float64], aspect: float) -> None:
    matrix, shift = np.array([[0.7, -0.4], [0.2, 1.3]]), [0.3, -0.8]
    bent = thin_plate_basis(controls, POINTS, kernel_aspect=aspect) @ (controls @ matrix + shift)
    assert np.abs(bent - (POINTS @ matrix + shift)).max() < FLOAT64


@each_aspect
@each_control
def test_the_rows_of_the_basis_sum_to_one(controls: NDArray[np.float64], aspect: float) -> None:
    basis = thin_plate_basis(controls, POINTS, kernel_aspect=aspect)
    assert np.abs(basis.sum(axis=1) - 1).max() < FLOAT64


@pytest.mark.parametrize("length", [2.5, 5.0, 9.0])
@pytest.mark.parametrize("degrees", [60, 120, -90])
def test_in_a_frame_shaped_like_text_the_spline_follows_an_arc(degrees: float, length: float) -> None:
    """Between its two rows of control points too; the plain spline sags there."""
    warp = Warp(length=length, bend=Arc(angle=np.radians(degrees), length=length))
    target = target_points((24, 120))
    truth = warp.scene_from_flat(target * [length / 2, 0.5])  # text heights

    def error(aspect: float) -> float:
        basis = thin_plate_basis(control_point_targets(20), target, kernel_aspect=aspect)
        return float(np.linalg.norm(basis @ warp.control_points(20) - truth, axis=1).max())

    assert error(0.15) < ARC
    assert error(1.0) > 2 * error(0.15)


def test_it_bends_least_of_all_interpolants() -> None:
    """The basis is not just any interpolant: its bending energy is below that of any other through the same
    values, such as one through a further control point that is off the spline."""
    controls, more = SCATTERED, np.array([[0.1, 0.2]])
    values = np.random.default_rng(5).normal(size=len(controls))
    on_spline = float((thin_plate_basis(controls, more) @ values)[0])
    all_controls = np.concatenate([controls, more])

    def energy(last: float) -> float:
        offsets = all_controls[:, None] - all_controls
        squared = (offsets**2).sum(axis=2)
        kernel = 0.5 * squared * np.log(np.where(squared > 0, squared, 1))
        affine = np.concatenate([np.ones((len(all_controls), 1)), all_controls], axis=1)
        system = np.block([[kernel, affine], [affine.T, np.zeros((3, 3))]])
        heights = np.array([*values, last])
        weights = np.linalg.solve(system, [*heights, 0, 0, 0])[: len(all_controls)]
        return float(weights @ kernel @ weights)

    assert energy(on_spline) < min(energy(on_spline - 0.1), energy(on_spline + 0.1))


@pytest.mark.parametrize("count", [4, 10, 20])
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


@pytest.mark.parametrize("count", [-2, 0, 2, 3, 7])
def test_an_odd_or_too_small_number_of_control_points_is_refused(count: int) -> None:
    with pytest.raises(ArgumentError, match=f"expected an even number of at least 4, got {count}"):
        control_point_targets(count)


@pytest.mark.parametrize(
    "controls",
    [[[0, 0], [1, 2], [2, 4], [3, 6]], [[0, 0], [1, 0], [0, 1], [1, 0]]],
    ids=["on one line", "two at one place"],
)
def test_control_points_that_define_no_spline_are_refused(controls: list[list[float]]) -> None:
    with pytest.raises(ArgumentError, match="expected distinct points that are not all on one line"):
        thin_plate_basis(controls, [[0, 0]])


@pytest.mark.parametrize("aspect", [0.0, -1.0, float("nan"), float("inf")])
def test_a_frame_without_height_is_refused(aspect: float) -> None:
    with pytest.raises(ArgumentError, match="kernel_aspect: expected a number above 0"):
        thin_plate_basis(SCATTERED, [[0, 0]], kernel_aspect=aspect)


def test_control_points_of_another_shape_are_refused() -> None:
    with pytest.raises(ShapeError, match="control_targets: expected"):
        thin_plate_basis(np.zeros((4, 3)), [[0, 0]])
