"""Whole pages: each line is read as pipelines cut it today, and straightened from the page's own pixels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stn_deploy.geometry.convention import FloatArray
from stn_deploy.runtime.batches import batches, or_raised
from stn_deploy.runtime.inputs import Failure, Picture
from stn_deploy.runtime.ocr.detector import (
    Detector,
    FacingDetector,
    ShrinkingDetector,
    as_detector,
    reading_order,
    turned_round,
)
from stn_deploy.runtime.ocr.page_crops import cut_plain
from stn_deploy.runtime.ocr.reader import Reader, Reading, Word, WordReader, read_many
from stn_deploy.runtime.ocr.second_opinion import TwoReadings
from stn_deploy.runtime.rectifier import Rectifier
from stn_deploy.runtime.result import Rectified

Points = NDArray[np.float64]

_LINES = 32
"""So many lines have their crops in memory at a time."""
_ALONG_EDGE = 16


class PlacedWord(NamedTuple):
    """A word of a line. quad: (4, 2), clockwise from the word's own top left, pixels of the page."""

    text: str
    confidence: float
    quad: Points


@dataclass(frozen=True, kw_only=True, eq=False)
class LineReading:
    """One line of a page.

    polygon: as it was detected, (2m, 2), pixels of the page; as it was given where it is none. plain: the
    same, from where the pipeline of today takes the text to begin: it may turn a bent line round by mistake.
    both: the readings, ``raw`` of the crop that the pipeline cuts today, ``rectified`` of the straightened
    one; None after an error. straightened: whether there is a second crop, and was a second reading.
    words_before, words_after: where the engine tells words. error: what is wrong with the polygon.
    """

    polygon: ArrayLike
    plain: Points | None = None
    both: TwoReadings | None = None
    straightened: bool = False
    words_before: tuple[PlacedWord, ...] = ()
    words_after: tuple[PlacedWord, ...] = ()
    error: Failure | None = None

    @property
    def outline(self) -> Points:
        """What was read, around its border: of a straightened line curved as the text is.

        Returns:
            (2m, 2), m points along the top edge of the text, then m back along its bottom edge; pixels of the
            page. The polygon itself where the line was left alone, (0, 2) after an error.
        """
        if self.both is None:
            return np.zeros((0, 2))
        if not self.straightened:
            return np.asarray(self.polygon, np.float64)
        result = self.both.result
        height, width = result.image.shape[:2]
        along = np.linspace(0, width, _ALONG_EDGE)
        top, bottom = (np.stack([along, np.full(_ALONG_EDGE, y)], axis=1) for y in (0.0, height))
        return np.asarray(result.to_source(np.concatenate([top, bottom[::-1]])), np.float64)

    def after_kept(self, *, second_opinion: bool) -> bool:
        """Whether the reading after rectification counts: always where there is one, or if it is surer."""
        if self.both is None:
            return False
        return self.both.straightened_kept if second_opinion else self.straightened


@dataclass(frozen=True, kw_only=True, eq=False)
class PageReading:
    """A page. image: (H, W, 3) uint8 BGR. lines: their order is that of `read_page` or `read_regions`."""

    image: NDArray[np.uint8]
    lines: list[LineReading]


def read_page(
    page: Picture, rectifier: Rectifier, reader: Reader, *, detector: Detector | None = None
) -> PageReading:
    """Find the lines of a page and read each one, before and after rectification.

    Args:
        page: as for `Rectifier`.
        rectifier: straightens each line from the pixels of the page.
        reader: reads crops of lines; any function, as a `CallableReader`.
        detector: finds the lines; the reader itself if None. A detector of your own has a ``name`` and a
            method ``detect``; polygons that are known go to `read_regions`.
    Returns:
        the lines in the order in which one reads them; what is wrong with one is an error in its place.
    Raises:
        ArgumentError: no detector is given, and the reader is none.
        ImageError: the page cannot be used.
    """
    finder = as_detector(reader if detector is None else detector)
    image = _pixels(page, rectifier)
    polygons = list(finder.detect(image))
    shrunk = finder.shrunk(image) if polygons and isinstance(finder, ShrinkingDetector) else None
    facing = finder if isinstance(finder, FacingDetector) else None
    lines = list(_read_lines(image, polygons, rectifier, reader, shrunk, facing))
    sound = [index for index, line in enumerate(lines) if line.both is not None]
    order = [sound[index] for index in reading_order([np.asarray(lines[at].polygon) for at in sound])]
    broken = [index for index, line in enumerate(lines) if line.both is None]
    return PageReading(image=image, lines=[lines[index] for index in [*order, *broken]])


def read_regions(
    page: Picture, polygons: Iterable[ArrayLike], rectifier: Rectifier, reader: Reader
) -> PageReading:
    """Read the lines of a page that are known, before and after rectification.

    Args:
        page, rectifier, reader: as for `read_page`.
        polygons: as for `Rectifier.regions`; `along_text` brings quads that begin at the page's top left
            into that order.
    Returns:
        a line for each polygon, in their order; of one that cannot be used the error.
    Raises:
        ImageError: the page cannot be used.
    """
    image = _pixels(page, rectifier)
    return PageReading(image=image, lines=list(_read_lines(image, list(polygons), rectifier, reader)))


