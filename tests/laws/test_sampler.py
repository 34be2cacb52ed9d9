"""The sampler is equations 3 to 7 of Jaderberg et al. 2015, and defined for every coordinate there is."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.profiler import ProfilerActivity, profile

from stn_deploy.geometry import AFFINE, ThinPlateSpline, Transform
from stn_deploy.stn import (
    GridGenerator,
    Sampler,
    reference_gradients,
    reference_sample,
    sample,
    theta_grid_sample,
)
from stn_deploy.stn.checks import MODES, PADDINGS
from tests.tolerances import FLOAT64, SAMPLE

SIZES = [
    ((1, 1), (3, 4)),
    ((1, 6), (4, 3)),
    ((3, 8), (5, 2)),
    ((17, 6), (9, 23)),
    ((1, 1, 1), (2, 3, 1)),
    ((2, 5, 3), (3, 2, 4)),
]
CASES = [(mode, sizes) for sizes in SIZES for mode in MODES[len(sizes[0])]]
RANKS = [(mode, *sizes) for mode, sizes in CASES if sizes in (SIZES[3], SIZES[5])]
OF_TORCH = {"trilinear": "bilinear"}
FAR = [1e20, 3e38]


def random_pair(
    before: tuple[int, ...], after: tuple[int, ...], reach: float = 1.7, dtype: torch.dtype = torch.float32
) -> tuple[Tensor, Tensor]:
    """U with values in [0, 1], and a grid whose positions go ``reach`` times as far as its edges."""
    generator = torch.Generator().manual_seed(sum(before))
    source = torch.rand(2, 3, *before, generator=generator, dtype=dtype)
    grid = (torch.rand(2, *after, len(after), generator=generator, dtype=dtype) * 2 - 1) * reach
    return source, grid


def grid_at(points: list[tuple[float, ...]], size: tuple[int, ...]) -> Tensor:
    """A row of positions given in pixels, pixel centres at whole numbers."""
    extent = torch.tensor(size[::-1])
    grid = (torch.tensor(points) + 0.5) * 2 / extent - 1
    return grid.reshape(1, *[1] * (len(size) - 1), -1, len(size))


def with_gradients(
    source: Tensor, grid: Tensor, upstream: Tensor, **settings: str
) -> tuple[Tensor, Tensor, Tensor]:
    """V, and the gradients of (V * upstream).sum() for U and for the grid."""
    u, positions = source.clone().requires_grad_(), grid.clone().requires_grad_()
    sampled = sample(u, positions, **settings)  # type: ignore[arg-type]
    for_source, for_grid = torch.autograd.grad(sampled, (u, positions), upstream)
    return sampled.detach(), for_source, for_grid


@pytest.mark.parametrize("reach", [1.7, 25.0])
@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize(("mode", "sizes"), CASES, ids=str)
def test_it_is_the_reference(mode: str, sizes: tuple, padding: str, reach: float) -> None:
    """Values and both gradients."""
    source, grid = random_pair(sizes[0], sizes[1], reach, dtype=torch.float64)
    upstream = torch.rand(2, 3, *sizes[1], dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    found = with_gradients(source, grid, upstream, mode=mode, padding=padding)
    arrays = [tensor.numpy() for tensor in (source, grid, upstream)]
    expected = (
        reference_sample(*arrays[:2], mode=mode, padding=padding),
        *reference_gradients(*arrays, mode=mode, padding=padding),
    )
    for one, other in zip(found, expected, strict=True):
        assert one.shape == other.shape
        assert np.abs(one.numpy() - other).max() < FLOAT64


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize(("mode", "sizes"), CASES, ids=str)
def test_it_is_the_sampler_of_torch(mode: str, sizes: tuple, padding: str) -> None:
    source, grid = random_pair(sizes[0], sizes[1], reach=3.0)
    expected = F.grid_sample(source, grid, OF_TORCH.get(mode, mode), padding, align_corners=False)
    assert torch.equal(sample(source, grid, mode=mode, padding=padding), expected)
    assert torch.equal(Sampler(mode, padding)(source, grid), expected)


def test_at_a_tie_the_nearest_pixel_is_the_later_one_and_not_the_even_one() -> None:
    """floor(x + 0.5) of equation 4; torch rounds a half to the even number."""
    source = torch.arange(4.0).reshape(1, 1, 1, 4)
    grid = grid_at([(0.5, 0.0), (1.5, 0.0), (2.5, 0.0)], (1, 4))
    assert sample(source, grid, mode="nearest").flatten().tolist() == [1, 2, 3]
    of_torch = F.grid_sample(source, grid, "nearest", "border", align_corners=False)
    assert of_torch.flatten().tolist() == [0, 2, 2]
    assert reference_sample(source, grid, mode="nearest").flatten().tolist() == [1, 2, 3]


def test_at_a_tie_in_a_volume_the_nearest_pixel_is_the_later_one() -> None:
    source = torch.arange(8.0).reshape(1, 1, 2, 2, 2)
    grid = grid_at([(0.5, 0.0, 0.0), (0.0, 0.5, 0.0), (0.0, 0.0, 0.5)], (2, 2, 2))
    assert sample(source, grid, mode="nearest").flatten().tolist() == [1, 2, 4]


@pytest.mark.parametrize("width", [7, 4096, 20000])
def test_the_nearest_pixel_is_found_in_wide_sources(width: int) -> None:
    source = torch.arange(width, dtype=torch.float64).reshape(1, 1, 1, width)
    whole = torch.arange(width)
    for offset in (-0.4, 0.0, 0.4):
        xs = ((whole + offset + 0.5) * 2 / width - 1).double()
        grid = torch.stack([xs, torch.zeros(width)], dim=1).reshape(1, 1, width, 2)
        assert torch.equal(sample(source, grid, mode="nearest"), source)
        assert torch.equal(sample(source.float(), grid.float(), mode="nearest"), source.float())


def test_the_worked_example_of_four_neighbours() -> None:
    """(1.2, 2.3) among 1, 2, 3 and 4: 0.56 * 1 + 0.14 * 2 + 0.24 * 3 + 0.06 * 4."""
    source = torch.zeros(1, 1, 5, 4)
    source[0, 0, 2:4, 1:3] = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert abs(sample(source, grid_at([(1.2, 2.3)], (5, 4))).item() - 1.8) < SAMPLE


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


@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("mode", MODES[2])
def test_positions_stay_precise_when_the_source_is_in_half_precision(mode: str, half: torch.dtype) -> None:
    """In half precision neighbouring pixels of a wide source could not be told apart."""
    width = 3000
    source = (torch.arange(width) % 2).to(half).reshape(1, 1, 1, width)
    xs = (2 * torch.arange(width) + 1) / width - 1
    grid = torch.stack([xs, torch.zeros(width)], dim=1).reshape(1, 1, width, 2)
    plain = sample(source, grid, mode=mode)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        sampled = sample(source, grid, mode=mode)
    assert sampled.dtype == half
    assert torch.equal(sampled, plain)
    assert (sampled - source).abs().max() < 0.01


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("antialias", [False, True])
def test_the_output_and_the_gradient_have_the_type_of_the_source(dtype: torch.dtype, antialias: bool) -> None:
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    source, grid = random_pair((17, 6), (3, 2), dtype=wide)
    source, grid = source.to(dtype).requires_grad_(), grid.requires_grad_()
    sampled = sample(source, grid, antialias=antialias)
    sampled.sum().backward()
    assert source.grad is not None
    assert grid.grad is not None
    assert (sampled.dtype, source.grad.dtype, grid.grad.dtype) == (dtype, dtype, wide)


def test_how_the_tensors_lie_in_memory_does_not_matter() -> None:
    source, grid = random_pair((7, 5), (4, 6))
    expected = sample(source, grid)
    by_channel = source.contiguous(memory_format=torch.channels_last)
    planes = grid.movedim(-1, 1).contiguous().movedim(1, -1)
    transposed = source.transpose(2, 3).contiguous().transpose(2, 3)
    scattered = torch.zeros(2, 3, 14, 15)[:, :, ::2, ::3].copy_(source)
    assert not by_channel.is_contiguous()
    assert not planes.is_contiguous()
    assert not scattered.is_contiguous()
    for u in (by_channel, transposed, scattered):
        for positions in (grid, planes):
            assert (sample(u, positions) - expected).abs().max() < SAMPLE


def test_one_source_expanded_over_a_batch_of_grids_is_sampled_by_each() -> None:
    source, grid = random_pair((7, 5), (4, 6))
    one = source[:1].clone().requires_grad_()
    sampled = sample(one.expand(2, -1, -1, -1), grid)
    assert torch.equal(sampled, sample(source[:1].repeat(2, 1, 1, 1), grid))
    sampled.sum().backward()
    each = [with_gradients(source[:1], grid[i : i + 1], torch.ones(1, 3, 4, 6))[1] for i in range(2)]
    assert one.grad is not None
    assert (one.grad - sum(each)).abs().max() < SAMPLE


def test_one_grid_expanded_over_a_batch_of_sources_samples_each() -> None:
    source, grid = random_pair((7, 5), (4, 6))
    expanded = grid[:1].expand(2, -1, -1, -1)
    assert torch.equal(sample(source, expanded), sample(source, expanded.contiguous()))


@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize(("mode", "before", "after"), RANKS, ids=str)
def test_an_empty_batch_gives_an_empty_batch(mode: str, before: tuple, after: tuple, antialias: bool) -> None:
    source, grid = random_pair(before, after)
    assert sample(source[:0], grid[:0], mode=mode, antialias=antialias).shape == (0, 3, *after)


def test_shapes_can_be_had_without_data() -> None:
    """On torch's meta device, where large models are laid out."""
    source, grid = (tensor.to("meta") for tensor in random_pair((7, 5), (4, 6)))
    assert sample(source, grid).shape == (2, 3, 4, 6)


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


