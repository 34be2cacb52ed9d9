"""Pictures brought to one size and set in columns, with headings and notes."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence

import cv2
import numpy as np

from stn_deploy.data import as_bgr
from stn_deploy.errors import ShapeError
from stn_deploy.pictures.drawing import Picture

_LINE, _GAP = 26, 14
_INK = (60, 60, 60)
_FONT, _FONT_SCALE = cv2.FONT_HERSHEY_SIMPLEX, 0.5
_PIXELS_FROM = 6
_QUOTES, _DASHES = "\u2018\u2019\u201a\u201c\u201d\u201e", "\u2010\u2011\u2012\u2013\u2014\u2015\u2212"
_ALIKE = str.maketrans(f"{_QUOTES}{_DASHES}\u2044łŁøØđĐ", "'''\"\"\"-------/lLoOdD")
"""Quotes, dashes and letters that Unicode does not take apart."""


def fit(
    picture: Picture, size: tuple[int, int], *, largest: float = math.inf, pixels: bool = False
) -> Picture:
    """A picture enlarged or shrunk until it just fits into a size; its proportions stay.

    Args:
        picture: (h, w), (h, w, 1) or (h, w, 3) uint8.
        size: height and width that it may take, pixels.
        largest: by how much it may be enlarged.
        pixels: show the pixels of what is enlarged six times or more as squares, all of one size.
    Returns:
        (h', w', 3) uint8, at least one pixel high and wide.
    """
    height, width = picture.shape[:2]
    factor = min(size[0] / height, size[1] / width, largest)
    interpolation = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    if pixels and factor >= _PIXELS_FROM:
        factor, interpolation = math.floor(factor), cv2.INTER_NEAREST
    wanted = (max(1, round(width * factor)), max(1, round(height * factor)))
    return np.asarray(cv2.resize(as_bgr(picture), wanted, interpolation=interpolation), np.uint8)


def tabulate(
    rows: Sequence[Sequence[Picture]],
    headings: Sequence[str],
    *,
    notes: Sequence[Sequence[str]] | None = None,
    width: int = 0,
) -> Picture:
    """Rows of pictures in columns, on white.

    Letters lose their accents, and what is then still outside ASCII becomes a question mark, since no OpenCV
    before 5 draws it; a text too long for its column is cut.

    Args:
        rows: of (h, w, 3) uint8, one for each heading; sizes may differ.
        notes: one text under each picture, or None.
        width: the least width of a column, pixels.
    Returns:
        (h, w, 3) uint8; without rows the headings alone.
    Raises:
        ShapeError: a row, or its notes, of another length than the headings.
    """
    for row in [*rows, *(notes or ())]:
        if len(row) != len(headings):
            raise ShapeError(f"rows: expected one entry for each of {list(headings)}, got {len(row)}")
    columns = [[row[index] for row in rows] for index in range(len(headings))]
    widths = [
        max([width, _text_width(heading), *(picture.shape[1] for picture in column)])
        for heading, column in zip(headings, columns, strict=True)
    ]
    heights = [max(picture.shape[0] for picture in row) for row in rows]
    lefts = [_GAP + sum(widths[:index]) + _GAP * index for index in range(len(widths))]
    below = _GAP if notes is None else _LINE + _GAP
    size = (_LINE + _GAP + sum(heights) + below * len(rows), _GAP + sum(widths) + _GAP * len(widths))
    table = np.full((*size, 3), 255, np.uint8)
    for left, room, heading in zip(lefts, widths, headings, strict=True):
        _write(table, heading, left, _LINE - 6, room)
    top = _LINE + _GAP
    for index, (row, height) in enumerate(zip(rows, heights, strict=True)):
        for column, (left, picture) in enumerate(zip(lefts, row, strict=True)):
            table[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
            if notes is not None:
                _write(table, notes[index][column], left, top + height + 18, widths[column])
        top += height + below
    return table


def _write(table: Picture, text: str, left: int, baseline: int, room: int) -> None:
    plain = _plain(text)
    if _text_width(plain) > room:
        while plain and _text_width(plain + "...") > room:
            plain = plain[:-1]
        plain += "..."
    cv2.putText(table, plain, (left, baseline), _FONT, _FONT_SCALE, _INK, 1, cv2.LINE_AA)


def _text_width(text: str) -> int:
    return int(cv2.getTextSize(_plain(text), _FONT, _FONT_SCALE, 1)[0][0])


def _plain(text: str) -> str:
    """Text in the only alphabet that every OpenCV draws, letter by letter."""
    return "".join(map(_plain_letter, text))


def _plain_letter(letter: str) -> str:
    parts = unicodedata.normalize("NFKD", letter)
    bare = "".join(part for part in parts if not unicodedata.combining(part)).translate(_ALIKE)
    return bare if bare.isascii() else "?"
