"""Sampling on the CPU: theta -> maps -> OpenCV's remap on the original pixels."""

from __future__ import annotations

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


@lru_cache(maxsize=8)
def _exact_basis(spline: TextSpline, count: int, size: Size, supersample: int) -> NDArray[np.float32]:
    samples = target_points((size[0] * supersample, size[1] * supersample))
    return spline.basis(count, samples, size).astype(np.float32)


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
    extent = np.array([image.shape[1], image.shape[0]], np.float32)
    # A grid is linear in theta and each row of the basis sums to one, so the few control points go to pixels,
    # not the many positions. remap counts pixel centres, we count edges: half a pixel apart.
    controls = np.asarray((theta + 1) * (extent / 2) - 0.5, np.float32)
    maps = source_grid(controls, size, spline=spline, supersample=supersample, exact=exact)
    tame = bool(np.abs(controls).max() < _FAR)
    if not tame:
        maps, bad = _tamed(maps, extent)
    outside = cv2.BORDER_REPLICATE if fill is None else cv2.BORDER_CONSTANT
    nothing = 0.0 if fill is None else fill
    sampled = _remap(image, maps, None, cv2.INTER_LINEAR, borderMode=outside, borderValue=(nothing,) * 3)
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


def supersampling(text_height: float, height: int) -> int:
    """Samples per output pixel for text of a height in the source, drawn at another height, both pixels."""
    return int(np.clip(round(text_height / height), 1, _LARGEST_FACTOR))
