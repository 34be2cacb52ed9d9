"""The user's own words and fonts: which of them can be drawn, and why the others cannot."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from numpy.random import Generator

from stn_deploy.errors import ArgumentError
from stn_deploy.training.fonts import LETTERS, can_draw, find_fonts, fonts_of_folder
from stn_deploy.training.words import random_word

LONGEST = 100
"""Characters; OpenCV maps no picture wider than 32767 pixels."""


@dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """What is drawn, and with what.

    fonts: files, see `stn_deploy.training.fonts.find_fonts`. words: None for those of `random_word`.
    words_left_out, fonts_left_out: for each reason the number.
    """

    fonts: tuple[str, ...]
    words: tuple[str, ...] | None = None
    words_left_out: dict[str, int] = field(default_factory=dict)
    fonts_left_out: dict[str, int] = field(default_factory=dict)

    def draw(self, rng: Generator) -> str:
        """A random word."""
        return random_word(rng) if self.words is None else self.words[int(rng.integers(len(self.words)))]


def find_vocabulary(*, words: Path | None = None, fonts: Path | None = None) -> Vocabulary:
    """The words of a file and the fonts of a folder, or what is built in.

    Args:
        words: text file in UTF-8, one word a line. fonts: folder, searched with all below it.
    Raises:
        ArgumentError: a path cannot be read, or nothing in it can be used.
    """
    files, fonts_left_out = (find_fonts(), {}) if fonts is None else fonts_of_folder(fonts)
    chosen, words_left_out = (None, {}) if words is None else _drawable(words, _lines(words), files)
    needed = chosen or (LETTERS,)
    usable = tuple(file for file in files if any(can_draw(file, text) for text in needed))
    if not usable:
        raise ArgumentError(
            f"{fonts}: expected a font with the letters A to z and the digits, found none; "
            "add one, or give words that these fonts can draw"
        )
    if fonts is not None and len(usable) < len(files):
        missing = "without the letters A to z and the digits" if words is None else "without any of the words"
        fonts_left_out = {**fonts_left_out, missing: len(files) - len(usable)}
    return Vocabulary(
        fonts=usable, words=chosen, words_left_out=words_left_out, fonts_left_out=fonts_left_out
    )


def _lines(path: Path) -> list[str]:
    try:
        return path.read_bytes().decode("utf-8-sig").splitlines()
    except OSError as error:
        raise ArgumentError(f"{path}: the words cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ArgumentError(
            f"{path}: expected words in UTF-8, got byte {error.object[error.start]:#04x} at {error.start}"
        ) from None


def _drawable(path: Path, lines: list[str], fonts: tuple[str, ...]) -> tuple[tuple[str, ...], dict[str, int]]:
    """The words that some font can draw, in their order; for each reason the number of others."""
    words: list[str] = []
    left_out: Counter[str] = Counter()
    for line in lines:
        word = line.strip()
        if not word:
            left_out["empty"] += 1
        elif len(word) > LONGEST:
            left_out[f"longer than {LONGEST} characters"] += 1
        elif not any(letter.isalnum() for letter in word):
            left_out["without a letter or digit"] += 1
        elif not any(can_draw(font, word) for font in fonts):
            left_out["with characters that no font has"] += 1
        else:
            words.append(word)
    if not words:
        reasons = ", ".join(f"{count} {reason}" for reason, count in left_out.items())
        raise ArgumentError(
            f"{path}: expected at least one word that can be drawn, one a line, got none "
            f"({reasons or 'no lines'}); give --fonts with fonts that have their characters"
        )
    return tuple(words), dict(left_out)
