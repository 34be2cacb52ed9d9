"""The lattice that makes large grids fast gives the grid of the spline, for every text line that there is."""

from __future__ import annotations

import numpy as np
import pytest

from stn_deploy.geometry import (
    TextSpline,
    control_point_targets,
    normalised_from_pixels,
    target_points,
    thin_plate_basis,
)
from stn_deploy.runtime import Rectified
from stn_deploy.runtime.sampling import sample_original, source_grid, supersampling
from stn_deploy.training.bends import Arc
from stn_deploy.training.scene import place
from stn_deploy.training.warp import Warp, random_warp, rotation
from tests.pictures import smooth
from tests.tolerances import LATTICE, POINT, ROUND_TRIP

ASPECT = 0.15
"""What text rectifiers use."""
SPLINE = TextSpline(kernel_aspect=ASPECT)


def warps() -> dict[str, Warp]:
    """Arcs up to 120 degrees and what training draws, but for the strongest arcs."""
    found = {
        f"arc {degrees}": Warp(
            length=length,
            bend=Arc(angle=np.radians(degrees), length=length),
            scene_from_bent=rotation(np.radians(degrees / 5)),
        )
        for degrees, length in ((20, 2.0), (-60, 3.5), (90, 5.0), (120, 4.0), (-120, 9.0))
    }
    for seed in range(25):
        warp = random_warp(np.random.default_rng(seed), 1.2 + seed * 0.2)
        if not isinstance(warp.bend, Arc) or abs(warp.bend.angle) < np.radians(120):
            found[f"seed {seed}"] = warp
    return found


@pytest.mark.parametrize(
    "size", [(48, 171), (48, 300), (48, 640), (31, 333), (96, 300), (240, 1600)], ids=str
)
def test_the_lattice_is_within_a_tenth_of_a_pixel(size: tuple[int, int]) -> None:
    for name, warp in warps().items():
        placement = place(warp, text_height=48, margins=np.full(4, 0.3))
        points = (warp.control_points(20) - placement.origin) * placement.scale
        theta = normalised_from_pixels(points, placement.size).astype(np.float32)
        coarse, exact = (source_grid(theta, size, spline=SPLINE, exact=exact) for exact in (False, True))
        assert coarse.shape == exact.shape == (*size, 2)
        per_unit = np.array(placement.size[::-1]) / 2
        steps = [np.linalg.norm(np.diff(exact * per_unit, axis=axis), axis=-1).max() for axis in (0, 1)]
        off = np.abs(coarse - exact) * per_unit
        assert off.max() < LATTICE * max(1.0, *steps), name


@pytest.mark.parametrize("size", [(4, 4), (9, 31), (48, 200)], ids=str)
def test_the_exact_grid_is_the_spline_at_the_pixel_centres(size: tuple[int, int]) -> None:
    theta = np.random.default_rng(0).uniform(-1, 1, (20, 2)).astype(np.float32)
    for aspect in (1.0, ASPECT):
        basis = thin_plate_basis(control_point_targets(20), target_points(size), kernel_aspect=aspect)
        grid = source_grid(theta, size, spline=TextSpline(kernel_aspect=aspect), exact=True)
        assert np.abs(grid.reshape(-1, 2) - basis @ theta).max() < 10 * POINT


def test_the_identity_is_exact_on_the_lattice_too() -> None:
    identity = control_point_targets(20).astype(np.float32)
    grid = source_grid(identity, (50, 203), exact=False)
    assert np.abs(grid.reshape(-1, 2) - target_points((50, 203))).max() < 10 * POINT
    image = smooth(50, 203)
    assert np.abs(sample_original(image, identity, (50, 203), exact=False).astype(int) - image).max() <= 1


