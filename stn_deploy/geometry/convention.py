"""The one coordinate convention of stn-deploy, and the way to pixels and back.

Convention:
    - A point is (x, y).
    - Normalised coordinates: [-1, 1] spans the pixel *edges* of an image (``align_corners=False``), so the
      same number means the same place at every resolution.
    - Pixel coordinates are continuous and count from the left and top edge: the first pixel covers [0, 1]
      and its centre is at 0.5. (OpenCV's remap counts pixel centres: subtract 0.5.)
    - theta maps target (output V) to source (input U).
    - A size is (height, width) in pixels, as in ``array.shape[:2]``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stn_deploy.errors import ArgumentError, ShapeError

Size = tuple[int, int]
FloatArray = NDArray[np.floating[Any]]


def checked_size(size: ArrayLike, name: str = "size") -> Size:
    """``size`` as (height, width), refused unless both are whole numbers of at least one pixel.

    Raises:
        ArgumentError: anything else.
    """
    values = np.asarray(size)
    if values.shape != (2,) or values.dtype.kind not in "iu" or int(values.min()) < 1:
        raise ArgumentError(f"{name}: expected (height, width), each at least 1 pixel, got {size!r}")
    return int(values[0]), int(values[1])


def checked_points(points: ArrayLike, name: str = "points") -> FloatArray:
    """``points`` as a float array (..., 2).

    Raises:
        ShapeError: the last dimension is not 2.
    """
    array = np.asarray(points)
    if array.ndim < 1 or array.shape[-1] != 2:
        raise ShapeError(f"{name}: expected (..., 2) holding (x, y), got {array.shape}")
    return array if array.dtype.kind == "f" else array.astype(np.float64)


def pixels_from_normalised(points: ArrayLike, size: ArrayLike) -> FloatArray:
    """Pixel coordinates of normalised points.

    Convention: see the module; normalised -1 is pixel 0, +1 is the width (or height).
    Args:
        points: (..., 2), normalised.
        size: height and width, pixels; (2,) or broadcastable (..., 2).
    Returns:
        (..., 2) in pixels.
    """
    array = checked_points(points)
    width_height = np.asarray(size, dtype=array.dtype)[..., ::-1]
    return (array + 1) * (width_height / 2)


def normalised_from_pixels(points: ArrayLike, size: ArrayLike) -> FloatArray:
    """Normalised coordinates of pixel points; the inverse of `pixels_from_normalised`.

    Args:
        points: (..., 2), pixels.
        size: height and width, pixels; (2,) or broadcastable (..., 2).
    Returns:
        (..., 2), normalised.
    """
    array = checked_points(points)
    width_height = np.asarray(size, dtype=array.dtype)[..., ::-1]
    return array * (2 / width_height) - 1


def target_points(size: ArrayLike) -> NDArray[np.float64]:
    """Pixel centres of the output V, row by row.

    Convention: normalised, (x, y).
    Args:
        size: height and width of V, pixels.
    Returns:
        (height * width, 2), float64.
    Source: Jaderberg et al. 2015, section 3.2, the regular grid G.
    """
    height, width = checked_size(size)
    ys = (2 * np.arange(height) + 1) / height - 1
    xs = (2 * np.arange(width) + 1) / width - 1
    return np.stack(np.meshgrid(xs, ys), axis=-1).reshape(-1, 2)
