"""The thin-plate spline as basis @ theta: the linear system is folded away once, in float64."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stn_deploy.errors import ArgumentError
from stn_deploy.geometry.convention import checked_points


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
    if count < 4 or count % 2:
        raise ArgumentError(f"control points: expected an even number of at least 4, got {count}")
    return _edge_targets(count)


def _radial(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """The thin-plate kernel r^2 log r between each point of ``first`` and each of ``second``."""
    squared = ((first[:, None, :] - second[None, :, :]) ** 2).sum(axis=-1)
    return np.asarray(0.5 * squared * np.log(np.where(squared > 0, squared, 1.0)), np.float64)


@lru_cache(maxsize=16)
def _spline_from_values(key: bytes) -> NDArray[np.float64]:
    """(K + 3, K): spline coefficients of the values at the control points whose bytes are ``key``."""
    targets = np.frombuffer(key, dtype=np.float64).reshape(-1, 2)
    count = len(targets)
    affine = np.concatenate([np.ones((count, 1)), targets], axis=1)
    system = np.zeros((count + 3, count + 3))
    system[:count, :count] = _radial(targets, targets)
    system[:count, count:] = affine
    system[count:, :count] = affine.T
    if np.linalg.cond(system) > 1e12:
        raise ArgumentError("control points: expected distinct points that are not all on one line")
    return np.asarray(np.linalg.inv(system)[:, :count], np.float64)


def thin_plate_basis(
    control_targets: ArrayLike, points: ArrayLike, *, kernel_aspect: float = 1.0
) -> NDArray[np.float64]:
    """Constant factor of the thin-plate-spline grid: ``source = thin_plate_basis(...) @ theta``.

    The spline through K values is linear in these values, so kernel, affine part and the inverse of the
    system fold into one matrix. Each row sums to one, and at a control point it is a unit vector.

    Convention: normalised (x, y); theta (K, 2) holds the source position of each control point.
    Args:
        control_targets: (K, 2) control points in V, K >= 3.
        points: (P, 2) target points.
        kernel_aspect: height over width of the frame in which the kernel measures distances. 1 is the plain
            spline on the square [-1, 1] x [-1, 1]. A line of text is several times as wide as high, and
            there the plain spline sags between its two rows of control points: at the ends of an arc of 120
            degrees by a quarter of the text height, enough to cut letters. In a frame shaped like the text
            (0.15) it is less than a hundredth.
    Returns:
        (P, K), float64.
    Raises:
        ArgumentError: control points that coincide or lie on one line, or a kernel aspect not above 0.
    Source: Jaderberg et al. 2015, section 3.2; Bookstein 1989, Principal Warps.
    """
    if not 0 < kernel_aspect < np.inf:
        raise ArgumentError(f"kernel_aspect: expected a number above 0, got {kernel_aspect}")
    frame = np.array([1.0, kernel_aspect])
    targets = np.ascontiguousarray(checked_points(control_targets, "control_targets") * frame, np.float64)
    target = checked_points(points).astype(np.float64).reshape(-1, 2) * frame
    rows = np.concatenate([_radial(target, targets), np.ones((len(target), 1)), target], axis=1)
    return np.asarray(rows @ _spline_from_values(targets.tobytes()), np.float64)
