"""Image files and arrays in, uint8 BGR pixels out; and the image files that the user's inputs name.

Convention: pixels stay where the file has them. EXIF orientation is ignored unless it is asked for, so that
the coordinates of quads keep their meaning; only TIFF's own orientation tag is obeyed, since OpenCV always
does so.
"""

from __future__ import annotations

import glob
import itertools
import os
import re
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from stn_deploy.data.header import read_header
from stn_deploy.data.orientation import exif_orientation, turned_upright
from stn_deploy.errors import ArgumentError, ImageError, ShapeError

MAX_MEGAPIXELS = 50.0
MIN_SIDE = 2  # pixels
IMAGE_SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".jpe", ".bmp", ".dib", ".webp", ".gif", ".tif", ".tiff"}
    | {".pnm", ".pbm", ".pgm", ".ppm"}
)


def decode_image(
    data: bytes, *, max_megapixels: float = MAX_MEGAPIXELS, name: str = "image", exif: bool = False
) -> NDArray[np.uint8]:
    """Decode an image file of any supported format.

    Args:
        data: the whole file.
        max_megapixels: larger images are refused from the header alone, before any pixel is decoded.
        name: what error messages call the image.
        exif: turn the picture as its EXIF orientation says; otherwise pixels stay where the file has them.
    Returns:
        (height, width, 3) uint8, BGR, converted as ``as_bgr`` does; of an animation the first frame.
    Raises:
        ImageError: the data is empty, unknown, truncated, damaged, too large or too small.
        ArgumentError: ``max_megapixels`` is not above 0.
    """
    if not max_megapixels > 0:
        raise ArgumentError(f"max_megapixels: expected a number above 0, got {max_megapixels}")
    try:
        header = read_header(data)
    except ImageError as error:
        raise ImageError(f"{name}: {error}") from None
    megapixels = header.width * header.height / 1e6
    if megapixels > max_megapixels:
        raise ImageError(
            f"{name}: expected at most {max_megapixels:g} megapixels, got {megapixels:.1f} "
            f"({header.width} x {header.height}); "
            "raise max_megapixels (--max-megapixels on the command line) if it is to be trusted"
        )
    if min(header.width, header.height) < MIN_SIDE:
        raise ImageError(
            f"{name}: expected at least {MIN_SIDE} x {MIN_SIDE} pixels, "
            f"got {header.width} x {header.height}; there is no text to straighten"
        )
    if not header.complete:
        raise ImageError(f"{name}: the file is truncated; copy or download it again")
    try:
        with _quiet_opencv:
            # Unchanged also means: EXIF orientation ignored, 16 bits and alpha kept for as_bgr.
            decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        decoded = None
    if decoded is None:
        raise ImageError(
            f"{name}: the {header.format.upper()} data is damaged or of a kind OpenCV cannot read"
        )
    try:
        image = as_bgr(decoded)
    except ArgumentError as error:
        raise ImageError(f"{name}: {str(error).removeprefix('image: ')}") from None
    return turned_upright(image, exif_orientation(data)) if exif else image


def read_image(path: str | os.PathLike[str], *, max_megapixels: float = MAX_MEGAPIXELS) -> NDArray[np.uint8]:
    """Read and decode an image file.

    Args:
        path: the file.
        max_megapixels: larger images are refused from the header alone.
    Returns:
        (height, width, 3) uint8, BGR.
    Raises:
        ImageError: the file cannot be read, or ``decode_image`` refuses it; starts with the file's name.
    """
    path = Path(path)
    return decode_image(read_image_file(path), max_megapixels=max_megapixels, name=path.name)


def read_image_file(path: Path, *, name: str | None = None) -> bytes:
    """The bytes of an image file, not decoded.

    Args:
        path: the file. name: what error messages call it; the file's name by default.
    Raises:
        ImageError: the file cannot be read; starts with the name.
    """
    try:
        return path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = getattr(error, "strerror", None) or str(error)
        raise ImageError(f"{name or path.name}: the file cannot be read: {reason} ({path})") from None


def as_bgr(image: NDArray[Any]) -> NDArray[np.uint8]:
    """Bring an image array to uint8 BGR, without a copy where nothing has to change.

    Grey becomes three equal channels. 16 bits are divided by 257 and rounded. A transparent image is laid
    on white, as a viewer shows it; alpha that is zero everywhere is taken as unused and dropped.

    Args:
        image: (h, w), (h, w, 1), (h, w, 3) BGR or (h, w, 4) BGRA; uint8 or uint16.
    Returns:
        (h, w, 3) uint8.
    Raises:
        ShapeError: another shape, or an empty one.
        ArgumentError: not an array, or another dtype.
    """
    if not isinstance(image, np.ndarray):
        hint = "; cv2.imread returns None for a file that it cannot read" if image is None else ""
        raise ArgumentError(f"image: expected a NumPy array, got {type(image).__name__}{hint}")
    if image.dtype not in (np.uint8, np.uint16):
        raise ArgumentError(f"image: expected uint8 or uint16, got {image.dtype}")
    channels = 1 if image.ndim == 2 else image.shape[2] if image.ndim == 3 else 0
    if channels not in (1, 3, 4) or image.size == 0:
        raise ShapeError(f"image: expected (h, w), (h, w, 1), (h, w, 3) or (h, w, 4), got {image.shape}")
    if image.dtype == np.uint16:
        image = np.asarray(cv2.convertScaleAbs(image, alpha=1 / 257))  # 65535 -> 255; drops a last axis of 1
    if channels == 4 and image[..., 3].any() and image[..., 3].min() < 255:
        return _on_white(image)
    if channels == 3:
        return image
    to_bgr = cv2.COLOR_GRAY2BGR if channels == 1 else cv2.COLOR_BGRA2BGR
    return np.asarray(cv2.cvtColor(image, to_bgr), np.uint8)


