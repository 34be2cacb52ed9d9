"""Image files -> what is read in them, raw and straightened; one bad file never spoils the others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stn_deploy.data import MAX_MEGAPIXELS, FoundImage, decode_image, read_image_file
from stn_deploy.errors import ImageError
from stn_deploy.geometry import pixels_from_normalised
from stn_deploy.runtime.ocr.reader import Reader, Reading
from stn_deploy.runtime.ocr.second_opinion import TwoReadings, read_rectified
from stn_deploy.runtime.rectifier import Rectifier


@dataclass(frozen=True, kw_only=True, eq=False)
class FileReading:
    """What was read in one file.

    source: the file. original: its pixels, (h, w, 3) uint8 BGR; None after an error. both: the readings; None
    after an error. error: what went wrong; begins with the name of the file.
    """

    source: FoundImage
    original: NDArray[np.uint8] | None = None
    both: TwoReadings | None = None
    error: str | None = None

    def as_line(self, *, second_opinion: bool) -> dict[str, Any]:
        """The JSON line of this file.

        Args:
            second_opinion: the more confident reading counts; else the one after rectification.
        Returns:
            of a file that could not be used ``file`` and ``error``; of the others ``text``, the reading that
            counts, ``kept``, which of both that is, and ``control_points`` in pixels of the file.
        """
        line: dict[str, Any] = {"file": self.source.relative.as_posix()}
        if self.both is None:
            return {**line, "error": self.error}
        result = self.both.result
        after = self.both.straightened_kept if second_opinion else result.applied
        points = pixels_from_normalised(result.theta, result.source_size)
        return {
            **line,
            "text": (self.both.rectified if after else self.both.raw).text,
            "kept": "after" if after else "before",
            "before": _as_json(self.both.raw),
            "after": _as_json(self.both.rectified),
            "applied": result.applied,
            "score": round(result.score, 4),
            "source_size": list(result.source_size),
            "control_points": np.round(points.astype(float), 2).tolist(),
        }


def read_files(
    found: Iterable[FoundImage],
    rectifier: Rectifier,
    reader: Reader,
    *,
    max_megapixels: float = MAX_MEGAPIXELS,
    exif: bool = False,
) -> Iterator[FileReading]:
    """Read the text of image files, as they are and straightened, one after the other.

    A file that the rectifier leaves as it is is read once.

    Args:
        found: see `stn_deploy.data.find_images`.
        max_megapixels: larger images are refused from the header alone.
        exif: turn images by their EXIF orientation first; all pixels are then those of the turned picture.
    Returns:
        an iterator over a `FileReading` for each file, in their order.
    """
    for source in found:
        try:
            original = load(source, max_megapixels=max_megapixels, exif=exif)
            both = read_rectified(rectifier, reader, original)
        except ImageError as error:
            message = str(error).removeprefix(f"{source.path.name}: ")
            yield FileReading(source=source, error=f"{source.relative.as_posix()}: {message}")
            continue
        yield FileReading(source=source, original=original, both=both)


def load(source: FoundImage, *, max_megapixels: float, exif: bool) -> NDArray[np.uint8]:
    """Pixels of a file, (h, w, 3) BGR.

    Raises:
        ImageError: it cannot be used; begins with the name of the file.
    """
    data = read_image_file(source.path)
    return decode_image(data, max_megapixels=max_megapixels, name=source.path.name, exif=exif)


def _as_json(reading: Reading) -> dict[str, Any]:
    return {"text": reading.text, "confidence": round(reading.confidence, 4)}
