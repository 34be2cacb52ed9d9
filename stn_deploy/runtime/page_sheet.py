"""A page with the outlines of its lines, and beside it each line that is read otherwise, before and after."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from stn_deploy.pictures import Picture, fit, tabulate

_ROOM = (1100, 1000)
_CELL = (110, 330)
_LARGEST = 2
_CHANGED, _SAME, _UNTOUCHED = (0, 120, 255), (220, 140, 0), (70, 170, 60)
_WHITE, _DARK = (255, 255, 255), (40, 40, 40)
_SHIFT = 4  # OpenCV takes positions in sixteenths of a pixel
_FONT, _FONT_SCALE = cv2.FONT_HERSHEY_SIMPLEX, 0.5
_NOTE_LINES = 3
_MOST = 24
"""Lines that are shown beside a page."""
LEGEND = "orange: read otherwise; blue: straightened, read as before; green: left alone"


@dataclass(frozen=True, kw_only=True, eq=False)
class ShownLine:
    """A line on the sheet of its page.

    outline: (n, 2) around it, pixels of the page. straightened: or left alone. changed: whether it is read
    otherwise than before. before, after: its crops, (h, w, 3) uint8. notes: a text under each.
    """

    outline: NDArray[np.float64]
    straightened: bool
    changed: bool
    before: Picture
    after: Picture
    notes: tuple[str, str]


def page_sheet(page: Picture, lines: Sequence[ShownLine], heading: str) -> Picture:
    """The page with its lines, and the changed ones as crops: beside a high page, under a wide one.

    Args:
        page: (H, W, 3) uint8. heading: above it.
    Returns:
        (h, w, 3) uint8.
    """
    changed = [line for line in lines if line.changed]
    seen = tabulate([[_outlined(page, lines, changed)]], [heading], notes=[[LEGEND]])
    if not changed:
        return seen
    more = f", {_MOST} of {len(changed)}" if len(changed) > _MOST else ""
    table = _crops(changed[:_MOST], (f"before{more}", "straightened"))
    beside = page.shape[0] > 0.8 * page.shape[1]
    return joined([seen, table], axis=1 if beside else 0)


def joined(pictures: Sequence[Picture], *, axis: int) -> Picture:
    """Pictures under each other (axis 0) or beside each other (axis 1), on white."""
    other = 1 - axis
    longest = max(picture.shape[other] for picture in pictures)
    padded = []
    for picture in pictures:
        missing = [(0, 0), (0, 0), (0, 0)]
        missing[other] = (0, longest - picture.shape[other])
        padded.append(np.pad(picture, missing, constant_values=255))
    return np.concatenate(padded, axis=axis)


def _outlined(page: Picture, lines: Sequence[ShownLine], changed: Sequence[ShownLine]) -> Picture:
    picture = fit(page, _ROOM, largest=_LARGEST)
    scale = np.divide(picture.shape[1::-1], page.shape[1::-1])
    # Changed ones last, above the others.
    for line in sorted(lines, key=lambda line: (line.changed, line.straightened)):
        colour = _CHANGED if line.changed else _SAME if line.straightened else _UNTOUCHED
        points = np.round((line.outline * scale - 0.5) * (1 << _SHIFT)).clip(-(1 << 24), 1 << 24)
        for ink, thickness in ((_DARK, 4), (colour, 2)):
            cv2.polylines(picture, [points.astype(np.int32)], True, ink, thickness, cv2.LINE_AA, _SHIFT)
    for number, line in enumerate(changed[:_MOST], start=1):
        _tag(picture, str(number), line.outline[0] * scale)
    return picture


def _tag(picture: Picture, text: str, at: NDArray[np.float64]) -> None:
    """A number on a box, its lower right corner at a point, moved into the picture."""
    (width, height), _ = cv2.getTextSize(text, _FONT, _FONT_SCALE, 1)
    right = int(np.clip(at[0], width + 8, picture.shape[1] - 1))
    bottom = int(np.clip(at[1], height + 8, picture.shape[0] - 1))
    cv2.rectangle(picture, (right - width - 8, bottom - height - 8), (right, bottom), _CHANGED, -1)
    cv2.putText(picture, text, (right - width - 4, bottom - 4), _FONT, _FONT_SCALE, _WHITE, 1, cv2.LINE_AA)


def _crops(lines: Sequence[ShownLine], headings: tuple[str, str]) -> Picture:
    rows = [[fit(crop, _CELL, largest=4) for crop in (line.before, line.after)] for line in lines]
    notes = [(f"{number}: {line.notes[0]}", line.notes[1]) for number, line in enumerate(lines, start=1)]
    if not hasattr(cv2, "FontFace"):
        return tabulate(rows, headings, notes=notes, width=_CELL[1])
    written = [
        [joined([crop, _written(note)], axis=0) for crop, note in zip(row, texts, strict=True)]
        for row, texts in zip(rows, notes, strict=True)
    ]
    return tabulate(written, headings, width=_CELL[1])


def _written(text: str) -> Picture:
    """A text as a strip of up to three lines; OpenCV 5 draws every script, not only ASCII."""
    cv: Any = cv2
    font, size, room = cv.FontFace("sans"), 16, (_CELL[1], 26)
    strips: list[Picture] = []
    while text and len(strips) < _NOTE_LINES:
        # The widest part that fits, found by halving.
        low, high = 1, len(text)
        while low < high:
            middle = (low + high + 1) // 2
            fits = cv.getTextSize(room, text[:middle], (0, 19), font, size)[2] <= room[0]
            low, high = (middle, high) if fits else (low, middle - 1)
        last = len(strips) == _NOTE_LINES - 1 and low < len(text)
        strip = np.full((room[1], room[0], 3), 255, np.uint8)
        cv.putText(strip, f"{text[: low - 2]}..." if last else text[:low], (0, 19), _DARK, font, size)
        strips.append(strip)
        text = text[low:]
    return joined(strips, axis=0)
