"""Sampling on the CPU: theta -> maps -> OpenCV's remap on the original pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from stn_deploy.geometry import TextSpline
from stn_deploy.geometry.convention import Size
from stn_deploy.runtime.grids import PLAIN_SPLINE, Maps, shared_grids, source_grid

_remap: Any = cv2.remap  # its type stubs refuse the None that one map of two channels needs
_LARGEST_FACTOR = 8
_FAR = 16_000
"""Control points beyond so many pixels take the careful way."""
_NOTHING = np.empty((0, 0, 3), np.uint8)


def sample_original(
    image: NDArray[np.uint8],
    theta: NDArray[np.float32],
    size: Size,
    *,
    spline: TextSpline = PLAIN_SPLINE,
    supersample: int = 1,
    exact: bool = False,
    fill: float | None = None,
) -> NDArray[np.uint8]:
    """Straightened crop, sampled bilinearly from the original pixels.

    Args:
        image: (H, W, 3) uint8.
        theta: (K, 2) control points, normalised over the image.
        size: height and width of the crop, pixels.
        supersample: samples per output pixel along each axis; their mean is taken. Above 1 it keeps large
            text from aliasing when the crop is much smaller.
        spline: of V; by default the plain one with its control points on the edges.
        exact: evaluate the spline at each sample, which is for few different sizes: the basis of each is
            large and kept. Otherwise in some of its rows, see `stn_deploy.runtime.grids`.
        fill: value of what lies outside the image, 0 to 255; by default that of its border.
    Returns:
        (h, w, 3) uint8. Where a coordinate is not finite: the fill, or 0 where there is none.
    """
    (crop,) = sample_originals(
        [image], theta[None], [size], spline=spline, supersample=[supersample], exact=exact, fill=fill
    )
    return crop


def sample_originals(
    images: Sequence[NDArray[np.uint8]],
    theta: NDArray[np.float32],
    sizes: Sequence[Size],
    *,
    spline: TextSpline = PLAIN_SPLINE,
    supersample: Sequence[int],
    exact: bool = False,
    fill: float | None = None,
) -> list[NDArray[np.uint8]]:
    """`sample_original` of many images: what they share is computed once.

    Args:
        images: n of (H, W, 3) uint8. theta: (n, K, 2). sizes, supersample: of each.
        spline, fill: as in `sample_original`.
        exact: evaluate the spline at each sample of those that are not supersampled; for few different sizes.
    Returns:
        n of (h, w, 3) uint8.
    """
    if not len(images):
        return []
    controls, tame = _control_pixels(images, theta)
    crops: list[NDArray[np.uint8]] = [_NOTHING] * len(images)
    few: dict[Size, list[int]] = {}
    for index, (size, factor) in enumerate(zip(sizes, supersample, strict=True)):
        if exact and factor == 1:
            few.setdefault(size, []).append(index)
            continue
        grid = source_grid(controls[index], size, spline=spline, supersample=factor)
        crops[index] = _sampled(images[index], (grid, None), size, tame=tame[index], fill=fill)
    for size, members in few.items():
        for index, maps in zip(members, shared_grids(controls[members], size, spline=spline), strict=True):
            crops[index] = _sampled(images[index], maps, size, tame=tame[index], fill=fill)
    return crops


def _control_pixels(
    images: Sequence[NDArray[np.uint8]], theta: NDArray[np.float32]
) -> tuple[NDArray[np.float32], list[bool]]:
    """Control points (n, K, 2) in pixels as remap counts them, and whether all of an image are near.

    A grid is linear in theta and each row of the basis sums to one, so the few control points go to pixels,
    not the many positions. remap counts pixel centres, we count edges: half a pixel apart.
    """
    extents = np.array([image.shape[1::-1] for image in images], np.float32)
    controls = np.asarray((theta + 1) * (extents[:, None] / 2) - 0.5, np.float32)
    tame: list[bool] = (np.abs(controls).max(axis=(1, 2)) < _FAR).tolist()
    if not all(
        tame
    ):  # infinity times a weight may be no number, of which NumPy warns; NaN is none from here on
        controls[np.isinf(controls)] = np.nan
    return controls, tame


def _sampled(
    image: NDArray[np.uint8], maps: Maps, size: Size, *, tame: bool, fill: float | None
) -> NDArray[np.uint8]:
    """V, and where there are more samples than pixels their means."""
    if not tame:
        whole = maps[0] if maps[1] is None else np.stack([maps[0], maps[1]], axis=-1)
        known, bad = _tamed(whole, np.array([image.shape[1], image.shape[0]], np.float32))
        maps = (known, None)
    outside = cv2.BORDER_REPLICATE if fill is None else cv2.BORDER_CONSTANT
    nothing = 0.0 if fill is None else fill
    sampled = _remap(image, *maps, cv2.INTER_LINEAR, borderMode=outside, borderValue=(nothing,) * 3)
    if not tame:
        sampled[bad] = round(nothing)
    if maps[0].shape[:2] != size:
        sampled = cv2.resize(sampled, (size[1], size[0]), interpolation=cv2.INTER_AREA)
    return np.asarray(sampled, np.uint8)


def _tamed(
    maps: NDArray[np.float32], extent: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Maps whose far positions stand one pixel outside, where all is padding; and where they are no numbers.

    OpenCV turns positions into 16-bit integers, so far ones must not reach it.
    """
    bad: NDArray[np.bool_] = np.asarray(~np.isfinite(maps).all(axis=-1))
    return np.clip(np.where(bad[..., None], 0, maps), -1, extent).astype(np.float32), bad


def supersampling(text_heights: NDArray[np.floating[Any]], height: int) -> list[int]:
    """Samples per output pixel for texts of some heights in the source, drawn at another one, all pixels."""
    factors: list[int] = np.clip(np.rint(text_heights / height), 1, _LARGEST_FACTOR).astype(int).tolist()
    return factors
