"""Words that Tesseract reads on clean rendered text: distorted, straightened, and perfectly undone."""

from __future__ import annotations

import cv2
import numpy as np
from _record import arguments, keep
from numpy.typing import NDArray
from rich.progress import track

from stn_deploy.runtime import Rectifier
from stn_deploy.runtime.ocr import Reader, comparable, open_reader
from stn_deploy.training.backgrounds import PLAIN
from stn_deploy.training.bends import Arc, Straight, Wave
from stn_deploy.training.flat import FlatText
from stn_deploy.training.fonts import find_fonts
from stn_deploy.training.scene import compose, place
from stn_deploy.training.warp import Warp, perspective, rotation
from stn_deploy.training.words import COMMON, draw_word

WORDS, SEED, TEXT_HEIGHT, COUNT = 300, 5, 40, 20
Image = NDArray[np.uint8]


def main() -> None:
    """For each distortion the same 300 words in three renderings; the ceiling is the undistorted one."""
    arguments(__doc__)
    reader, rectifier = open_reader("tesseract"), Rectifier()
    fonts, rows = plain_fonts(), []
    for name in distortions(1.0):
        rng = np.random.default_rng(SEED)
        right = {"distorted": 0, "straightened": 0, "perfectly undone": 0}
        for _ in track(range(WORDS), name):
            flat = clean_word(rng, fonts)
            distorted = draw(flat, distortions(flat.length)[name])
            pictures = {
                "distorted": distorted,
                "straightened": rectifier(distorted).image,
                "perfectly undone": draw(flat, Warp(length=flat.length)),
            }
            for kind, picture in pictures.items():
                right[kind] += reads(reader, picture, flat.word)
        rows.append({"distortion": name, **{kind: round(100 * n / WORDS, 1) for kind, n in right.items()}})
    keep("synthetic", {"words": WORDS, "engine": reader.name, "read_percent": rows})


def distortions(length: float) -> dict[str, Warp]:
    """The distortions, for a text of this length in text heights."""

    def arc(degrees: float) -> Arc | Straight:
        # Short words cannot be bent that far: the inner edge would pass the centre.
        angle = min(np.radians(degrees), length / 0.75)
        return Arc(angle=angle, length=length)

    def view(matrix: NDArray[np.float64]) -> Warp:
        return Warp(length=length, scene_from_bent=matrix)

    border = np.array([length / 2, 0.5])
    return {
        "none": Warp(length=length),
        "rotation 10": view(rotation(np.radians(10))),
        "rotation 20": view(rotation(np.radians(20))),
        "rotation 30": view(rotation(np.radians(30))),
        "perspective .4": view(perspective(0.4, 0.0, border)),
        "arc 60": Warp(length=length, bend=arc(60)),
        "arc 90": Warp(length=length, bend=arc(90)),
        "arc 120": Warp(length=length, bend=arc(120)),
        "wave .4": Warp(length=length, bend=Wave(amplitude=0.4, wavelength=max(length, 2.5), phase=0.6)),
        "arc 90 + rotation 15": Warp(length=length, bend=arc(90), scene_from_bent=rotation(np.radians(15))),
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
