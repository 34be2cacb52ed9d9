"""Where the control points of a thin-plate spline lie, in V and at the start of training."""

from __future__ import annotations

from functools import lru_cache
from numbers import Integral

import numpy as np
from numpy.typing import NDArray

from stn_deploy.errors import ArgumentError


@lru_cache(maxsize=16)
def _edge_targets(count: int) -> NDArray[np.float64]:
    xs = np.linspace(-1, 1, count // 2)
    targets = np.concatenate([np.stack([xs, np.full_like(xs, y)], axis=1) for y in (-1.0, 1.0)])
    targets.setflags(write=False)
    return np.asarray(targets, np.float64)


def control_point_targets(count: int) -> NDArray[np.float64]:
    """Where the text control points lie in V: half along the top edge, half along the bottom edge.

    Convention: normalised (x, y); left to right on each edge, ends on the corners.
    Args:
        count: K, even and at least 4.
    Returns:
        (K, 2), float64, read-only. They are also the identity theta.
    Raises:
        ArgumentError: K is odd or below 4.
    Source: Shi et al. 2016, Robust Scene Text Recognition with Automatic Rectification, section 3.1.
    """
    if not _is_whole(count) or count < 4 or count % 2:
        raise ArgumentError(f"control points: expected an even number of at least 4, got {count!r}")
    return _edge_targets(count)


def control_point_lattice(rows: int = 4, columns: int | None = None) -> NDArray[np.float64]:
    """A regular lattice of control points over V, the outermost on its edges.

    Convention: normalised (x, y), row by row, left to right.
    Args:
        rows, columns: at least 2 each; as many columns as rows where not given.
    Returns:
        (rows * columns, 2), float64. They are also the identity theta.
    Raises:
        ArgumentError: fewer than 2 rows or columns.
    Source: Jaderberg et al. 2015, section 4.1: thin-plate splines with a 4 x 4 lattice of 16 points.
    """
    columns = rows if columns is None else columns
    if not (_is_whole(rows) and _is_whole(columns)) or min(rows, columns) < 2:
        raise ArgumentError(
            f"control points: expected at least 2 rows and 2 columns, got {rows!r} and {columns!r}"
        )
    xs, ys = np.meshgrid(np.linspace(-1, 1, columns), np.linspace(-1, 1, rows))
    return np.stack([xs, ys], axis=-1).reshape(-1, 2)


def sloped_control_points(count: int, slope: float = 1.0) -> NDArray[np.float64]:
    """Control points at the start of training that rise to the right: where the identity stalls.

    Convention: normalised; the top edge runs from y = slope - 1 up to -1, the bottom edge from 1 up to
    1 - slope.
    Args:
        count: K, even and at least 4.
        slope: by how much the line rises from left to right; 1 is half the height of U, as in TRBA.
    Returns:
        (K, 2), float64, source positions.
    Raises:
        ArgumentError: K is odd or below 4, or a slope that is not finite.
    Source: Baek et al. 2019, What Is Wrong With Scene Text Recognition Model Comparisons?, as published.
    """
    if not np.isfinite(slope):
        raise ArgumentError(f"slope: expected a finite number, got {slope}")
    points = control_point_targets(count).copy()
    along = (points[:, 0] + 1) / 2
    top = points[:, 1] < 0
    points[:, 1] += slope * np.where(top, 1 - along, -along)
    return points


def inset_control_points(count: int, margin: float = 0.02) -> NDArray[np.float64]:
    """Control points at the start of training that stay clear of the edges of U.

    Args:
        count: K, even and at least 4.
        margin: distance from each edge, normalised, in [0, 1). 0.02 is ASTER's 0.01 of the width and height.
    Returns:
        (K, 2), float64, source positions.
    Raises:
        ArgumentError: K is odd or below 4, or a margin out of its range.
    Source: Shi et al. 2018, ASTER, as published.
    """
    if not 0 <= margin < 1:
        raise ArgumentError(f"margin: expected a number in [0, 1), got {margin}")
    return np.asarray(control_point_targets(count) * (1 - margin), np.float64)


def _is_whole(count: object) -> bool:
    return isinstance(count, Integral)
