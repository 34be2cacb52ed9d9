"""The sampler is equations 3 to 7 of Jaderberg et al. 2015, for tensors of every type and layout."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.profiler import ProfilerActivity, profile

from stn_deploy.geometry import AFFINE, AFFINE_3D, ThinPlateSpline, Transform
from stn_deploy.geometry.sampling import MODES, PADDINGS
from stn_deploy.stn import (
    GridGenerator,
    Sampler,
    reference_gradients,
    reference_sample,
    sample,
    theta_grid_sample,
)
from tests.sampling import CASES, RANKS, random_pair, with_gradients
from tests.tolerances import FLOAT64, SAMPLE

OF_TORCH = {"trilinear": "bilinear"}


def grid_at(points: list[tuple[float, ...]], size: tuple[int, ...]) -> Tensor:
    """A row of positions given in pixels, pixel centres at whole numbers."""
    extent = torch.tensor(size[::-1])
    grid = (torch.tensor(points) + 0.5) * 2 / extent - 1
    return grid.reshape(1, *[1] * (len(size) - 1), -1, len(size))


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
@pytest.mark.parametrize("size", [(4, 8), (16, 2), (1, 8), (2, 4, 8)], ids=str)
def test_at_the_identity_its_gradient_is_the_reference_but_0_on_the_first_row_and_column(
    size: tuple[int, ...], padding: str
) -> None:
    """All positions lie on kinks, where both take the slope to the right. But with border and reflection
    padding torch counts the first column as outside: its x gradient there is 0, like the y gradient of the
    first row. Sizes are powers of two, whose pixel centres are exact."""
    transform, mode = (AFFINE, "bilinear") if len(size) == 2 else (AFFINE_3D, "trilinear")
    source, _ = random_pair(size, size, dtype=torch.float64)
    theta = torch.tensor(transform.identity).repeat(2, 1)
    grid = GridGenerator(transform, size).double()(theta)
    upstream = torch.rand(source.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) + 0.5
    _, for_source, for_grid = with_gradients(source, grid, upstream, mode=mode, padding=padding)
    arrays = [tensor.numpy() for tensor in (source, grid, upstream)]
    expected_source, expected_grid = reference_gradients(*arrays, mode=mode, padding=padding)
    for axis in range(len(size)):  # x, then y, then z
        along = np.moveaxis(expected_grid[..., axis], len(size) - axis, 0)
        assert along.any() == (len(along) > 1 or padding == "zeros")
        if padding != "zeros":
            along[0] = 0
    assert np.abs(for_source.numpy() - expected_source).max() < FLOAT64
    assert np.abs(for_grid.numpy() - expected_grid).max() < FLOAT64


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
