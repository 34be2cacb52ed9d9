"""Tesseract: one engine in this process, or a process for each reading."""

from __future__ import annotations

import re
import shutil
import subprocess
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from stn_deploy.errors import MissingDependency
from stn_deploy.runtime.ocr.reader import Reader, Reading

SINGLE_LINE = 7
"""Tesseract's page segmentation mode for one line of text."""
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
        self._engine: Any = tesserocr.PyTessBaseAPI(path=_tessdata(), lang="eng", psm=SINGLE_LINE)
        self._engine.SetVariable("debug_file", "/dev/null")

    def read(self, image: NDArray[np.uint8]) -> Reading:
        """See `Reader.read`; a crop with a side over 32767 pixels counts as unread."""
        if max(image.shape[:2]) > _LONGEST_SIDE:
            return Reading("", 0.0)
        grey = np.ascontiguousarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY))
        height, width = grey.shape
        self._engine.SetImageBytes(grey.tobytes(), width, height, 1, width)
        text = self._engine.GetUTF8Text().strip()
        return Reading(text, self._engine.MeanTextConf() / 100)


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
        if max(image.shape[:2]) > _LONGEST_SIDE:
            return Reading("", 0.0)
        table = self._module.image_to_data(
            cv2.cvtColor(image, cv2.COLOR_BGR2GRAY),
            lang="eng",
            config=f"--psm {SINGLE_LINE}",
            output_type=self._module.Output.DICT,
        )
        words = [
            (text, float(confidence))
            for text, confidence in zip(table["text"], table["conf"], strict=True)
            if text.strip()
        ]
        confidences = [confidence for _, confidence in words]
        return Reading(
            " ".join(text for text, _ in words), float(np.mean(confidences)) / 100 if words else 0.0
        )


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
