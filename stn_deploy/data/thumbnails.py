"""The thumbnail that the localisation network looks at, made from a decoded image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

_Taps = tuple[NDArray[np.intp], NDArray[np.float32]]
_GATHER_ABOVE = 1 << 18  # pixels; past this, converting the whole image to float costs more than gathering


def thumbnail(
    image: NDArray[np.uint8],
    size: tuple[int, int],
    *,
    input_size: tuple[int, int] | None = None,
    align_corners: bool = False,
) -> NDArray[np.float32]:
    """Thumbnail of an image: bilinear to twice the size, then the mean of each 2 x 2 block.

    The exported graph does the same with GridSample and AveragePool; both agree to float rounding, which is
    why the interpolation runs in float32 and not on the bytes.

    Args:
        image: (h, w, 3) uint8.
        size: height and width of the thumbnail, pixels.
        input_size: height and width of the image that a published network takes, pixels. The samples of a
            block then lie close together, or in one place, see `spread`.
        align_corners: see `thumbnail_centres`; only with an input size.
    Returns:
        (height, width, 3) float32 in [0, 255].
    """
    height, width = size
    if input_size is not None:
        rows, columns = (
            _block_taps(length, count, inputs, align_corners=align_corners)
            for length, count, inputs in zip(image.shape[:2], size, input_size, strict=True)
        )
        lines = _summed(image[taps].astype(np.float32) * part[:, None, None] for taps, part in rows)
        return _summed(lines[:, taps] * part[:, None] for taps, part in columns)
    if image.shape[0] * image.shape[1] > _GATHER_ABOVE:
        double: Any = _gathered(image, (2 * height, 2 * width))
    else:
        double = cv2.resize(image.astype(np.float32), (2 * width, 2 * height), interpolation=cv2.INTER_LINEAR)
    # Bilinear by exactly one half puts each sample in the middle of four pixels: their mean.
    return np.asarray(cv2.resize(double, (width, height), interpolation=cv2.INTER_LINEAR), dtype=np.float32)


def thumbnail_batch(
    images: Sequence[NDArray[np.uint8]],
    size: tuple[int, int],
    *,
    input_size: tuple[int, int] | None = None,
    align_corners: bool = False,
) -> NDArray[np.float32]:
    """Thumbnails as the localisation network takes them: (n, 3, height, width); see `thumbnail`."""
    thumbnails = np.empty((len(images), *size, 3), np.float32)
    for place, image in zip(thumbnails, images, strict=True):
        place[:] = thumbnail(image, size, input_size=input_size, align_corners=align_corners)
    return np.ascontiguousarray(thumbnails.transpose(0, 3, 1, 2))


def thumbnail_centres(count: int, inputs: int, *, align_corners: bool) -> NDArray[np.float64]:
    """Where a published network's thumbnail samples its input along one axis.

    Convention: normalised, [-1, 1] over the edges of the input.
    Args:
        count: pixels of the thumbnail. inputs: pixels of the input.
        align_corners: whether both share the centres of their outermost pixels, not their edges.
    Returns:
        (count,), float64.
    """
    pixels = np.arange(count)
    if align_corners:
        centres = pixels * ((inputs - 1) / max(count - 1, 1)) + 0.5
    else:
        centres = (pixels + 0.5) * (inputs / count)
    return np.asarray(centres * (2 / inputs) - 1, np.float64)


def spread(length: float, inputs: int) -> float:
    """How far the two samples of a block lie apart along one axis, in halves of an input pixel.

    0 where the image has no more pixels than the input: a single bilinear sample, which is what the published
    network sees of an image of just that size. 1 from twice as many on, where single samples would alias.
    """
    return float(min(max(2 - 2 * inputs / length, 0.0), 1.0))


@lru_cache(maxsize=64)
def _block_taps(length: int, count: int, inputs: int, *, align_corners: bool) -> list[_Taps]:
    """The mean of the two samples of each block along one axis of an image, as a sum of weighted pixels."""
    centres = thumbnail_centres(count, inputs, align_corners=align_corners)
    offset = spread(length, inputs) / (2 * inputs)
    samples = [centres - offset, centres + offset] if offset else [centres]
    taps = []
    for sample in samples:
        pair, weight = _taps(length, np.asarray((sample + 1) * (length / 2) - 0.5, np.float64))
        parts = np.stack([1 - weight, weight]) / np.float32(len(samples))
        taps += list(zip(pair, parts, strict=True))
    return taps


def _summed(terms: Iterator[NDArray[np.float32]]) -> NDArray[np.float32]:
    total = next(terms)
    for term in terms:
        total += term
    return total


def _gathered(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.float32]:
    """Bilinear resize that touches only the rows and columns it needs."""
    (rows, row_weight), (columns, column_weight) = (
        _taps(length, np.asarray((np.arange(count) + 0.5) * (length / count) - 0.5, np.float64))
        for length, count in zip(image.shape[:2], size, strict=True)
    )
    corners = image[rows.reshape(-1, 1), columns.reshape(1, -1)].astype(np.float32)
    corners = corners.reshape(2, size[0], 2, size[1], image.shape[2])
    lines = corners[0] + (corners[1] - corners[0]) * row_weight[:, None, None, None]
    return np.asarray(lines[:, 0] + (lines[:, 1] - lines[:, 0]) * column_weight[:, None])


def _taps(length: int, positions: NDArray[np.float64]) -> _Taps:
    """Indices (2, count) of the two pixels that each sample lies between, and the weight of the second."""
    first = np.floor(positions)
    taps = np.clip(np.stack([first, first + 1]), 0, length - 1).astype(np.intp)
    return taps, (positions - first).astype(np.float32)
