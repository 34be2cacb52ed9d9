"""Image files -> straightened files, one JSON line each; one bad file never spoils the others."""

from __future__ import annotations

import errno
import json
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import cv2
import numpy as np
from numpy.typing import NDArray

from stn_deploy.data import (
    MAX_MEGAPIXELS,
    FoundImage,
    decode_image,
    find_images,
    read_image_file,
    write_whole,
)
from stn_deploy.errors import ArgumentError, ImageError, OutputError
from stn_deploy.geometry import pixels_from_normalised
from stn_deploy.runtime.rectifier import Rectifier
from stn_deploy.runtime.result import Rectified

LINES = "rectified.jsonl"
SHEET = "sheet.png"
_LOSSLESS = ".png"
_WRITABLE = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff"})


@dataclass(frozen=True, kw_only=True)
class FileResult:
    """What became of one file.

    source: the input. output: the file written under the output folder, None after an error.
    original: the decoded input, (h, w, 3) uint8; None after an error.
    result: the rectifier's, with ``image`` holding the crop; None after an error. error: what went wrong.
    milliseconds: of rectification, decoding and writing not counted.
    """

    source: FoundImage
    output: Path | None = None
    original: NDArray[np.uint8] | None = None
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
    converted = _converted_names(found)
    _prepare(found, converted, output)
    failures = 0
    temporary = output / f".{LINES}.part"
    try:
        with temporary.open("w", encoding="utf-8") as lines:
            try:
                for result in _results(found, converted, rectifier, output, max_megapixels):
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


def other_images(output: Path, listed: Collection[str], *, inputs: Sequence[FoundImage] = ()) -> int:
    """How many images an output folder holds that are neither results nor inputs: those of earlier runs.

    Args:
        listed: the outputs that ``rectified.jsonl`` names. inputs: may lie under the folder as well.
    """
    try:
        found = find_images([output])
    except ArgumentError:  # none at all, or a folder that cannot be read
        return 0
    given, known = {image.path.resolve() for image in inputs}, {*listed, SHEET}
    others = [image for image in found if image.relative.as_posix() not in known]
    return sum(image.path.resolve() not in given for image in others)


def _prepare(found: Sequence[FoundImage], converted: Sequence[Path], output: Path) -> None:
    """Make the folder, and refuse to write over the inputs."""
    inputs = {image.path.resolve(): image.path for image in found}
    for name in (*(image.relative for image in found), *converted, Path(LINES)):
        victim = inputs.get((output / name).resolve())
        if victim is not None:
            raise OutputError(
                f"{output}: would write over its own input {victim}; name another output folder"
            )
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _output_error(output, error) from error


def _write_line(lines: TextIO, result: FileResult) -> None:
    lines.write(json.dumps(result.as_line(), ensure_ascii=False) + "\n")


def _results(
    found: Sequence[FoundImage],
    converted: Sequence[Path],
    rectifier: Rectifier,
    output: Path,
    max_megapixels: float,
) -> Iterator[FileResult]:
    for source, name in zip(found, converted, strict=True):
        try:
            given = read_image_file(source.path)
            image = decode_image(given, max_megapixels=max_megapixels, name=source.path.name)
            started = time.perf_counter()
            result = rectifier(image)
        except ImageError as error:
            message = str(error)
            if not message.startswith(source.path.name):
                message = f"{source.path.name}: {message}"
            yield FileResult(source=source, error=message)
            continue
        milliseconds = (time.perf_counter() - started) * 1e3
        written = name if result.applied else source.relative
        try:
            write_whole(output / written, _encoded(result, written) if result.applied else given)
        except OSError as error:
            raise _output_error(output / written, error) from error
        yield FileResult(
            source=source, output=written, original=image, result=result, milliseconds=milliseconds
        )


def _converted_names(found: Sequence[FoundImage]) -> list[Path]:
    """Where each file goes if it is straightened: its own name, or a PNG that no other file claims."""
    taken = {image.relative for image in found}
    names = []
    for image in found:
        name = image.relative
        if name.suffix.lower() not in _WRITABLE:
            name = image.relative.with_suffix(_LOSSLESS)
            if name in taken:
                name = image.relative.with_name(image.relative.name + _LOSSLESS)
            taken.add(name)
        names.append(name)
    return names


def _encoded(result: Rectified, name: Path) -> bytes:
    suffix = name.suffix.lower()
    options = [cv2.IMWRITE_JPEG_QUALITY, 95] if suffix in (".jpg", ".jpeg") else []
    good, buffer = cv2.imencode(suffix, result.image, options)
    if not good:
        raise OSError(errno.EINVAL, f"OpenCV cannot encode {suffix}")
    return buffer.tobytes()


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
