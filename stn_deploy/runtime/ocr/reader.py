"""What an OCR engine is to us: a crop in, a reading out."""

from __future__ import annotations

import re
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray


class Reading(NamedTuple):
    """text: what was read. confidence: of the reading, in [0, 1]."""

    text: str
    confidence: float


class Reader(Protocol):
    """Reads the text of a crop."""

    name: str

    def read(self, image: NDArray[np.uint8]) -> Reading:
        """Text of a crop (h, w, 3) uint8 BGR."""


def comparable(text: str) -> str:
    """What counts when readings are compared with labels: lower case a to z and digits."""
    return re.sub("[^a-z0-9]", "", text.lower())
