"""A line of text as control points along its two edges: how high, how long, how tilted, how bent it is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stn_deploy.errors import ShapeError
from stn_deploy.geometry.convention import FloatArray, checked_points


@dataclass(frozen=True, kw_only=True)
class TextLineMeasures:
    """Geometry of text lines; arrays of the same leading shape.

    height: mean distance between the edges, pixels.
    length: arc length of the midline, pixels.
    tilt: angle of the midline's chord against the horizontal, radians in [-pi, pi], positive clockwise.
    sag: largest distance of the midline from its chord, in text heights.
    taper: how much higher one end is than the other, as a part of the lower one; 0 for equal ends.
    """

    height: FloatArray
    length: FloatArray
    tilt: FloatArray
    sag: FloatArray
    taper: FloatArray


def measure_text_lines(points: ArrayLike) -> TextLineMeasures:
    """Measures of text lines that are given by control points.

    Convention: pixels (y down); K/2 points along the top edge left to right, then K/2 along the bottom edge.
    Args:
        points: (..., K, 2), K even and at least 4.
    Returns:
        `TextLineMeasures` with arrays of shape (...).
    Raises:
        ShapeError: K is odd or below 4.
    """
    array, height, length, heights = _measured(points)
    top, bottom = np.split(array, 2, axis=-2)
    middle = (top + bottom) / 2
    ends = heights[..., [0, -1]]
    chord = middle[..., -1, :] - middle[..., 0, :]
    offset = middle - middle[..., :1, :]
    tiny = np.finfo(array.dtype).tiny
    across = np.abs(chord[..., None, 0] * offset[..., 1] - chord[..., None, 1] * offset[..., 0])
    deviation = across.max(axis=-1) / np.maximum(np.linalg.norm(chord, axis=-1), tiny)
    return TextLineMeasures(
        height=height,
        length=length,
        tilt=np.arctan2(chord[..., 1], chord[..., 0]),
        sag=deviation / np.maximum(height, tiny),
        taper=ends.max(axis=-1) / np.maximum(ends.min(axis=-1), tiny) - 1,
    )


def text_line_extents(points: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Height and length alone, as in `TextLineMeasures`; points and errors as for `measure_text_lines`."""
    _, height, length, _ = _measured(points)
    return height, length


def _measured(points: ArrayLike) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Checked points, height, length, and the height at each pair of points."""
    array = checked_points(points)
    if array.ndim < 2 or array.shape[-2] % 2 or array.shape[-2] < 4:
        raise ShapeError(f"points: expected (..., K, 2) with K even and at least 4, got {array.shape}")
    half = array.shape[-2] // 2
    across = array[..., half:, :] - array[..., :half, :]
    steps = array[..., 1:half, :] - array[..., : half - 1, :] + array[..., half + 1 :, :]
    steps -= array[..., half:-1, :]
    heights = np.hypot(across[..., 0], across[..., 1])
    length = np.hypot(steps[..., 0], steps[..., 1]).sum(axis=-1) / 2
    return array, heights.mean(axis=-1), length, heights


def quad_control_points(quad: ArrayLike, count: int) -> NDArray[np.float64]:
    """Control points along the top and bottom edge of a quadrilateral.

    Args:
        quad: (4, 2) corners clockwise from the text's top left.
        count: K, even and at least 4.
    Returns:
        (K, 2) in the units of ``quad``.
    Raises:
        ShapeError: ``quad`` is not (4, 2).
    """
    corners = checked_points(quad, "quad").astype(np.float64)
    if corners.shape != (4, 2):
        raise ShapeError(f"quad: expected (4, 2), got {corners.shape}")
    along = np.linspace(0, 1, count // 2)[:, None]
    top = corners[0] * (1 - along) + corners[1] * along
    bottom = corners[3] * (1 - along) + corners[2] * along
    return np.concatenate([top, bottom])


def box_control_points(size: ArrayLike, count: int) -> NDArray[np.float64]:
    """Control points of the whole image: what "no rectifier" amounts to. (K, 2), pixels."""
    height, width = np.asarray(size, dtype=np.float64)
    return quad_control_points([[0, 0], [width, 0], [width, height], [0, height]], count)
