"""The folded basis is the thin-plate spline of Bookstein: against SciPy's, and by what defines it."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.interpolate import RBFInterpolator

from stn_deploy.geometry import (
    AFFINE,
    ThinPlateSpline,
    control_point_lattice,
    control_point_targets,
    source_points,
    target_points,
    thin_plate_basis,
)
from stn_deploy.training.bends import Arc
from stn_deploy.training.warp import Warp
from tests.tolerances import ARC, FLOAT64
from tests.transforms import random_theta, theta_of_affine

SCATTERED = np.random.default_rng(4).uniform([-1, -0.4], [1, 1.3], (7, 2))
CONTROLS = {
    **{f"{count} on the edges": control_point_targets(count) for count in range(4, 21, 2)},
    "4 x 4 lattice": control_point_lattice(),
    "2 x 5 lattice": control_point_lattice(2, 5),
    "7 scattered": SCATTERED,
    "3, affine": SCATTERED[:3],
}
POINTS = np.concatenate([target_points((7, 12)), np.random.default_rng(2).uniform(-2.5, 2.5, (40, 2))])

each_aspect = pytest.mark.parametrize("aspect", [1.0, 0.15, 2.5])
each_control = pytest.mark.parametrize("controls", CONTROLS.values(), ids=CONTROLS)


def spline_of(kind: str) -> ThinPlateSpline:
    return {
        "edges": ThinPlateSpline.on_edges(14),
        "lattice": ThinPlateSpline.on_lattice(3, 5),
        "scattered": ThinPlateSpline(SCATTERED),
        "edges in a flat frame": ThinPlateSpline.on_edges(14, kernel_aspect=0.15),
    }[kind]


each_spline = pytest.mark.parametrize("kind", ["edges", "lattice", "scattered", "edges in a flat frame"])


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


@each_spline
def test_the_transform_is_the_spline_of_scipy(kind: str) -> None:
    spline = spline_of(kind)
    frame = [1, spline.kernel_aspect]
    for theta in random_theta(spline, 3):
        values = np.stack([theta[0::2], theta[1::2]], axis=1)  # x0, y0, x1, y1, ...
        oracle = RBFInterpolator(spline.control_targets * frame, values, kernel="thin_plate_spline", degree=1)
        assert np.abs(source_points(spline, theta, POINTS) - oracle(POINTS * frame)).max() < FLOAT64


@each_spline
def test_theta_is_where_the_control_points_go(kind: str) -> None:
    spline = spline_of(kind)
    thetas = random_theta(spline, 4)
    assert spline.parameters == 2 * len(spline.control_targets)
    assert np.array_equal(spline.identity.reshape(-1, 2), spline.control_targets)
    reached = source_points(spline, thetas, spline.control_targets)
    assert np.abs(reached - thetas.reshape(reached.shape)).max() < FLOAT64


@each_spline
def test_control_points_moved_by_an_affine_map_move_everything_by_it(kind: str) -> None:
    spline, affine = spline_of(kind), random_theta(AFFINE, seed=3)
    theta = theta_of_affine(spline, AFFINE.matrix(affine))
    expected = source_points(AFFINE, affine, POINTS)
    assert np.abs(source_points(spline, theta, POINTS) - expected).max() < FLOAT64


@each_spline
def test_each_entry_of_theta_moves_its_control_point_along_one_axis(kind: str) -> None:
    """And the points around it along no other."""
    spline = spline_of(kind)
    theta = random_theta(spline)
    before, controls = source_points(spline, theta, POINTS), spline.control_targets
    for entry in range(spline.parameters):
        point, axis = divmod(entry, 2)
        changed = theta.copy()
        changed[entry] += 0.25
        moved = source_points(spline, changed, POINTS) - before
        assert np.abs(moved[:, axis]).max() > 0.05
        assert not moved[:, 1 - axis].any()
        of_controls = source_points(spline, changed, controls) - source_points(spline, theta, controls)
        expected = np.zeros_like(controls)
        expected[point, axis] = 0.25
        assert np.abs(of_controls - expected).max() < FLOAT64


def test_a_spline_keeps_the_control_points_that_it_was_given() -> None:
    controls = SCATTERED.copy()
    spline = ThinPlateSpline(controls)
    basis = spline.basis(POINTS)
    controls[:] = 3
    assert np.array_equal(spline.control_targets, SCATTERED)
    assert np.array_equal(spline.basis(POINTS), basis)
    with pytest.raises(ValueError, match="read-only"):
        spline.control_targets[0, 0] = 3


def test_twenty_points_on_the_edges_are_the_default() -> None:
    assert np.array_equal(ThinPlateSpline.on_edges().control_targets, control_point_targets(20))
    assert np.array_equal(ThinPlateSpline.on_lattice().control_targets, control_point_lattice(4, 4))
