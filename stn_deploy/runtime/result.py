"""What the rectifier returns for one image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stn_deploy.geometry import (
    TextSpline,
    checked_points,
    invert_map,
    normalised_from_pixels,
    pixels_from_normalised,
)
from stn_deploy.geometry.convention import FloatArray, Size


@dataclass(frozen=True, kw_only=True)
class Timings:
    """Milliseconds spent on one image.

    decode: reading, decoding and bringing it to BGR; for an array that is BGR next to nothing.
    localise: thumbnail and network. sample: making the crop. Both are the image's share of its batch.
    """

    decode: float
    localise: float
    sample: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Rectified:
    """One straightened image, or the original where straightening would not help.

    image: (h, w, 3) uint8 BGR; with ``applied`` False it is the very array that was given, the decoded one
        of a file, or the upright part of the page that a region names.
    applied: whether the image was straightened.
    score: in [0, 1], whether rectification helps.
    theta: (K, 2) float32, source control points of the output's edges, normalised over the source; of a
        published rectifier whose control points stand inside the edges, of these points.
    source_size: height and width of the original, pixels; of a region those of the page. With ``exif`` the
        original is the turned picture.
    spline: of the output.
    origin: (x, y) of the top left corner of an ``image`` that was not straightened, in the original, pixels.
    timings: where they were asked for.
    """

    image: NDArray[np.uint8]
    applied: bool
    score: float
    theta: NDArray[np.float32]
    source_size: Size
    spline: TextSpline
    origin: tuple[int, int] = (0, 0)
    timings: Timings | None = None

    def __repr__(self) -> str:
        height, width = self.image.shape[:2]
        return f"Rectified({height} x {width} pixels, applied={self.applied}, score={self.score:.3f})"

    def to_source(self, points: ArrayLike) -> FloatArray:
        """Where points of the result lie in the original.

        Convention: pixels counted from the left and top edge (the centre of the first pixel is 0.5).
        Args:
            points: (..., 2) in ``image``.
        Returns:
            (..., 2) in the original.
        Raises:
            ShapeError: the last dimension is not 2.
        """
        array = checked_points(points)
        if not self.applied:
            return array.astype(np.float64) + self.origin
        target = normalised_from_pixels(array.astype(np.float64), self.image.shape[:2])
        source = self.source_from_target(target.reshape(-1, 2))
        return pixels_from_normalised(source, self.source_size).reshape(array.shape)

    def to_rectified(self, points: ArrayLike) -> FloatArray:
        """Where points of the original lie in the result: the inverse of `to_source`.

        The spline has no formula for its inverse; it is found by Newton iteration, to about 1e-6 pixels for
        points in or near the text.

        Args:
            points: (..., 2) in the original, pixels as in `to_source`.
        Returns:
            (..., 2) in ``image``.
        Raises:
            ShapeError: the last dimension is not 2.
        """
        array = checked_points(points)
        if not self.applied:
            return array.astype(np.float64) - self.origin
        source = normalised_from_pixels(array.astype(np.float64), self.source_size)
        target = invert_map(self.source_from_target, source.reshape(-1, 2))
        return pixels_from_normalised(target, self.image.shape[:2]).reshape(array.shape)

    def source_from_target(self, target: FloatArray) -> NDArray[np.float64]:
        """The transform itself: normalised source points (P, 2) of normalised target points (P, 2)."""
        basis = self.spline.basis(len(self.theta), target, self.image.shape[:2])
        return np.asarray(basis @ self.theta.astype(np.float64))
