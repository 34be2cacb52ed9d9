"""The reference sampler is equations 3 to 7 of Jaderberg et al. 2015, against loops that are slower still."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from stn_deploy.geometry.sampling import MODES, PADDINGS
from stn_deploy.stn import reference_gradients, reference_sample
from stn_deploy.stn.reference import (
    KERNELS,
    cubic_kernel,
    cubic_slope,
    linear_kernel,
    linear_slope,
    nearest_kernel,
    nearest_slope,
)
from tests.tolerances import DIFFERENCE, FLOAT64

Array = NDArray[Any]
SIZES = [(1, 1), (1, 6), (3, 8), (17, 6), (1, 1, 1), (2, 4, 3)]
CASES = [(mode, size) for size in SIZES for mode in MODES[len(size)]]
ITEMS, CHANNELS, POINTS = 2, 2, 5
REACH = 4  # pixels beyond the edges of U
MARGIN = REACH + 2  # what a kernel of four pixels then reads


def keys(distance: float) -> float:
    """Cubic convolution with a = -0.75, multiplied out."""
    s = abs(distance)
    if s < 1:
        return 1.25 * s**3 - 2.25 * s**2 + 1
    return -0.75 * s**3 + 3.75 * s**2 - 6 * s + 3 if s < 2 else 0.0


def tent(distance: float) -> float:
    return max(0.0, 1 - abs(distance))


def spelled_out(mode: str, x: float, m: int) -> float:
    """k(x - m)."""
    if mode == "nearest":
        return float(math.floor(x + 0.5) == m)
    return keys(x - m) if mode == "bicubic" else tent(x - m)


def extended(size: tuple[int, ...], padding: str) -> NDArray[np.int_]:
    """Which pixel of U, counted row by row, stands at each place of a frame around it; -1 for none."""
    places = np.arange(math.prod(size)).reshape(size)
    if padding == "zeros":
        return np.pad(places, MARGIN, constant_values=-1)
    return np.pad(places, MARGIN, mode="edge" if padding == "border" else "symmetric")


def weights_by_hand(mode: str, padding: str, size: tuple[int, ...], point: Array) -> Array:
    """How much of each pixel of U goes into one V_i: equation 3, over all n and m of the extended U.

    ``point`` is (x, y) or (x, y, z), pixel centres at whole numbers.
    """
    weights = np.zeros(math.prod(size))
    frame = extended(size, padding)
    along = [
        [spelled_out(mode, x, m - MARGIN) for m in range(length)]
        for x, length in zip(point[::-1], frame.shape, strict=True)
    ]
    for place in product(*map(np.flatnonzero, along)):  # the other terms of the sum are zero
        if frame[place] >= 0:
            weights[frame[place]] += math.prod(k[m] for k, m in zip(along, place, strict=True))
    return weights.reshape(size)


def sample_by_hand(mode: str, padding: str, source: Array, points: Array) -> Array:
    """(n, c, P) of U (n, c, ...) at points (n, P, dimensions) in pixels."""
    sampled = np.zeros((*source.shape[:2], points.shape[1]))
    for item, index in np.ndindex(*points.shape[:2]):
        weights = weights_by_hand(mode, padding, source.shape[2:], points[item, index])
        sampled[item, :, index] = (source[item] * weights).reshape(source.shape[1], -1).sum(axis=1)
    return sampled


def normalised(points: Array, size: tuple[int, ...]) -> Array:
    """Pixel indices to [-1, 1] over pixel edges."""
    return np.asarray((points + 0.5) * 2 / np.array(size[::-1]) - 1)


def random_case(size: tuple[int, ...]) -> tuple[Array, Array]:
    """U, and points in pixels that reach beyond it on all sides."""
    rng = np.random.default_rng(sum(size) + len(size))
    source = rng.uniform(-1, 1, (ITEMS, CHANNELS, *size))
    points = rng.uniform(-REACH, np.array(size[::-1]) - 1 + REACH, (ITEMS, POINTS, len(size)))
    return source, points


def as_grid(points: Array, size: tuple[int, ...]) -> Array:
    """(n, 1, P, 2) or (n, 1, 1, P, 3)."""
    return normalised(points, size).reshape(len(points), *[1] * (len(size) - 1), -1, len(size))


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize(("mode", "size"), CASES, ids=str)
def test_it_is_the_sum_over_all_pixels(mode: str, size: tuple[int, ...], padding: str) -> None:
    source, points = random_case(size)
    sampled = reference_sample(source, as_grid(points, size), mode=mode, padding=padding)
    expected = sample_by_hand(mode, padding, source, points)
    assert sampled.shape == (ITEMS, CHANNELS, *[1] * (len(size) - 1), POINTS)
    assert np.abs(sampled.reshape(expected.shape) - expected).max() < FLOAT64


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize(("mode", "size"), CASES, ids=str)
def test_its_gradient_for_the_source_is_equation_6(mode: str, size: tuple[int, ...], padding: str) -> None:
    source, points = random_case(size)
    grid = as_grid(points, size)
    upstream = np.random.default_rng(1).uniform(-1, 1, (ITEMS, CHANNELS, *grid.shape[1:-1]))
    found, _ = reference_gradients(source, grid, upstream, mode=mode, padding=padding)
    expected = np.zeros_like(source)
    for item, index in np.ndindex(ITEMS, POINTS):
        weights = weights_by_hand(mode, padding, size, points[item, index])
        for channel in range(CHANNELS):
            expected[item, channel] += upstream[item, channel].reshape(-1)[index] * weights
    assert np.abs(found - expected).max() < FLOAT64


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize(("mode", "size"), CASES, ids=str)
def test_its_gradient_for_the_grid_is_equation_7(mode: str, size: tuple[int, ...], padding: str) -> None:
    source, points = random_case(size)
    grid = as_grid(points, size)
    upstream = np.random.default_rng(1).uniform(-1, 1, (ITEMS, CHANNELS, POINTS))
    _, found = reference_gradients(
        source, grid, upstream.reshape(ITEMS, CHANNELS, *grid.shape[1:-1]), mode=mode, padding=padding
    )
    step = 1e-5
    for axis in range(len(size)):
        shift = step * np.eye(len(size))[axis] * size[::-1][axis] / 2  # in pixels
        after, before = (sample_by_hand(mode, padding, source, points + sign * shift) for sign in (1.0, -1.0))
        expected = (upstream * (after - before) / (2 * step)).sum(axis=1)
        assert np.abs(found[..., axis].reshape(ITEMS, POINTS) - expected).max() < DIFFERENCE


@pytest.mark.parametrize("mode", KERNELS)
def test_the_weights_of_every_kernel_sum_to_one(mode: str) -> None:
    kernel, slope = KERNELS[mode]
    distances = np.linspace(-0.5, 0.5, 41)[:, None] - np.arange(-3, 4)
    assert np.abs(kernel(distances).sum(axis=1) - 1).max() < FLOAT64
    assert np.abs(slope(distances).sum(axis=1)).max() < FLOAT64


@pytest.mark.parametrize("mode", KERNELS)
def test_at_a_pixel_centre_every_kernel_takes_that_pixel_alone(mode: str) -> None:
    distances: Array = np.arange(-4.0, 5.0)
    assert KERNELS[mode][0](distances).tolist() == [0, 0, 0, 0, 1, 0, 0, 0, 0]


@pytest.mark.parametrize("mode", KERNELS)
def test_a_ramp_is_sampled_without_an_error(mode: str) -> None:
    """Between its pixels; nearest gives the ramp at the nearest one."""
    positions = np.linspace(3, 6, 25) + 0.01
    ramp = (KERNELS[mode][0](positions[:, None] - np.arange(10)) * np.arange(10)).sum(axis=1)
    if mode == "nearest":
        assert ramp.tolist() == np.floor(positions + 0.5).tolist()
    elif mode == "bicubic":  # with a = -0.75, not Keys' -0.5, only straight on average
        assert np.abs(ramp - positions).max() < 0.05
    else:
        assert np.abs(ramp - positions).max() < FLOAT64


@pytest.mark.parametrize(
    ("kernel", "slope"),
    [(nearest_kernel, nearest_slope), (linear_kernel, linear_slope), (cubic_kernel, cubic_slope)],
    ids=["nearest", "linear", "cubic"],
)
def test_the_slopes_are_the_derivatives_of_the_kernels(
    kernel: Callable[[Array], Array], slope: Callable[[Array], Array]
) -> None:
    step = 1e-5
    distances = np.linspace(-3, 3, 90) + 0.003  # neither whole nor half
    quotient = (kernel(distances + step) - kernel(distances - step)) / (2 * step)
    assert np.abs(slope(distances) - quotient).max() < DIFFERENCE


def test_at_a_tie_the_nearest_pixel_is_the_later_one() -> None:
    assert nearest_kernel(np.array([-0.5, 0.5, 0.49])).tolist() == [1, 0, 1]


def test_at_a_pixel_centre_the_linear_slope_is_that_to_the_right() -> None:
    source = np.array([0.0, 10.0, 13.0, 9.0]).reshape(1, 1, 1, 4)
    grid = as_grid(np.array([[[1.0, 0.0], [2.0, 0.0]]]), (1, 4))
    _, gradient = reference_gradients(source, grid, np.ones((1, 1, 1, 2)))
    assert np.abs(gradient[0, 0, :, 0] / (4 / 2) - [3, -4]).max() < FLOAT64


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("size", [(3, 8), (2, 4, 3)], ids=str)
def test_a_position_that_is_not_finite_gives_zero_and_no_gradient(size: tuple[int, ...], bad: float) -> None:
    source, points = random_case(size)
    grid, mode = as_grid(points, size), MODES[len(size)][1]
    expected = reference_sample(source, grid, mode=mode)
    upstream = np.ones((ITEMS, CHANNELS, *grid.shape[1:-1]))
    for axis in range(len(size)):
        spoilt = grid.copy()
        spoilt[1, ..., 2, axis] = bad
        sampled = reference_sample(source, spoilt, mode=mode)
        assert not sampled[1, ..., 2].any()
        assert np.array_equal(np.delete(sampled, 2, axis=-1), np.delete(expected, 2, axis=-1))
        for_source, for_grid = reference_gradients(source, spoilt, upstream, mode=mode)
        assert np.isfinite(for_source).all()
        assert np.isfinite(for_grid).all()
        assert not for_grid[1, ..., 2, :].any()


@pytest.mark.parametrize("far", [1e6, 1e20, 3e38])
@pytest.mark.parametrize("mode", MODES[2])
def test_positions_far_away_give_the_border_or_nothing(mode: str, far: float) -> None:
    source = np.random.default_rng(0).uniform(1, 2, (1, 2, 5, 9))
    corners = [[-far, -far], [far, -far], [-far, far], [far, far]]
    grid = np.array(corners).reshape(1, 2, 2, 2)
    expected = source[:, :, [0, -1]][:, :, :, [0, -1]]
    assert np.abs(reference_sample(source, grid, mode=mode) - expected).max() < FLOAT64
    assert not reference_sample(source, grid, mode=mode, padding="zeros").any()


def test_the_worked_example_of_four_neighbours() -> None:
    """(1.2, 2.3) among 1, 2, 3 and 4: 0.56 * 1 + 0.14 * 2 + 0.24 * 3 + 0.06 * 4."""
    source = np.zeros((1, 1, 5, 4))
    source[0, 0, 2:4, 1:3] = [[1, 2], [3, 4]]
    grid = as_grid(np.array([[[1.2, 2.3]]]), (5, 4))
    assert abs(reference_sample(source, grid).item() - 1.8) < FLOAT64
