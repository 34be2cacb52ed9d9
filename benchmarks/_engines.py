"""The OCR engines of the accuracy scripts: those that are installed, each picture read once."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from stn_deploy.errors import MissingDependency
from stn_deploy.runtime.ocr import READERS, Reader, Reading, open_reader


class Remembering:
    """A reader that knows what it has read: the crops of one set come again with every rule."""

    def __init__(self, reader: Reader) -> None:
        self.name = reader.name
        self._reader = reader
        self._known: dict[bytes, Reading] = {}

    def read(self, image: NDArray[np.uint8]) -> Reading:
        key = hashlib.blake2b(image.tobytes() + repr(image.shape).encode()).digest()
        if key not in self._known:
            self._known[key] = self._reader.read(image)
        return self._known[key]


def open_engines(names: Sequence[str] | None) -> tuple[list[Remembering], list[str]]:
    """The named engines, or all of them, with one thread each; and what is missing, which is printed too."""
    readers, missing = [], []
    for name in names or READERS:
        try:
            readers.append(Remembering(open_reader(name, threads=1)))
        except MissingDependency as error:
            missing.append(name)
            print(f"without {name}: {error}")
    if not readers:
        raise SystemExit("no OCR engine is installed")
    return readers, missing