def peak_bytes(run: Callable[[], object], record: Path) -> int:
    """How many bytes ``run`` held at most at one time, beyond what was there before."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        kept = run()
    del kept
    profiler.export_chrome_trace(str(record))
    events = json.loads(record.read_text())["traceEvents"]
    changes = sorted((event["ts"], event["args"]["Bytes"]) for event in events if event["name"] == "[memory]")
    return int(np.cumsum([size for _, size in changes]).max())


@pytest.mark.parametrize("trained", [False, True], ids=["inference", "training"])
@pytest.mark.parametrize("transform", [AFFINE, ThinPlateSpline.on_edges(20)], ids=lambda t: t.name)
def test_a_forward_pass_holds_no_more_than_one_grid_and_one_output(
    transform: Transform, trained: bool, tmp_path: Path
) -> None:
    items, channels, height, width = 4, 3, 96, 256
    grid_generator = GridGenerator(transform, (height, width))
    theta = torch.tensor(transform.identity).float().repeat(items, 1).requires_grad_(trained)
    source = torch.rand(items, channels, 120, 301).requires_grad_(trained)

    def forward() -> Tensor:
        with torch.set_grad_enabled(trained):
            return sample(source, grid_generator(theta))

    one_of_each = items * height * width * (2 + channels) * 4
    peak = peak_bytes(forward, tmp_path / "trace.json")
    assert one_of_each <= peak < 1.03 * one_of_each  # theta and its coefficients are the rest
