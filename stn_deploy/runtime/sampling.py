"""Sampling on the CPU: theta -> maps -> OpenCV's remap on the original pixels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from stn_deploy.geometry import TextSpline, target_points
from stn_deploy.geometry.convention import Size

_remap: Any = cv2.remap  # its type stubs refuse the None that one map of two channels needs
_CELLS_DOWN = 48
"""Cells of the lattice over the height of V: what bends is the line of text, however finely it is drawn."""
_LARGEST_FACTOR = 8
PLAIN_SPLINE = TextSpline()
_FAR = 16_000
"""Control points beyond so many pixels take the careful way."""
_TOGETHER = 1 << 18
"""Positions whose maps are computed at once: they stay in the cache until they are used."""
_NOTHING = np.empty((0, 0, 3), np.uint8)
_Maps = tuple[NDArray[np.float32], "NDArray[np.float32] | None"]


@lru_cache(maxsize=8)
def _exact_basis(spline: TextSpline, count: int, size: Size, supersample: int) -> NDArray[np.float32]:
    samples = target_points((size[0] * supersample, size[1] * supersample))
    return spline.basis(count, samples, size).astype(np.float32)


@lru_cache(maxsize=8)
def _exact_planes(spline: TextSpline, count: int, size: Size) -> NDArray[np.float32]:
    """(K, P): the exact basis as a matrix product from the left wants it."""
    return np.ascontiguousarray(spline.pixel_basis(count, size).T.astype(np.float32))


def _cell(size: Size) -> int:
    """Pixels between the nodes of the lattice on which the spline is evaluated."""
    return max(2, size[0] // _CELLS_DOWN)


@lru_cache(maxsize=128)
def _lattice_basis(spline: TextSpline, count: int, size: Size) -> tuple[NDArray[np.float32], Size]:
    """Basis at the nodes of a lattice that reaches a cell past V on each side, and the lattice's shape.

    Node i lies at the middle of cell i, which is where cv2.resize puts the samples of a small image.
    """
    cell = _cell(size)
    shape = tuple(-(-length // cell) + 2 for length in size)
    axes = [
        ((np.arange(n) + 0.5) * cell - cell) * 2 / length - 1 for n, length in zip(shape, size, strict=True)
    ]
    nodes = np.stack(np.meshgrid(axes[1], axes[0]), axis=-1).reshape(-1, 2)
    return spline.basis(count, nodes, size).astype(np.float32), (shape[0], shape[1])


def source_grid(
    theta: NDArray[np.float32],
    size: Size,
    *,
    spline: TextSpline = PLAIN_SPLINE,
    supersample: int = 1,
    exact: bool = False,
) -> NDArray[np.float32]:
    """Source coordinates of each sample of V.

    Args:
        theta: (K, 2) control points, in normalised units or in pixels: the grid comes in the same.
        size: height and width of V, pixels.
        spline: of V; by default the plain one with its control points on the edges.
        supersample: samples per pixel along each axis.
        exact: evaluate the spline at each sample, which is for few different sizes: the basis of each is
            large and kept. Otherwise on a lattice of up to 48 cells over the height, of at least 2 pixels,
            joined bilinearly: within 0.1 pixels of the source.
    Returns:
        (h * supersample, w * supersample, 2) float32.
    """
    height, width = size[0] * supersample, size[1] * supersample
    if exact:
        return (_exact_basis(spline, len(theta), size, supersample) @ theta).reshape(height, width, 2)
    basis, shape = _lattice_basis(spline, len(theta), size)
    nodes = (basis @ theta).reshape(*shape, 2)
    cell = _cell(size) * supersample
    grid = cv2.resize(nodes, (shape[1] * cell, shape[0] * cell), interpolation=cv2.INTER_LINEAR)
    return np.asarray(grid[cell : cell + height, cell : cell + width], np.float32)


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
        spline, exact: see `source_grid`.
        fill: value of what lies outside the image, 0 to 255; by default that of its border.
    Returns:
        (h, w, 3) uint8. Where a coordinate is not finite: the fill, or 0 where there is none.
    """
    (controls,), (tame,) = _control_pixels([image], theta[None])
    maps = source_grid(controls, size, spline=spline, supersample=supersample, exact=exact)
    return _sampled(image, (maps, None), size, tame=tame, supersample=supersample, fill=fill)


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
    groups: dict[Size, list[int]] = {}
    for index, size in enumerate(sizes):
        factor = supersample[index]
        if exact and factor == 1:
            groups.setdefault(size, []).append(index)
            continue
        maps = source_grid(controls[index], size, spline=spline, supersample=factor)
        crops[index] = _sampled(
            images[index], (maps, None), size, tame=tame[index], supersample=factor, fill=fill
        )
    for size, members in groups.items():
        for index, planes in _shared_grids(controls, members, size, spline):
            crops[index] = _sampled(images[index], planes, size, tame=tame[index], fill=fill)
    return crops


def _shared_grids(
    controls: NDArray[np.float32], members: list[int], size: Size, spline: TextSpline
) -> Iterator[tuple[int, _Maps]]:
    """x and y of the samples of images whose V has one size: one matrix product for many of them."""
    basis = _exact_planes(spline, controls.shape[1], size)
    together = max(_TOGETHER // basis.shape[1], 1)
    for start in range(0, len(members), together):
        chosen = members[start : start + together]
        rows = np.ascontiguousarray(controls[chosen].transpose(0, 2, 1)).reshape(-1, len(basis))
        planes = (rows @ basis).reshape(-1, 2, *size)
        yield from ((index, (x, y)) for index, (x, y) in zip(chosen, planes, strict=True))


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
    return controls, tame


def _sampled(
    image: NDArray[np.uint8],
    maps: _Maps,
    size: Size,
    *,
    tame: bool,
    supersample: int = 1,
    fill: float | None = None,
) -> NDArray[np.uint8]:
    """V at positions that are interleaved in one array, or come as x and y."""
    if not tame:
        whole = maps[0] if maps[1] is None else np.stack([maps[0], maps[1]], axis=-1)
        known, bad = _tamed(whole, np.array([image.shape[1], image.shape[0]], np.float32))
        maps = (known, None)
    outside = cv2.BORDER_REPLICATE if fill is None else cv2.BORDER_CONSTANT
    nothing = 0.0 if fill is None else fill
    sampled = _remap(image, *maps, cv2.INTER_LINEAR, borderMode=outside, borderValue=(nothing,) * 3)
    if not tame:
        sampled[bad] = round(nothing)
    if supersample > 1:
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
