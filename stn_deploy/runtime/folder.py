"""Image files -> straightened files, one JSON line each; one bad file never spoils the others."""

from __future__ import annotations

import errno
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import cv2
import numpy as np

from stn_deploy.data import MAX_MEGAPIXELS, FoundImage, read_image
from stn_deploy.errors import ImageError, OutputError
from stn_deploy.geometry import pixels_from_normalised
from stn_deploy.runtime.rectifier import Rectifier
from stn_deploy.runtime.result import Rectified

LINES = "rectified.jsonl"
_LOSSLESS = ".png"
_WRITABLE = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff"})


@dataclass(frozen=True, kw_only=True)
class FileResult:
    """What became of one file.

    source: the input. output: the file written under the output folder, None after an error.
    result: the rectifier's, with ``image`` holding the crop; None after an error. error: what went wrong.
    milliseconds: of rectification, decoding and writing not counted.
    """

    source: FoundImage
    output: Path | None = None
    result: Rectified | None = None
    milliseconds: float = 0.0
    error: str | None = None

    def as_line(self) -> dict[str, Any]:
        """The JSON line of this file. control_points: of the crop's edges, in pixels of the original."""
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
        }


def rectify_files(
    found: Sequence[FoundImage],
    rectifier: Rectifier,
    output: Path,
    *,
    max_megapixels: float = MAX_MEGAPIXELS,
    done: Callable[[FileResult], None] = lambda _: None,
) -> int:
    """Straighten files into a folder, under the same relative names and in the same formats.

    A file that needs no straightening is copied byte for byte. Formats that OpenCV does not write become PNG.
    Besides the images the folder receives ``rectified.jsonl``.

    Args:
        found: see `stn_deploy.data.find_images`.
        output: made if absent. Files in it are replaced, never the inputs.
        max_megapixels: larger images are refused.
        done: called with each result, in order.
    Returns:
        number of files that could not be straightened; each has its line with the error.
    Raises:
        OutputError: the folder cannot be written; what was finished stays, with its lines.
    """
    _prepare(found, output)
    failures = 0
    temporary = output / f".{LINES}.part"
    try:
        with temporary.open("w", encoding="utf-8") as lines:
            try:
                for result in _results(found, rectifier, output, max_megapixels):
                    failures += result.error is not None
                    _write_line(lines, result)
                    done(result)
            finally:
                lines.flush()
    except OSError as error:
        raise _output_error(output, error) from error
    finally:
        # Also after a failure: the lines tell which files are there.
        if temporary.exists():
            temporary.replace(output / LINES)
    return failures


def _prepare(found: Sequence[FoundImage], output: Path) -> None:
    """Make the folder, and refuse to write over the inputs."""
    for image in found:
        if (output / image.relative).resolve() == image.path.resolve():
            raise OutputError(
                f"{output}: would write over its own input {image.path}; name another output folder"
            )
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _output_error(output, error) from error


def _write_line(lines: TextIO, result: FileResult) -> None:
    lines.write(json.dumps(result.as_line(), ensure_ascii=False) + "\n")


def _results(
    found: Sequence[FoundImage], rectifier: Rectifier, output: Path, max_megapixels: float
) -> Iterator[FileResult]:
    names = {image.relative for image in found}
    for source in found:
        try:
            image = read_image(source.path, max_megapixels=max_megapixels)
        except ImageError as error:
            yield FileResult(source=source, error=str(error))
            continue
        started = time.perf_counter()
        result = rectifier(image)
        milliseconds = (time.perf_counter() - started) * 1e3
        try:
            written = _write(source, result, output, names)
        except OSError as error:
            raise _output_error(output / source.relative, error) from error
        yield FileResult(source=source, output=written, result=result, milliseconds=milliseconds)


def _write(source: FoundImage, result: Rectified, output: Path, names: set[Path]) -> Path:
    """Write one file completely or not at all; its path under the output folder."""
    relative = source.relative
    if not result.applied:
        data = source.path.read_bytes()
    else:
        if relative.suffix.lower() not in _WRITABLE:
            renamed = relative.with_suffix(_LOSSLESS)
            relative = renamed if renamed not in names else relative.with_name(relative.name + _LOSSLESS)
        options = [cv2.IMWRITE_JPEG_QUALITY, 95] if relative.suffix.lower() in (".jpg", ".jpeg") else []
        encoded, buffer = cv2.imencode(relative.suffix.lower(), result.image, options)
        if not encoded:
            raise OSError(errno.EINVAL, f"OpenCV cannot encode {relative.suffix}")
        data = buffer.tobytes()
    path = output / relative
    temporary = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(data)
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    return relative


def _output_error(path: Path, error: OSError) -> OutputError:
    fixes = {
        errno.ENOSPC: "free some space, or name a folder on another disk",
        errno.EROFS: "name a folder that can be written",
        errno.EACCES: "name a folder that you may write",
        errno.ENOTDIR: "a part of the path is a file; name a folder",
        errno.EEXIST: "there is a file of that name; name a folder",
    }
    fix = fixes.get(error.errno or 0, "name another output folder")
    return OutputError(f"{path}: cannot be written ({error.strerror or error}); {fix}")
