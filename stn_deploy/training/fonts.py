"""Fonts to draw words with: those that fontconfig knows, and one that is always there."""

from __future__ import annotations

import subprocess
from functools import lru_cache
from pathlib import Path

from PIL import ImageFont

FALLBACK = ""
"""Name of the font inside Pillow, used where fontconfig finds none."""

Font = ImageFont.FreeTypeFont

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


def find_fonts() -> tuple[str, ...]:
    """Font files that hold the English alphabet and digits, sorted; (`FALLBACK`,) where there are none."""
    try:
        listed = subprocess.run(
            ["fc-list", ":lang=en:scalable=true:variable=false", "file"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return (FALLBACK,)
    files = sorted({line.partition(": ")[0].strip() for line in listed.splitlines()})
    usable = tuple(file for file in files if _has_letters(file))
    return usable or (FALLBACK,)


@lru_cache(maxsize=2048)
def load_font(file: str, size: int) -> Font:
    """The font of a file (or `FALLBACK`) at a size in pixels."""
    if file == FALLBACK:
        font = ImageFont.load_default(size)
        if not isinstance(font, ImageFont.FreeTypeFont):
            raise TypeError("Pillow was built without FreeType; install Pillow from a wheel")
        return font
    return ImageFont.truetype(file, size)


def _has_letters(file: str) -> bool:
    """Whether every letter and digit draws some ink of its own (icon fonts and broken files do not)."""
    if not file or Path(file).suffix.lower() not in {".ttf", ".otf", ".ttc", ".pfb"}:
        return False
    try:
        font = ImageFont.truetype(file, 16)
        shapes = {bytes(font.getmask(letter)) for letter in _LETTERS}
    except (OSError, ValueError):
        return False
    return len(shapes) > len(_LETTERS) * 0.8
