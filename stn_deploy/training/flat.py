"""The flat text before any distortion: a word, perhaps with neighbours, as ink (or as real pixels)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from stn_deploy.errors import ArgumentError
from stn_deploy.training.fonts import can_draw
from stn_deploy.training.warp import between_pixel_centres
from stn_deploy.training.words import FONT_SIZES, draw_word, random_word

_ATTEMPTS = 1000

OFF_THE_INK = 0.11
"""Space that annotators leave between ink and box, in heights of the ink: a network trained on rendered words
alone, whose boxes touch the ink, found the training crops of ICDAR 2015 smaller by so much on every side."""


@dataclass(frozen=True, kw_only=True)
class FlatText:
    """A picture of straight text and where its word lies in it.

    ink: (h, w) uint8 coverage. texture: (h, w, 3) uint8 real pixels instead of a drawn colour, or None.
    box: left, top, right, bottom of the word in the picture, pixels, continuous. word: what it says.
    """

    ink: NDArray[np.uint8]
    box: tuple[float, float, float, float]
    word: str
    texture: NDArray[np.uint8] | None = None

    @property
    def length(self) -> float:
        """Width of the word in units of its height."""
        left, top, right, bottom = self.box
        return (right - left) / (bottom - top)

    def as_annotated(self) -> FlatText:
        """The same picture with the box as people draw it around words in photographs: a little off the ink.

        Rendered and real words then mean the same by the edge of a text.
        """
        left, top, right, bottom = self.box
        off = OFF_THE_INK * (bottom - top)
        return replace(self, box=(left - off, top - off, right + off, bottom + off))


def random_flat_text(
    rng: Generator,
    fonts: Sequence[str],
    height: float,
    *,
    draw: Callable[[Generator], str] = random_word,
) -> FlatText:
    """A random word in a random font that has its glyphs; in a part of the cases with other words around it.

    Args:
        fonts: font files, see `stn_deploy.training.fonts.find_fonts`.
        height: wanted height of the ink, pixels; the picture is drawn at the size at or above it.
        draw: gives a word.
    Raises:
        ArgumentError: no font draws the words.
    """
    size = next((size for size in FONT_SIZES if size * 0.7 >= height), FONT_SIZES[-1])
    spacing = float(rng.uniform(0.02, 0.35)) if rng.random() < 0.15 else 0.0
    drawn = _drawn(rng, fonts, size, spacing, draw)
    if drawn is None:
        raise ArgumentError(
            f"words: expected some that the fonts can draw, got none in {_ATTEMPTS}; such as {draw(rng)!r}"
        )
    word, font, ink = drawn
    if size > FONT_SIZES[0] and rng.random() < 0.06:
        ink = hollow(ink)
    if rng.random() < 0.5:
        other_size = size if rng.random() < 0.7 else int(rng.choice(FONT_SIZES))
        # A font that draws one word of many finds no neighbours for it.
        others = [
            _drawn(rng, (font,), other_size, spacing, draw) if keep else None for keep in rng.random(4) < 0.6
        ]
        around = [other and other[2] for other in others]
        return with_neighbours(rng, ink, word, around).as_annotated()
    return FlatText(ink=ink, box=(0, 0, ink.shape[1], ink.shape[0]), word=word).as_annotated()


def _drawn(
    rng: Generator, fonts: Sequence[str], size: int, spacing: float, draw: Callable[[Generator], str]
) -> tuple[str, str, NDArray[np.uint8]] | None:
    """A word, a font that has its glyphs, and its ink; None where no word of many can be drawn."""
    for _ in range(_ATTEMPTS):
        word, start = draw(rng), int(rng.integers(len(fonts)))
        font = next((font for font in (*fonts[start:], *fonts[:start]) if can_draw(font, word)), None)
        if font is None:
            continue
        ink = draw_word(word, font, size, spacing=spacing)
        if ink.any() and ink.shape[0] >= size // 3:  # a dash or a dot alone has no direction
            return word, font, ink
    return None


def hollow(ink: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Only the outline of each letter, inside its edges."""
    reach = 3 + 2 * (ink.shape[0] // 40)
    padded = cv2.copyMakeBorder(ink, reach, reach, reach, reach, cv2.BORDER_CONSTANT, value=0)
    inner = cv2.erode(padded, np.ones((reach, reach), np.uint8))[reach:-reach, reach:-reach]
    return np.asarray(cv2.subtract(ink, inner), np.uint8)


def with_neighbours(
    rng: Generator, ink: NDArray[np.uint8], word: str, around: Sequence[NDArray[np.uint8] | None]
) -> FlatText:
    """Put other words left, right, above and below, where there is one; often as close as lines of text."""
    height, width = ink.shape
    pad_y, pad_x = int(1.3 * height), int(1.6 * height)
    canvas = np.zeros((height + 2 * pad_y, width + 2 * pad_x), np.uint8)
    gap_x, gap_y = rng.uniform(0.25, 0.8) * height, rng.uniform(0.1, 0.6) * height
    offset = rng.uniform(-0.6, 0.6, 2) * width
    lowered = int(rng.integers(2))  # words in one line share their top or their bottom
    for side, other in enumerate(around):
        if other is None:
            continue
        high, wide = other.shape
        beside = pad_y + lowered * (height - high)
        top, left = (
            (beside, pad_x - gap_x - wide),
            (beside, pad_x + width + gap_x),
            (pad_y - gap_y - high, pad_x + offset[0]),
            (pad_y + height + gap_y, pad_x + offset[1]),
        )[side]
        _paste(canvas, other, int(top), int(left))
    _paste(canvas, ink, pad_y, pad_x)
    return FlatText(ink=canvas, box=(pad_x, pad_y, pad_x + width, pad_y + height), word=word)


def _paste(canvas: NDArray[np.uint8], ink: NDArray[np.uint8], top: int, left: int) -> None:
    """Add ``ink`` to ``canvas``; what lies outside is cut off."""
    y0, x0 = max(top, 0), max(left, 0)
    y1, x1 = min(top + ink.shape[0], canvas.shape[0]), min(left + ink.shape[1], canvas.shape[1])
    if y0 < y1 and x0 < x1:
        part = ink[y0 - top : y1 - top, x0 - left : x1 - left]
        np.maximum(canvas[y0:y1, x0:x1], part, out=canvas[y0:y1, x0:x1])


def flat_from_quad(image: NDArray[np.uint8], quad: NDArray[np.float32], word: str) -> FlatText:
    """A real word, made flat by its true quadrilateral, with what the photograph shows around it.

    Args:
        image: (h, w, 3) uint8.
        quad: (4, 2) corners clockwise from the text's top left, pixels.
    """
    sides = np.linalg.norm(np.roll(quad, -1, axis=0) - quad, axis=1)
    height = float(np.clip((sides[1] + sides[3]) / 2, 8, 64))
    width = height * float((sides[0] + sides[2]) / max(sides[1] + sides[3], 1.0))
    pad = 0.25 * height
    corners = np.array(
        [[pad, pad], [pad + width, pad], [pad + width, pad + height], [pad, pad + height]], np.float32
    )
    matrix = np.asarray(cv2.getPerspectiveTransform(quad.astype(np.float32), corners), np.float64)
    size = (max(4, round(width + 2 * pad)), max(4, round(height + 2 * pad)))
    texture = cv2.warpPerspective(
        image, between_pixel_centres(matrix), size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    # Fading out, or the edge of the texture would show where the text is.
    ink = np.minimum.outer(*(_fading(length, 0.7 * pad) for length in texture.shape[:2]))
    return FlatText(
        ink=np.asarray(ink, np.uint8),
        texture=np.asarray(texture, np.uint8),
        box=(pad, pad, pad + width, pad + height),
        word=word,
    )


def _fading(length: int, reach: float) -> NDArray[np.float64]:
    """255 in the middle, falling to 0 at both ends over ``reach`` pixels."""
    from_end = np.arange(length) + 0.5
    return np.asarray(np.clip(np.minimum(from_end, length - from_end) / reach, 0, 1) * 255)
