"""With antialias no pixel of U is skipped, however small V is; otherwise nothing changes."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from stn_deploy.geometry import AFFINE, AFFINE_3D, ATTENTION
from stn_deploy.geometry.sampling import MODES, PADDINGS
from stn_deploy.stn import GridGenerator, Sampler, sample
from tests.tolerances import SAMPLE

LINEAR = {2: "bilinear", 3: "trilinear"}


def random_source(*size: int) -> Tensor:
    return torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(sum(size)))


def grid_of(*size: int, theta: list[float] | None = None) -> Tensor:
    """Two affine grids alike; of the identity if no theta is given."""
    transform = AFFINE if len(size) == 2 else AFFINE_3D
    values = torch.tensor(transform.identity if theta is None else theta).float()
    grid: Tensor = GridGenerator(transform, size)(values.repeat(2, 1))
    return grid


def turned(height: int, width: int) -> Tensor:
    """A grid that is neither aligned with U nor all within it."""
    return grid_of(height, width, theta=[0.913, -0.507, 0.2113, 0.4071, 0.8231, -0.1037])


def checkerboard(height: int, width: int) -> Tensor:
    """0 and 1 by turns in both directions."""
    board = (torch.arange(height)[:, None] + torch.arange(width)) % 2
    return board.float().expand(2, 1, -1, -1)


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("ratios", [(4, 4), (6, 6), (8, 8), (4, 8), (1, 6), (8, 2)], ids=str)
def test_at_the_identity_it_is_the_mean_of_each_block(ratios: tuple[int, int], padding: str) -> None:
    source = random_source(3 * ratios[0], 5 * ratios[1])
    expected = F.avg_pool2d(source, ratios)
    sampled = sample(source, grid_of(3, 5), padding=padding, antialias=True)
    assert (sampled - expected).abs().max() < SAMPLE
    assert torch.equal(sampled, Sampler(padding=padding, antialias=True)(source, grid_of(3, 5)))


@pytest.mark.parametrize("ratios", [(4, 6, 8), (1, 4, 2), (6, 1, 4)], ids=str)
def test_at_the_identity_of_a_volume_it_is_the_mean_of_each_block(ratios: tuple[int, int, int]) -> None:
    source = random_source(*(length * ratio for length, ratio in zip((2, 3, 5), ratios, strict=True)))
    sampled = sample(source, grid_of(2, 3, 5), mode="trilinear", antialias=True)
    assert (sampled - F.avg_pool3d(source, ratios)).abs().max() < SAMPLE


@pytest.mark.parametrize("ratio", [2, 3, 8])
def test_the_nearest_pixels_of_a_block_make_its_mean(ratio: int) -> None:
    source = random_source(3 * ratio, 5 * ratio)
    sampled = sample(source, grid_of(3, 5), mode="nearest", antialias=True)
    assert (sampled - F.avg_pool2d(source, ratio)).abs().max() < SAMPLE


@pytest.mark.parametrize("mode", MODES[2])
@pytest.mark.parametrize("sizes", [((7, 9), (7, 9)), ((5, 4), (9, 23)), ((1, 1), (1, 1))], ids=str)
def test_without_a_reduction_it_changes_nothing(sizes: tuple, mode: str) -> None:
    source, grid = random_source(*sizes[0]), turned(*sizes[1])
    assert torch.equal(sample(source, grid, mode=mode, antialias=True), sample(source, grid, mode=mode))


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
def test_where_the_source_is_at_most_twice_as_large_it_changes_nothing(mode: str) -> None:
    source, grid = random_source(6, 10), turned(3, 5)
    assert torch.equal(sample(source, grid, mode=mode, antialias=True), sample(source, grid, mode=mode))
    larger = random_source(7, 10)
    assert not torch.equal(sample(larger, grid, mode=mode, antialias=True), sample(larger, grid, mode=mode))


@pytest.mark.parametrize("zoom", [0.2, 1.0, 3.0])
@pytest.mark.parametrize("padding", ["border", "reflection"])
@pytest.mark.parametrize("mode", MODES[2])
def test_a_constant_image_stays_constant(mode: str, padding: str, zoom: float) -> None:
    source = torch.full((1, 2, 37, 50), 0.7)
    grid = GridGenerator(ATTENTION, (4, 3))(torch.tensor([[zoom, 0.3, -0.2]]))
    sampled = sample(source, grid, mode=mode, padding=padding, antialias=True)
    assert (sampled - 0.7).abs().max() < SAMPLE


@pytest.mark.parametrize(("mode", "offset"), [("nearest", 0.25), ("bilinear", 0.5), ("bicubic", 0.5)])
def test_a_fine_checkerboard_becomes_grey(mode: str, offset: float) -> None:
    """Also where the samples lie on pixel centres, each reading one pixel alone."""
    source = checkerboard(40, 56)
    grid = grid_of(5, 7, theta=[1, 0, 2 * offset / 56, 0, 1, 2 * offset / 40])
    assert (sample(source, grid, mode=mode) - 0.5)[..., 1:-1, 1:-1].abs().min() > 0.4
    grey = sample(source, grid, mode=mode, antialias=True)[..., 1:-1, 1:-1]  # away from the edges
    assert (grey - 0.5).abs().max() < SAMPLE


def test_a_fine_grating_becomes_grey_also_when_turned() -> None:
    """Bars of a period of three pixels, at 8 to 1: alone the plain sampler sees a coarse pattern."""
    xs = torch.arange(96)
    source = (0.5 + 0.5 * torch.cos(2 * math.pi * xs / 3)).expand(1, 1, 64, -1)
    turn = math.radians(20)
    cos, sin = 0.5 * math.cos(turn), 0.5 * math.sin(turn)
    # Half of U, so that all samples lie inside it; pixels of U are square.
    theta = torch.tensor([[cos, -sin * 64 / 96, 0.03, sin * 96 / 64, cos, -0.02]])
    grid = GridGenerator(AFFINE, (4, 6))(theta)
    assert (sample(source, grid) - 0.5).std() > 0.25
    assert (sample(source, grid, antialias=True) - 0.5).std() < 0.1


@pytest.mark.parametrize("mode", MODES[2])
def test_it_is_the_mean_over_the_area_of_each_pixel(mode: str) -> None:
    """Of a picture with soft blotches of four pixels, by a grid that divides each pixel of V finely."""
    blotches = F.interpolate(random_source(12, 30), (48, 120), mode="bilinear", align_corners=False)
    fine = sample(blotches, turned(4 * 24, 5 * 36))
    expected = F.avg_pool2d(fine, (24, 36))
    grid = turned(4, 5)
    assert (sample(blotches, grid, mode=mode) - expected).abs().max() > 0.2
    assert (sample(blotches, grid, mode=mode, antialias=True) - expected).abs().max() < 0.02


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("mode", MODES[2])
def test_a_position_that_is_not_finite_stays_zero_and_its_neighbours_keep_theirs(
    mode: str, bad: float
) -> None:
    """The step of a neighbour is taken from its other side: on an affine grid it is the same."""
    source, grid = random_source(24, 60) + 1, turned(5, 6)
    expected = sample(source, grid, mode=mode, antialias=True)
    for row, column in ((0, 0), (2, 3), (4, 5)):
        for axis in range(2):
            spoilt = grid.clone()
            spoilt[1, row, column, axis] = bad
            sampled = sample(source, spoilt, mode=mode, antialias=True)
            assert sampled.isfinite().all()
            assert not sampled[1, :, row, column].any()
            others = torch.ones(2, 3, 5, 6, dtype=torch.bool)
            others[1, :, row, column] = False
            assert (sampled - expected)[others].abs().max() < SAMPLE


@pytest.mark.parametrize("padding", PADDINGS)
def test_a_position_that_is_not_finite_leaves_all_gradients_finite(padding: str) -> None:
    source, grid = random_source(24, 60).requires_grad_(), turned(4, 5)
    grid[0, 1, 2, 0] = math.nan
    grid[1, 3, 4] = math.inf
    grid.requires_grad_()
    sample(source, grid, padding=padding, antialias=True).sum().backward()
    assert source.grad is not None
    assert grid.grad is not None
    assert source.grad.isfinite().all()
    assert grid.grad.isfinite().all()


def test_a_position_that_is_not_finite_has_no_gradient() -> None:
    """Nor by the y that is left where x is none."""
    source, grid = random_source(24, 60), turned(4, 5)
    grid[0, 1, 2, 0] = math.nan
    grid[1, 3, 4] = math.inf
    (gradient,) = torch.autograd.grad(sample(source, grid.requires_grad_(), antialias=True).sum(), grid)
    assert not gradient[0, 1, 2].any()
    assert not gradient[1, 3, 4].any()


def test_gradients_of_an_antialiased_output_reach_every_pixel_of_its_block() -> None:
    source, grid = random_source(24, 40).requires_grad_(), grid_of(3, 5).requires_grad_()
    sample(source, grid, antialias=True).sum().backward()
    assert source.grad is not None
    assert grid.grad is not None
    assert (source.grad - 1 / 64).abs().max() < SAMPLE
    assert grid.grad.abs().min() > 0


@pytest.mark.parametrize("far", [1e20, 3e38])
def test_a_position_far_away_samples_the_border(far: float) -> None:
    source = random_source(24, 60)
    ends = torch.tensor([[[-far, -far], [far, -far]], [[-far, far], [far, far]]])
    expected = source[:, :, [0, -1]][:, :, :, [0, -1]]
    for row, column in ((0, 0), (0, 1), (1, 0), (1, 1)):
        grid = grid_of(2, 2)
        grid[:, row, column] = ends[row, column]
        sampled = sample(source, grid, antialias=True)
        assert sampled.isfinite().all()
        assert (sampled - expected)[:, :, row, column].abs().max() < SAMPLE


def test_an_output_of_one_row_will_do_where_no_row_is_skipped() -> None:
    sampled = sample(random_source(2, 60), grid_of(1, 5), antialias=True)
    assert (sampled - F.avg_pool2d(random_source(2, 60), (2, 12))).abs().max() < SAMPLE


@pytest.mark.parametrize("dimensions", [2, 3])
def test_it_can_be_traced_whole(dimensions: int) -> None:
    source, grid = random_source(*[9, 12, 10][-dimensions:]), grid_of(*[2, 2, 3][-dimensions:])
    torch.compiler.reset()
    traced = torch.compile(sample, backend="eager", fullgraph=True)
    mode = LINEAR[dimensions]
    assert torch.equal(
        traced(source, grid, mode=mode, antialias=True), sample(source, grid, mode=mode, antialias=True)
    )
