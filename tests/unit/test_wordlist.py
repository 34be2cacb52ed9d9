"""The user's words and fonts: what cannot be drawn is left out and counted, or refused with its reason."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from itertools import chain, repeat
from pathlib import Path

import numpy as np
import pytest

from stn_deploy.errors import ArgumentError
from stn_deploy.training import flat, wordlist
from stn_deploy.training.flat import random_flat_text
from stn_deploy.training.fonts import FALLBACK, can_draw, find_fonts, load_font
from stn_deploy.training.wordlist import Vocabulary, find_vocabulary


@pytest.fixture(autouse=True)
def one_font(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fonts of this computer do not matter here."""
    monkeypatch.setattr(wordlist, "find_fonts", lambda: (FALLBACK,))


def words_file(folder: Path, *lines: str) -> Path:
    path = folder / "words.txt"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def font_folder(folder: Path) -> Path:
    """Pillow's own font as a file, and a file that is none."""
    (folder / "fonts" / "deep").mkdir(parents=True)
    (folder / "fonts" / "deep" / "own.ttf").write_bytes(load_font(FALLBACK, 16).font_bytes)
    (folder / "fonts" / "damaged.otf").write_bytes(b"no font")
    (folder / "fonts" / "readme.txt").write_text("no font either")
    return folder / "fonts"


def test_a_font_is_asked_for_each_glyph() -> None:
    assert can_draw(FALLBACK, "Room 214, left")
    assert not can_draw(FALLBACK, "Room 漢")
    assert not any(can_draw(FALLBACK, f"a{space}b") for space in "\t\n\u3000")


def test_found_fonts_draw_the_alphabet() -> None:
    fonts = find_fonts()
    assert fonts
    assert all(can_draw(font, "Az09") for font in fonts)
    assert not any("Dingbats" in font or "Symbols" in font for font in fonts)


def test_a_font_whose_name_is_no_text_does_not_stop_the_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "fc-list"
    program.write_text("#!/bin/sh\nprintf '/absent/caf\\351.ttf: \\n'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert find_fonts() == (FALLBACK,)


def test_words_that_cannot_be_drawn_are_counted_by_their_reason(tmp_path: Path) -> None:
    path = words_file(tmp_path, "Exit", "", "  Room 214 ", "漢字", "tab\there", "...", "x" * 101, " ", "Exit")
    vocabulary = find_vocabulary(words=path)
    assert vocabulary.words == ("Exit", "Room 214", "Exit")
    assert vocabulary.words_left_out == {
        "empty": 2,
        "with characters that no font has": 2,
        "without a letter or digit": 1,
        "longer than 100 characters": 1,
    }
    rng = np.random.default_rng(0)
    assert {vocabulary.draw(rng) for _ in range(50)} == {"Exit", "Room 214"}


def test_without_a_file_the_words_are_built_in() -> None:
    vocabulary = find_vocabulary()
    assert vocabulary == Vocabulary(fonts=(FALLBACK,))
    assert vocabulary.draw(np.random.default_rng(0))


@pytest.mark.parametrize(
    ("lines", "reason"), [(["漢字"], "1 with characters that no font has"), (["", "-"], "1 empty, 1 without")]
)
def test_a_file_without_a_word_is_refused(tmp_path: Path, lines: list[str], reason: str) -> None:
    with pytest.raises(ArgumentError, match=f"at least one word that can be drawn.*{reason}"):
        find_vocabulary(words=words_file(tmp_path, *lines))


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    with pytest.raises(ArgumentError, match=r"words.txt: the words cannot be read"):
        find_vocabulary(words=path)
    path.write_bytes(b"Caf\xe9\n")
    with pytest.raises(ArgumentError, match="expected words in UTF-8, got byte 0xe9 at 3"):
        find_vocabulary(words=path)


def test_fonts_of_a_folder_that_cannot_be_used_are_counted(tmp_path: Path) -> None:
    folder = font_folder(tmp_path)
    vocabulary = find_vocabulary(fonts=folder)
    assert vocabulary.fonts == (str(folder / "deep" / "own.ttf"),)
    assert vocabulary.fonts_left_out == {"not a font, or damaged": 1}


def test_fonts_without_the_glyphs_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = font_folder(tmp_path)
    (folder / "poor.ttf").write_bytes((folder / "deep" / "own.ttf").read_bytes())
    monkeypatch.setattr(wordlist, "can_draw", lambda font, text: "poor" not in font)
    for words, reason in (
        (None, "without the letters A to z and the digits"),
        (words_file(tmp_path, "Exit"), "without any of the words"),
    ):
        vocabulary = find_vocabulary(words=words, fonts=folder)
        assert vocabulary.fonts == (str(folder / "deep" / "own.ttf"),)
        assert vocabulary.fonts_left_out == {"not a font, or damaged": 1, reason: 1}


def test_a_folder_without_a_usable_font_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ArgumentError, match="no such folder of fonts"):
        find_vocabulary(fonts=tmp_path / "absent")
    folder = font_folder(tmp_path)
    monkeypatch.setattr(wordlist, "can_draw", lambda font, text: False)
    with pytest.raises(ArgumentError, match="expected a font with the letters A to z"):
        find_vocabulary(fonts=folder)
    (folder / "deep" / "own.ttf").unlink()
    with pytest.raises(ArgumentError, match="found 1 of these, none of them usable"):
        find_vocabulary(fonts=folder)


def test_words_that_no_font_draws_end_the_search() -> None:
    with pytest.raises(ArgumentError, match=r"expected some that the fonts can draw.*'漢'"):
        random_flat_text(np.random.default_rng(0), (FALLBACK,), 20.0, draw=lambda rng: "漢")


def first_of(words: Iterator[str], _: object) -> str:
    return next(words)


def test_a_font_that_draws_one_word_alone_draws_it_without_neighbours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rare, common = "rare.ttf", "common.ttf"
    monkeypatch.setattr(flat, "can_draw", lambda font, word: (font == rare) == (word == "Rare"))
    monkeypatch.setattr(flat, "draw_word", lambda *_, **__: np.full((40, 90), 255, np.uint8))
    for seed in range(10):
        words = chain(["Rare"], repeat("Often"))
        found = random_flat_text(
            np.random.default_rng(seed), (common, rare), 20.0, draw=partial(first_of, words)
        )
        assert found.word == "Rare"
