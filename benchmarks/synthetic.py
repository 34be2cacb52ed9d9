"""Words that OCR engines read on clean rendered text: distorted, straightened, and perfectly undone."""

from __future__ import annotations

from collections import Counter
from typing import Any

import cv2
import numpy as np
from _engines import open_engines
from _record import arguments, keep
from numpy.typing import NDArray
from rich.progress import track

from stn_deploy.runtime import Rectifier
from stn_deploy.runtime.ocr import READERS, Reader, comparable
from stn_deploy.training.backgrounds import PLAIN
from stn_deploy.training.bends import Arc, Bend, Straight, Wave
from stn_deploy.training.flat import FlatText
from stn_deploy.training.fonts import find_fonts
from stn_deploy.training.scene import compose, place
from stn_deploy.training.warp import Warp, perspective, rotation
from stn_deploy.training.words import COMMON, draw_word

WORDS, SEED, TEXT_HEIGHT, COUNT = 300, 5, 40, 20
SMALLEST_GAP = 2.0
"""Percent. Where the distortion costs less, the part of it that is regained says nothing."""
Image = NDArray[np.uint8]


def main() -> None:
    """For each distortion the same 300 words in three renderings; the ceiling is the undistorted one."""
    options = arguments(__doc__, engines=READERS, limit="words for each distortion")
    readers, missing = open_engines(options.ocr)
    words, rectifier, fonts, rows = options.limit or WORDS, Rectifier(), plain_fonts(), []
    for name in distortions(1.0):
        rng, right = np.random.default_rng(SEED), Counter[tuple[str, str]]()
        for _ in track(range(words), name):
            flat = clean_word(rng, fonts)
            distorted = draw(flat, distortions(flat.length)[name])
            pictures = {
                "distorted": distorted,
                "straightened": rectifier(distorted).image,
                "perfectly undone": draw(flat, Warp(length=flat.length)),
            }
            for reader in readers:
                for kind, picture in pictures.items():
                    right[reader.name, kind] += reads(reader, picture, flat.word)
        for reader in readers:
            percent = {kind: 100 * right[reader.name, kind] / words for kind in pictures}
            rows.append({"distortion": name, "engine": reader.name, **with_gap_closed(percent)})
    result = {"words": words, "read_percent": rows, "missing": missing}
    keep("synthetic", result, trial=options.limit is not None)


def with_gap_closed(percent: dict[str, float]) -> dict[str, Any]:
    """The percentages rounded, and the part of the way from distorted to undone; None where that is short."""
    gap = percent["perfectly undone"] - percent["distorted"]
    closed = 100 * (percent["straightened"] - percent["distorted"]) / gap if gap >= SMALLEST_GAP else None
    rounded: dict[str, Any] = {kind: round(value, 1) for kind, value in percent.items()}
    return {**rounded, "gap_closed": None if closed is None else round(closed, 1)}


def distortions(length: float) -> dict[str, Warp]:
    """The distortions, for a text of this length in text heights."""

    def arc(degrees: float) -> Arc:
        # Short words cannot be bent that far: the inner edge would pass the centre.
        angle = min(np.radians(degrees), length / 0.75)
        return Arc(angle=angle, length=length)

    def seen(*, bend: Bend | None = None, turn: float = 0.0, depth: float = 0.0) -> Warp:
        bent = Warp(length=length, bend=bend or Straight())
        border = np.abs(bent.control_points(40)).max(axis=0)
        matrix = rotation(np.radians(turn)) @ perspective(depth, 0.0, border)
        return Warp(length=length, bend=bent.bend, scene_from_bent=matrix)

    return {
        "none": seen(),
        **{f"rotation {degrees}": seen(turn=degrees) for degrees in (10, 20, 30, 45)},
        "perspective .4": seen(depth=0.4),
        "perspective .6": seen(depth=0.6),
        **{f"arc {degrees}": seen(bend=arc(degrees)) for degrees in (60, 90, 120, 180)},
        "wave .4": seen(bend=Wave(amplitude=0.4, wavelength=max(length, 2.5), phase=0.6)),
        "arc 120 + rotation 15 + perspective .3": seen(bend=arc(120), turn=15, depth=0.3),
    }


def plain_fonts() -> list[str]:
    """Fonts that every Debian has, so that the figures do not hang on what else is installed."""
    found = find_fonts()
    return [font for font in found if any(key in font for key in ("DejaVu", "Liberation"))] or list(found)


def clean_word(rng: np.random.Generator, fonts: list[str]) -> FlatText:
    """A common word of at least four letters in one of the fonts."""
    word = str(rng.choice([word for word in COMMON if len(word) >= 4])).title()
    ink = draw_word(word, str(rng.choice(fonts)), 80)
    return FlatText(ink=ink, box=(0, 0, ink.shape[1], ink.shape[0]), word=word)


def draw(flat: FlatText, warp: Warp) -> Image:
    """Black on white, with a margin of 15 % of the text height."""
    placement = place(warp, text_height=TEXT_HEIGHT, margins=np.full(4, 0.15))
    return compose(flat, warp, placement, PLAIN, count=COUNT).image


def reads(reader: Reader, picture: Image, word: str) -> bool:
    """Whether the engine reads the word."""
    return comparable(reader.read(picture).text) == comparable(word)


if __name__ == "__main__":
    cv2.setNumThreads(1)
    main()
