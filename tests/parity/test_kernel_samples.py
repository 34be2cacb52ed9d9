"""The kernels against the paper's sampler, over every way to sample; emulated on the host."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from stn_deploy.stn import reference_gradients, reference_sample
from tests.kernel_cases import (
    CANVAS,
    ROUNDING,
    assert_close,
    each_element,
    each_mode,
    each_padding,
    images,
    transform,
)
from tests.kernel_oracle import Expected
from tests.kernels import PADDING, Transform, Way, restored, sample, stored_as
from tests.tolerances import FLOAT64, SAMPLE

NAMES = {"linear": {2: "bilinear", 3: "trilinear"}, "cubic": {2: "bicubic"}}


@each_mode
@each_padding
@pytest.mark.parametrize("align_corners", [False, True])
def test_the_oracle_here_is_the_paper_s_sampler_and_torch_s(
    axes: int, mode: str, padding: str, align_corners: bool
) -> None:
    source = np.nan_to_num(images(axes, 2)[0], nan=0.5).astype(np.float64)
    points = transform(axes, 3, p=24).points(axes)
    change = np.random.default_rng(2).normal(size=(3, 2, 24))
    oracle = Expected(Way(axes, mode, padding, align_corners), source, points, np.tile(CANVAS[axes], (3, 1)))
    grid = points.reshape(3, *(4, 6, 1)[:axes], axes)
    change_of_grid = change.reshape(3, 2, *grid.shape[1:-1])
    found = [oracle.sampled, *oracle.gradients(change)]
    name = NAMES.get(mode, {}).get(axes, mode)
    if not align_corners:
        sampled = reference_sample(source, grid, mode=name, padding=padding)
        wanted = [sampled, *reference_gradients(source, grid, change_of_grid, mode=name, padding=padding)]
    else:
        u, positions = (torch.from_numpy(array).requires_grad_() for array in (source, grid))
        name = "bilinear" if name == "trilinear" else name
        v = F.grid_sample(u, positions, name, padding, align_corners=True)
        wanted = [v.detach().numpy()]
        wanted += [
            g.numpy() for g in torch.autograd.grad(v, (u, positions), torch.from_numpy(change_of_grid))
        ]
    for ours, theirs in zip(found, wanted, strict=True):
        np.testing.assert_allclose(ours, theirs.reshape(ours.shape), atol=FLOAT64)


@each_mode
@each_padding
@each_element
def test_theta_grid_sample_is_the_paper_s(axes: int, mode: str, padding: str, element: str) -> None:
    for align_corners, homogeneous, channels_last in product((False, True), repeat=3):
        way = Way(axes, mode, padding, align_corners, element, channels_last)
        source, extents = images(axes, 8 if channels_last else 3)
        made = transform(axes, 3, homogeneous=homogeneous)
        points = Transform(made.basis, made.theta, extents)
        kept = restored(stored_as(source, element), element).astype(np.float64)
        oracle = Expected(way, kept, points.points(axes), points.valid(CANVAS[axes]))
        assert_close(way, sample(way, source, points), oracle.sampled)


@each_mode
@each_padding
@each_element
def test_grid_sample_is_the_paper_s(axes: int, mode: str, padding: str, element: str) -> None:
    for align_corners, channels_last in product((False, True), repeat=2):
        way = Way(axes, mode, padding, align_corners, element, channels_last)
        source = np.nan_to_num(images(axes, 8 if channels_last else 3)[0], nan=0.5)
        grid = transform(axes, 3).points(axes).astype(np.float32)
        kept = restored(stored_as(source, element), element).astype(np.float64)
        oracle = Expected(way, kept, grid, np.tile(CANVAS[axes], (3, 1)))
        assert_close(way, sample(way, source, grid), oracle.sampled)


@each_mode
@each_element
@pytest.mark.parametrize("channels_last", [False, True])
def test_the_readable_kernels_agree_with_the_tuned_ones(
    axes: int, mode: str, element: str, channels_last: bool
) -> None:
    source, extents = images(axes, 8, seed=3)
    made = transform(axes, 3, homogeneous=True, seed=4)
    points = Transform(made.basis, made.theta, extents)
    for padding in PADDING:
        way = Way(axes, mode, padding, False, element, channels_last)
        readable = sample(
            Way(axes, mode, padding, False, element, channels_last, reference=True), source, points
        )
        tuned = sample(way, source, points)
        # Each rounds on its own, and half a place may become a whole one.
        np.testing.assert_allclose(tuned, readable, atol=SAMPLE, rtol=2 * ROUNDING[element])


@pytest.mark.parametrize("c", [1, 2, 3, 4, 5, 7, 31, 32, 33, 64, 65, 130, 512])
@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
def test_any_number_of_channels_is_sampled(c: int, mode: str) -> None:
    source, extents = images(2, c, n=2)
    made = transform(2, 2, p=5)
    points = Transform(made.basis, made.theta, extents)
    for channels_last in (False, True) if c % 4 == 0 else (False,):
        way = Way(2, mode, channels_last=channels_last)
        oracle = Expected(way, source.astype(np.float64), points.points(2), points.valid(CANVAS[2]))
        assert_close(way, sample(way, source, points), oracle.sampled)


@pytest.mark.parametrize(
    ("element", "c"), [("f32", 12), ("f32", 20), ("f32", 28), ("f32", 44), ("f16", 24), ("bf16", 56)]
)
@pytest.mark.parametrize("axes", [2, 3])
def test_a_warp_shares_out_vectors_that_do_not_divide_it(element: str, c: int, axes: int) -> None:
    # 3, 5 or 7 vectors for each position of a warp: a thread has another position and vector each time.
    source, extents = images(axes, c, n=2)
    made, way = transform(axes, 2, p=70), Way(axes, element=element, channels_last=True)
    points = Transform(made.basis, made.theta, extents)
    kept = restored(stored_as(source, element), element).astype(np.float64)
    oracle = Expected(way, kept, points.points(axes), points.valid(CANVAS[axes]))
    assert_close(way, sample(way, source, points), oracle.sampled)


@pytest.mark.parametrize("k", [1, 2, 3, 4, 5, 7, 8, 16, 19, 20, 21, 23, 24, 25, 31, 32, 33, 64, 70])
@pytest.mark.parametrize("homogeneous", [False, True])
@pytest.mark.parametrize("axes", [2, 3])
def test_any_number_of_control_points_is_summed(k: int, homogeneous: bool, axes: int) -> None:
    # Eleven images on one set of blocks: every group of images is begun anew, and one is left incomplete.
    source, extents = images(axes, 1, n=11)
    made = transform(axes, 11, p=140, k=k, homogeneous=homogeneous)
    way, points = Way(axes), Transform(made.basis, made.theta, extents)
    oracle = Expected(way, source.astype(np.float64), points.points(axes), points.valid(CANVAS[axes]))
    for blocks in (2, 22):
        assert_close(way, sample(way, source, points, blocks=blocks), oracle.sampled)


def test_a_basis_that_is_not_aligned_to_vectors_is_read_alike() -> None:
    source, extents = images(2, 1)
    made = transform(2, 3, k=20)
    whole = np.zeros(made.basis.size + 1, np.float32)
    whole[1:] = made.basis.ravel()
    shifted = Transform(whole[1:].reshape(made.basis.shape), made.theta, extents)
    assert shifted.basis.ctypes.data % 16
    aligned = Transform(made.basis, made.theta, extents)
    np.testing.assert_array_equal(sample(Way(), source, shifted), sample(Way(), source, aligned))


def test_a_grid_that_is_not_aligned_to_pairs_is_read_alike() -> None:
    source = np.nan_to_num(images(2, 1)[0])
    grid = transform(2, 3).points(2).astype(np.float32)
    whole = np.zeros(grid.size + 1, np.float32)
    start = 1 if whole.ctypes.data % 8 == 0 else 0
    shifted = whole[start : start + grid.size].reshape(grid.shape)
    shifted[:] = grid
    assert shifted.ctypes.data % 8
    np.testing.assert_array_equal(sample(Way(), source, shifted), sample(Way(), source, grid))
