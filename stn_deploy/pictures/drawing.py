"""Boxes, control points and sampling grids, painted on a picture.

Convention: normalised (x, y) over pixel edges, as in `stn_deploy.geometry`; colours are (blue, green, red).
Each function returns a new picture. Lines have a fixed width in pixels, so a small picture is enlarged first
(`stn_deploy.pictures.fit`). What lies outside is cut off; what is not finite is left out.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from stn_deploy.data import as_bgr
from stn_deploy.errors import ArgumentError, ShapeError
from stn_deploy.geometry import checked_points, pixels_from_normalised

Picture = NDArray[np.uint8]
Colour = tuple[int, int, int]

BOX, GRID, POINT = (0, 140, 255), (200, 160, 0), (40, 40, 230)
_DARK, _LIGHT = (40, 40, 40), (255, 255, 255)

_SHIFT = 4  # OpenCV takes positions in sixteenths of a pixel
_BEYOND = 32  # pixels around the picture in which lines are still drawn, wider than any line
_ALONG = 32  # steps of a grid line
_STRAIGHT = 0.1  # pixels from its middle line


def draw_box(image: Picture, corners: ArrayLike, *, colour: Colour = BOX) -> Picture:
    """The picture with a source box: its top edge is bold and its top left corner has a dot.

    Together they show how the box is turned and whether it is mirrored.

    Args:
        image: (h, w), (h, w, 1) or (h, w, 3) uint8.
        corners: (4, 2), where the corners of V lie in the picture, clockwise from V's top left.
    Returns:
        (h, w, 3) uint8, a new array.
    Raises:
        ShapeError: corners of another shape.
    """
    points = checked_points(corners, "corners").astype(np.float64)
    if points.shape != (4, 2):
        raise ShapeError(f"corners: expected (4, 2), got {points.shape}")
    picture = as_bgr(image).copy()
    _paint_outline(picture, list(np.stack([points, np.roll(points, -1, axis=0)], axis=1)), colour)
    return picture


def draw_grid(
    image: Picture,
    grid: ArrayLike,
    *,
    lines: tuple[int, int] = (8, 12),
    colour: Colour = GRID,
    outline: Colour | None = BOX,
    marked: bool = True,
) -> Picture:
    """The picture with a sampling grid: lines between the pixels of V, and the outline of V.

    The outline lies half a pixel of V beyond the outermost points of the grid, so that the grid of an
    identity theta has its outline on the border of the picture.

    Args:
        image: (h, w), (h, w, 1) or (h, w, 3) uint8.
        grid: (h', w', 2), source coordinates of each pixel of V.
        lines: cells of the drawn grid, down and across; no more than V has pixels.
        outline: its colour; None draws the inner lines alone.
        marked: whether the outline is bold, with its top left corner, as in `draw_box`; else it is thin.
    Returns:
        (h, w, 3) uint8, a new array.
    Raises:
        ShapeError: a grid of another shape or without points.
        ArgumentError: fewer than one cell.
    """
    points = checked_points(grid, "grid").astype(np.float64)
    if points.ndim != 3 or not points.size:
        raise ShapeError(f"grid: expected (h, w, 2) of at least one point, got {points.shape}")
    if min(lines) < 1:
        raise ArgumentError(f"lines: expected at least 1 cell down and across, got {lines}")
    height, width = points.shape[:2]
    down, across = _divided(height, lines[0]), _divided(width, lines[1])
    rows = _at_edges(_at_edges(points, down, 0), _divided(width), 1)
    columns = _at_edges(_at_edges(points, across, 1), _divided(height), 0).swapaxes(0, 1)
    picture = as_bgr(image).copy()
    _paint_lines(picture, [*rows[1:-1], *columns[1:-1]], colour, 1)
    if outline is not None:
        sides = [rows[0], columns[-1], rows[-1], columns[0]]
        if marked:
            _paint_outline(picture, sides, outline)
        else:
            _paint_lines(picture, sides, outline, 1)
    return picture


def draw_control_points(image: Picture, points: ArrayLike, *, colour: Colour = POINT) -> Picture:
    """The picture with a dot at each control point.

    Args:
        image: (h, w), (h, w, 1) or (h, w, 3) uint8.
        points: (K, 2), source.
    Returns:
        (h, w, 3) uint8, a new array.
    Raises:
        ShapeError: points of another shape.
    """
    array = checked_points(points).astype(np.float64)
    if array.ndim != 2:
        raise ShapeError(f"points: expected (K, 2), got {array.shape}")
    picture = as_bgr(image).copy()
    _paint_dots(picture, array, _LIGHT, 4.5)
    _paint_dots(picture, array, colour, 3.25)
    return picture


def _divided(length: int, cells: int | None = None) -> NDArray[np.float64]:
    """Places from edge to edge of V: at the borders of cells, or, without a number of cells, along a line."""
    steps = _ALONG if cells is None else min(cells, length)
    return np.linspace(0, length, steps + 1, dtype=np.float64)


def _at_edges(grid: NDArray[np.float64], places: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    """The grid between its points: place 0 is the edge of V's first pixel, 0.5 is its centre."""
    if grid.shape[axis] == 1:
        return grid.repeat(len(places), axis)
    centres = places - 0.5
    before = np.clip(np.floor(centres).astype(np.intp), 0, grid.shape[axis] - 2)
    share = np.expand_dims(centres - before, tuple(other for other in range(grid.ndim) if other != axis))
    with np.errstate(invalid="ignore", over="ignore"):
        return grid.take(before, axis) * (1 - share) + grid.take(before + 1, axis) * share


