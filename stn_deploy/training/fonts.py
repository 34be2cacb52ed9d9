"""Fonts to draw words with: those that fontconfig knows, a folder's, and one that is always there."""

from __future__ import annotations

import subprocess
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import ImageFont

from stn_deploy.errors import ArgumentError

FALLBACK = ""
"""Name of the font inside Pillow, used where fontconfig finds none."""

SUFFIXES = frozenset({".ttf", ".otf", ".ttc", ".pfb"})

Font = ImageFont.FreeTypeFont

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_TELLING = "GDFLRSCWPJUQ"  # letters that Greek, dingbats and boxed letters draw in another way
_LEAST_LIKENESS = 0.07  # the boldest italics have 0.11, a symbol font 0.04, an illegible script -0.03
_NO_CHARACTER = "\uffff"  # fonts draw it as what they have not


def find_fonts() -> tuple[str, ...]:
    """Font files that hold the English alphabet and digits, sorted; (`FALLBACK`,) where there are none."""
    try:
        listed = subprocess.run(
            ["fc-list", ":lang=en:scalable=true:variable=false", "file"],
            capture_output=True,
            encoding=sys.getfilesystemencoding(),
            errors=sys.getfilesystemencodeerrors(),  # a name of a file may be no text
            check=True,
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return (FALLBACK,)
    files = sorted({line.partition(": ")[0].strip() for line in listed.splitlines()})
    usable = tuple(file for file in files if _draws_latin(file))
    return usable or (FALLBACK,)


def fonts_of_folder(folder: Path) -> tuple[tuple[str, ...], dict[str, int]]:
    """Font files in a folder and below it, sorted; for each reason the number left out.

    Raises:
        ArgumentError: there is no such folder, or no font in it can be loaded.
    """
    if not folder.is_dir():
        raise ArgumentError(f"{folder}: no such folder of fonts")
    files = sorted(str(file) for file in folder.rglob("*") if file.suffix.lower() in SUFFIXES)
    usable = tuple(file for file in files if _loads(file))
    if not usable:
        raise ArgumentError(
            f"{folder}: expected font files ({', '.join(sorted(SUFFIXES))}), found {len(files)} of these, "
            "none of them usable"
        )
    damaged = len(files) - len(usable)
    return usable, {"not a font, or damaged": damaged} if damaged else {}


def _loads(file: str) -> bool:
    try:
        load_font(file, 16)
    except (OSError, ValueError):
        return False
    return True


@lru_cache(maxsize=2048)
def load_font(file: str, size: int) -> Font:
    """The font of a file (or `FALLBACK`) at a size in pixels."""
    if file == FALLBACK:
        font = ImageFont.load_default(size)
        if not isinstance(font, ImageFont.FreeTypeFont):
            raise TypeError("Pillow was built without FreeType; install Pillow from a wheel")
        return font
    return ImageFont.truetype(file, size)


def can_draw(file: str, text: str) -> bool:
    """Whether a font has a shape of its own for each character of a text; only the space needs none."""
    return all(letter == " " or (letter.isprintable() and _has_glyph(file, letter)) for letter in text)


@lru_cache(maxsize=1 << 16)
def _has_glyph(file: str, letter: str) -> bool:
    shape = _shape(file, letter)
    return any(shape[1]) and shape != _missing_shape(file)


@lru_cache(maxsize=2048)
def _missing_shape(file: str) -> tuple[tuple[int, int], bytes]:
    return _shape(file, _NO_CHARACTER)


def _shape(file: str, letter: str) -> tuple[tuple[int, int], bytes]:
    mask = load_font(file, 16).getmask(letter)
    return mask.size, bytes(mask)


def _draws_latin(file: str) -> bool:
    """Whether letters and digits have their own ink, and look like letters (symbol fonts do not)."""
    if not file or Path(file).suffix.lower() not in SUFFIXES:
        return False
    try:
        drawn = {_shape(file, letter) for letter in LETTERS}
        # Fonts of capitals draw each small letter as its capital.
        return len(drawn) > len(LETTERS) * 0.55 and can_draw(file, LETTERS) and _looks_latin(file)
    except (OSError, ValueError):
        return False


def _looks_latin(file: str) -> bool:
    shapes = zip(map(_picture, [file] * len(_TELLING), _TELLING), _fallback_pictures(), strict=True)
    return float(np.mean([np.corrcoef(own, plain)[0, 1] for own, plain in shapes])) > _LEAST_LIKENESS


@lru_cache(maxsize=1)
def _fallback_pictures() -> list[NDArray[np.float64]]:
    return [_picture(FALLBACK, letter) for letter in _TELLING]


def _picture(file: str, letter: str) -> NDArray[np.float64]:
    """A letter cut to its ink and stretched over 12 x 12 pixels, as one row."""
    mask: Any = load_font(file, 24).getmask(letter)
    ink = np.frombuffer(bytes(mask), np.uint8).reshape(mask.size[::-1])
    ys, xs = np.nonzero(ink)
    if not len(ys):
        raise ValueError(f"{file} draws nothing for {letter}")
    cut = ink[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1]
    return cv2.resize(cut, (12, 12), interpolation=cv2.INTER_AREA).ravel().astype(np.float64)
