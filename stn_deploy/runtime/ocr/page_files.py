"""Photographs of pages -> the lines read in them, before and after; one bad file spoils no other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from stn_deploy.data import MAX_MEGAPIXELS, FoundImage
from stn_deploy.errors import ImageError
from stn_deploy.runtime.ocr.detector import Detector
from stn_deploy.runtime.ocr.files import load
from stn_deploy.runtime.ocr.pages import LineReading, PageReading, PlacedWord, read_page
from stn_deploy.runtime.ocr.reader import Reader, Reading
from stn_deploy.runtime.rectifier import Rectifier


@dataclass(frozen=True, kw_only=True, eq=False)
class PageFile:
    """What was read on one page.

    source: the file. page: its pixels and lines; None after an error. error: what went wrong; begins with the
    name of the file.
    """

    source: FoundImage
    page: PageReading | None = None
    error: str | None = None

    def as_line(self, *, second_opinion: bool) -> dict[str, Any]:
        """The JSON line of this page.

        Args:
            second_opinion: the more confident reading of a line counts; else the one after rectification.
        Returns:
            of a file that could not be used ``file`` and ``error``; of the others ``source_size``, height and
            width, and ``lines``, in the order in which one reads them, see `line_as_json`.
        """
        line: dict[str, Any] = {"file": self.source.relative.as_posix()}
        if self.page is None:
            return {**line, "error": self.error}
        lines = [line_as_json(each, second_opinion=second_opinion) for each in self.page.lines]
        return {**line, "source_size": list(self.page.image.shape[:2]), "lines": lines}


def line_as_json(line: LineReading, *, second_opinion: bool) -> dict[str, Any]:
    """A line of a page for JSON.

    Returns:
        ``text``, the reading that counts; ``kept``, which of both that is; ``before`` and ``after``, each
        with text, confidence and, of engines that tell them, words with their quads; ``straightened``;
        ``score``; ``box``, the polygon of the detector; ``outline``, around what was read after
        rectification. All points are pixels of the page. Of a polygon that could not be used ``box`` and
        ``error``.
    """
    if line.both is None:
        return {"box": _points_or_none(line.polygon), "error": str(line.error)}
    after = line.after_kept(second_opinion=second_opinion)
    return {
        "text": (line.both.rectified if after else line.both.raw).text,
        "kept": "after" if after else "before",
        "before": _as_json(line.both.raw, line.words_before),
        "after": _as_json(line.both.rectified, line.words_after),
        "straightened": line.straightened,
        "score": round(line.both.result.score, 4),
        "box": _points(line.polygon),
        "outline": _points(line.outline),
    }


def read_page_files(
    found: Iterable[FoundImage],
    rectifier: Rectifier,
    reader: Reader,
    *,
    detector: Detector | None = None,
    max_megapixels: float = MAX_MEGAPIXELS,
    exif: bool = False,
) -> Iterator[PageFile]:
    """Read photographs of pages one after the other; one is in memory at a time.

    Args:
        found: see `stn_deploy.data.find_images`.
        detector: finds the lines; the reader itself if None.
        max_megapixels: larger images are refused from the header alone.
        exif: turn images by their EXIF orientation first; all pixels are then those of the turned picture.
    Returns:
        an iterator over a `PageFile` for each file, in their order.
    Raises:
        ArgumentError: the reader finds no lines, and no detector is given.
    """
    for source in found:
        try:
            image = load(source, max_megapixels=max_megapixels, exif=exif)
            page = read_page(image, rectifier, reader, detector=detector)
        except ImageError as error:
            message = str(error).removeprefix(f"{source.path.name}: ")
            yield PageFile(source=source, error=f"{source.relative.as_posix()}: {message}")
            continue
        yield PageFile(source=source, page=page)


def _as_json(reading: Reading, words: tuple[PlacedWord, ...]) -> dict[str, Any]:
    shown: dict[str, Any] = {"text": reading.text, "confidence": round(reading.confidence, 4)}
    if words:
        shown["words"] = [
            {"text": word.text, "confidence": round(word.confidence, 4), "quad": _points(word.quad)}
            for word in words
        ]
    return shown


def _points(points: ArrayLike) -> list[Any]:
    return list(np.round(np.asarray(points, float), 1).tolist())


def _points_or_none(points: ArrayLike) -> list[Any] | None:
    """None for what holds no finite points: JSON knows no NaN."""
    try:
        array = np.asarray(points, float)
    except (TypeError, ValueError):
        return None
    return _points(array) if array.ndim == 2 and np.isfinite(array).all() else None
