"""Gradients of the kernels against the paper's, and against torch's own; emulated on the host."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch

from stn_deploy.stn import theta_grid_sample
from tests.kernel_cases import CANVAS, each_element, each_mode, each_padding, images, transform
from tests.kernel_oracle import Expected
from tests.kernels import Transform, Way, gradients, restored, sample, stored_as
from tests.tolerances import GRADIENT

pytestmark = pytest.mark.usefixtures("one_thread")

POSITIONS = 37


def change_of(n: int, c: int, p: int = POSITIONS) -> np.ndarray:
    return np.random.default_rng(11).normal(size=(n, c, p)).astype(np.float32)


def assert_close(found: np.ndarray | None, expected: np.ndarray) -> None:
    """Beside the largest gradient: sums of float32 in any order, whose terms cancel."""
    assert found is not None
    np.testing.assert_allclose(found, expected, rtol=0, atol=GRADIENT * np.abs(expected).max())


def of_theta(points: Transform, axes: int, moved: np.ndarray) -> np.ndarray:
    """The chain rule through the division and the product."""
    basis, theta = (array.astype(np.float64) for array in (points.basis, points.theta))
    raw = basis @ theta
    if raw.shape[2] > axes:
        moved = moved / raw[..., -1:]
        last = -(moved * raw[..., :-1] / raw[..., -1:]).sum(axis=2, keepdims=True)
        moved = np.concatenate([moved, last], axis=2)
    return np.einsum("npd,pk->nkd", moved, basis)


@each_mode
@each_padding
@each_element
def test_gradients_for_u_and_theta_are_the_paper_s(axes: int, mode: str, padding: str, element: str) -> None:
    for align_corners, homogeneous, reference in product((False, True), repeat=3):
        if reference and homogeneous != align_corners:
            continue  # the readable kernel is slow here; these two of four cover its branches
        way = Way(axes, mode, padding, align_corners, element, reference=reference)
        source, extents = images(axes, 3)
        source = np.nan_to_num(source, nan=0.5)  # slopes of 0 times NaN are NaN, in the paper as well
        made = transform(axes, 3, homogeneous=homogeneous)
        points, change = Transform(made.basis, made.theta, extents), change_of(3, 3)
        kept, upstream = (
            restored(stored_as(array, element), element).astype(np.float64) for array in (source, change)
        )
        oracle = Expected(way, kept, points.points(axes), points.valid(CANVAS[axes]))
        for_source, for_points = oracle.gradients(upstream)
        found = gradients(way, source, points, change)
        assert_close(found[0], for_source)
        assert_close(found[1], of_theta(points, axes, for_points))


@each_mode
@each_padding
@each_element
def test_gradients_for_u_and_a_grid_are_the_paper_s(axes: int, mode: str, padding: str, element: str) -> None:
    for align_corners in (False, True):
        way = Way(axes, mode, padding, align_corners, element)
        source, change = np.nan_to_num(images(axes, 3)[0], nan=0.5), change_of(3, 3)
        grid = transform(axes, 3).points(axes).astype(np.float32)
        kept, upstream = (
            restored(stored_as(array, element), element).astype(np.float64) for array in (source, change)
        )
        oracle = Expected(way, kept, grid, np.tile(CANVAS[axes], (3, 1))).gradients(upstream)
        found = gradients(way, source, grid, change)
        for ours, paper in zip(found, oracle, strict=True):
            assert_close(ours, paper)


@pytest.mark.parametrize("k", [1, 3, 20, 24, 25, 70])
@pytest.mark.parametrize("c", [1, 33, 70])
def test_gradients_hold_for_any_number_of_control_points_and_channels(k: int, c: int) -> None:
    # 150 positions and 70 channels are two tiles and three groups of channels: each adds its part.
    source, extents = images(2, c, n=5)
    source = np.nan_to_num(source, nan=0.5)
    made, change = transform(2, 5, p=150, k=k, homogeneous=k > 1), change_of(5, c, 150)
    way, points = Way(), Transform(made.basis, made.theta, extents)
    oracle = Expected(way, source.astype(np.float64), points.points(2), points.valid(CANVAS[2]))
    for_source, for_points = oracle.gradients(change.astype(np.float64))
    found = gradients(way, source, points, change, blocks=2 * 2 * -(-c // 32))
    assert_close(found[0], for_source)
    assert_close(found[1], of_theta(points, 2, for_points))


@pytest.mark.parametrize("padding", ["border", "zeros", "reflection"])
@pytest.mark.parametrize("homogeneous", [False, True])
def test_gradients_are_those_that_torch_finds_for_the_twin(padding: str, homogeneous: bool) -> None:
    source, extents = images(2, 2)
    source = np.nan_to_num(source, nan=0.5)
    made, change = transform(2, 3, p=20, homogeneous=homogeneous), change_of(3, 2, 20)
    points = Transform(made.basis, made.theta, extents)
    u, basis, theta, part = (
        torch.from_numpy(array.astype(np.float64)) for array in (source, points.basis, points.theta, extents)
    )
    u.requires_grad_()
    theta.requires_grad_()
    # Bicubic takes the twin's path for cut-outs, whatever the padding.
    v = theta_grid_sample(
        u, basis, theta, part, (4, 5), mode="bicubic", padding=padding, homogeneous=homogeneous
    )
    wanted = torch.autograd.grad(v, (u, theta), torch.from_numpy(change.reshape(v.shape)).double())
    found = gradients(Way(mode="cubic", padding=padding), source, points, change)
    for ours, theirs in zip(found, wanted, strict=True):
        assert_close(ours, theirs.numpy())


@each_mode
def test_a_gradient_that_is_not_wanted_is_not_touched(axes: int, mode: str) -> None:
    source, extents = images(axes, 2)
    source = np.nan_to_num(source, nan=0.5)
    made, change = transform(axes, 3), change_of(3, 2)
    for points in (Transform(made.basis, made.theta, extents), made.points(axes).astype(np.float32)):
        both = gradients(Way(axes, mode), source, points, change)
        first = gradients(Way(axes, mode), source, points, change, of_points=False)
        second = gradients(Way(axes, mode), source, points, change, of_source=False)
        assert first[1] is None
        assert second[0] is None
        np.testing.assert_array_equal(first[0], both[0])
        np.testing.assert_array_equal(second[1], both[1])


@each_mode
@each_padding
def test_positions_that_are_no_numbers_or_too_far_have_no_gradient(
    axes: int, mode: str, padding: str
) -> None:
    bad = np.array([np.nan, np.inf, -np.inf, 2e6, -1e20, 3e38], np.float32)
    grid = np.full((1, len(bad), axes), 0.25, np.float32)
    grid[0, :, 0] = bad
    source = np.random.default_rng(12).normal(size=(1, 2, *CANVAS[axes])).astype(np.float32)
    change = change_of(1, 2, len(bad))
    for_source, for_grid = gradients(Way(axes, mode, padding), source, grid, change)
    oracle = Expected(Way(axes, mode, padding), source.astype(np.float64), grid, np.array([CANVAS[axes]]))
    assert for_grid is not None
    np.testing.assert_allclose(for_grid[..., 0], 0, atol=1e-5)
    assert_close(for_source, oracle.gradients(change.astype(np.float64))[0])
    theta = np.tile(np.eye(axes, dtype=np.float32), (3, 1, 1))
    theta[:, 0, 0] = bad[:3]
    basis = np.random.default_rng(13).uniform(0.1, 1, (7, axes)).astype(np.float32)
    points = Transform(basis, theta)
    found = gradients(Way(axes, mode, padding), source.repeat(3, axis=0), points, change_of(3, 2, 7))
    for gradient in found:
        np.testing.assert_array_equal(gradient, 0)


@each_mode
@each_padding
@pytest.mark.parametrize("align_corners", [False, True])
def test_slopes_on_pixel_centres_and_borders_are_the_paper_s(
    axes: int, mode: str, padding: str, align_corners: bool
) -> None:
    # Half pixels and whole ones, exact in float32. Where two slopes meet, the paper takes the later one.
    canvas = tuple(length + align_corners for length in (2, 4, 8)[-axes:])
    values = np.arange(-12, 13) / 8
    if padding == "reflection":
        values = values[(values >= -1) & (values < 1)]  # in the mirror the later one is the earlier one
    grid = np.full((1, axes * len(values), axes), 0.3, np.float32)
    for axis in range(axes):
        grid[0, axis * len(values) : (axis + 1) * len(values), axis] = values
    source = np.random.default_rng(14).normal(size=(1, 2, *canvas)).astype(np.float32)
    change, way = change_of(1, 2, grid.shape[1]), Way(axes, mode, padding, align_corners)
    oracle = Expected(way, source.astype(np.float64), grid, np.array([canvas])).gradients(
        change.astype(float)
    )
    for ours, paper in zip(gradients(way, source, grid, change), oracle, strict=True):
        assert_close(ours, paper)


@pytest.mark.parametrize("reference", [False, True])
def test_gradients_are_added_to_what_is_there(reference: bool) -> None:
    source, extents = images(2, 2)
    source = np.nan_to_num(source, nan=0.5)
    made, change, way = transform(2, 3), change_of(3, 2), Way(reference=reference)
    for points in (Transform(made.basis, made.theta, extents), made.points(2).astype(np.float32)):
        alone = gradients(way, source, points, change)
        added = gradients(way, source, points, change, before=3.0)
        for ours, theirs in zip(added, alone, strict=True):
            assert ours is not None
            assert theirs is not None
            np.testing.assert_allclose(ours, theirs + 3, rtol=0, atol=GRADIENT * np.abs(theirs).max())


@pytest.mark.parametrize("k", [3, 39])
@pytest.mark.parametrize("divisor_of_zero", [False, True])
def test_a_position_that_is_no_number_spoils_no_gradient(k: int, divisor_of_zero: bool) -> None:
    source = np.nan_to_num(images(2, 2)[0], nan=0.5)
    made, change = transform(2, 3, k=k, p=40, homogeneous=divisor_of_zero), change_of(3, 2, 40)
    theta, spoilt = made.theta.copy(), made.basis.copy()
    if divisor_of_zero:
        theta[:, :-1, -1] = 0
        spoilt[[3, -1], -1], spoilt[17] = 0, 0  # infinite; 0 / 0
    else:
        spoilt[3], spoilt[17], spoilt[-1, 0] = np.nan, np.nan, np.inf
    good = np.isin(np.arange(40), [3, 17, 39], invert=True)
    rest = Transform(np.ascontiguousarray(made.basis[good]), theta)
    wanted = gradients(Way(), source, rest, np.ascontiguousarray(change[..., good]))
    for reference in (False, True):
        found = gradients(Way(reference=reference), source, Transform(spoilt, theta), change)
        for ours, theirs in zip(found, wanted, strict=True):
            assert theirs is not None
            assert_close(ours, theirs)


def test_the_gradient_of_u_is_how_v_changes_with_it() -> None:
    # V is linear in U: the gradient says exactly what a change of U does to the loss.
    source, extents = images(2, 2)
    source = np.nan_to_num(source, nan=0.5)
    made, change = transform(2, 3), change_of(3, 2)
    points = Transform(made.basis, made.theta, extents)
    other = np.random.default_rng(13).normal(size=source.shape).astype(np.float32)
    for_source, _ = gradients(Way(), source, points, change)
    assert for_source is not None
    gained = ((sample(Way(), other, points).astype(np.float64)) * change).sum()
    np.testing.assert_allclose((for_source.astype(np.float64) * other).sum(), gained, rtol=1e-4)
