"""The grid from a few rows of the spline is the grid of the spline, for every text line that there is."""

from __future__ import annotations

import threading
from typing import Any

import cv2
import numpy as np
import pytest

from stn_deploy.geometry import (
    TextSpline,
    control_point_targets,
    pixels_from_normalised,
    target_points,
)
from stn_deploy.runtime import Rectified, sampling
from stn_deploy.runtime import grids as module
from stn_deploy.runtime.grids import shared_grids, source_grid
from stn_deploy.runtime.sampling import reductions, sample_original, sample_originals
from stn_deploy.training.bends import Arc
from stn_deploy.training.scene import place
from stn_deploy.training.warp import Warp, random_warp, rotation
from tests.pictures import noise, smooth
from tests.tolerances import BASIS_OF_ROWS, FEW_ROWS, PIXEL_ROUNDED, POINT, ROUND_TRIP

SPLINE = TextSpline(kernel_aspect=0.15)
"""What text rectifiers use."""
SPLINES = [
    SPLINE,
    TextSpline(),
    TextSpline(control_inset=0.1, target_align_corners=True),
    TextSpline(control_inset=0.3, kernel_aspect=0.5),
    TextSpline(target_align_corners=True),
]


def warps() -> dict[str, Warp]:
    """Arcs up to 180 degrees and what training draws."""
    found = {
        f"arc {degrees}": Warp(
            length=length,
            bend=Arc(angle=np.radians(degrees), length=length),
            scene_from_bent=rotation(np.radians(degrees / 5)),
        )
        for degrees, length in ((20, 2.0), (-60, 3.5), (90, 5.0), (120, 4.0), (-180, 9.0))
    }
    return found | {
        f"seed {seed}": random_warp(np.random.default_rng(seed), 1.2 + seed * 0.2) for seed in range(25)
    }


@pytest.mark.parametrize(
    "size", [(48, 171), (48, 300), (48, 640), (31, 333), (96, 300), (240, 800), (5, 40)], ids=str
)
def test_the_grid_is_the_spline_within_a_fiftieth_of_a_pixel(size: tuple[int, int]) -> None:
    basis = SPLINE.pixel_basis(20, size)
    for name, warp in warps().items():
        placement = place(warp, text_height=48, margins=np.full(4, 0.3))
        points = (warp.control_points(20) - placement.origin) * placement.scale
        grid = source_grid(points.astype(np.float32), size, spline=SPLINE)
        assert grid.shape == (*size, 2)
        assert np.abs(grid.reshape(-1, 2) - basis @ points).max() < FEW_ROWS, name


@pytest.mark.parametrize("spline", SPLINES, ids=str)
@pytest.mark.parametrize("size", [(33, 101), (96, 342), (60, 900), (4, 4)], ids=str)
def test_each_entry_of_the_basis_is_kept_for_every_spline(spline: TextSpline, size: tuple[int, int]) -> None:
    """Unit vectors for control points give the columns of the basis, and ones give ones."""
    expected = spline.pixel_basis(20, size)
    units = np.concatenate([np.eye(20), np.ones((1, 20))]).astype(np.float32)
    controls = np.stack([units, -2 * units], axis=-1)
    for index in range(20):
        x, y = source_grid(controls[index], size, spline=spline).reshape(-1, 2).T
        assert np.abs(x - expected[:, index]).max() < BASIS_OF_ROWS
        assert np.abs(y / -2 - expected[:, index]).max() < BASIS_OF_ROWS
    ones = source_grid(controls[20], size, spline=spline)
    assert np.abs(ones / [1, -2] - 1).max() < 20 * POINT


@pytest.mark.parametrize("size", [(4, 4), (9, 31), (48, 200)], ids=str)
def test_the_shared_grid_is_the_spline_at_the_pixel_centres(size: tuple[int, int]) -> None:
    theta = np.random.default_rng(0).uniform(-1, 1, (300, 20, 2)).astype(np.float32)
    for spline in SPLINES[:2]:
        basis = spline.pixel_basis(20, size)
        for controls, maps in zip(theta, shared_grids(theta, size, spline=spline), strict=True):
            assert (
                np.abs(np.stack(list(map(np.asarray, maps)), axis=-1).reshape(-1, 2) - basis @ controls).max()
                < 10 * POINT
            )


def test_the_identity_is_exact() -> None:
    identity = control_point_targets(20).astype(np.float32)
    grid = source_grid(identity, (50, 203))
    assert np.abs(grid.reshape(-1, 2) - target_points((50, 203))).max() < 10 * POINT
    image = smooth(50, 203)
    assert np.abs(sample_original(image, identity, (50, 203)).astype(int) - image).max() <= 1


