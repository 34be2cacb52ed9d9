"""What the transforms of the paper have in common: source = basis(target) @ coefficients(theta)."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stn_deploy.errors import ShapeError
from stn_deploy.geometry.convention import checked_array, checked_extent, checked_points, target_points


class Transform(Protocol):
    """A family of maps from target to source, one for each theta.

    Every transform is linear in theta: a constant basis of the target points times coefficients, which are
    themselves a constant linear function of theta. NumPy and torch both work from these constants.
    """

    @property
    def name(self) -> str:
        """What the paper calls it."""
        ...

    @property
    def dimensions(self) -> int:
        """2 for images, 3 for volumes."""
        ...

    @property
    def parameters(self) -> int:
        """p, the length of theta."""
        ...

    @property
    def identity(self) -> NDArray[np.float64]:
        """(p,), the theta that maps each point to itself."""
        ...

    @property
    def expansion(self) -> NDArray[np.float64]:
        """(p, R * K): ``theta @ expansion + offset`` holds the coefficients, R rows of K numbers.

        A row for x, one for y, one for z in volumes; of a homogeneous transform one more.
        """
        ...

    @property
    def offset(self) -> NDArray[np.float64]:
        """(R * K,), see `expansion`."""
        ...

    @property
    def homogeneous(self) -> bool:
        """Whether a last row follows, by which the others are divided."""
        ...

    @property
    def displacements(self) -> NDArray[np.bool_]:
        """(p,), which entries of theta move points and do nothing else."""
        ...

    def basis(self, points: ArrayLike) -> NDArray[np.float64]:
        """(P, K), float64: the constant factor of target points (P, dimensions)."""
        ...


def checked_theta(transform: Transform, theta: ArrayLike) -> NDArray[np.float64]:
    """``theta`` as a float64 array (..., p).

    Raises:
        ShapeError: the last dimension is not the number of parameters.
    """
    expected = f"(..., {transform.parameters}) for {transform.name}"
    array = checked_array(theta, "theta", expected, np.float64)
    if array.ndim < 1 or array.shape[-1] != transform.parameters:
        raise ShapeError(f"theta: expected {expected}, got {array.shape}")
    return array


def source_points(transform: Transform, theta: ArrayLike, points: ArrayLike) -> NDArray[np.float64]:
    """Where target points lie in the source.

    Convention: normalised on both sides, (x, y) or (x, y, z).
    Args:
        theta: (..., p).
        points: (P, dimensions), target.
    Returns:
        (..., P, dimensions), float64; not finite where a projective map sends a point to infinity.
    Raises:
        ShapeError: theta or points of another shape.
    Source: Jaderberg et al. 2015, equation 1.
    """
    values = checked_theta(transform, theta)
    target = checked_points(points, "points", transform.dimensions).reshape(-1, transform.dimensions)
    rows = transform.dimensions + transform.homogeneous
    basis = transform.basis(target)
    coefficients = values @ transform.expansion + transform.offset
    coefficients = coefficients.reshape(*values.shape[:-1], rows, basis.shape[-1])
    source = np.asarray(basis @ np.swapaxes(coefficients, -1, -2), np.float64)
    if not transform.homogeneous:
        return source
    with np.errstate(divide="ignore", invalid="ignore"):
        return source[..., :-1] / source[..., -1:]


def source_grid(transform: Transform, theta: ArrayLike, size: ArrayLike) -> NDArray[np.float64]:
    """Sampling grid of an output: `source_points` of its pixel centres.

    Args:
        theta: (..., p).
        size: height and width of V, or depth, height and width; pixels.
    Returns:
        (..., *size, dimensions), float64.
    """
    extent = checked_extent(size, dimensions=transform.dimensions)
    grid = source_points(transform, theta, target_points(extent))
    return grid.reshape(*grid.shape[:-2], *extent, transform.dimensions)


def source_corners(transform: Transform, theta: ArrayLike) -> NDArray[np.float64]:
    """Where the corners of V lie in the source.

    Returns:
        (..., 4, 2) clockwise from the top left; of a volume (..., 8, 3), the near face and then the far one.
    """
    face = np.array([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]])
    if transform.dimensions == 3:
        face = np.concatenate([np.c_[face, np.full(4, depth)] for depth in (-1.0, 1.0)])
    return source_points(transform, theta, face)
