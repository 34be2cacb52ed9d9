"""Polygons around lines of text: checked, and as smooth maps from an upright line to the page."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stn_deploy.errors import ArgumentError, ShapeError
from stn_deploy.geometry import control_point_targets, measure_text_lines
from stn_deploy.geometry.convention import Size

Points = NDArray[np.float64]

_LEAST_AREA = 4.0
"""Square pixels: 2 x 2, as for images."""
_UPRIGHT = 0.05
"""Text heights that corners of an upright box may be off; a pixel is allowed always."""


class Region:
    """A quad or polygon of a page, as a map of V's coordinates to the page.

    Each edge is the natural cubic spline through its points, over the length of the midline up to them, and
    straight beyond its ends; between the edges the map is linear. A quad is mapped bilinearly.

    Attributes:
        size: mean height, and length of the midline, pixels of the page; at least 2 each.
        upright: whether it is a box with sides along those of the page, give or take a pixel.
        box: x and y of the first and of the last corner of its bounding box (2, 2).
    Source: Reinsch 1967, Smoothing by Spline Functions, for the natural spline; in the basis |x|^3.
    """

    def __init__(self, polygon: ArrayLike, page: Size, name: str = "polygon") -> None:
        """Check a polygon and fit its edges.

        Args:
            polygon: (4, 2) corners clockwise from the text's top left, or (2m, 2): m points along the top
                edge left to right, then m back along the bottom edge; pixels of the page.
            page: height and width, pixels. name: what messages call it.
        Raises:
            ShapeError: not (2m, 2) with m at least 2.
            ArgumentError: no finite numbers, crossed, against the clock, without area, outside the page.
        """
        points = _checked(polygon, page, name)
        top, bottom = points[: len(points) // 2], points[len(points) // 2 :][::-1]
        steps = np.linalg.norm(np.diff((top + bottom) / 2, axis=0), axis=1)
        kept = np.concatenate([[True], steps > 1e-3])  # a point that was given twice
        if kept.sum() < 2:
            raise ArgumentError(f"{name}: expected text with a length, got one whose ends meet")
        edges = np.concatenate([top[kept], bottom[kept]], axis=1)
        along = np.concatenate([[0.0], np.cumsum(steps[steps > 1e-3])])
        self._knots = along * (2 / along[-1]) - 1
        count = len(self._knots)
        system = np.zeros((count + 2, count + 2))
        system[:count] = self._terms(self._knots)
        system[count:, :count] = system[:count, count:].T
        self._factors = np.linalg.solve(system, np.concatenate([edges, np.zeros((2, 4))]))
        self.box: Points = np.stack([points.min(axis=0), points.max(axis=0)])
        measures = measure_text_lines(self(control_point_targets(20)))
        self.size = (max(float(measures.height), 2.0), max(float(measures.length), 2.0))
        box = self.box[[0, 0, 1, 1], [[0], [1]]].T  # rows (x, y) of first, first, last, last
        ideal = np.stack([box[[0, 2, 2, 0], 0], box[[0, 0, 2, 2], 1]], axis=1)
        corners = np.stack([top[0], top[-1], bottom[-1], bottom[0]])
        off = max(
            np.abs(corners - ideal).max(),
            np.abs(top[:, 1] - self.box[0, 1]).max(),
            np.abs(bottom[:, 1] - self.box[1, 1]).max(),
        )
        self.upright = bool(off <= max(1.0, _UPRIGHT * self.size[0]))

    def __call__(self, points: NDArray[np.floating]) -> Points:
        """Pixels of the page (..., 2) for points of V, normalised; those outside V go on straight."""
        flat = np.asarray(points, np.float64).reshape(-1, 2)
        edges = self._terms(flat[:, 0]) @ self._factors
        down = (flat[:, 1:] + 1) / 2
        return np.asarray(edges[:, :2] * (1 - down) + edges[:, 2:] * down).reshape(np.shape(points))

    def _terms(self, along: NDArray[np.float64]) -> Points:
        cubes = np.abs(along[:, None] - self._knots) ** 3
        return np.concatenate([cubes, np.ones((len(along), 1)), along[:, None]], axis=1)


def _checked(polygon: ArrayLike, page: Size, name: str) -> Points:
    try:
        points = np.asarray(polygon, np.float64)
    except (TypeError, ValueError):
        raise ArgumentError(f"{name}: expected pairs of numbers, got {polygon!r:.80}") from None
    if points.ndim != 2 or points.shape[1] != 2 or len(points) < 4 or len(points) % 2:
        raise ShapeError(
            f"{name}: expected (4, 2), or (2m, 2) with as many points along the top as along the bottom, "
            f"got {points.shape}"
        )
    if not np.isfinite(points).all():
        raise ArgumentError(f"{name}: expected finite numbers, got {points[~np.isfinite(points)][0]}")
    height, width = page
    low, high = points.min(axis=0), points.max(axis=0)
    if high.min() <= 0 or low[0] >= width or low[1] >= height:
        raise ArgumentError(
            f"{name}: expected a part of the page of {height} x {width} pixels, got x from {low[0]:g} to "
            f"{high[0]:g} and y from {low[1]:g} to {high[1]:g}"
        )
    if _is_crossed(points):
        raise ArgumentError(f"{name}: expected edges that do not cross, got crossed ones; check the order")
    following = np.roll(points, -1, axis=0)
    area = float((points[:, 0] * following[:, 1] - points[:, 1] * following[:, 0]).sum() / 2)
    if area <= -_LEAST_AREA:
        raise ArgumentError(
            f"{name}: expected points clockwise from the text's top left, got them against the clock"
        )
    if area < _LEAST_AREA:
        raise ArgumentError(f"{name}: expected an area of at least 4 square pixels, got {abs(area):g}")
    return points


def _is_crossed(points: Points) -> bool:
    """Whether any two sides of a closed polygon cross in their inside."""
    ends = np.roll(points, -1, axis=0)

    def side(of: Points) -> Points:
        """(sides, points): on which side of each side each point lies."""
        run = (ends - points)[:, None]
        to = of[None] - points[:, None]
        return np.asarray(np.sign(run[..., 0] * to[..., 1] - run[..., 1] * to[..., 0]))

    apart = side(points) * side(ends) < 0
    return bool((apart & apart.T).any())