def _on_white(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    opaque = np.empty((*image.shape[:2], 3), np.uint8)
    for top in range(0, len(image), 256):  # in bands: the 16-bit intermediates of a large image are large
        band = image[top : top + 256].astype(np.uint16)
        colours, alpha = band[..., :3], band[..., 3:]
        opaque[top : top + 256] = (colours * alpha + 255 * (255 - alpha) + 127) // 255
    return opaque


class _QuietOpenCV:
    """Silences OpenCV's log while any thread decodes, then puts the user's level back.

    What libjpeg and libpng print by themselves stays: hiding it would mean redirecting the process's stderr.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._level = 0

    def __enter__(self) -> None:
        with self._lock:
            if self._users == 0:
                self._level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
            self._users += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._users -= 1
            if self._users == 0:
                cv2.utils.logging.setLogLevel(self._level)


_quiet_opencv = _QuietOpenCV()


@dataclass(frozen=True)
class FoundImage:
    """An image file, and where it belongs under an output folder.

    Args:
        path: the file.
        relative: its path under the folder, or under the fixed part of the pattern, that it was found by;
            the bare name of a file that was named itself.
    """

    path: Path
    relative: Path


def find_images(
    inputs: Sequence[str | os.PathLike[str]], *, leave_out: str | os.PathLike[str] | None = None
) -> list[FoundImage]:
    """The image files that files, folders and glob patterns name.

    Folders are searched recursively and hidden files are skipped; there and in patterns only the names
    ending in one of ``IMAGE_SUFFIXES`` count. A file named itself is taken whatever its name.

    Args:
        inputs: files, folders, patterns such as ``scans/**/*.png``; a name that exists is not a pattern.
            The same file named again is one file: it keeps the place where it was found first.
        leave_out: a folder that is passed over where it lies inside an input folder: the results of an
            earlier run are not inputs of the next.
    Returns:
        input by input, each in natural order (``word_2`` before ``word_10``).
    Raises:
        ArgumentError: an input does not exist or holds no image, or two files share their relative path.
    """
    found: dict[Path, FoundImage] = {}
    taken: set[str] = set()
    for source in map(Path, inputs):
        images = sorted(_expand(source, leave_out), key=_natural_order)
        if not images:
            suffixes = " ".join(sorted(IMAGE_SUFFIXES))
            raise ArgumentError(f"inputs: expected images ({suffixes}), found none in {source}")
        for image in images:
            place = os.path.abspath(image.path)  # noqa: PTH100, links are files of their own
            if place in taken:
                continue
            taken.add(place)
            other = found.setdefault(image.relative, image)
            if other is not image:
                raise ArgumentError(
                    f"inputs: expected different relative paths, got {image.relative} from {other.path} "
                    f"and from {image.path}; give their common folder, or run once for each"
                )
    if not found:
        raise ArgumentError("inputs: expected files, folders or patterns, got none")
    return list(found.values())


def _expand(source: Path, leave_out: str | os.PathLike[str] | None) -> Iterator[FoundImage]:
    if source.is_dir():
        results = None if leave_out is None else Path(leave_out).resolve()
        for folder, subfolders, names in os.walk(source, onerror=_refuse_folder):
            subfolders[:] = [
                name
                for name in subfolders
                if not name.startswith(".") and Path(folder, name).resolve() != results
            ]
            paths = (Path(folder, name) for name in names if not name.startswith("."))
            yield from (
                FoundImage(path, path.relative_to(source)) for path in paths if _looks_like_image(path)
            )
    elif os.path.lexists(source):  # a broken link too: reading it says what is wrong
        yield FoundImage(source, Path(source.name))
    elif glob.has_magic(str(source)):
        fixed = itertools.takewhile(lambda part: not glob.has_magic(part), source.parts)
        base = Path(*fixed)
        matches = glob.glob(str(source), recursive=True)  # noqa: PTH207, Path.glob finds hidden files
        for path in map(Path, matches):
            if _looks_like_image(path) and not path.is_dir():
                yield FoundImage(path, path.relative_to(base))
    else:
        raise ArgumentError(f"inputs: {source}: no such file or folder")


def _looks_like_image(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES


def _refuse_folder(error: OSError) -> None:
    raise ArgumentError(f"inputs: {error.filename}: the folder cannot be read: {error.strerror}") from error


def _natural_order(image: FoundImage) -> list[list[int | str]]:
    """Sort key: numbers in names compare as numbers."""
    return [
        [int(piece) if odd % 2 else piece for odd, piece in enumerate(re.split(r"(\d+)", part))]
        for part in image.relative.parts
    ]
