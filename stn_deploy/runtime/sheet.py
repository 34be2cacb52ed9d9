"""A before/after sheet: each source with its control points and grid, beside what became of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from stn_deploy.data import as_bgr
from stn_deploy.geometry import pixels_from_normalised
from stn_deploy.runtime.result import Rectified

_CELL_HEIGHT, _CELL_WIDTH, _LABEL, _GAP = 200, 420, 26, 14
_INK = (60, 60, 60)
_GRID, _EDGE, _POINT = (200, 160, 0), (0, 140, 255), (40, 40, 230)
_COLUMNS = ("source, with control points and grid", "result")
_SCALE = 3


@dataclass(frozen=True, kw_only=True)
class SheetRow:
    """One row of a sheet. image: the source (h, w, 3). label: under the source. note: under the result."""

    image: NDArray[np.uint8]
    result: Rectified
    label: str
    note: str


def draw_grid(
    image: NDArray[np.uint8], result: Rectified, *, lines: tuple[int, int] = (4, 12)
) -> NDArray[np.uint8]:
    """The source with the sampling grid and the control points drawn on it.

    Args:
        image: (h, w, 3) uint8. lines: cells of the drawn grid, down and across.
    Returns:
        (h', w', 3) uint8, enlarged where the source is small, so that the drawing does not hide the text.
    """
    height, width = image.shape[:2]
    factor = min(_CELL_HEIGHT / height, _CELL_WIDTH / width)
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    interpolation = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    canvas = np.asarray(cv2.resize(image, size, interpolation=interpolation), np.uint8)
    along, steps = np.linspace(-1, 1, 41), range(2)
    for axis in steps:
        for place in np.linspace(-1, 1, lines[axis] + 1):
            line = np.stack([along, np.full_like(along, place)], axis=1)
            source = result.source_from_target(line if axis == 0 else line[:, ::-1])
            colour = _EDGE if abs(place) == 1 else _GRID
            _polyline(canvas, source, colour)
    for x, y in pixels_from_normalised(result.theta, canvas.shape[:2]):
        cv2.circle(canvas, (round(float(x)), round(float(y))), 3, _POINT, -1, cv2.LINE_AA)
    return canvas


def _polyline(canvas: NDArray[np.uint8], points: NDArray[np.floating], colour: tuple[int, int, int]) -> None:
    pixels = pixels_from_normalised(points, canvas.shape[:2]) - 0.5
    fixed = np.round(np.clip(pixels, -1e4, 1e4) * (1 << _SCALE)).astype(np.int32)
    cv2.polylines(canvas, [fixed], False, colour, 1, cv2.LINE_AA, _SCALE)


def before_after_sheet(rows: Sequence[SheetRow]) -> NDArray[np.uint8]:
    """All rows under each other, (h, w, 3) uint8: the source on the left, the result on the right."""
    # An untouched crop shows no grid: nothing was sampled.
    cells = [
        (_fit(draw_grid(row.image, row.result) if row.result.applied else row.image), _fit(row.result.image))
        for row in rows
    ]
    heights = [max(len(before), len(after)) for before, after in cells]
    total = _LABEL + _GAP + sum(heights) + (_LABEL + _GAP) * len(rows)
    sheet = np.full((total, 2 * _CELL_WIDTH + 3 * _GAP, 3), 255, np.uint8)
    lefts, top = (_GAP, _CELL_WIDTH + 2 * _GAP), _LABEL + _GAP
    for left, title in zip(lefts, _COLUMNS, strict=True):
        _write(sheet, title, left, _LABEL - 6)
    for row, pictures, height in zip(rows, cells, heights, strict=True):
        for left, picture, text in zip(lefts, pictures, (row.label, row.note), strict=True):
            sheet[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
            _write(sheet, text, left, top + height + 18)
        top += height + _LABEL + _GAP
    return sheet


def _fit(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A picture at the size of its cell; small ones are enlarged up to four times."""
    height, width = picture.shape[:2]
    factor = min(_CELL_HEIGHT / height, _CELL_WIDTH / width, 4.0)
    size = (max(1, int(width * factor)), max(1, int(height * factor)))
    interpolation = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(as_bgr(picture), size, interpolation=interpolation), np.uint8)


def _write(sheet: NDArray[np.uint8], text: str, left: int, baseline: int) -> None:
    """Text in the only alphabet that OpenCV draws; other letters become question marks."""
    plain = text.encode("ascii", "replace").decode()
    cv2.putText(sheet, plain, (left, baseline), cv2.FONT_HERSHEY_SIMPLEX, 0.5, _INK, 1, cv2.LINE_AA)
