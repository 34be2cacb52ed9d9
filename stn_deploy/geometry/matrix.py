"""Transforms that are a matrix: affine, attention, similarity, projective, affine in three dimensions."""

from __future__ import annotations

import re
from functools import cached_property
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stn_deploy.errors import ArgumentError, ShapeError
from stn_deploy.geometry.convention import checked_array, checked_points
from stn_deploy.geometry.transform import checked_theta

_ENTRY = re.compile(r"(?P<sign>-?)(?:(?P<number>\d+(?:\.\d+)?)|(?P<name>[a-z]\w*))")
Number = TypeVar("Number", np.float64, np.bool_)

_TOLERANCE = 1e-6
_SINGULAR = 1e-13


class MatrixTransform:
    """A family of matrices, written as the paper prints them.

    Convention: the matrix maps homogeneous target points, columns (x, y, 1) or (x, y, z, 1), to the source.
    Each row names the parameters it holds: ``MatrixTransform("attention", "s 0 tx", "0 s ty")``. theta lists
    them in the order of their first appearance. Fixed numbers are allowed, so a crop of half the width that
    only moves is ``MatrixTransform("window", "0.5 0 tx", "0 0.5 ty")``.

    The attributes are those of `stn_deploy.geometry.Transform`, and:
        symbols: names of the parameters, in the order of theta.
        shape: rows and columns.
        perspectives, scale_weights: see there.

    Source: Jaderberg et al. 2015, equations 1 and 2.
    """

    def __init__(self, name: str, *rows: str) -> None:
        """Read the layout.

        Args:
            name: for error messages and pictures.
            rows: of the matrix; entries divided by blanks: a number, a parameter or a parameter with a minus.
                2 rows of 3, 3 of 3 (projective) or 3 of 4 (volumes).
        Raises:
            ArgumentError: another shape, an entry that cannot be read, no parameter at all, or a projective
                matrix whose last entry, the scale of all others, is not 1.
        """
        entries = [row.split() for row in rows]
        shape = (len(entries), len(entries[0])) if len({len(row) for row in entries}) == 1 else None
        if shape not in ((2, 3), (3, 3), (3, 4)):
            raise ArgumentError(
                f"rows: expected 2 rows of 3 entries, 3 of 3 or 3 of 4, got {[len(row) for row in entries]}"
            )
        self.name = name
        self.shape = shape
        self.dimensions = shape[1] - 1
        self.homogeneous = shape[0] > self.dimensions
        read = [_read(entry) for row in entries for entry in row]
        if self.homogeneous and read[-1] != (1.0, ""):
            raise ArgumentError(
                f"rows: expected 1 as the last entry of a projective matrix, got {entries[-1][-1]!r}"
            )
        self.symbols = tuple(dict.fromkeys(symbol for _, symbol in read if symbol))
        self.parameters = len(self.symbols)
        if not self.parameters:
            raise ArgumentError(f"rows: expected at least one parameter, got numbers only: {rows}")
        self.expansion = np.zeros((self.parameters, len(read)))
        self.offset = np.zeros(len(read))
        for index, (value, symbol) in enumerate(read):
            if symbol:
                self.expansion[self.symbols.index(symbol), index] = value
            else:
                self.offset[index] = value
        self.expansion.setflags(write=False)
        self.offset.setflags(write=False)

    def __repr__(self) -> str:
        return f"MatrixTransform({self.name}: {', '.join(self.symbols)})"

    @cached_property
    def identity(self) -> NDArray[np.float64]:
        """(p,), theta of the identity matrix; where fixed numbers rule it out, of the nearest matrix."""
        return _read_only(self._nearest(np.eye(*self.shape)))

    @cached_property
    def displacements(self) -> NDArray[np.bool_]:
        """(p,), which parameters stand in the last column alone, that is, translate."""
        others = self._entries()
        others[:, : self.dimensions, -1] = 0
        return _read_only((others == 0).all(axis=(1, 2)))

    @cached_property
    def perspectives(self) -> NDArray[np.bool_]:
        """(p,), which parameters stand in the row of the divisor alone; only a projective map has any."""
        return _read_only((self._entries()[:, : self.dimensions] == 0).all(axis=(1, 2)))

    @cached_property
    def scale_weights(self) -> NDArray[np.float64]:
        """(p,): ``sqrt(scale_weights @ theta**2)`` is the mean scale, as far as theta has a say in it.

        It is the root of the mean squared singular value of the part that acts on x and y (and z), without
        fixed numbers and perspective: s for attention, the length of (a, b) for a similarity.
        """
        linear = self._entries()[:, : self.dimensions, : self.dimensions]
        return _read_only((linear**2).sum(axis=(1, 2)) / self.dimensions)

    def basis(self, points: ArrayLike) -> NDArray[np.float64]:
        """(P, dimensions + 1), float64: x, y, 1 or x, y, z, 1 of target points (P, dimensions)."""
        target = checked_points(points, "points", self.dimensions).astype(np.float64)
        target = target.reshape(-1, self.dimensions)
        return np.concatenate([target, np.ones((len(target), 1))], axis=1)

    def matrix(self, theta: ArrayLike) -> NDArray[np.float64]:
        """The matrices of thetas, as printed.

        Args:
            theta: (..., p).
        Returns:
            (..., rows, columns), float64.
        Raises:
            ShapeError: another last dimension.
        Source: Jaderberg et al. 2015, equation 1, A_theta.
        """
        values = checked_theta(self, theta)
        flat = values @ self.expansion + self.offset
        return np.asarray(flat.reshape(*values.shape[:-1], *self.shape), np.float64)

    def theta(self, matrix: ArrayLike) -> NDArray[np.float64]:
        """The thetas of matrices; the inverse of `matrix`.

        Args:
            matrix: (..., rows, columns); a projective one at any scale.
        Returns:
            (..., p), float64.
        Raises:
            ShapeError: a matrix of another shape.
            ArgumentError: one that is not of this family.
        """
        expected = f"(..., {self.shape[0]}, {self.shape[1]})"
        array = checked_array(matrix, "matrix", expected, np.float64)
        if array.shape[-2:] != self.shape:
            raise ShapeError(f"matrix: expected {expected}, got {array.shape}")
        if self.homogeneous:
            with np.errstate(divide="ignore", invalid="ignore"):
                array = array / array[..., -1:, -1:]
        finite = bool(np.isfinite(array).all())
        found = self._nearest(array) if finite else np.empty(0)
        if not finite or (np.abs(self.matrix(found) - array) > _TOLERANCE * (1 + np.abs(array))).any():
            raise ArgumentError(f"matrix: expected one of the {self.name} family, got {matrix!r}")
        return found

    def inverse(self, theta: ArrayLike) -> NDArray[np.float64]:
        """Theta of the map from source back to target.

        Args:
            theta: (..., p).
        Returns:
            (..., p), float64.
        Raises:
            ArgumentError: a theta that collapses the plane, or whose inverse is not of this family.
        """
        square = self._square(theta)
        if not _invertible(square):
            raise ArgumentError(f"theta: expected an invertible {self.name} transform, got {theta!r}")
        return self.theta(np.linalg.inv(square)[..., : self.shape[0], :])

    def compose(self, outer: ArrayLike, inner: ArrayLike) -> NDArray[np.float64]:
        """Theta of the map that applies ``inner`` to a target point and ``outer`` to the result.

        A transformer with ``outer`` followed by one with ``inner`` samples as one with the composed theta.
        Args:
            outer, inner: (..., p), of shapes that broadcast.
        Returns:
            (..., p), float64.
        Raises:
            ArgumentError: the result is not of this family.
        """
        return self.theta((self._square(outer) @ self._square(inner))[..., : self.shape[0], :])

    def _square(self, theta: ArrayLike) -> NDArray[np.float64]:
        with np.errstate(invalid="ignore"):
            matrix = self.matrix(theta)
        if self.homogeneous:
            return matrix
        last = np.broadcast_to(np.eye(self.dimensions + 1)[-1:], (*matrix.shape[:-2], 1, self.shape[1]))
        return np.concatenate([matrix, last], axis=-2)

    def _entries(self) -> NDArray[np.float64]:
        """(p, rows, columns): how much of each parameter stands in each entry; a copy."""
        return self.expansion.reshape(-1, *self.shape).copy()

    def _nearest(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        """Least squares; each parameter is the mean of the entries in which it stands."""
        flat = matrix.reshape(*matrix.shape[:-2], self.offset.size) - self.offset
        return np.asarray(flat @ self.expansion.T / (self.expansion**2).sum(axis=1), np.float64)


def _read_only(array: NDArray[Number]) -> NDArray[Number]:
    array.setflags(write=False)
    return array


def _invertible(square: NDArray[np.float64]) -> bool:
    """Whether each matrix can be inverted with some digits left."""
    if not np.isfinite(square).all():
        return False
    values = np.linalg.svd(square, compute_uv=False)
    return bool((values[..., -1] > _SINGULAR * values[..., 0]).all())


def _read(entry: str) -> tuple[float, str]:
    """The number and the parameter of one entry: "-b" is (-1, "b"), "0" is (0, "")."""
    found = _ENTRY.fullmatch(entry)
    if found is None:
        raise ArgumentError(f"rows: expected a number or a name such as 0, tx or -b, got {entry!r}")
    sign = -1.0 if found["sign"] else 1.0
    return (sign, found["name"]) if found["name"] else (sign * float(found["number"]), "")


AFFINE = MatrixTransform(
    "affine",
    "t11 t12 t13",
    "t21 t22 t23",
)
"""Six parameters, row by row. Source: Jaderberg et al. 2015, equation 1."""

ATTENTION = MatrixTransform(
    "attention",
    "s 0 tx",
    "0 s ty",
)
"""Isotropic scale and translation. Source: Jaderberg et al. 2015, equation 2."""

SIMILARITY = MatrixTransform(
    "similarity",
    "a -b tx",
    "b  a ty",
)
"""Rotation by atan2(b, a), scale by the length of (a, b), translation."""

PROJECTIVE = MatrixTransform(
    "projective",
    "h11 h12 h13",
    "h21 h22 h23",
    "h31 h32 1",
)
"""The plane projective transform with eight parameters. Source: Jaderberg et al. 2015, section 3.2."""

AFFINE_3D = MatrixTransform(
    "affine 3-D",
    "t11 t12 t13 t14",
    "t21 t22 t23 t24",
    "t31 t32 t33 t34",
)
"""Twelve parameters, for volumes. Source: Jaderberg et al. 2015, the appendix on higher dimensions."""
