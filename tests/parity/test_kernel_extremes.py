"""The kernels where coordinates, sizes, extents and values are as bad as they get; emulated on the host."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from tests.kernel_cases import assert_close, each_element, each_mode, each_padding
from tests.kernel_oracle import Expected
from tests.kernels import PADDING, Transform, Way, part, restored, sample, stored_as
from tests.tolerances import SAMPLE

SIDE = {2: (5, 8), 3: (3, 5, 8)}
BAD = [np.nan, np.inf, -np.inf]
# Those past a million are clamped to it: folded as they are, the odd ones would end up elsewhere.
FAR_OFF = [1e5, -1e5, 1e6, -1e6, 1000001.5, -1000000.5, 3e6, -3e6, 1e20, -1e20, 3.4e38, -3.4e38]
ON_EDGES = [-1.0, 1.0, -1 - 2**-22, 1 + 2**-22, -3.0, 3.0, -5.0, 5.0, -2.0, 2.0, 0.0, -0.0]
# Between pixels, and on their centres, of 8 pixels: all exact in float32.
ON_TIES = [step / 8 for step in range(-40, 41)]


def grid_of(axes: int, values: list[float]) -> np.ndarray:
    """Each value along each axis, and along all at once; beside it a quiet one. (1, P, axes)."""
    rows = [
        [value if axis == place else 0.3 for axis in range(axes)] for place in range(axes) for value in values
    ]
    rows += [[value] * axes for value in values]
    return np.array([rows], np.float32)


def source_of(axes: int, c: int = 2) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(1, c, *SIDE[axes])).astype(np.float32)


def both_ways(way: Way, source: np.ndarray, grid: np.ndarray) -> list[np.ndarray]:
    """The same positions as a grid, and as a basis with the identity for theta."""
    identity = np.eye(way.axes, dtype=np.float32)[None]
    return [
        sample(way, source, grid),
        sample(way, source, Transform(np.ascontiguousarray(grid[0]), identity)),
    ]


@each_mode
@each_padding
@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("values", [FAR_OFF, ON_EDGES, ON_TIES], ids=["far off", "on edges", "on ties"])
def test_hostile_positions_are_sampled_as_the_convention_says(
    axes: int, mode: str, padding: str, align_corners: bool, values: list[float]
) -> None:
    if mode == "nearest" and align_corners and values is not FAR_OFF:
        values = [value + 2**-12 for value in values]  # 7 steps of 1/7 are no ties in binary
    way = Way(axes, mode, padding, align_corners)
    source, grid = source_of(axes), grid_of(axes, values)
    oracle = Expected(way, source.astype(np.float64), grid, np.array([SIDE[axes]])).sampled
    for found in both_ways(way, source, grid):
        assert_close(way, found, oracle)


@each_mode
@each_padding
@pytest.mark.parametrize("channels_last", [False, True])
def test_positions_that_are_no_numbers_sample_as_nothing(
    axes: int, mode: str, padding: str, channels_last: bool
) -> None:
    way = Way(axes, mode, padding, channels_last=channels_last)
    grid = grid_of(axes, BAD)
    for found in both_ways(way, source_of(axes, 4), grid):
        np.testing.assert_array_equal(found, np.zeros((1, 4, grid.shape[1])))


@pytest.mark.parametrize("axes", [2, 3])
def test_a_divisor_of_zero_samples_as_nothing_and_an_infinite_one_as_the_centre(axes: int) -> None:
    # 0.25 / 1e-44 is infinite in float32, 0.25 / 1e-37 is not.
    divisors = np.array([0.0, -0.0, np.nan, 1e-44, 1e-37, 0.5, -2.0], np.float32)
    basis = np.full((len(divisors), axes + 1), 0.25, np.float32)
    basis[:, -1] = divisors
    points = Transform(basis, np.eye(axes + 1, dtype=np.float32)[None])
    way, source, valid = Way(axes), source_of(axes), np.array([SIDE[axes]])
    found = sample(way, source, points)
    expected = Expected(way, source.astype(np.float64), points.points(axes), valid).sampled
    assert not found[..., :4].any()
    assert_close(way, found[..., 4:], expected[..., 4:])
    theta = np.full((1, 1, axes + 1), 0.25, np.float32)
    theta[..., -1] = np.inf
    centre = Transform(np.ones((1, 1), np.float32), theta)
    expected = Expected(way, source.astype(np.float64), np.zeros((1, 1, axes)), valid).sampled
    assert_close(way, sample(way, source, centre), expected)


def test_far_positions_fold_exactly_to_the_last_bit_of_the_coordinate() -> None:
    # Every coordinate here is exact, and so is its fold: a float32 pixel number would be off by whole pixels.
    rng = np.random.default_rng(5)
    grid = rng.uniform(-1e6, 1e6, (1, 500, 2)).astype(np.float32)
    source = rng.normal(size=(1, 1, 31, 257)).astype(np.float32)
    way = Way(padding="reflection")
    oracle = Expected(way, source.astype(np.float64), grid, np.array([[31, 257]])).sampled
    assert_close(way, sample(way, source, grid), oracle)


@each_mode
@each_padding
@each_element
def test_nothing_outside_the_valid_part_is_read(axes: int, mode: str, padding: str, element: str) -> None:
    # Positions all over the place: a single pixel of the rest of the canvas would show as NaN.
    rng = np.random.default_rng(6)
    for channels_last, valid in itertools.product(
        (False, True), ((1,) * axes, (2, 1, 3)[:axes], (3, 4, 2)[:axes])
    ):
        way = Way(axes, mode, padding, element=element, channels_last=channels_last)
        source = np.full((1, 8, *SIDE[axes]), np.nan, np.float32)
        inside = source[0][part(valid)]
        inside[:] = rng.normal(size=inside.shape)
        basis = np.concatenate([rng.uniform(-4, 4, (60, axes)), grid_of(axes, ON_EDGES)[0]]).astype(
            np.float32
        )
        extents = (np.array([valid]) / SIDE[axes]).astype(np.float32)
        points = Transform(basis, np.eye(axes, dtype=np.float32)[None], extents)
        found = sample(way, source, points)
        kept = restored(stored_as(source, element), element).astype(np.float64)
        halves = basis * np.array(valid[::-1])
        steady = (np.abs(halves - np.round(halves)) > 1e-3).all(axis=1) | (mode != "nearest")
        oracle = Expected(way, kept, points.points(axes), np.array([valid])).sampled
        assert not np.isnan(found).any()
        assert_close(way, found[..., steady], oracle[..., steady])


@pytest.mark.parametrize("extent", [0.0, -1.0, 1e-30, np.nan, np.inf, -np.inf, 1e30, 1.5])
def test_a_hostile_extent_reads_nothing_past_the_canvas(extent: float) -> None:
    # The kernel takes at least a pixel and at most the canvas. Beyond the canvas lies other memory: NaN.
    whole = np.full(3 * 2 * 40, np.nan, np.float32)
    source = whole[80:160].reshape(1, 2, 5, 8)
    source[:] = np.random.default_rng(7).normal(size=source.shape)
    basis = grid_of(2, [-3.0, -1.0, -0.3, 0.4, 1.0, 3.0])[0]
    points = Transform(
        np.ascontiguousarray(basis), np.eye(2, dtype=np.float32)[None], np.full((1, 2), extent, np.float32)
    )
    valid = np.array([[5, 8]]) if extent > 1 else np.array([[1, 1]])
    for mode, padding in itertools.product(("linear", "cubic"), PADDING):
        way = Way(2, mode, padding)
        assert_close(
            way, sample(way, source, points), Expected(way, source.astype(float), basis[None], valid).sampled
        )


@pytest.mark.parametrize(("extent", "pixels"), [(0.3125, 2), (0.4375, 4), (0.5625, 4), (0.6875, 6)])
def test_an_extent_that_ends_in_the_middle_of_a_pixel_is_rounded_to_even(extent: float, pixels: int) -> None:
    basis = grid_of(2, [-1.0, -0.3, 0.4, 1.0])[0]
    extents = np.array([[1.0, extent]], np.float32)
    points = Transform(np.ascontiguousarray(basis), np.eye(2, dtype=np.float32)[None], extents)
    source = source_of(2)
    oracle = Expected(Way(), source.astype(float), basis[None], np.array([[5, pixels]])).sampled
    assert_close(Way(), sample(Way(), source, points), oracle)


@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
def test_a_pixel_that_is_no_number_shows_only_where_it_is_a_tap(padding: str) -> None:
    source = np.ones((1, 1, 4, 6), np.float32)
    source[0, 0, 0, 0] = np.nan
    outside = np.array([[[-9.0, -9.0], [-1.5, 0.3], [0.3, 7.0], [0.5, 0.5], [1.0, 1.0]]], np.float32)
    way = Way(padding=padding)
    found = sample(way, source, outside)[0, 0]
    oracle = Expected(way, np.nan_to_num(source, nan=1e9).astype(float), outside, np.array([[4, 6]])).sampled[
        0, 0
    ]
    np.testing.assert_array_equal(np.isnan(found), np.abs(oracle) > 1e3)


@each_element
def test_an_infinite_pixel_and_one_too_large_for_half_are_what_they_are(element: str) -> None:
    source = np.array([[[[np.inf, 65504.0], [-np.inf, 3.0]]]], np.float32)
    centres = np.array([[[-0.5, -0.5], [0.5, -0.5], [-0.5, 0.5], [0.5, 0.5]]], np.float32)
    found = sample(Way(mode="nearest", element=element), source, centres)[0, 0]
    kept = restored(stored_as(source, element), element)[0, 0].ravel()
    np.testing.assert_array_equal(found, kept)


@pytest.mark.parametrize(("element", "place"), [("f16", 2.0**-10), ("bf16", 2.0**-7)])
def test_a_value_between_two_of_a_type_is_rounded_to_the_even_one(element: str, place: float) -> None:
    # Half way from pixel to pixel, which are one last place apart.
    source = 1 + place * np.arange(5, dtype=np.float32)[None, None, None]
    grid = np.array([[[x, 0] for x in (-0.75, -0.25, 0.25, 0.75)]], np.float32)
    found = sample(Way(element=element, align_corners=True), source, grid)
    np.testing.assert_array_equal((found[0, 0] - 1) / place, [0, 2, 2, 4])


@each_element
@pytest.mark.parametrize("width", [1024, 2049, 40000])
def test_positions_of_wide_images_are_not_rounded_to_half(width: int, element: str) -> None:
    # With positions in float16 a width of 1024 is off by 1/8 pixel and more; a ramp shows every bit of that.
    source = (np.arange(width, dtype=np.float32) % 64)[None, None, None].repeat(2, axis=2)
    kept = restored(stored_as(source, element), element).astype(np.float64)
    x = np.random.default_rng(8).uniform(-1, 1, 300)
    x = x[np.abs((x + 1) * width / 2 - 0.5) % 64 < 62]  # the ramp falls once in 64 pixels
    grid = np.stack([x, np.zeros_like(x)], axis=1)[None].astype(np.float32)
    way = Way(element=element)
    found = sample(way, source, grid)
    oracle = Expected(way, kept, grid, np.array([[2, width]])).sampled
    rounding = {"f32": 0, "f16": 2.0**-11, "bf16": 2.0**-8}[element] * 64
    # float32 itself knows a position to 2^-24 of the width.
    np.testing.assert_allclose(found, oracle, rtol=0, atol=SAMPLE + rounding + width * 2.0**-23)


@each_mode
def test_sources_of_more_than_two_to_the_31_elements_are_addressed_to_the_end(axes: int, mode: str) -> None:
    # Memory that is never written costs nothing: only the last image holds anything, and begins past 2^31.
    canvas = (1 << 13, 1 << 14) if axes == 2 else (1 << 6, 1 << 10, 1 << 11)
    source = np.zeros((7, 3, *canvas), np.float16)
    assert source[:-1].size > 2**31
    rng = np.random.default_rng(9)
    corner = (slice(None), *(slice(-4, None) for _ in canvas))
    source[-1][corner] = rng.normal(size=source[-1][corner].shape)
    at = 1 - rng.uniform(0, 7, (7, 40, axes)) / np.array(canvas[::-1])
    way = Way(axes, mode, element="f16")
    found = sample(way, source, at.astype(np.float32))
    small = np.zeros((1, 3, *(8,) * axes))
    small[0][corner] = source[-1][corner]
    # The same positions in a cut-out of 8 pixels along each axis, whose last pixels are those.
    near = 1 - (1 - at[-1:].astype(np.float32).astype(np.float64)) * np.array(canvas[::-1]) / 8
    oracle = Expected(way, small, near, np.array([(8,) * axes])).sampled
    steady = (np.abs(near * 4 - np.round(near * 4)) > 1e-2).all(axis=2)[0] | (mode != "nearest")
    assert not found[:-1].any()
    np.testing.assert_allclose(found[-1:][..., steady], oracle[..., steady], atol=3e-3)


@pytest.mark.parametrize("channels_last", [False, True])
def test_one_plane_of_more_than_two_to_the_32_bytes_is_addressed_to_the_end(channels_last: bool) -> None:
    c, height, width = (8, 1 << 12, (1 << 16) + 8) if channels_last else (1, 1 << 14, (1 << 17) + 8)
    pixels = np.zeros((1, height, width, c), np.float16)  # never written, so it costs no memory
    assert pixels.nbytes > 2**32
    pixels[0, -1, -2:] = [[1.0], [2.0]]
    source = np.moveaxis(pixels, -1, 1)
    x = 1 - np.array([0.5, 1.5, 1.0]) * 2 / width  # the last centre, the one before, and between the two
    grid = np.stack([x, np.ones(3)], axis=1)[None].astype(np.float32)
    found = sample(Way(element="f16", channels_last=channels_last), source, grid)
    # float32 knows such a position to 2^-7 of a pixel.
    np.testing.assert_allclose(found, np.array([2, 1, 1.5])[None, None].repeat(c, axis=1), atol=0.02)


def test_no_images_no_positions_and_blocks_to_spare_do_no_harm() -> None:
    for axes, channels_last in itertools.product((2, 3), (False, True)):
        way = Way(axes, channels_last=channels_last)
        source = source_of(axes, 4)
        grid = grid_of(axes, [0.25, -0.5])
        expected = sample(way, source, grid)
        np.testing.assert_array_equal(sample(way, source, grid, blocks=7), expected)
        assert sample(way, source[:0], grid[:0]).shape == (0, 4, grid.shape[1])
        points = Transform(grid[0], np.eye(axes, dtype=np.float32)[None][:0])
        assert sample(way, source[:0], points).shape == (0, 4, grid.shape[1])
