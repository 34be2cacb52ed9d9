"""Words to draw, and their flat picture: ink on nothing, cut to its edges."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from stn_deploy.training.fonts import load_font

_COMMON = """
the of and to in is you that it he was for on are as with his they at be this have from or one had by word
but not what all were we when your can said there use an each which she do how their if will up other
about out many then them these so some her would make like him into time has look two more write go see
number no way could people my than first water been call who oil its now find long down day did get come
made may part open closed welcome coffee pizza bakery market street avenue hotel restaurant exit entrance
sale free parking pharmacy bank school police fire station central museum library garden park bridge river
city house office service repair beauty fashion jewelry flowers books music sport fitness travel airport
taxi bus metro train north south east west left right push pull stop slow danger warning private public
please thank phone fresh organic natural original classic special premium quality express delivery
discount summer winter spring autumn black white green yellow orange purple silver golden diamond crystal
royal grand family brothers company limited international national university college hospital medical
center dental clinic insurance estate design studio kitchen grill burger chicken seafood steak noodles
sushi curry salad juice wine beer cocktail lounge club
"""
COMMON = tuple(_COMMON.split())
"""Frequent English words and words that stand on signs."""

_SYLLABLES = """
b bl br c ch cl cr d dr f fl fr g gl gr h j k l m n p pl pr r s sh sl sp st t th tr v w y z
a e i o u ai ea ee ie oo ou
b ck d f g l ll m n nd ng nt p r rd rn s ss st t th x
"""
_ONSETS, _VOWELS, _CODAS = (line.split() for line in _SYLLABLES.strip().splitlines())
_DIGITS = "0123456789"
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

FONT_SIZES = (24, 48, 80)


def random_word(rng: Generator) -> str:
    """A word as it may stand on a sign: common, invented, a number, a code, a price, a few letters or one."""
    kind = rng.random()
    if kind < 0.06:
        return _short(rng)
    if kind < 0.5:
        word = _one_of(rng, COMMON)
    elif kind < 0.76:
        word = "".join(
            _one_of(rng, _ONSETS) + _one_of(rng, _VOWELS) + _one_of(rng, ["", *_CODAS])
            for _ in range(rng.integers(1, 5))
        )
    elif kind < 0.86:
        return _number(rng)
    elif kind < 0.93:
        return _letters(rng, _LETTERS + _DIGITS, 8)
    else:
        word = f"{_one_of(rng, COMMON)}{_one_of(rng, [' ', ' & ', '-'])}{_one_of(rng, COMMON)}"
    word = _cased(rng, word)
    if rng.random() < 0.07:
        word += _one_of(rng, ".,:!?'")
    return word


def _one_of(rng: Generator, choices: Sequence[str]) -> str:
    return choices[int(rng.integers(len(choices)))]


def _letters(rng: Generator, alphabet: str, below: int) -> str:
    """Up to ``below - 1`` letters of an alphabet."""
    return "".join(_one_of(rng, alphabet) for _ in range(rng.integers(1, below)))


def _cased(rng: Generator, word: str) -> str:
    kind = rng.random()
    return word.upper() if kind < 0.45 else word.title() if kind < 0.75 else word.lower()


def _short(rng: Generator) -> str:
    """One character to three: what is taken for tilted text where training never shows it."""
    kind = rng.random()
    if kind < 0.25:
        return _one_of(rng, _DIGITS)
    if kind < 0.45:
        return _cased(rng, _one_of(rng, _LETTERS))
    if kind < 0.7:
        return _letters(rng, _DIGITS, 4)
    return _cased(rng, _letters(rng, _LETTERS, 4))


def _number(rng: Generator) -> str:
    digits = _letters(rng, _DIGITS, 6)
    form = rng.random()
    if form < 0.6:
        return digits
    if form < 0.75:
        return f"{_one_of(rng, '$£€')}{digits}.{rng.integers(0, 100):02d}"
    if form < 0.85:
        return f"{rng.integers(1, 24)}:{rng.integers(0, 60):02d}"
    return f"{digits}{_one_of(rng, ['%', 'km', 'A', 'th', 'KG', 'm'])}"


def draw_word(word: str, font_file: str, font_size: int, *, spacing: float = 0.0) -> NDArray[np.uint8]:
    """Flat picture of a word, cut to its ink.

    Args:
        word: printable text.
        font_file: see `stn_deploy.training.fonts.find_fonts`.
        font_size: pixels.
        spacing: extra space between letters, as a part of the font size.
    Returns:
        (h, w) uint8, 255 where there is ink; at least 4 x 4. Blank where the font draws nothing.
    """
    font = load_font(font_file, font_size)
    extra = spacing * font_size
    width = int(font.getlength(word) + extra * len(word)) + 2 * font_size
    canvas = Image.new("L", (width, 3 * font_size))
    draw = ImageDraw.Draw(canvas)
    if spacing:
        x = float(font_size)
        for letter in word:
            draw.text((x, font_size), letter, fill=255, font=font)
            x += font.getlength(letter) + extra
    else:
        draw.text((font_size, font_size), word, fill=255, font=font)
    box = canvas.getbbox()
    if box is None:
        return np.zeros((4, 4), np.uint8)
    ink = np.asarray(canvas.crop(box))
    if min(ink.shape) < 4:
        ink = cv2.resize(ink, (max(4, ink.shape[1]), max(4, ink.shape[0])))
    return np.asarray(ink, np.uint8)
