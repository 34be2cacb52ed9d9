"""The sampler is defined for every coordinate there is: NaN, infinity, and positions far from U."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from stn_deploy.geometry.sampling import MODES, PADDINGS
from stn_deploy.stn import sample
from tests.sampling import RANKS, random_pair, with_gradients
from tests.tolerances import SAMPLE

FAR = [1e20, 3e38]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize(("mode", "before", "after"), RANKS, ids=str)
def test_coordinates_that_are_not_finite_sample_as_zero(
    mode: str, before: tuple, after: tuple, padding: str, bad: float
) -> None:
    """And have no gradient; all other positions give what they gave, to the bit."""
    source, grid = random_pair(before, after)
    source += 1
    upstream = torch.rand(2, 3, *after, generator=torch.Generator().manual_seed(1))
    place = tuple(length // 2 for length in after)
    pixel = (1, slice(None), *place)
    without = upstream.clone()
    without[pixel] = 0
    expected, for_source, for_grid = with_gradients(source, grid, without, mode=mode, padding=padding)
    expected[pixel] = 0
    for axis in range(len(after)):
        position, spoilt = (1, *place, axis), grid.clone()
        spoilt[position] = bad
        found = with_gradients(source, spoilt, upstream, mode=mode, padding=padding)
        assert torch.equal(found[0], expected)
        assert torch.equal(found[1], for_source)
        assert torch.equal(found[2], for_grid)


@pytest.mark.parametrize("mode", MODES[2])
def test_a_position_that_is_not_finite_samples_as_zero_whatever_the_source_holds(mode: str) -> None:
    """Overflown features, too, must not leak through a position that is nowhere."""
    source = torch.full((1, 1, 5, 9), math.inf)
    source[..., ::2] = math.nan
    grid = torch.full((1, 2, 3, 2), math.nan)
    assert torch.equal(sample(source, grid, mode=mode), torch.zeros(1, 1, 2, 3))


def masked_by_tracing(source: Tensor, grid: Tensor, **settings: str) -> Tensor:
    torch.compiler.reset()
    traced = torch.compile(sample, backend="eager", fullgraph=True)
    sampled: Tensor = traced(source, grid, **settings)  # type: ignore[arg-type]
    return sampled


def masked_by_company(source: Tensor, grid: Tensor, **settings: str) -> Tensor:
    company = torch.cat([grid, torch.full_like(grid[:, :1], math.nan)], dim=1)
    return sample(source, company, **settings)[:, :, :-1]  # type: ignore[arg-type]


@pytest.mark.parametrize("masked", [masked_by_tracing, masked_by_company])
@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize(("mode", "before", "after"), RANKS, ids=str)
def test_the_way_without_a_look_at_the_grid_gives_the_same(
    mode: str, before: tuple, after: tuple, padding: str, masked: Callable[..., Tensor]
) -> None:
    source, grid = random_pair(before, after, reach=4.0)
    expected = sample(source, grid, mode=mode, padding=padding)
    assert torch.equal(masked(source, grid, mode=mode, padding=padding), expected)


@pytest.mark.parametrize("far", FAR)
@pytest.mark.parametrize("width", [1, 9, 20000])
@pytest.mark.parametrize("mode", MODES[2])
def test_coordinates_far_away_sample_the_border_or_nothing(mode: str, width: int, far: float) -> None:
    source, _ = random_pair((5, width), (1, 1))
    corners = torch.tensor([[-far, -far], [far, -far], [-far, far], [far, far]]).reshape(1, 2, 2, 2)
    grid = corners.expand(2, -1, -1, -1)
    expected = source[:, :, [0, -1]][:, :, :, [0, -1]]
    for way in (sample, masked_by_company):
        assert (way(source, grid, mode=mode) - expected).abs().max() < SAMPLE
        assert not way(source, grid, mode=mode, padding="zeros").any()
        assert way(source, grid, mode=mode, padding="reflection").isfinite().all()


@pytest.mark.parametrize("far", [1e3, 9e5, *FAR])
@pytest.mark.parametrize("mode", MODES[3])
def test_coordinates_far_away_in_a_volume_sample_the_border_or_nothing(mode: str, far: float) -> None:
    source, _ = random_pair((3, 2, 700), (1, 1, 1))
    ends = torch.tensor([-far, far])
    grid = torch.stack(torch.meshgrid(ends, ends, ends, indexing="ij")[::-1], dim=-1)
    expected = source[:, :, [0, -1]][:, :, :, [0, -1]][..., [0, -1]]
    batch = grid.expand(2, -1, -1, -1, -1)
    assert torch.equal(sample(source, batch, mode=mode), expected)
    assert not sample(source, batch, mode=mode, padding="zeros").any()


@pytest.mark.parametrize("far", [1e5, *FAR])
@pytest.mark.parametrize("padding", ["border", "zeros"])
@pytest.mark.parametrize("mode", MODES[2])
def test_coordinates_far_away_have_no_gradient_and_spoil_none(mode: str, padding: str, far: float) -> None:
    source, grid = random_pair((5, 9), (4, 6))
    grid[0, 1, 2] = torch.tensor([far, -far])
    _, for_source, for_grid = with_gradients(source, grid, torch.ones(2, 3, 4, 6), mode=mode, padding=padding)
    assert for_source.isfinite().all()
    assert for_grid.isfinite().all()
    assert not for_grid[0, 1, 2].any()
