"""What an OCR engine is to us: a crop in, a reading out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from stn_deploy.errors import BatchError


class Reading(NamedTuple):
    """text: what was read. confidence: of the reading, in [0, 1]."""

    text: str
    confidence: float


class Reader(Protocol):
    """Reads the text of a crop."""

    name: str

    def read(self, image: NDArray[np.uint8]) -> Reading:
        """Text of a crop (h, w, 3) uint8 BGR."""


@runtime_checkable
class BatchReader(Protocol):
    """A reader that is faster with many crops at once."""

    name: str

    def read_many(self, images: Sequence[NDArray[np.uint8]]) -> Sequence[Reading]:
        """A reading for each crop, each (h, w, 3) uint8 BGR, in their order."""


class Word(NamedTuple):
    """A word inside a crop. box: left, top, right and bottom, pixels of the crop from its top left edge."""

    text: str
    confidence: float
    box: tuple[float, float, float, float]


@runtime_checkable
class WordReader(Protocol):
    """A reader that also says where in the crop it found each word."""

    name: str

    def read_words(self, image: NDArray[np.uint8]) -> tuple[Reading, list[Word]]:
        """The reading of a crop (h, w, 3) uint8 BGR, and its words from left to right."""


def is_surer(straightened: float, raw: float) -> bool:
    """The rule of the second opinion: whether the reading after rectification counts, given confidences.

    Where both are equally sure the raw one counts: what was not helped is not touched.
    """
    return straightened > raw


def read_many(reader: Reader, images: Sequence[NDArray[np.uint8]]) -> list[Reading]:
    """Texts of several crops: at once where the reader can, else one after the other.

    Args:
        images: each (h, w, 3) uint8 BGR.
    Returns:
        a reading for each, in their order.
    Raises:
        BatchError: the reader gave more or fewer readings than there are crops.
    """
    if not images:
        return []
    if not isinstance(reader, BatchReader):
        return [reader.read(image) for image in images]
    found = list(reader.read_many(images))
    if len(found) != len(images):
        raise BatchError(
            f"{reader.name}: expected {len(images)} readings, one for each crop, got {len(found)}"
        )
    return found


def comparable(text: str) -> str:
    """What counts when readings are compared with labels: lower case a to z and digits."""
    return re.sub("[^a-z0-9]", "", text.lower())
