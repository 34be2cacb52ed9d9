"""A few files at a time: read, straightened together, written, and entered in the journal."""

from __future__ import annotations

import errno
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from stn_deploy.data import FoundImage, decode_image, read_image_file, write_whole
from stn_deploy.errors import ImageError, OutputError
from stn_deploy.geometry import pixels_from_normalised
from stn_deploy.runtime.folder_journal import Journal, Line, input_stamp
from stn_deploy.runtime.pipeline import GROUP_PIXELS
from stn_deploy.runtime.rectifier import Rectifier
from stn_deploy.runtime.result import Rectified

GROUP = 16
"""Files that are straightened together: a run that is killed leaves so many to be done again per thread."""


@dataclass(frozen=True, kw_only=True)
class FileResult:
    """What became of one file.

    source: the input. output: the file written under the output folder, None after an error.
    original: the decoded input, (h, w, 3) uint8; None after an error.
    result: the rectifier's, with ``image`` holding the crop; None after an error. error: what went wrong.
    milliseconds: of rectification, decoding and writing not counted; the file's share of its group.
    record: what the line has for a later run. kept: the line of an earlier run, which did the file.
    """

    source: FoundImage
    output: Path | None = None
    original: NDArray[np.uint8] | None = None
    result: Rectified | None = None
    milliseconds: float = 0.0
    error: str | None = None
    record: Line = field(default_factory=dict)
    kept: Line | None = None

    def as_line(self) -> Line:
        """The JSON line of this file. control_points: of the crop's edges, in pixels of the original."""
        if self.kept is not None:
            return dict(self.kept)
        if self.result is None or self.output is None:
            return {"file": self.source.relative.as_posix(), "error": self.error}
        height, width = self.result.image.shape[:2]
        points = pixels_from_normalised(self.result.theta, self.result.source_size)
        return {
            "file": self.source.relative.as_posix(),
            "output": self.output.as_posix(),
            "applied": self.result.applied,
            "score": round(self.result.score, 4),
            "size": [height, width],
            "source_size": list(self.result.source_size),
            "control_points": np.round(points.astype(float), 2).tolist(),
            "milliseconds": round(self.milliseconds, 3),
            **self.record,
        }


@dataclass(frozen=True, slots=True)
class Task:
    """One file to do. place: among the inputs. converted: its name if it is straightened."""

    place: int
    source: FoundImage
    converted: Path


@dataclass(frozen=True, slots=True)
class _Read:
    task: Task
    stamp: Line
    data: bytes
    pixels: NDArray[np.uint8]


class GroupStraightener:
    """Does a group of files in whichever thread it is called; nothing of it waits for another group."""

    def __init__(
        self, rectifier: Rectifier, output: Path, journal: Journal, *, settings: str, max_megapixels: float
    ) -> None:
        """Args: see `stn_deploy.runtime.folder.rectify_files`; settings: what the lines say of them."""
        self._rectifier = rectifier
        self._output = output
        self._journal = journal
        self._settings = settings
        self._max_megapixels = max_megapixels

    def __call__(self, group: Sequence[Task]) -> list[FileResult]:
        """Results of the first few files, at least one: as many as memory should hold at a time.

        Raises:
            OutputError: one cannot be written; those before it are there, with their lines.
        """
        found, room = list[_Read | FileResult](), GROUP_PIXELS
        for task in group:
            found.append(self._read(task))
            if isinstance(found[-1], _Read):
                room -= found[-1].pixels.size // 3
            if room <= 0:
                break
        images = [each.pixels for each in found if isinstance(each, _Read)]
        outcomes = iter(self._rectifier(images, errors="keep", timings=True))
        results, lines = list[FileResult](), dict[int, Line]()
        try:
            for task, each in zip(group, found, strict=False):
                result = self._written(each, next(outcomes)) if isinstance(each, _Read) else each
                results.append(result)
                lines[task.place] = result.as_line()
        finally:
            self._enter(lines)
        return results

    def _enter(self, lines: dict[int, Line]) -> None:
        try:
            self._journal.add(lines)
        except OSError as error:
            raise output_error(self._output, error) from error

    def _read(self, task: Task) -> _Read | FileResult:
        path = task.source.path
        try:
            stamp = input_stamp(path)  # before it is read: a change in between is noticed by a later run
        except (OSError, ValueError):  # reading it says what is wrong
            stamp = {}
        try:
            data = read_image_file(path)
            limit, exif = self._max_megapixels, self._rectifier.reader.exif
            return _Read(
                task, stamp, data, decode_image(data, max_megapixels=limit, name=path.name, exif=exif)
            )
        except ImageError as error:
            return FileResult(source=task.source, error=str(error))

    def _written(self, read: _Read, outcome: Any) -> FileResult:
        source = read.task.source
        if not isinstance(outcome, Rectified):
            message = re.sub(r"^image \d+: ", "", str(outcome))
            return FileResult(source=source, error=f"{source.path.name}: {message}")
        name = read.task.converted if outcome.applied else source.relative
        try:
            data = _encoded(outcome, name) if outcome.applied else read.data
            write_whole(self._output / name, data)
        except OSError as error:
            raise output_error(self._output / name, error) from error
        taken = outcome.timings
        return FileResult(
            source=source,
            output=name,
            original=read.pixels,
            result=outcome,
            milliseconds=taken.localise + taken.sample if taken else 0.0,
            record={"bytes": len(data), **read.stamp, "settings": self._settings},
        )


def _encoded(result: Rectified, name: Path) -> bytes:
    suffix = name.suffix.lower()
    options = [cv2.IMWRITE_JPEG_QUALITY, 95] if suffix in (".jpg", ".jpeg") else []
    good, buffer = cv2.imencode(suffix, result.image, options)
    if not good:
        raise OSError(errno.EINVAL, f"OpenCV cannot encode {suffix}")
    return buffer.tobytes()


def output_error(path: Path, error: OSError) -> OutputError:
    """What the user is told about a path that cannot be written."""
    fixes = {
        errno.ENOSPC: "free some space, or name a folder on another disk",
        errno.EROFS: "name a folder that can be written",
        errno.EACCES: "name a folder that you may write",
        errno.ENOTDIR: "a part of the path is a file; name a folder",
        errno.EEXIST: "there is a file of that name; name a folder",
    }
    fix = fixes.get(error.errno or 0, "name another output folder")
    return OutputError(f"{path}: cannot be written ({error.strerror or error}); {fix}")
