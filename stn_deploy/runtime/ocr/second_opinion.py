"""Crops read as they are and straightened; of the two readings the more confident one may count."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import cast, overload

from stn_deploy.errors import ArgumentError
from stn_deploy.runtime.batches import Loaded, batches, or_raised
from stn_deploy.runtime.inputs import Picture, is_picture
from stn_deploy.runtime.ocr.reader import Reader, Reading, is_surer, read_many
from stn_deploy.runtime.rectifier import Rectifier
from stn_deploy.runtime.result import Rectified


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
        return is_surer(self.rectified.confidence, self.raw.confidence)

    @property
    def kept(self) -> Reading:
        """The more confident of both readings; the raw one where they are equally sure."""
        return self.rectified if self.straightened_kept else self.raw


@overload
def read_rectified(rectifier: Rectifier, reader: Reader, images: Picture) -> TwoReadings: ...  # type: ignore[overload-overlap]
@overload
def read_rectified(rectifier: Rectifier, reader: Reader, images: Sequence[Picture]) -> list[TwoReadings]: ...
@overload
def read_rectified(
    rectifier: Rectifier, reader: Reader, images: Iterator[Picture]
) -> Iterator[TwoReadings]: ...


def read_rectified(
    rectifier: Rectifier, reader: Reader, images: Picture | Sequence[Picture] | Iterator[Picture]
) -> TwoReadings | list[TwoReadings] | Iterator[TwoReadings]:
    """Read one crop, a list, or an iterator, raw and straightened.

    An iterator is read lazily, in its order, with up to 64 crops in memory at a time, fewer large ones.

    A crop that the rectifier leaves as it is is read once.

    Args:
        images: all that `Rectifier` takes, mixed at will: arrays, paths, bytes and file objects. Files are
            read with the rectifier's settings.
    Returns:
        a `TwoReadings`, a list of them, or an iterator over them.
    Raises:
        ImageError, ShapeError, ArgumentError: what `Rectifier` refuses.
    """
    if is_picture(images):
        return next(_stream(rectifier, reader, [cast(Picture, images)], alone=True))
    if not isinstance(images, (Sequence, Iterator)):
        raise ArgumentError(
            "images: expected an array, a path, bytes or a file object, a list or an iterator of them, got "
            f"{type(images).__name__}"
        )
    every = _stream(rectifier, reader, cast(Iterable[Picture], images))
    return list(every) if isinstance(images, Sequence) else every


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

    def read(self, image: Picture) -> Reading:
        """See `Reader.read`; raises what `Rectifier` raises."""
        return read_rectified(self._rectifier, self._reader, image).kept

    def read_many(self, images: Sequence[Picture]) -> list[Reading]:
        """See `BatchReader.read_many`; raises what `Rectifier` raises."""
        return [both.kept for both in _stream(self._rectifier, self._reader, images)]


def _stream(
    rectifier: Rectifier, reader: Reader, images: Iterable[Picture], *, alone: bool = False
) -> Iterator[TwoReadings]:
    """One by one; of an iterator, what came before a bad image is read before that is raised."""
    at_once = isinstance(images, Sequence)
    for batch in batches(images, rectifier.reader, alone=alone):
        loaded: list[Loaded] = []
        for each in batch:
            if not isinstance(each, Loaded):
                break
            loaded.append(each)
        if len(loaded) == len(batch) or not at_once:
            yield from _read_batch(rectifier, reader, loaded)
        list(or_raised(batch))


def _read_batch(rectifier: Rectifier, reader: Reader, loaded: list[Loaded]) -> list[TwoReadings]:
    images = [each.pixels for each in loaded]
    results = rectifier(images)
    straightened = [result.image for result in results if result.applied]
    # One call for all: a reader that takes batches fills them better.
    found = read_many(reader, [*images, *straightened])
    after = iter(found[len(images) :])
    return [
        TwoReadings(raw=raw, rectified=next(after) if result.applied else raw, result=result)
        for raw, result in zip(found, results, strict=False)
    ]
