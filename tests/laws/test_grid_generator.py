"""grid = basis @ theta, in float32 or better, whatever surrounds it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from stn_deploy.errors import ArgumentError, ShapeError
from stn_deploy.geometry import control_point_targets, target_points, thin_plate_basis
from stn_deploy.stn import GridGenerator
from tests.tolerances import POINT

SIZES = [(1, 5), (7, 13), (48, 20)]


def random_theta(count: int, *, items: int = 3, seed: int = 0) -> torch.Tensor:
    return torch.randn(items, count, 2, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_the_affine_grid_is_that_of_torch(size: tuple[int, int]) -> None:
    theta = random_theta(3)
    expected = F.affine_grid(theta.transpose(1, 2), [3, 1, *size], align_corners=False)
    assert (GridGenerator.affine(size)(theta) - expected).abs().max() < POINT


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize(("count", "aspect"), [(4, 1.0), (20, 1.0), (14, 0.15)])
def test_the_thin_plate_grid_is_the_spline_at_the_pixel_centres(
    size: tuple[int, int], count: int, aspect: float
) -> None:
    theta = random_theta(count)
    grid = GridGenerator.thin_plate_spline(size, count, kernel_aspect=aspect)(theta)
    basis = thin_plate_basis(control_point_targets(count), target_points(size), kernel_aspect=aspect)
    expected = basis @ theta.double().numpy()
    assert grid.shape == (3, *size, 2)
    assert np.abs(grid.numpy() - expected.reshape(grid.shape)).max() < 4 * POINT  # values up to 4


@pytest.mark.parametrize("make", [GridGenerator.affine, GridGenerator.thin_plate_spline])
def test_autocast_leaves_the_grid_in_float32(make: type) -> None:
    grid_generator = make((9, 30))
    theta = random_theta(grid_generator.basis.shape[1])
    expected = grid_generator(theta)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16
        grid = grid_generator(theta)
    assert grid.dtype == torch.float32
    assert torch.equal(grid, expected)


@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16])
def test_a_theta_in_half_precision_makes_a_float32_grid(half: torch.dtype) -> None:
    grid_generator = GridGenerator.thin_plate_spline((5, 8), 6)
    theta = random_theta(6).to(half)
    assert torch.equal(grid_generator(theta), grid_generator(theta.float()))


def test_a_float64_theta_makes_a_float64_grid() -> None:
    grid_generator = GridGenerator.thin_plate_spline((5, 8), 6)
    theta = random_theta(6)
    grid = grid_generator(theta.double())
    assert grid.dtype == torch.float64
    assert (grid - grid_generator(theta)).abs().max() < 4 * POINT


def test_a_batch_equals_its_items() -> None:
    grid_generator = GridGenerator.thin_plate_spline((6, 17), 8)
    theta = random_theta(8, items=5)
    together = grid_generator(theta)
    for item, expected in zip(theta, together, strict=True):
        assert (grid_generator(item[None])[0] - expected).abs().max() < POINT


def test_the_basis_moves_with_the_module_and_is_not_saved_with_it() -> None:
    grid_generator = GridGenerator.affine((3, 4))
    assert dict(grid_generator.named_buffers()).keys() == {"basis"}
    assert not grid_generator.state_dict()


@pytest.mark.parametrize("shape", [(2, 5, 2), (6, 2), (2, 6, 3), (1, 2, 6, 2)], ids=str)
def test_a_theta_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match=r"theta: expected \(n, 6, 2\), got"):
        GridGenerator.thin_plate_spline((4, 5), 6)(torch.zeros(shape))


def test_a_basis_that_does_not_fit_the_output_is_refused() -> None:
    with pytest.raises(ShapeError, match=r"basis: expected \(20, K\), got \(21, 3\)"):
        GridGenerator(torch.zeros(21, 3), (4, 5))
    with pytest.raises(ArgumentError, match="output_size: expected"):
        GridGenerator(torch.zeros(20, 3), (0, 5))
