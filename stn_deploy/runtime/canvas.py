"""Crops of different sizes on one padded canvas: the batch that the full graph takes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from stn_deploy.errors import ArgumentError, ShapeError


def pack_canvas(
    images: Sequence[NDArray[np.uint8]], *, canvas: tuple[int, int] | None = None
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Put images in the upper left corners of equal canvases.

    The last row and column of each image are repeated once into the padding: the outermost bilinear sample
    reaches half a pixel over the edge and must find the edge there.

    Args:
        images: each (h, w, 3) uint8.
        canvas: height and width, pixels; the smallest that holds all by default.
    Returns:
        (n, H, W, 3) uint8 and the extents (n, 2) float32, valid fraction (height, width).
    Raises:
        ArgumentError: no image, or one that is larger than the canvas.
        ShapeError: an image of another shape or type.
    """
    if len(images) == 0:
        raise ArgumentError("images: expected at least one, got none")
    for index, image in enumerate(images):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise ShapeError(
                f"image {index}: expected (h, w, 3) uint8, got {image.shape} {image.dtype}; "
                "stn_deploy.data.as_bgr converts grey, 16-bit and transparent images"
            )
    sizes = np.array([image.shape[:2] for image in images])
    height, width = canvas or tuple(sizes.max(axis=0))
    if (sizes > [height, width]).any():
        largest = tuple(int(n) for n in sizes.max(axis=0))
        raise ArgumentError(f"canvas: expected at least {largest} (height, width), got {(height, width)}")
    packed = np.zeros((len(images), height, width, 3), np.uint8)
    for target, image in zip(packed, images, strict=True):
        h, w = image.shape[:2]
        target[:h, :w] = image
        target[h : h + 1, :w] = image[-1:]
        target[: h + 1, w : w + 1] = target[: h + 1, w - 1 : w]
    return packed, (sizes / [height, width]).astype(np.float32)
