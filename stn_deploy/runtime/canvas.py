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
    extents = np.empty((len(images), 2), np.float32)
    pack_into(packed, extents, images)
    return packed, extents


def pack_into(
    canvases: NDArray[np.uint8], extents: NDArray[np.float32], images: Sequence[NDArray[np.uint8]]
) -> None:
    """Put images on canvases, as `pack_canvas` does on fresh ones.

    What the canvases held before stays around the images, where nothing looks at it; canvases that are left
    over keep it as their picture.

    Args:
        canvases: (n, H, W, 3), written to. extents: (n, 2), written to: valid fraction (height, width).
        images: at most n, each (h, w, 3) uint8, at most H x W.
    """
    height, width = canvases.shape[1:3]
    extents[len(images) :] = 1
    for target, extent, image in zip(canvases, extents, images, strict=False):
        h, w = image.shape[:2]
        target[:h, :w] = image
        if h < height:
            target[h, :w] = image[-1]
        if w < width:
            target[: h + 1, w] = target[: h + 1, w - 1]
        extent[:] = h / height, w / width
