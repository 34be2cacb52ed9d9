"""Tesseract: one engine in this process, or a process for each reading. Both read lines and find them."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from stn_deploy.errors import MissingDependency
from stn_deploy.runtime.ocr.reader import Reader, Reading, Word

SINGLE_LINE, SPARSE_TEXT = 7, 11
"""Tesseract's page segmentation modes for one line of text, and for text anywhere on a page."""
_Box = tuple[float, float, float, float]
_LINE, _WORD = 4, 5
"""Levels in the tables of the program."""
_LOWEST = 6
"""Pixels: what is lower is no line that Tesseract could read."""
_MARGIN = 0.15
"""Of the height of a line, around it: Tesseract's boxes touch the letters."""
_LONGEST_SIDE = 32_767
"""Tesseract counts pixels in 16 bits."""


class TesseractLibrary:
    """Tesseract through tesserocr: one engine in this process. Not for use by several threads at once."""

    def __init__(self) -> None:
        try:
            import tesserocr
        except ImportError as error:
            raise MissingDependency.of("tesserocr", "ocr") from error
        self.name = f"Tesseract {tesserocr.tesseract_version().split()[1]}"
        self._tesserocr: Any = tesserocr
        self._engine: Any = tesserocr.PyTessBaseAPI(path=_tessdata(), lang="eng", psm=SINGLE_LINE)
        self._engine.SetVariable("debug_file", "/dev/null")

    def read(self, image: NDArray[np.uint8]) -> Reading:
        """See `Reader.read`; a crop with a side over 32767 pixels counts as unread."""
        if max(image.shape[:2]) > _LONGEST_SIDE:
            return Reading("", 0.0)
        self._look_at(image)
        text = self._engine.GetUTF8Text().strip()
        return Reading(text, self._engine.MeanTextConf() / 100)

    def read_words(self, image: NDArray[np.uint8]) -> tuple[Reading, list[Word]]:
        """See `WordReader.read_words`."""
        reading = self.read(image)
        if not reading.text:
            return reading, []
        level = self._tesserocr.RIL.WORD
        found = self._tesserocr.iterate_level(self._engine.GetIterator(), level)
        words = [
            Word(text, word.Confidence(level) / 100, word.BoundingBox(level))
            for word in found
            if not word.Empty(level) and (text := word.GetUTF8Text(level).strip())
        ]
        return reading, words

    def detect(self, page: NDArray[np.uint8]) -> list[NDArray[np.float64]]:
        """See `Detector.detect`; upright boxes, of a page with a side over 32767 pixels none."""
        if max(page.shape[:2]) > _LONGEST_SIDE:
            return []
        level = self._tesserocr.RIL.TEXTLINE
        self._engine.SetPageSegMode(SPARSE_TEXT)
        try:
            self._look_at(page)
            layout = self._engine.AnalyseLayout()
            lines = self._tesserocr.iterate_level(layout, level) if layout else ()
            return _quads([line.BoundingBox(level) for line in lines], page)
        finally:
            self._engine.SetPageSegMode(SINGLE_LINE)

    def _look_at(self, image: NDArray[np.uint8]) -> None:
        grey = np.ascontiguousarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY))
        height, width = grey.shape
        self._engine.SetImageBytes(grey.tobytes(), width, height, 1, width)


class TesseractProgram:
    """Tesseract through pytesseract: a process for each reading; slow, but it needs only the program."""

    def __init__(self) -> None:
        try:
            import pytesseract
        except ImportError as error:
            raise MissingDependency.of("pytesseract", "ocr") from error
        if shutil.which("tesseract") is None:
            raise MissingDependency("the program tesseract is not installed; apt install tesseract-ocr")
        self._module = pytesseract
        self.name = f"Tesseract {pytesseract.get_tesseract_version()}"

    def read(self, image: NDArray[np.uint8]) -> Reading:
        """See `Reader.read`; a crop with a side over 32767 pixels counts as unread."""
        return self.read_words(image)[0]

    def read_words(self, image: NDArray[np.uint8]) -> tuple[Reading, list[Word]]:
        """See `WordReader.read_words`."""
        if max(image.shape[:2]) > _LONGEST_SIDE:
            return Reading("", 0.0), []
        words = [
            Word(text.strip(), float(confidence) / 100, box)
            for text, confidence, box, level in self._table(image, SINGLE_LINE)
            if level == _WORD and text.strip()
        ]
        sure = float(np.mean([word.confidence for word in words])) if words else 0.0
        return Reading(" ".join(word.text for word in words), sure), words

    def detect(self, page: NDArray[np.uint8]) -> list[NDArray[np.float64]]:
        """See `Detector.detect`; upright boxes, of a page with a side over 32767 pixels none."""
        if max(page.shape[:2]) > _LONGEST_SIDE:
            return []
        return _quads([box for _, _, box, level in self._table(page, SPARSE_TEXT) if level == _LINE], page)

    def _table(self, image: NDArray[np.uint8], mode: int) -> Iterator[tuple[str, float, _Box, int]]:
        """Text, confidence, box and level of all that Tesseract tells of."""
        table = self._module.image_to_data(
            cv2.cvtColor(image, cv2.COLOR_BGR2GRAY),
            lang="eng",
            config=f"--psm {mode}",
            output_type=self._module.Output.DICT,
        )
        columns = ("text", "conf", "left", "top", "width", "height", "level")
        for text, sure, left, top, width, height, level in zip(
            *(table[name] for name in columns), strict=True
        ):
            yield text, sure, (left, top, left + width, top + height), level


def _quads(boxes: Iterable[_Box], page: NDArray[np.uint8]) -> list[NDArray[np.float64]]:
    """The corners of boxes that may be lines, with a margin inside the page."""
    found = []
    height, width = page.shape[:2]
    for left, top, right, bottom in boxes:
        if min(bottom - top, right - left) < _LOWEST:
            continue
        margin = round(_MARGIN * (bottom - top))
        left, right = max(left - margin, 0), min(right + margin, width)
        top, bottom = max(top - margin, 0), min(bottom + margin, height)
        found.append(np.array([[left, top], [right, top], [right, bottom], [left, bottom]], np.float64))
    return found


@lru_cache(maxsize=1)
def _tessdata() -> str:
    """The folder that holds eng.traineddata: where the installed program looks, else the usual places."""
    candidates = sorted(Path("/usr/share").glob("tesseract-ocr/*/tessdata"), reverse=True)
    if shutil.which("tesseract"):
        listed = subprocess.run(["tesseract", "--list-langs"], capture_output=True, text=True, check=False)
        named = re.search(r'"(.+)"', listed.stdout + listed.stderr)
        candidates = [Path(named[1]), *candidates] if named else candidates
    for folder in candidates:
        if (folder / "eng.traineddata").is_file():
            return f"{folder}/"
    raise MissingDependency("Tesseract's English data is not installed; apt install tesseract-ocr")


def open_tesseract() -> Reader:
    """Tesseract through the library where it is installed, else through the program.

    Raises:
        MissingDependency: neither is installed.
    """
    try:
        return TesseractLibrary()
    except MissingDependency as first:
        try:
            return TesseractProgram()
        except MissingDependency as second:
            what, _, fix = str(first).partition("; ")
            told_once = what if str(second).endswith(fix) else first  # one extra mends both
            raise MissingDependency(f"Tesseract cannot be used: {told_once}; {second}") from None
