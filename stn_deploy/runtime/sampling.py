"""Sampling on the CPU: theta -> maps -> OpenCV's remap on the original pixels."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from stn_deploy.geometry import control_point_targets, target_points, thin_plate_basis
from stn_deploy.geometry.convention import Size

_remap: Any = cv2.remap  # its type stubs refuse the None that one map of two channels needs
_CELL = 8
"""Pixels between the nodes of the lattice on which large grids are evaluated."""
_EXACT_BELOW = 6400
"""Outputs of fewer pixels than this evaluate the spline at each pixel."""
_LARGEST_FACTOR = 8


@lru_cache(maxsize=64)
def _exact_basis(control_points: int, size: Size, kernel_aspect: float) -> NDArray[np.float32]:
    targets = control_point_targets(control_points)
    basis = thin_plate_basis(targets, target_points(size), kernel_aspect=kernel_aspect)
    return basis.astype(np.float32)


@lru_cache(maxsize=512)
def _lattice_basis(control_points: int, size: Size, kernel_aspect: float) -> tuple[NDArray[np.float32], Size]:
    """Basis at the nodes of a lattice that reaches two cells past V on each side, and the lattice's shape.

    Node i lies at the middle of cell i, which is where cv2.resize puts the samples of a small image.
    """
    shape = tuple(-(-length // _CELL) + 4 for length in size)
    axes = [
        ((np.arange(n) + 0.5) * _CELL - 2 * _CELL) * 2 / length - 1
        for n, length in zip(shape, size, strict=True)
    ]
    nodes = np.stack(np.meshgrid(axes[1], axes[0]), axis=-1).reshape(-1, 2)
    basis = thin_plate_basis(control_point_targets(control_points), nodes, kernel_aspect=kernel_aspect)
    return basis.astype(np.float32), (shape[0], shape[1])


def source_grid(
    theta: NDArray[np.float32], size: Size, *, kernel_aspect: float = 1.0, exact: bool | None = None
) -> NDArray[np.float32]:
    """Normalised source coordinates of each pixel of V.

    Args:
        theta: (K, 2), normalised.
        size: height and width of V, pixels.
        kernel_aspect: of the spline, see `stn_deploy.geometry.thin_plate_basis`.
        exact: True evaluates the spline at each pixel; False on a lattice of 8 pixels, joined by cubic
            interpolation (within 0.05 pixels for text lines); None takes the faster one for the size.
    Returns:
        (h, w, 2) float32.
    """
    height, width = size
    if exact or (exact is None and height * width < _EXACT_BELOW):
        return (_exact_basis(len(theta), size, kernel_aspect) @ theta).reshape(height, width, 2)
    basis, shape = _lattice_basis(len(theta), size, kernel_aspect)
    nodes = (basis @ theta).reshape(*shape, 2)
    grid = cv2.resize(nodes, (shape[1] * _CELL, shape[0] * _CELL), interpolation=cv2.INTER_CUBIC)
    return np.asarray(grid[2 * _CELL :][:height, 2 * _CELL :][:, :width], np.float32)


def sample_original(
    image: NDArray[np.uint8],
    theta: NDArray[np.float32],
    size: Size,
    *,
    kernel_aspect: float = 1.0,
    supersample: int = 1,
    exact: bool | None = None,
) -> NDArray[np.uint8]:
    """Straightened crop, sampled bilinearly from the original pixels with border padding.

    Args:
        image: (H, W, 3) uint8.
        theta: (K, 2) control points, normalised over the image.
        size: height and width of the crop, pixels.
        supersample: samples per output pixel along each axis; their mean is taken. Above 1 it keeps large
            text from aliasing when the crop is much smaller.
        kernel_aspect, exact: see `source_grid`.
    Returns:
        (h, w, 3) uint8. Where a coordinate is not finite: 0.
    """
    rows, columns = size[0] * supersample, size[1] * supersample
    height, width = image.shape[:2]
    grid = source_grid(theta, (rows, columns), kernel_aspect=kernel_aspect, exact=exact)
    # remap counts pixel centres, we count edges: half a pixel apart.
    maps = (grid + 1) * np.array([width / 2, height / 2], np.float32) - np.float32(0.5)
    finite = bool(np.isfinite(theta).all())
    if not finite:
        bad = ~np.isfinite(maps).all(axis=-1)
        maps[bad] = 0
    # Far coordinates overflow OpenCV's integers; one pixel outside is the same border.
    np.clip(maps, -1, np.array([width, height], np.float32), out=maps)
    sampled = _remap(image, maps, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    if not finite:
        sampled[bad] = 0
    if supersample > 1:
        sampled = cv2.resize(sampled, (size[1], size[0]), interpolation=cv2.INTER_AREA)
    return np.asarray(sampled, np.uint8)


def supersampling(text_height: float, height: int) -> int:
    """Samples per output pixel for text of a height in the source, drawn at another height, both pixels."""
    return int(np.clip(round(text_height / height), 1, _LARGEST_FACTOR))
