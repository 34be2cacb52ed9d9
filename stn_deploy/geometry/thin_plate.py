"""The thin-plate spline as basis @ theta: the linear system is folded away once, in float64."""

from __future__ import annotations

from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stn_deploy.errors import ArgumentError, ShapeError
from stn_deploy.geometry.control_points import control_point_lattice, control_point_targets
from stn_deploy.geometry.convention import checked_points


def _radial(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """The thin-plate kernel r^2 log r between each point of ``first`` and each of ``second``."""
    squared = np.zeros((len(first), len(second)))
    for axis in range(first.shape[1]):
        along = np.subtract.outer(first[:, axis], second[:, axis])
        squared += along * along
    kernel = np.log(np.where(squared > 0, squared, 1.0))
    kernel *= squared
    kernel *= 0.5
    return np.asarray(kernel, np.float64)


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


class ThinPlateSpline:
    """The family of thin-plate splines through given control points, as a `stn_deploy.geometry.Transform`.

    Convention: normalised; theta lists the source positions x0, y0, x1, y1, ... of the control points, so its
    (K, 2) form is ``theta.reshape(K, 2)``.
    Attributes beyond those of a transform:
        control_targets: (K, 2), float64, where the control points lie in V.
        kernel_aspect: see `thin_plate_basis`.
    Source: Jaderberg et al. 2015, section 3.2; Bookstein 1989, Principal Warps.
    """

    name = "thin-plate spline"
    dimensions = 2
    homogeneous = False

    def __init__(self, control_targets: ArrayLike, *, kernel_aspect: float = 1.0) -> None:
        """Take any control points.

        Args:
            control_targets: (K, 2) control points in V, K >= 3, normalised.
            kernel_aspect: see `thin_plate_basis`.
        Raises:
            ShapeError: not (K, 2).
            ArgumentError: points that coincide or lie on one line, or a kernel aspect not above 0.
        """
        targets = np.array(checked_points(control_targets, "control_targets"), np.float64)
        if targets.ndim != 2:
            raise ShapeError(f"control_targets: expected (K, 2), got {targets.shape}")
        if not np.isfinite(targets).all():
            raise ArgumentError("control_targets: expected finite numbers, got NaN or infinity")
        thin_plate_basis(targets, targets[:1], kernel_aspect=kernel_aspect)  # raises where there is no spline
        targets.setflags(write=False)
        self.control_targets = targets
        self.kernel_aspect = kernel_aspect
        self.parameters = targets.size
        self.identity: NDArray[np.float64] = targets.reshape(-1)
        self.offset = np.zeros(targets.size)
        self.displacements = np.ones(targets.size, np.bool_)
        for constant in (self.offset, self.displacements):
            constant.setflags(write=False)

    @classmethod
    def on_edges(cls, count: int = 20, *, kernel_aspect: float = 1.0) -> ThinPlateSpline:
        """Half of the control points along the top edge of V, half along the bottom edge: for lines of text.

        Raises:
            ArgumentError: ``count`` is odd or below 4.
        Source: Shi et al. 2016, Robust Scene Text Recognition with Automatic Rectification, section 3.1.
        """
        return cls(control_point_targets(count), kernel_aspect=kernel_aspect)

    @classmethod
    def on_lattice(
        cls, rows: int = 4, columns: int | None = None, *, kernel_aspect: float = 1.0
    ) -> ThinPlateSpline:
        """A regular lattice of control points over V, row by row from the top left; 4 x 4 is the paper's.

        As many columns as rows where not given.

        Raises:
            ArgumentError: fewer than 2 rows or columns.
        Source: Jaderberg et al. 2015, section 4.1.
        """
        return cls(control_point_lattice(rows, columns), kernel_aspect=kernel_aspect)

    def __repr__(self) -> str:
        return f"ThinPlateSpline({len(self.control_targets)} control points)"

    @cached_property
    def expansion(self) -> NDArray[np.float64]:
        """(2 K, 2 K): sorts x0, y0, x1, y1, ... into all x and then all y."""
        count = len(self.control_targets)
        order = np.arange(2 * count).reshape(count, 2).T.reshape(-1)
        expansion = np.asarray(np.eye(2 * count)[:, order], np.float64)
        expansion.setflags(write=False)
        return expansion

    def basis(self, points: ArrayLike) -> NDArray[np.float64]:
        """(P, K), float64: `thin_plate_basis` of target points (P, 2)."""
        return thin_plate_basis(self.control_targets, points, kernel_aspect=self.kernel_aspect)