def test_crops_of_natural_width_are_those_of_the_whole_basis() -> None:
    image = smooth(90, 260)
    theta = (control_point_targets(20) * [0.9, 0.5]).astype(np.float32)
    theta[:, 1] += 0.3 * np.cos(2 * theta[:, 0])
    for width in (61, 62, 190):
        crops = [
            sample_original(image, theta, (48, width), spline=SPLINE, exact=exact) for exact in (False, True)
        ]
        assert np.abs(crops[0].astype(int) - crops[1]).max() <= 1


@pytest.mark.skipif(int(cv2.__version__.split(".")[0]) < 5, reason="OpenCV 4 rounds positions to 1/32 pixel")
def test_crops_of_natural_width_are_the_bilinear_sample_of_the_spline() -> None:
    """An independent sampler in float64 of the exact basis differs by the rounding to whole numbers."""
    rng = np.random.default_rng(3)
    noise = rng.integers(0, 256, (90, 260, 3)).astype(np.uint8)
    image = np.asarray(cv2.GaussianBlur(noise, (0, 0), 1.2), np.uint8)
    theta = (control_point_targets(20) * [0.9, 0.5]).astype(np.float32)
    theta[:, 1] += (0.3 * np.cos(2 * theta[:, 0])).astype(np.float32)
    for width in (77, 190):
        crop = sample_original(image, theta, (48, width), spline=SPLINE)
        points = pixels_from_normalised(SPLINE.pixel_basis(20, (48, width)) @ theta, image.shape[:2]) - 0.5
        expected = bilinear(image, points).reshape(48, width, 3)
        assert np.abs(crop - expected).max() < PIXEL_ROUNDED + 0.1


def bilinear(image: np.ndarray, points: np.ndarray) -> np.ndarray:
    """(P, 3) float64 at positions in pixels from the centre of the first."""
    x, y = points[:, 0].clip(0, image.shape[1] - 1.001), points[:, 1].clip(0, image.shape[0] - 1.001)
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    across, down = (x - left)[:, None], (y - top)[:, None]
    above = image[top, left] * (1 - across) + image[top, left + 1] * across
    below = image[top + 1, left] * (1 - across) + image[top + 1, left + 1] * across
    return np.asarray(above * (1 - down) + below * down)


