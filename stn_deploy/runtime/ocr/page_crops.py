"""The crop of a line that an OCR pipeline cuts from a page without a rectifier."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from stn_deploy.geometry import checked_points
from stn_deploy.runtime.ocr.detector import quad_size

_SMALLEST = 2


@dataclass(frozen=True, kw_only=True, eq=False)
class PlainCrop:
    """A crop of a page.

    image: (h, w, 3) uint8 BGR. page_from_crop: (3, 3), of homogeneous pixels (x, y, 1) from the top left
        edges of both.
    """

    image: NDArray[np.uint8]
    page_from_crop: NDArray[np.float64]

    def to_source(self, points: ArrayLike) -> NDArray[np.float64]:
        """Where points (..., 2) of the crop lie on the page, pixels; as `Rectified.to_source`."""
        array: NDArray[np.float64] = checked_points(points).astype(np.float64)
        lifted = np.concatenate([array, np.ones_like(array[..., :1])], axis=-1) @ self.page_from_crop.T
        return np.asarray(lifted[..., :2] / lifted[..., 2:])


def cut_plain(
    page: NDArray[np.uint8], polygon: ArrayLike, *, shrunk: NDArray[np.uint8] | None = None
) -> PlainCrop:
    """The crop of a line as RapidOCR and PaddleOCR cut it: a quad, or the least rectangle around a polygon.

    Convention: pixels from the top left edge of the page; the crop begins at the text's own top left corner.
    What those turn after they have cut it is turned here as it is cut, which moves it by less than a pixel.
    Args:
        page: (H, W, 3) uint8 BGR.
        polygon: (4, 2) or (2m, 2), as `Rectifier.regions` takes it.
        shrunk: the page as the engine cuts from it, where that is a smaller one.
    Returns:
        a crop at least 2 pixels high and wide, no side of which is longer than the diagonal of the page.
    """
    source = page if shrunk is None else shrunk
    scale = np.divide(source.shape[1::-1], page.shape[1::-1])
    points = np.asarray(polygon, np.float64)
    corners = (points if len(points) == 4 else _least_rectangle(points)) * scale
    longest = math.ceil(math.hypot(*source.shape[:2]))
    width, height = (min(max(side, _SMALLEST), longest) for side in quad_size(corners))
    box = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    crop_from_source = cv2.getPerspectiveTransform(corners.astype(np.float32), box)
    image = cv2.warpPerspective(
        source, crop_from_source, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    # OpenCV counts from the centre of the first pixel.
    half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    source_from_crop = half @ np.linalg.inv(np.asarray(crop_from_source, np.float64)) @ np.linalg.inv(half)
    page_from_crop = np.diag([*(1 / scale), 1.0]) @ source_from_crop
    return PlainCrop(image=np.asarray(image, np.uint8), page_from_crop=page_from_crop)


def _least_rectangle(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """The smallest rectangle around a polygon (4, 2), clockwise, from the corner where the text begins."""
    corners = cv2.boxPoints(cv2.minAreaRect(points.astype(np.float32))).astype(np.float64)
    following = np.roll(corners, -1, axis=0)
    if (corners[:, 0] * following[:, 1] - corners[:, 1] * following[:, 0]).sum() < 0:
        corners = corners[::-1]
    half = len(points) // 2
    ends = points[[0, half - 1, half, -1]]
    turns = [np.roll(corners, -turn, axis=0) for turn in range(4)]
    return min(turns, key=lambda turn: float(np.linalg.norm(turn - ends, axis=1).sum()))
