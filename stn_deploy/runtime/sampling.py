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
_LARGEST_REDUCTION = 64
_WHOLE = 1 << 18
"""Images of so few pixels are reduced whole; of larger ones only the part that is sampled."""
_FAR = 16_000
"""Control points beyond so many pixels take the careful way."""
_NOTHING = np.empty((0, 0, 3), np.uint8)


def sample_original(
    image: NDArray[np.uint8],
    theta: NDArray[np.float32],
    size: Size,
    *,
    spline: TextSpline = PLAIN_SPLINE,
    reduction: int = 1,
    exact: bool = False,
    fill: float | None = None,
) -> NDArray[np.uint8]:
    """Straightened crop, sampled bilinearly from the original pixels.

    Args:
        image: (H, W, 3) uint8.
        theta: (K, 2) control points, normalised over the image.
        size: height and width of the crop, pixels.
        reduction: pixels of the image, along each axis, whose mean is sampled as one. Above 1 it keeps large
            text from aliasing when the crop is much smaller; see `reductions`.
        spline: of V; by default the plain one with its control points on the edges.
        exact: evaluate the spline at each sample, which is for few different sizes: the basis of each is
            large and kept. Otherwise in some of its rows, see `stn_deploy.runtime.grids`.
        fill: value of what lies outside the image, 0 to 255; by default that of its border.
    Returns:
        (h, w, 3) uint8. Where a coordinate is not finite: the fill, or 0 where there is none.
    """
    (crop,) = sample_originals(
        [image], theta[None], [size], spline=spline, reduction=[reduction], exact=exact, fill=fill
    )
    return crop


def sample_originals(
    images: Sequence[NDArray[np.uint8]],
    theta: NDArray[np.float32],
    sizes: Sequence[Size],
    *,
    spline: TextSpline = PLAIN_SPLINE,
    reduction: Sequence[int],
    exact: bool = False,
    fill: float | None = None,
) -> list[NDArray[np.uint8]]:
    """`sample_original` of many images: what they share is computed once.

    Args:
        images: n of (H, W, 3) uint8. theta: (n, K, 2). sizes, reduction: of each.
        spline, fill: as in `sample_original`.
        exact: evaluate the spline at each sample; for few different sizes.
    Returns:
        n of (h, w, 3) uint8.
    """
    if not len(images):
        return []
    controls, tame = _control_pixels(images, theta)
    crops: list[NDArray[np.uint8]] = [_NOTHING] * len(images)
    groups: dict[Size, list[int]] = {}
    for index, size in enumerate(sizes):
        groups.setdefault(size, []).append(index)
    for size, members in groups.items():
        if exact:
            grids = shared_grids(controls[members], size, spline=spline)
        else:
            grids = ((source_grid(controls[index], size, spline=spline), None) for index in members)
        for index, maps in zip(members, grids, strict=True):
            crops[index] = _sampled(
                images[index], maps, tame=tame[index], reduction=reduction[index], fill=fill
            )
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
    image: NDArray[np.uint8], maps: Maps, *, tame: bool, reduction: int, fill: float | None
) -> NDArray[np.uint8]:
    """V."""
    if not tame:
        known, bad = _tamed(_interleaved(maps), np.array([image.shape[1], image.shape[0]], np.float32))
        maps = (known, None)
    elif reduction > 1:
        image, maps = _reduced(image, _interleaved(maps), reduction)
    outside = cv2.BORDER_REPLICATE if fill is None else cv2.BORDER_CONSTANT
    nothing = 0.0 if fill is None else fill
    sampled = _remap(image, *maps, cv2.INTER_LINEAR, borderMode=outside, borderValue=(nothing,) * 3)
    if not tame:
        sampled[bad] = round(nothing)
    return np.asarray(sampled, np.uint8)


def _interleaved(maps: Maps) -> NDArray[np.float32]:
    return maps[0] if maps[1] is None else np.stack([maps[0], maps[1]], axis=-1)


def _reduced(image: NDArray[np.uint8], grid: NDArray[np.float32], by: int) -> tuple[NDArray[np.uint8], Maps]:
    """The image with ``by`` x ``by`` pixels as one, where the grid samples it; and the grid in it."""
    extent = np.array([image.shape[1], image.shape[0]])
    low = np.zeros(2, int)
    if image.shape[0] * image.shape[1] > _WHOLE:
        positions = grid.reshape(-1, 2)
        # In whole steps from the image's corner, so that a part is reduced to the same pixels as the whole.
        low = np.clip(np.floor(positions.min(axis=0)).astype(int) - by, 0, extent - 1)
        low -= low % by
        high = np.clip(np.ceil(positions.max(axis=0)).astype(int) + by + 1, low + 1, extent)
        high = np.minimum(high + (low - high) % by, extent)
        image = image[low[1] : high[1], low[0] : high[0]]
    missing = (-image.shape[0] % by, -image.shape[1] % by)
    if any(missing):
        image = np.asarray(cv2.copyMakeBorder(image, 0, missing[0], 0, missing[1], cv2.BORDER_REPLICATE))
    small = cv2.resize(image, (image.shape[1] // by, image.shape[0] // by), interpolation=cv2.INTER_AREA)
    within = (grid + np.asarray(0.5 - low, np.float32)) * np.float32(1 / by) - np.float32(0.5)
    return np.asarray(small, np.uint8), (within, None)


def _tamed(
    maps: NDArray[np.float32], extent: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Maps whose far positions stand one pixel outside, where all is padding; and where they are no numbers.

    OpenCV turns positions into 16-bit integers, so far ones must not reach it.
    """
    bad: NDArray[np.bool_] = np.asarray(~np.isfinite(maps).all(axis=-1))
    return np.clip(np.where(bad[..., None], 0, maps), -1, extent).astype(np.float32), bad


def reductions(text_heights: NDArray[np.floating[Any]], height: int) -> list[int]:
    """By how much images are reduced whose texts, of some heights, are drawn at another one, all pixels.

    So far that the text is still as high as its crop and less than twice as high: bilinear samples then miss
    no pixel, and nothing is enlarged again.
    """
    factors: list[int] = np.clip(np.floor(text_heights / height), 1, _LARGEST_REDUCTION).astype(int).tolist()
    return factors
