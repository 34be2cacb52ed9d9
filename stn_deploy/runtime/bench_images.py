"""Images to measure on where the user has none: words drawn by OpenCV, turned and seen from the side."""

from __future__ import annotations

import string

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]

_LETTERS = np.array(list(string.ascii_letters + string.digits))
_TEXT_HEIGHTS, _LENGTHS = (14, 56), (2, 13)
_TURN, _TILT = 18.0, 0.15
"""Degrees; share of the height by which a corner may be moved."""


def built_in_crops(count: int, *, seed: int = 0) -> list[Image]:
    """Crops of the sizes that words in photographs have, about half of them in need of straightening.

    Args:
        count: how many. seed: the same crops for the same one.
    Returns:
        each (h, w, 3) uint8 BGR, of many heights and widths.
    """
    rng = np.random.default_rng(seed)
    return [_crop(rng, straight=bool(index % 2)) for index in range(count)]


def _crop(rng: np.random.Generator, *, straight: bool) -> Image:
    word = _word(rng)
    if not straight:
        word = _seen_from_the_side(word, rng)
    noise = rng.normal(0, 4, word.shape)
    return np.clip(word + noise, 0, 255).astype(np.uint8)


def _word(rng: np.random.Generator) -> Image:
    """A word on a plain ground, a margin of a seventh of its height around it."""
    height = int(rng.integers(*_TEXT_HEIGHTS))
    text = "".join(rng.choice(_LETTERS, rng.integers(*_LENGTHS)))
    thickness = max(1, height // 10)
    scale = cv2.getFontScaleFromHeight(cv2.FONT_HERSHEY_SIMPLEX, height, thickness)
    (width, _), below = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, thickness)
    margin = max(2, height // 7)
    dark, light = rng.integers(0, 100), rng.integers(130, 215)
    ground = (int(light) + 40, int(light) + 20, int(light))
    image = np.full((height + below + 2 * margin, width + 2 * margin, 3), ground, np.uint8)
    ink = (int(dark), int(dark) // 2, int(dark) // 3)
    place = (margin, margin + height)
    cv2.putText(image, text, place, cv2.FONT_HERSHEY_SIMPLEX, scale, ink, thickness, cv2.LINE_AA)
    return image


def _seen_from_the_side(word: Image, rng: np.random.Generator) -> Image:
    """The word turned and in perspective, in the smallest box around it."""
    height, width = word.shape[:2]
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float64)
    angle = np.deg2rad(rng.uniform(-_TURN, _TURN))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    moved = corners @ turn.T + rng.uniform(-_TILT, _TILT, (4, 2)) * height
    moved -= moved.min(axis=0)
    across, down = np.ceil(moved.max(axis=0)).astype(int).tolist()
    target_from_source = cv2.getPerspectiveTransform(corners.astype(np.float32), moved.astype(np.float32))
    ground = tuple(int(value) for value in word[0, 0])
    warped = cv2.warpPerspective(
        word, target_from_source, (across, down), borderMode=cv2.BORDER_CONSTANT, borderValue=ground
    )
    return np.asarray(warped, np.uint8)
