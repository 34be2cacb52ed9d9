"""Lines of text in photographs with their true edges, and the rectangle of the ink as a rival."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from stn_deploy.data import open_dataset, read_image
from stn_deploy.geometry import quad_control_points

Image = NDArray[np.uint8]
Points = NDArray[np.float64]

MARGIN = 0.1
"""Of the height of a polygon's box: so much more a detector would give on each side."""
SMALLEST = 8
"""Pixels. A crop with a shorter side shows no text."""


class Line(NamedTuple):
    """A crop, the true control points (K, 2) of its text in pixels, and whether more than a quad is known."""

    image: Image
    points: Points
    bent: bool


def quad_lines(path: Path, count: int) -> Iterator[Line]:
    """The crops of a dataset that have a quad; ``count`` control points each."""
    with open_dataset(path) as samples:
        for sample in samples:
            if sample.quad is not None:
                yield Line(sample.image(), quad_control_points(sample.quad, count), bent=False)


def polygon_lines(folder: Path, count: int, left_out: Counter[str]) -> Iterator[Line]:
    """Crops around the polygons of a folder of photographs, a little larger than the polygon's box.

    Args:
        folder: pictures, and beside each a .txt with a polygon on each line: x,y,... along the top edge, then
            back along the bottom edge.
        left_out: counts, by reason, the polygons that cannot be used.
    """
    for labels in sorted(folder.glob("*.txt")):
        image = read_image(labels.with_suffix(".jpg"))
        for text in labels.read_text().split():
            polygon = np.array(text.split(","), np.float64).reshape(-1, 2)
            reason, points = polygon_control_points(polygon, count)
            lower, upper = polygon.min(axis=0), polygon.max(axis=0)
            margin = MARGIN * (upper - lower)[1]
            left, top = np.maximum(np.floor(lower - margin), 0).astype(int)
            right, bottom = np.minimum(np.ceil(upper + margin), image.shape[1::-1]).astype(int)
            if not reason and min(right - left, bottom - top) < SMALLEST:
                reason = f"shows less than {SMALLEST} pixels"
            if reason:
                left_out[reason] += 1
                continue
            crop = np.ascontiguousarray(image[top:bottom, left:right])
            yield Line(crop, points - [left, top], bent=len(polygon) > 4)


def polygon_control_points(polygon: Points, count: int) -> tuple[str, Points]:
    """Control points (count, 2) at equal distances along both edges of a polygon; or why there are none."""
    if len(polygon) < 4 or len(polygon) % 2:
        return "not an even number of points", polygon
    following = np.roll(polygon, -1, axis=0)
    if (polygon[:, 0] * following[:, 1] - following[:, 0] * polygon[:, 1]).sum() <= 0:
        return "not clockwise", polygon
    top, bottom = polygon[: len(polygon) // 2], polygon[len(polygon) // 2 :][::-1]
    edges = []
    for edge in (top, bottom):
        along = np.concatenate([[0.0], np.linalg.norm(np.diff(edge, axis=0), axis=1).cumsum()])
        if along[-1] < 1:
            return "an edge without length", polygon
        places = np.linspace(0, along[-1], count // 2)
        edges.append(np.stack([np.interp(places, along, edge[:, axis]) for axis in (0, 1)], axis=1))
    return "", np.concatenate(edges)


def ink_control_points(image: Image, count: int) -> Points:
    """The smallest rectangle around the ink, which is what fewer pixels are after Otsu's threshold.

    The text runs along its long side, to the right.
    """
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    _, light = cv2.threshold(grey, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    ink = light > 0 if (light > 0).mean() < 0.5 else light == 0
    if not ink.any():
        ink = ~ink
    rows, columns = np.nonzero(ink)
    middle, (width, height), degrees = cv2.minAreaRect(np.stack([columns, rows], axis=1).astype(np.float32))
    angle = np.radians(degrees if width >= height else degrees + 90)
    along = np.array([np.cos(angle), np.sin(angle)])
    along = -along if along[0] < 0 else along
    down = np.array([-along[1], along[0]])
    # The rectangle runs through the centres of the outermost pixels: half a pixel is missing on each side.
    half_long, half_short = (max(width, height) + 1) / 2, (min(width, height) + 1) / 2
    centre = np.array(middle) + 0.5
    corners = [
        centre + x * half_long * along + y * half_short * down
        for x, y in ((-1, -1), (1, -1), (1, 1), (-1, 1))
    ]
    return quad_control_points(np.array(corners), count)
