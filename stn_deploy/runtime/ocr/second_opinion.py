"""Crops read as they are and straightened; of the two readings the more confident one may count."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import overload

import numpy as np
from numpy.typing import NDArray

from stn_deploy.data import as_bgr
from stn_deploy.errors import ArgumentError
from stn_deploy.runtime.ocr.reader import Reader, Reading, read_many
from stn_deploy.runtime.rectifier import Rectifier
from stn_deploy.runtime.result import Rectified

Image = NDArray[np.uint8]

_BATCH = 32


@dataclass(frozen=True, kw_only=True, eq=False)
class TwoReadings:
    """One crop, read as it is and straightened.

    raw: of the crop as it came. rectified: of the straightened crop; the raw one where the crop was left as
    it is, which is read once. result: of the rectifier.
    """

    raw: Reading
    rectified: Reading
    result: Rectified

    @property
    def straightened_kept(self) -> bool:
        """Whether the reading after rectification is the more confident one."""
        return self.rectified.confidence > self.raw.confidence

    @property
    def kept(self) -> Reading:
        """The more confident of both readings; the raw one where they are equally sure."""
        return self.rectified if self.straightened_kept else self.raw


@overload
def read_rectified(rectifier: Rectifier, reader: Reader, images: Image) -> TwoReadings: ...
@overload
def read_rectified(rectifier: Rectifier, reader: Reader, images: Sequence[Image]) -> list[TwoReadings]: ...
@overload
def read_rectified(
    rectifier: Rectifier, reader: Reader, images: Iterator[Image]
) -> Iterator[TwoReadings]: ...


def read_rectified(
    rectifier: Rectifier, reader: Reader, images: Image | Sequence[Image] | Iterator[Image]
) -> TwoReadings | list[TwoReadings] | Iterator[TwoReadings]:
    """Read one crop, a list, or an iterator, raw and straightened.

    An iterator is read lazily, in its order, with 32 crops in memory at a time.

    A crop that the rectifier leaves as it is is read once.

    Args:
        images: each (h, w, 3) BGR, (h, w) grey or (h, w, 4) BGRA, uint8 or uint16.
    Returns:
        a `TwoReadings`, a list of them, or an iterator over them.
    Raises:
        ImageError, ShapeError, ArgumentError: what `Rectifier` refuses.
    """
    if isinstance(images, np.ndarray):
        return _read_batch(rectifier, reader, [images])[0]
    if isinstance(images, Sequence) and not isinstance(images, (str, bytes)):
        return list(_stream(rectifier, reader, images))
    if not isinstance(images, Iterator):
        raise ArgumentError(
            f"images: expected an array, a list or an iterator of arrays, got {type(images).__name__}"
        )
    return _stream(rectifier, reader, images)


class SecondOpinion:
    """A reader that rectifies: reads each crop as it is and straightened, and keeps the more confident text.

    The raw text stays where both are equally sure. A crop that the rectifier leaves as it is is read once.
    Of use where a second pass of the engine is affordable. As safe with several threads as the engine is.
    """

    def __init__(self, rectifier: Rectifier, reader: Reader) -> None:
        """Args: rectifier: chooses and straightens. reader: the engine."""
        self._rectifier = rectifier
        self._reader = reader
        self.name = f"{reader.name}, second opinion"

    def read(self, image: Image) -> Reading:
        """See `Reader.read`; raises what `Rectifier` raises."""
        return read_rectified(self._rectifier, self._reader, image).kept

    def read_many(self, images: Sequence[Image]) -> list[Reading]:
        """See `BatchReader.read_many`; raises what `Rectifier` raises."""
        return [both.kept for both in _stream(self._rectifier, self._reader, images)]


def _stream(rectifier: Rectifier, reader: Reader, images: Iterable[Image]) -> Iterator[TwoReadings]:
    remaining = iter(images)
    while batch := list(islice(remaining, _BATCH)):
        yield from _read_batch(rectifier, reader, batch)


def _read_batch(rectifier: Rectifier, reader: Reader, given: list[Image]) -> list[TwoReadings]:
    images = [as_bgr(image) for image in given]
    results = rectifier(images)
    straightened = [result.image for result in results if result.applied]
    # One call for all: a reader that takes batches fills them better.
    found = read_many(reader, [*images, *straightened])
    after = iter(found[len(images) :])
    return [
        TwoReadings(raw=raw, rectified=next(after) if result.applied else raw, result=result)
        for raw, result in zip(found, results, strict=False)
    ]
