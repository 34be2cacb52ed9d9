"""Constraints keep theta within bounds, leave the identity where it is and hardly change what is near it."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from stn_deploy.geometry import (
    ATTENTION,
    PROJECTIVE,
    SIMILARITY,
    MatrixTransform,
    ThinPlateSpline,
    Transform,
    target_points,
)
from stn_deploy.stn import BoundedDisplacement, BoundedPerspective, BoundedScale
from tests.tolerances import DIFFERENCE, FLOAT64, POINT
from tests.transforms import MATRICES, TRANSFORMS, as_batch, random_theta

LIMIT, LOWEST, HIGHEST, PERSPECTIVE = 0.7, 0.4, 1.8, 0.5
STRETCH = MatrixTransform("stretch", "s 0 tx", "0 1 ty")
TILT = MatrixTransform("tilt", "1 0 0", "0 1 0", "h h 1")


def constraints() -> dict[str, tuple[nn.Module, Transform]]:
    """A constraint of each kind for each transform that has one."""
    made: dict[str, tuple[nn.Module, Transform]] = {
        "perspective": (BoundedPerspective(PROJECTIVE, PERSPECTIVE), PROJECTIVE),
        "perspective of tilt": (BoundedPerspective(TILT, PERSPECTIVE), TILT),
    }
    for name, transform in TRANSFORMS.items():
        made[f"displacement of {name}"] = (BoundedDisplacement(transform, LIMIT), transform)
    for name, matrix in MATRICES.items():
        made[f"scale of {name}"] = (BoundedScale(matrix, LOWEST, HIGHEST), matrix)
    return made


each_constraint = pytest.mark.parametrize("name", constraints())
each_scaled = pytest.mark.parametrize("name", MATRICES)


def wild(transform: Transform, size: float, items: int = 50) -> Tensor:
    """Thetas of any direction around the identity, ``size`` in length."""
    generator = np.random.default_rng(4)
    return as_batch(
        transform.identity + size * generator.choice([-1, -0.3, 0.6, 1], (items, transform.parameters))
    )


def mean_scale(transform: MatrixTransform, theta: Tensor) -> np.ndarray:
    """Root of the mean squared singular value."""
    square = slice(0, transform.dimensions)
    linear = transform.matrix(theta.detach().double().numpy())[:, square, square]
    return np.sqrt((np.linalg.svd(linear, compute_uv=False) ** 2).mean(axis=-1))


@each_constraint
def test_the_identity_is_left_where_it_is(name: str) -> None:
    constraint, transform = constraints()[name]
    identity = as_batch(transform.identity)
    assert (constraint(identity) - identity).abs().max() < POINT


def test_the_identity_is_left_where_it_is_beside_fixed_numbers() -> None:
    """The mean scale of the whole matrix is 1, though the entries that may change have less."""
    identity = as_batch(STRETCH.identity)
    assert (BoundedScale(STRETCH, LOWEST, HIGHEST)(identity) - identity).abs().max() < POINT


@each_constraint
def test_the_slope_at_the_identity_is_one(name: str) -> None:
    constraint, transform = constraints()[name]
    identity = torch.tensor(transform.identity)
    jacobian = torch.autograd.functional.jacobian(lambda theta: constraint.double()(theta[None])[0], identity)
    assert (jacobian - torch.eye(transform.parameters)).abs().max() < DIFFERENCE


@each_constraint
def test_what_is_near_the_identity_hardly_changes(name: str) -> None:
    """By the square of the distance or less, for the slope is one."""
    constraint, transform = constraints()[name]
    near = as_batch(random_theta(transform, 50, spread=0.01))
    assert (constraint(near) - near).abs().max() < 0.01**2 * transform.parameters


@each_constraint
def test_constrained_thetas_keep_their_shape_type_and_batch(name: str) -> None:
    constraint, transform = constraints()[name]
    for items in (0, 1, 5):
        theta = as_batch(random_theta(transform, items))
        together = constraint(theta)
        assert together.shape == theta.shape
        assert together.dtype == torch.float32
        for item, expected in zip(theta, together, strict=True):
            assert (constraint(item[None])[0] - expected).abs().max() < POINT


@pytest.mark.parametrize("size", [1e-6, 0.1, 1.0, 30.0, 1e6])
@pytest.mark.parametrize("name", TRANSFORMS)
def test_displacements_stay_within_their_limit(name: str, size: float) -> None:
    transform = TRANSFORMS[name]
    moved = BoundedDisplacement(transform, LIMIT)(wild(transform, size)) - as_batch(transform.identity)
    largest = moved[:, torch.tensor(transform.displacements)].abs().max()
    assert largest <= LIMIT + POINT
    if size >= 30:
        assert largest > 0.99 * LIMIT


@pytest.mark.parametrize("size", [1e-4, 0.1, 1.0, 30.0, 1e6, 1e15, 1e25])
@each_scaled
def test_the_mean_scale_stays_between_its_bounds(name: str, size: float) -> None:
    transform = MATRICES[name]
    theta = wild(transform, size) - as_batch(transform.identity)
    scale = mean_scale(transform, BoundedScale(transform, LOWEST, HIGHEST)(theta))
    assert scale.min() >= LOWEST * (1 - 1e-3)
    assert scale.max() <= HIGHEST * (1 + 1e-3)


@each_scaled
def test_the_directions_of_a_scaled_matrix_stay(name: str) -> None:
    transform = MATRICES[name]
    theta = 5 * as_batch(random_theta(transform, 20, spread=1))
    bounded = BoundedScale(transform, LOWEST, HIGHEST)(theta)
    scaled = torch.tensor(transform.scale_weights > 0)
    ratios = (bounded / theta)[:, scaled]
    assert (ratios - ratios[:, :1]).abs().max() < POINT
    assert (ratios > 0).all()


@pytest.mark.parametrize("limit", [0.1, 0.5, 0.99])
@pytest.mark.parametrize("size", [0.1, 1.0, 1e6])
@pytest.mark.parametrize("transform", [PROJECTIVE, TILT], ids=lambda transform: transform.name)
def test_the_horizon_stays_out_of_the_output(transform: MatrixTransform, size: float, limit: float) -> None:
    """Also where one parameter stands twice in the row of the divisor, which then moves it twice as far."""
    theta = BoundedPerspective(transform, limit)(wild(transform, size)).double().numpy()
    corners = np.array([[x, y, 1] for x in (-1, 1) for y in (-1, 1)])
    divisors = transform.matrix(theta)[:, -1] @ corners.T
    assert divisors.min() >= 1 - limit - POINT
    assert divisors.max() <= 1 + limit + POINT
    if size > 1:
        assert divisors.max() > 1 + 0.99 * limit
    inside = transform.matrix(theta)[:, -1] @ np.c_[target_points((7, 12)), np.ones(84)].T
    assert inside.min() > 0


@each_constraint
def test_other_entries_are_left_as_they_are(name: str) -> None:
    constraint, transform = constraints()[name]
    if isinstance(constraint, BoundedDisplacement):
        bounded = transform.displacements
    else:
        assert isinstance(transform, MatrixTransform)
        bounded = (
            transform.scale_weights > 0 if isinstance(constraint, BoundedScale) else transform.perspectives
        )
    theta = wild(transform, 3.0)
    changed = (constraint(theta) != theta).any(dim=0).numpy()
    assert np.array_equal(changed, bounded)


@pytest.mark.parametrize("name", TRANSFORMS)
def test_displacements_keep_their_order(name: str) -> None:
    transform = TRANSFORMS[name]
    steps = torch.linspace(-3, 3, 61)[:, None] * torch.ones(transform.parameters)
    moved = BoundedDisplacement(transform, LIMIT)(as_batch(transform.identity) + steps)
    assert (moved.diff(dim=0) > 0).all()


def test_scales_keep_their_order_and_their_sign() -> None:
    theta = torch.zeros(81, 3)
    theta[:, 0] = torch.linspace(-2.5, 2.5, 80 + 1).exp()
    bound = BoundedScale(ATTENTION, LOWEST, HIGHEST)
    assert (bound(theta)[:, 0].diff() > 0).all()
    assert torch.equal(bound(-theta), -bound(theta))


def test_perspectives_keep_their_order() -> None:
    steps = torch.linspace(-1, 1, 41)[:, None] * torch.ones(8)
    bounded = BoundedPerspective(PROJECTIVE, PERSPECTIVE)(as_batch(PROJECTIVE.identity) + steps)
    assert (bounded[:, 6:].diff(dim=0) > 0).all()


@pytest.mark.parametrize("name", [*constraints(), "scale of stretch"])
def test_gradients_of_theta_are_right(name: str) -> None:
    made = {**constraints(), "scale of stretch": (BoundedScale(STRETCH, LOWEST, HIGHEST), STRETCH)}
    constraint, transform = made[name]
    theta = torch.tensor(random_theta(transform, 2, spread=0.8)).requires_grad_()
    assert torch.autograd.gradcheck(constraint.double(), (theta,))


@pytest.mark.parametrize("size", [0.0, 1e-20, 1e6, 1e15, 1e25])
@each_constraint
def test_no_theta_makes_gradients_that_are_not_finite(name: str, size: float) -> None:
    constraint, transform = constraints()[name]
    theta = torch.full((2, transform.parameters), size, requires_grad=True)
    bounded = constraint(theta)
    assert bounded.isfinite().all()
    bounded.sum().backward()
    assert theta.grad is not None
    assert theta.grad.isfinite().all()


@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16], ids=str)
@each_constraint
def test_in_half_precision_a_theta_is_constrained_as_in_float32(name: str, half: torch.dtype) -> None:
    constraint, transform = constraints()[name]
    for size in (0.0, 0.01, 1.0, 300.0):
        theta = torch.full((2, transform.parameters), size).to(half)
        expected = constraints()[name][0](theta.float())
        assert torch.equal(constraint.to(half)(theta).float(), expected)
        assert expected.isfinite().all()


def test_constraints_are_put_one_after_another() -> None:
    both = nn.Sequential(BoundedScale(SIMILARITY, LOWEST, HIGHEST), BoundedDisplacement(SIMILARITY, LIMIT))
    theta = wild(SIMILARITY, 20.0)
    bounded = both(theta)
    assert torch.equal(bounded, both[1](both[0](theta)))
    assert (mean_scale(SIMILARITY, bounded) <= HIGHEST + POINT).all()
    assert bounded[:, 2:].abs().max() <= LIMIT + POINT
    identity = as_batch(SIMILARITY.identity)
    assert (both(identity) - identity).abs().max() < POINT


@each_constraint
def test_nothing_of_a_constraint_is_saved_or_trained(name: str) -> None:
    constraint, _ = constraints()[name]
    assert not constraint.state_dict()
    assert not list(constraint.parameters())


def test_the_displacement_of_an_edge_point_is_exact() -> None:
    """One number by hand: limit * tanh(offset / limit)."""
    spline = ThinPlateSpline.on_edges(4)
    theta = torch.tensor(spline.identity)[None].clone()
    theta[0, 3] += 1.5
    moved = BoundedDisplacement(spline, LIMIT).double()(theta)
    assert abs(float(moved[0, 3]) - (-1 + LIMIT * math.tanh(1.5 / LIMIT))) < FLOAT64
    assert torch.equal(moved[0, :3], theta[0, :3])