def test_bases_are_kept_within_their_room_and_still_right(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many widths, the widest too large to be kept at all, from many threads."""
    kept = module._Bases(400_000)
    monkeypatch.setattr(module, "_bases", kept)
    controls = np.random.default_rng(0).uniform(0, 100, (20, 2)).astype(np.float32)
    widths = [40 + 7 * index for index in range(40)] + [2000]
    wrong: list[int] = []

    def work(seed: int) -> None:
        for width in np.random.default_rng(seed).permutation(widths):
            grid = source_grid(controls, (20, int(width)), spline=SPLINE)
            if (
                np.abs(grid.reshape(-1, 2) - SPLINE.pixel_basis(20, (20, int(width))) @ controls).max()
                > FEW_ROWS
            ):
                wrong.append(int(width))
            assert sum(basis.nbytes for basis in kept._kept.values()) <= 400_000

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    held = sum(basis.nbytes for basis in kept._kept.values())
    assert held + kept._room == 400_000
    assert held > 0


def test_fine_stripes_become_their_mean_when_text_is_made_much_smaller() -> None:
    """Without reduction, one pixel in eight would be picked, and stripes would stay stripes."""
    image = np.zeros((240, 728, 3), np.uint8)
    image[:, ::2] = 255
    identity = control_point_targets(20).astype(np.float32)
    (factor,) = reductions(np.array([240.0]), 30)
    assert factor == 8
    plain, fine = sample_originals(
        [image] * 2, np.stack([identity] * 2), [(30, 90)] * 2, reduction=[1, factor]
    )
    assert fine.shape == plain.shape == (30, 90, 3)
    assert plain.std() > 50
    assert fine.std() < 5
    assert abs(fine.mean() - 127.5) < 2


@pytest.mark.parametrize(
    ("text_height", "height", "factor"),
    [(48, 48, 1), (10, 48, 1), (95, 48, 1), (96, 48, 2), (143, 48, 2), (9e9, 4, 64)],
)
def test_text_is_reduced_until_less_than_twice_as_high(text_height: float, height: int, factor: int) -> None:
    assert reductions(np.array([text_height]), height) == [factor]


@pytest.mark.parametrize("factor", [2, 3, 5])
@pytest.mark.parametrize("exact", [True, False], ids=["exact", "rows"])
def test_a_reduced_crop_samples_the_means_of_the_pixels(factor: int, exact: bool) -> None:
    """Reference in float64: means of the image, its border repeated to whole cells, sampled at the spline."""
    image = smooth(121, 403)
    theta = (control_point_targets(20) * [1.02, 0.9]).astype(np.float32)  # beyond the border, too
    theta[:, 1] += (0.3 * np.cos(2 * theta[:, 0])).astype(np.float32)
    size = (24, 77)
    crop = sample_original(image, theta, size, spline=SPLINE, reduction=factor, exact=exact)
    whole = np.pad(image.astype(float), ((0, -121 % factor), (0, -403 % factor), (0, 0)), mode="edge")
    rows, columns = whole.shape[0] // factor, whole.shape[1] // factor
    small = whole.reshape(rows, factor, columns, factor, 3).mean(axis=(1, 3))
    points = pixels_from_normalised(SPLINE.pixel_basis(20, size) @ theta, image.shape[:2]) / factor - 0.5
    points = np.clip(points, 0, [columns - 1, rows - 1])
    assert np.abs(crop - bilinear(small, points).reshape(*size, 3)).max() < 2 * PIXEL_ROUNDED + 0.1


@pytest.mark.parametrize("place", [(0.0, 0.0), (0.7, -0.6), (-0.95, 0.93), (1.4, 0.0)], ids=str)
@pytest.mark.parametrize("fill", [None, 100.0], ids=["border", "fill"])
def test_of_a_large_image_only_what_is_sampled_is_reduced(
    place: tuple[float, float], fill: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At its corners and beyond them it gives the pixels of the whole image, reduced."""
    image = noise(700, 900)
    theta = (control_point_targets(20) * [0.2, 0.15] + place).astype(np.float32)
    parts: list[np.ndarray] = []
    resize: Any = cv2.resize

    def seen(part: np.ndarray, *rest: Any, **more: Any) -> Any:
        parts.append(part)
        return resize(part, *rest, **more)

    monkeypatch.setattr(cv2, "resize", seen)
    found = sample_original(image, theta, (20, 60), spline=SPLINE, reduction=3, fill=fill)
    assert max(part.size for part in parts) < image.size / 4
    monkeypatch.setattr(sampling, "_WHOLE", image.size)
    whole = sample_original(image, theta, (20, 60), spline=SPLINE, reduction=3, fill=fill)
    assert np.array_equal(found, whole)


@pytest.mark.parametrize("spline", SPLINES[2:], ids=str)
@pytest.mark.parametrize("size", [(33, 101), (48, 171), (20, 300)], ids=str)
def test_crop_and_way_back_agree_for_every_spline(spline: TextSpline, size: tuple[int, int]) -> None:
    """The grid that is sampled is the transform by which `Rectified` finds its way back."""
    theta = (control_point_targets(20) * [0.8, 0.6] + [0.1, 0.2]).astype(np.float32)
    theta[:, 1] += 0.2 * np.sin(3 * theta[:, 0])
    result = Rectified(
        image=np.zeros((*size, 3), np.uint8),
        applied=True,
        score=1.0,
        theta=theta,
        source_size=(90, 200),
        spline=spline,
    )
    expected = pixels_from_normalised(result.source_from_target(target_points(size)), result.source_size)
    points = pixels_from_normalised(theta, result.source_size).astype(np.float32)
    grid = source_grid(points, size, spline=spline)
    assert np.abs(grid.reshape(-1, 2) - expected).max() < FEW_ROWS
    corners = np.array([[0.5, 0.5], [size[1] - 0.5, 0.5], [size[1] / 3, size[0] / 2]])
    assert np.abs(result.to_rectified(result.to_source(corners)) - corners).max() < ROUND_TRIP


def test_outside_of_the_image_lies_the_fill() -> None:
    """A pixel outside it is the fill, on the outermost pixel centre the image, half way the mean of both."""
    image = np.full((20, 40, 3), 200, np.uint8)
    theta = control_point_targets(20).astype(np.float32) * [[2.0, 1.0]]
    for exact in (True, False):
        crop = sample_original(image, theta.astype(np.float32), (20, 80), exact=exact, fill=100.0)
        assert (crop[:, :19] == 100).all()
        assert (crop[:, 21:59] == 200).all()
        assert (crop[:, 61:] == 100).all()
        half = theta.copy()
        half[:, 0] = -1
        assert (
            sample_original(image, half.astype(np.float32), (20, 5), exact=exact, fill=100.0) == 150
        ).all()
        far = theta + np.array([[1e9, 0.0]])
        assert (sample_original(image, far.astype(np.float32), (20, 5), exact=exact, fill=99.6) == 100).all()
        nowhere = np.full_like(theta, np.nan).astype(np.float32)
        assert (sample_original(image, nowhere, (20, 5), exact=exact, fill=100.0) == 100).all()
        assert (sample_original(image, nowhere, (20, 5), exact=exact) == 0).all()