def _paint_outline(picture: Picture, sides: Sequence[NDArray[np.float64]], colour: Colour) -> None:
    """Four sides, the first the top edge from left to right; their dark rims show them on any ground."""
    corner = sides[0][:1]
    _paint_lines(picture, sides, _DARK, 4)
    _paint_lines(picture, sides[:1], _DARK, 6)
    _paint_dots(picture, corner, _DARK, 6.5)
    _paint_lines(picture, sides, colour, 2)
    _paint_lines(picture, sides[:1], colour, 4)
    _paint_dots(picture, corner, colour, 5.5)


def _paint_dots(picture: Picture, points: NDArray[np.float64], colour: Colour, radius: float) -> None:
    pixels = _centred_pixels(points, picture)
    near = (pixels > -_BEYOND) & (pixels < np.array(picture.shape[1::-1]) + _BEYOND)  # NaN is not
    for x, y in _fixed(pixels[near.all(axis=1)]).tolist():
        cv2.circle(picture, (x, y), round(radius * (1 << _SHIFT)), colour, -1, cv2.LINE_AA, _SHIFT)


def _paint_lines(
    picture: Picture, lines: Sequence[NDArray[np.float64]], colour: Colour, thickness: int
) -> None:
    if lines:
        pixels = [_shortened(_centred_pixels(line, picture)) for line in lines]
        segments = np.concatenate([np.stack([line[:-1], line[1:]], axis=1) for line in pixels])
        visible = _fixed(_visible_parts(segments, picture.shape[:2]))
        cv2.polylines(picture, list(visible), False, colour, thickness, cv2.LINE_AA, _SHIFT)


def _shortened(line: NDArray[np.float64]) -> NDArray[np.float64]:
    """The two ends of a straight line: OpenCV draws a line of many pieces thicker than one of one piece."""
    with np.errstate(all="ignore"):
        way = line[-1] - line[0]
        share = (line - line[0]) @ way / (way @ way)
        beside = np.abs(line - line[0] - share[:, None] * way)
        straight = (beside < _STRAIGHT).all() and (np.diff(share) >= 0).all()
    return line[[0, -1]] if straight else line


def _visible_parts(segments: NDArray[np.float64], size: tuple[int, ...]) -> NDArray[np.float64]:
    """The parts of segments (S, 2, 2) that lie in or near the picture, with their direction kept.

    Source: Liang and Barsky 1984, A New Concept and Method for Line Clipping.
    """
    low, high = np.full(2, -_BEYOND), np.array(size[::-1]) + _BEYOND
    with np.errstate(all="ignore"):
        start, way = segments[:, 0], segments[:, 1] - segments[:, 0]
        crossings = np.stack([(low - start) / way, (high - start) / way])
        still, between = way == 0, (start >= low) & (start <= high)
        enters = np.where(still, np.where(between, 0, np.inf), crossings.min(axis=0)).max(axis=1)
        leaves = np.where(still, 1, crossings.max(axis=0)).min(axis=1)
        enters, leaves = enters.clip(min=0), leaves.clip(max=1)
        parts = start[:, None] + way[:, None] * np.stack([enters, leaves], axis=1)[..., None]
    shown = (enters <= leaves) & np.isfinite(parts).all(axis=(1, 2)) & np.isfinite(segments).all(axis=(1, 2))
    return np.asarray(parts[shown].clip(low, high), np.float64)


def _centred_pixels(points: NDArray[np.float64], picture: Picture) -> NDArray[np.float64]:
    """Pixel positions as OpenCV counts them, from the centre of the first pixel."""
    with np.errstate(over="ignore"):
        return np.asarray(pixels_from_normalised(points, picture.shape[:2]) - 0.5, np.float64)


def _fixed(pixels: NDArray[np.float64]) -> NDArray[np.int32]:
    return np.round(pixels * (1 << _SHIFT)).astype(np.int32)