@pytest.mark.parametrize("factor", [2, 3])
def test_supersampling_puts_its_samples_evenly_into_each_pixel(factor: int) -> None:
    theta = control_point_targets(20).astype(np.float32)
    size = (18, 61)
    fine = (size[0] * factor, size[1] * factor)
    for exact in (False, True):
        grid = source_grid(theta, size, supersample=factor, exact=exact)
        assert np.abs(grid.reshape(-1, 2) - target_points(fine)).max() < 10 * POINT


def test_fine_stripes_become_their_mean_when_text_is_made_much_smaller() -> None:
    """Without supersampling, one pixel in eight would be picked, and stripes would stay stripes."""
    image = np.zeros((240, 728, 3), np.uint8)
    image[:, ::2] = 255
    identity = control_point_targets(20).astype(np.float32)
    (factor,) = supersampling(np.array([240.0]), 30)
    assert factor == 8
    plain = sample_original(image, identity, (30, 90))
    fine = sample_original(image, identity, (30, 90), supersample=factor)
    assert fine.shape == plain.shape == (30, 90, 3)
    assert plain.std() > 50
    assert fine.std() < 5
    assert abs(fine.mean() - 127.5) < 2


@pytest.mark.parametrize(
    ("text_height", "height", "factor"), [(48, 48, 1), (10, 48, 1), (71, 48, 1), (73, 48, 2), (9e9, 4, 8)]
)
def test_supersampling_follows_the_reduction(text_height: float, height: int, factor: int) -> None:
    assert supersampling(np.array([text_height]), height) == [factor]


@pytest.mark.parametrize(
    "spline",
    [
        TextSpline(control_inset=0.1, target_align_corners=True),
        TextSpline(control_inset=0.3, kernel_aspect=0.5),
        TextSpline(target_align_corners=True),
    ],
    ids=str,
)
@pytest.mark.parametrize(("size", "factor"), [((33, 101), 1), ((48, 171), 2), ((20, 300), 3)], ids=str)
def test_crop_and_way_back_agree_for_every_spline(
    spline: TextSpline, size: tuple[int, int], factor: int
) -> None:
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
    fine = (size[0] * factor, size[1] * factor)
    expected = result.source_from_target(target_points(fine))
    exact, coarse = (
        source_grid(theta, size, spline=spline, supersample=factor, exact=exact) for exact in (True, False)
    )
    assert np.abs(exact.reshape(-1, 2) - expected).max() < 10 * POINT
    per_unit = np.array(result.source_size[::-1]) / 2
    steps = [np.linalg.norm(np.diff(exact * per_unit, axis=axis), axis=-1).max() for axis in (0, 1)]
    assert (np.abs(coarse - exact) * per_unit).max() < LATTICE * max(1.0, *steps) * factor
    corners = np.array([[0.5, 0.5], [size[1] - 0.5, 0.5], [size[1] / 3, size[0] / 2]])
    assert np.abs(result.to_rectified(result.to_source(corners)) - corners).max() < ROUND_TRIP


def test_outside_of_the_image_lies_the_fill() -> None:
    """A pixel outside it is the fill, on the outermost pixel centre the image, half way the mean of both."""
    image = np.full((20, 40, 3), 200, np.uint8)
    theta = control_point_targets(20).astype(np.float32) * [[2.0, 1.0]]
    crop = sample_original(image, theta.astype(np.float32), (20, 80), exact=True, fill=100.0)
    assert (crop[:, :19] == 100).all()
    assert (crop[:, 21:59] == 200).all()
    assert (crop[:, 61:] == 100).all()
    half = theta.copy()
    half[:, 0] = -1
    assert (sample_original(image, half.astype(np.float32), (20, 5), exact=True, fill=100.0) == 150).all()
    far = theta + np.array([[1e9, 0.0]])
    assert (sample_original(image, far.astype(np.float32), (20, 5), exact=True, fill=99.6) == 100).all()
    nowhere = np.full_like(theta, np.nan).astype(np.float32)
    assert (sample_original(image, nowhere, (20, 5), exact=True, fill=100.0) == 100).all()
    assert (sample_original(image, nowhere, (20, 5), exact=True) == 0).all()
