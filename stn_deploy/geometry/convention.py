"""The one coordinate convention of stn-deploy, and the way to pixels and back.

Convention:
    - A point is (x, y), in a volume (x, y, z).
    - Normalised coordinates: [-1, 1] spans the pixel *edges* of an image (``align_corners=False``), so the
      same number means the same place at every resolution.
    - Pixel coordinates are continuous and count from the left and top edge: the first pixel covers [0, 1]
      and its centre is at 0.5. (OpenCV's remap counts pixel centres: subtract 0.5.)
    - theta maps target (output V) to source (input U).
    - A size is (height, width) in pixels, as in ``array.shape[:2]``; of a volume (depth, height, width).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stn_deploy.errors import ArgumentError, ShapeError

Size = tuple[int, int]
FloatArray = NDArray[np.floating[Any]]


def checked_extent(extent: ArrayLike, name: str = "size", dimensions: int | None = None) -> tuple[int, ...]:
    """``extent`` as (height, width) or (depth, height, width), refused unless each is at least one pixel.

    Raises:
        ArgumentError: anything else, or another number of dimensions than was asked for.
    """
    wanted = (2, 3) if dimensions is None else (dimensions,)
    try:
        values = np.asarray(extent)
    except ValueError:  # ragged
        values = np.empty(0)
    if values.ndim != 1 or len(values) not in wanted or values.dtype.kind not in "iu" or values.min() < 1:
        expected = " or ".join(
            "(height, width)" if count == 2 else "(depth, height, width)" for count in wanted
        )
        raise ArgumentError(f"{name}: expected {expected}, each at least 1 pixel, got {extent!r}")
    return tuple(int(value) for value in values)


def checked_size(size: ArrayLike, name: str = "size") -> Size:
    """``size`` as (height, width), refused unless both are whole numbers of at least one pixel.

    Raises:
        ArgumentError: anything else.
    """
    height, width = checked_extent(size, name, 2)
    return height, width


def checked_array(
    values: ArrayLike, name: str, expected: str, dtype: type[np.float64] | None = None
) -> NDArray[Any]:
    """``values`` as an array; ``expected`` says in the message what should have come.

    Raises:
        ShapeError: they are ragged, no numbers, or a tensor of torch that needs a gradient.
    """
    try:
        return np.asarray(values, dtype)
    except (RuntimeError, TypeError, ValueError) as error:
        raise ShapeError(f"{name}: expected {expected}, got {error}") from error


def checked_points(points: ArrayLike, name: str = "points", dimensions: int = 2) -> FloatArray:
    """``points`` as a float array (..., dimensions).

    Raises:
        ShapeError: the last dimension is another one.
    """
    expected = f"(..., {dimensions}) holding ({', '.join('xyz'[:dimensions])})"
    array = checked_array(points, name, expected)
    if array.ndim < 1 or array.shape[-1] != dimensions:
        raise ShapeError(f"{name}: expected {expected}, got {array.shape}")
    # Half precision cannot tell neighbouring pixels apart.
    return array if array.dtype in (np.float32, np.float64) else array.astype(np.float64)


def pixels_from_normalised(points: ArrayLike, size: ArrayLike) -> FloatArray:
    """Pixel coordinates of normalised points.

    Convention: see the module; normalised -1 is pixel 0, +1 is the width (or height).
    Args:
        points: (..., 2), normalised; in a volume (..., 3).
        size: height and width, pixels; (2,) or broadcastable (..., 2); of a volume (..., 3).
    Returns:
        (..., 2) or (..., 3) in pixels.
    """
    array, lengths = _points_and_lengths(points, size)
    return (array + 1) * (lengths / 2)


def normalised_from_pixels(points: ArrayLike, size: ArrayLike) -> FloatArray:
    """Normalised coordinates of pixel points; the inverse of `pixels_from_normalised`.

    Args:
        points: (..., 2), pixels; in a volume (..., 3).
        size: height and width, pixels; (2,) or broadcastable (..., 2); of a volume (..., 3).
    Returns:
        (..., 2) or (..., 3), normalised.
    """
    array, lengths = _points_and_lengths(points, size)
    return array * (2 / lengths) - 1


def _points_and_lengths(points: ArrayLike, size: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """The points, and the size in the order of their coordinates, as floats of one type."""
    try:
        extent = np.asarray(size)
    except ValueError:  # ragged
        extent = np.empty(0)
    if extent.ndim < 1 or extent.shape[-1] not in (2, 3):
        raise ArgumentError(f"size: expected (height, width) or (depth, height, width), got {size!r}")
    array = checked_points(points, "points", extent.shape[-1])
    return array, extent[..., ::-1].astype(array.dtype)


def target_points(size: ArrayLike) -> NDArray[np.float64]:
    """Pixel centres of the output V, row by row.

    Convention: normalised, (x, y) or (x, y, z); x runs fastest.
    Args:
        size: height and width of V, or depth, height and width; pixels.
    Returns:
        (P, 2) or (P, 3), float64; P is the number of pixels of V.
    Source: Jaderberg et al. 2015, section 3.2, the regular grid G.
    """
    extent = checked_extent(size)
    centres = [(2 * np.arange(length) + 1) / length - 1 for length in extent]
    return np.stack(np.meshgrid(*centres, indexing="ij")[::-1], axis=-1).reshape(-1, len(extent))