def _pixels(page: Picture, rectifier: Rectifier) -> NDArray[np.uint8]:
    (loaded,) = or_raised(next(batches([page], rectifier.reader, alone=True)))
    return loaded.pixels


def _read_lines(
    page: NDArray[np.uint8],
    polygons: Sequence[ArrayLike],
    rectifier: Rectifier,
    reader: Reader,
    shrunk: NDArray[np.uint8] | None = None,
    facing: FacingDetector | None = None,
) -> Iterator[LineReading]:
    for start in range(0, len(polygons), _LINES):
        some = polygons[start : start + _LINES]
        results = rectifier.regions(page, some, errors="keep")
        found = [_Found(polygon, polygon, result) for polygon, result in zip(some, results, strict=True)]
        if facing is not None:
            found = [_faced(page, each, rectifier, shrunk, facing) for each in found]
        yield from _read_some(page, found, rectifier.threshold, reader, shrunk)


class _Found(NamedTuple):
    """A polygon as the pipeline cuts it, the same as it is straightened, and what became of it."""

    plain: ArrayLike
    polygon: ArrayLike
    result: Rectified | Failure


def _faced(
    page: NDArray[np.uint8],
    found: _Found,
    rectifier: Rectifier,
    shrunk: NDArray[np.uint8] | None,
    facing: FacingDetector,
) -> _Found:
    """A line turned round where it stands on its head: for the pipeline of today, and once straightened.

    What counts of a bent line is its straightened crop, for engines learnt to judge by straight ones.
    """
    polygon, result = found.polygon, found.result
    if not isinstance(result, Rectified):
        return found
    other = turned_round(polygon)
    turned = facing.is_turned(cut_plain(page, polygon, shrunk=shrunk).image)
    straightened = _is_straightened(polygon, result, rectifier.threshold)
    upside_down = facing.is_turned(result.image) if straightened else turned
    if upside_down:
        (again,) = rectifier.regions(page, [other], errors="keep")
        return _Found(other if turned else polygon, other, again)
    return _Found(other if turned else polygon, polygon, result)


def _read_some(
    page: NDArray[np.uint8],
    found: list[_Found],
    threshold: float,
    reader: Reader,
    shrunk: NDArray[np.uint8] | None,
) -> Iterator[LineReading]:
    sound = [(each, each.result) for each in found if isinstance(each.result, Rectified)]
    before = [cut_plain(page, each.plain, shrunk=shrunk) for each, _ in sound]
    after = [result if _is_straightened(each.polygon, result, threshold) else None for each, result in sound]
    straight = [result for result in after if result is not None]
    crops: list[_Crop] = [*before, *straight]
    readings = _readings(reader, crops)
    raw, rectified = iter(readings[: len(before)]), iter(readings[len(before) :])
    straightened = iter(after)
    for plain, polygon, result in found:
        if not isinstance(result, Rectified):
            yield LineReading(polygon=polygon, error=result)
            continue
        first = next(raw)
        applied = next(straightened) is not None
        second = next(rectified) if applied else first
        yield LineReading(
            polygon=np.asarray(polygon, np.float64),
            plain=np.asarray(plain, np.float64),
            both=TwoReadings(raw=first[0], rectified=second[0], result=result),
            straightened=applied,
            words_before=first[1],
            words_after=second[1],
        )


def _is_straightened(polygon: ArrayLike, result: Rectified, threshold: float) -> bool:
    """Whether the region is more than what the pipeline's own crop shows.

    That crop undoes the turn and the perspective of a quad already; where the network sees nothing else to
    mend, it stays.
    """
    return result.applied and (result.score >= threshold or len(np.asarray(polygon)) > 4)


class _Crop(Protocol):
    """A plain or a straightened crop."""

    @property
    def image(self) -> NDArray[np.uint8]: ...

    def to_source(self, points: ArrayLike) -> FloatArray: ...


def _readings(reader: Reader, crops: Sequence[_Crop]) -> list[tuple[Reading, tuple[PlacedWord, ...]]]:
    """The reading of each crop, and its words on the page."""
    if not isinstance(reader, WordReader):
        return [(reading, ()) for reading in read_many(reader, [crop.image for crop in crops])]
    found = []
    for crop in crops:
        reading, words = reader.read_words(crop.image)
        found.append((reading, tuple(_placed(word, crop) for word in words)))
    return found


def _placed(word: Word, crop: _Crop) -> PlacedWord:
    left, top, right, bottom = word.box
    quad = crop.to_source(np.array([[left, top], [right, top], [right, bottom], [left, bottom]]))
    return PlacedWord(word.text, word.confidence, np.asarray(quad, np.float64))
