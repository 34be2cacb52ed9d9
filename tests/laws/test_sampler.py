"""The sampler is equation 5 of Jaderberg et al. 2015, and defined for every coordinate there is."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from stn_deploy.errors import ArgumentError, ShapeError
from stn_deploy.stn import Sampler, sample, theta_grid_sample
from stn_deploy.stn.sampler import PADDINGS
from tests.tolerances import SAMPLE

SIZES = [((1, 1), (3, 4)), ((3, 8), (5, 2)), ((17, 6), (9, 23))]


def random_pair(before: tuple[int, int], after: tuple[int, int], reach: float = 1.7) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(sum(before))
    source = torch.rand(2, 3, *before, generator=generator)
    grid = (torch.rand(2, *after, 2, generator=generator) * 2 - 1) * reach
    return source, grid


def reflected(position: float, length: int) -> float:
    """A position (pixel index) mirrored at the edges of the first and the last pixel, as often as needed."""
    period = 2 * length
    folded = (position + 0.5) % period
    return min(folded, period - folded) - 0.5


def bilinear_sum(source: np.ndarray, x: float, y: float, padding: str) -> np.ndarray:
    """Equation 5, term by term: all pixels of U, each weighted by its distance to (x, y), pixel indices."""
    height, width = source.shape[1:]
    if padding == "reflection":
        x, y = reflected(x, width), reflected(y, height)
    if padding in ("border", "reflection"):
        x, y = min(max(x, 0.0), width - 1.0), min(max(y, 0.0), height - 1.0)
    value = np.zeros(len(source))
    for n, m in product(range(height), range(width)):
        value += source[:, n, m] * max(0.0, 1 - abs(x - m)) * max(0.0, 1 - abs(y - n))
    return value


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_it_is_the_bilinear_sum_of_the_paper(sizes: tuple, padding: str) -> None:
    source, grid = random_pair(*sizes)
    sampled = sample(source, grid, padding=padding)
    height, width = source.shape[2:]
    for item, row, column in product(range(2), *map(range, sizes[1])):
        x, y = (float(value) for value in grid[item, row, column])
        expected = bilinear_sum(
            source[item].double().numpy(), (x + 1) * width / 2 - 0.5, (y + 1) * height / 2 - 0.5, padding
        )
        assert np.abs(sampled[item, :, row, column].numpy() - expected).max() < SAMPLE


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_it_is_the_sampler_of_torch(sizes: tuple, padding: str) -> None:
    source, grid = random_pair(sizes[0], sizes[1], reach=3.0)
    expected = F.grid_sample(source, grid, "bilinear", padding, align_corners=False)
    assert torch.equal(sample(source, grid, padding=padding), expected)
    assert torch.equal(Sampler(padding)(source, grid), expected)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("padding", PADDINGS)
def test_coordinates_that_are_not_finite_sample_as_zero(padding: str, axis: int, bad: float) -> None:
    source, grid = random_pair((5, 9), (4, 6))
    source += 1
    expected = sample(source, grid, padding=padding)
    grid[1, 2, 3, axis] = bad
    expected[1, :, 2, 3] = 0
    assert torch.equal(sample(source, grid, padding=padding), expected)


@pytest.mark.parametrize("far", [1e20, 3e38])
def test_coordinates_far_away_sample_the_border(far: float) -> None:
    source, _ = random_pair((5, 9), (1, 1))
    grid = torch.tensor([[-far, -far], [far, -far], [-far, far], [far, far]]).reshape(1, 2, 2, 2)
    corners = source[:, :, [0, -1]][:, :, :, [0, -1]]
    assert torch.equal(sample(source, grid.expand(2, -1, -1, -1)), corners)
    assert not sample(source, grid.expand(2, -1, -1, -1), padding="zeros").any()


@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16])
def test_positions_stay_precise_when_the_source_is_in_half_precision(half: torch.dtype) -> None:
    """In half precision neighbouring pixels of a wide source could not be told apart."""
    width = 3000
    source = (torch.arange(width) % 2).to(half).reshape(1, 1, 1, width)
    xs = (2 * torch.arange(width) + 1) / width - 1
    grid = torch.stack([xs, torch.zeros(width)], dim=1).reshape(1, 1, width, 2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        sampled = sample(source, grid)
    assert sampled.dtype == half
    assert (sampled - source).abs().max() < 0.01


def test_theta_grid_sample_reads_only_the_valid_part_of_the_canvas() -> None:
    """On a padded canvas it gives what the tight image gives with border padding."""
    generator = torch.Generator().manual_seed(0)
    tight = torch.rand(1, 3, 5, 9, generator=generator)
    theta = 3 * torch.randn(1, 6, 2, generator=generator)
    basis = torch.rand(7 * 4, 6, generator=generator) - 0.5
    canvas = torch.full((1, 3, 11, 14), torch.nan)
    canvas[:, :, :6, :10] = F.pad(tight, (0, 1, 0, 1), mode="replicate")
    grid = (basis @ theta).reshape(1, 7, 4, 2)
    assert grid.amin(dim=(0, 1, 2)).max() < -1.2
    assert grid.amax(dim=(0, 1, 2)).min() > 1.2
    expected = F.grid_sample(tight, grid, "bilinear", "border", align_corners=False)
    extents = torch.tensor([[5 / 11, 9 / 14]])
    assert (theta_grid_sample(canvas, basis, theta, extents, (7, 4)) - expected).abs().max() < SAMPLE


def test_what_cannot_be_sampled_is_refused() -> None:
    source, grid = random_pair((5, 9), (4, 6))
    with pytest.raises(ArgumentError, match="padding: expected one of border, zeros, reflection, got 'wrap'"):
        sample(source, grid, padding="wrap")
    with pytest.raises(ArgumentError, match="padding: expected one of"):
        Sampler("wrap")
    with pytest.raises(ArgumentError, match=r"source: expected a floating-point tensor, got torch\.uint8"):
        sample(source.to(torch.uint8), grid)
    for wrong in ((source[0], grid), (source, grid[0]), (source[:1], grid), (source, grid[..., :1])):
        with pytest.raises(ShapeError, match="sample: expected source"):
            sample(*wrong)
