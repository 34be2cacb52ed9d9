"""The thumbnail that the localisation network looks at, made from a decoded image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

_GATHER_ABOVE = 1 << 18  # pixels; past this, converting the whole image to float costs more than gathering


def thumbnail(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.float32]:
    """Thumbnail of an image: bilinear to twice the size, then the mean of each 2 x 2 block.

    The exported graph does the same with GridSample and AveragePool; both agree to float rounding, which is
    why the interpolation runs in float32 and not on the bytes.

    Args:
        image: (h, w, 3) uint8.
        size: height and width of the thumbnail, pixels.
    Returns:
        (height, width, 3) float32 in [0, 255].
    """
    height, width = size
    if image.shape[0] * image.shape[1] > _GATHER_ABOVE:
        double: Any = _gathered(image, (2 * height, 2 * width))
    else:
        double = cv2.resize(image.astype(np.float32), (2 * width, 2 * height), interpolation=cv2.INTER_LINEAR)
    # Bilinear by exactly one half puts each sample in the middle of four pixels: their mean.
    return np.asarray(cv2.resize(double, (width, height), interpolation=cv2.INTER_LINEAR), dtype=np.float32)


def thumbnail_batch(images: Sequence[NDArray[np.uint8]], size: tuple[int, int]) -> NDArray[np.float32]:
    """Thumbnails as the localisation network takes them: (n, 3, height, width); see `thumbnail`."""
    thumbnails = np.stack([thumbnail(image, size) for image in images])
    return np.ascontiguousarray(thumbnails.transpose(0, 3, 1, 2))


def _gathered(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.float32]:
    """Bilinear resize that touches only the rows and columns it needs."""
    rows, row_weight = _taps(image.shape[0], size[0])
    columns, column_weight = _taps(image.shape[1], size[1])
    corners = image[rows.reshape(-1, 1), columns.reshape(1, -1)].astype(np.float32)
    corners = corners.reshape(2, size[0], 2, size[1], image.shape[2])
    lines = corners[0] + (corners[1] - corners[0]) * row_weight[:, None, None, None]
    return np.asarray(lines[:, 0] + (lines[:, 1] - lines[:, 0]) * column_weight[:, None])


def _taps(length: int, count: int) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Indices (2, count) of the two pixels that each sample lies between, and the weight of the second."""
    position = (np.arange(count) + 0.5) * (length / count) - 0.5
    first = np.floor(position)
    taps = np.clip(np.stack([first, first + 1]), 0, length - 1).astype(np.intp)
    return taps, (position - first).astype(np.float32)
