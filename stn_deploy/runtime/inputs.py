"""What users hand in as an image, and the pixels in it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Protocol, TypeAlias, Union, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from stn_deploy.data import MAX_MEGAPIXELS, as_bgr, decode_image, read_image_file
from stn_deploy.data.images import MIN_SIDE
from stn_deploy.errors import ArgumentError, ImageError


@runtime_checkable
class Readable(Protocol):
    """A file object, opened for bytes."""

    def read(self) -> bytes:
        """All that is left in it."""


Picture: TypeAlias = Union[
    NDArray[np.uint8], NDArray[np.uint16], str, "os.PathLike[str]", bytes, bytearray, memoryview, Readable
]
"""An array (h, w, 3) BGR, (h, w) grey or (h, w, 4) BGRA of uint8 or uint16; a path; an encoded file as bytes
or as an open file object."""
Failure: TypeAlias = ImageError | ArgumentError
"""What is wrong with one image or one polygon."""
FAILURES = (ImageError, ArgumentError)
_ENCODED = (str, os.PathLike, bytes, bytearray, memoryview)


def is_picture(value: object) -> bool:
    """Whether a value stands for one image, rather than for a list or an iterator of them."""
    return isinstance(value, (np.ndarray, *_ENCODED, Readable))


class PictureReader:
    """Brings every kind of `Picture` to pixels.

    Attributes:
        exif: whether files are turned by their EXIF orientation.
    """

    def __init__(self, *, exif: bool = False, max_megapixels: float = MAX_MEGAPIXELS) -> None:
        """Make a reader.

        Args:
            exif: turn files by their EXIF orientation. Arrays have none.
            max_megapixels: files that decode to more are refused from their header. Arrays are not.
        Raises:
            ArgumentError: a limit that is not above 0, or ``exif`` is no bool.
        """
        limit: object = max_megapixels
        known = isinstance(limit, (int, float, np.number)) and not isinstance(limit, bool)
        if not known or not max_megapixels > 0:
            raise ArgumentError(f"max_megapixels: expected a number above 0, got {max_megapixels!r}")
        if not isinstance(exif, bool):
            raise ArgumentError(f"exif: expected True or False, got {exif!r}")
        self.exif = exif
        self._limit = float(max_megapixels)

    def read(self, picture: Picture, name: str = "image") -> tuple[NDArray[Any], NDArray[np.uint8]]:
        """Pixels of one image.

        Args:
            picture: see `Picture`. name: what messages call it; the name of a file is added.
        Returns:
            the array that was given, or the decoded one; and the same as (h, w, 3) uint8 BGR.
        Raises:
            ImageError: it cannot be read or decoded, is too large, or has a side under 2 pixels.
            ShapeError, ArgumentError: an array that is no image, or no `Picture` at all.
        """
        if isinstance(picture, np.ndarray):
            try:
                pixels = as_bgr(picture)
            except ArgumentError as error:
                raise type(error)(f"{name}: {str(error).removeprefix('image: ')}") from None
            height, width = pixels.shape[:2]
            if height < MIN_SIDE or width < MIN_SIDE:
                raise ImageError(f"{name}: expected at least 2 x 2 pixels, got {height} x {width}")
            return picture, pixels
        data, name = _encoded(picture, name)
        pixels = decode_image(data, max_megapixels=self._limit, name=name, exif=self.exif)
        return pixels, pixels


def _encoded(picture: object, name: str) -> tuple[bytes, str]:
    """The bytes of an encoded file, and what messages call it."""
    if isinstance(picture, bytes):
        return picture, name
    if isinstance(picture, (bytearray, memoryview)):
        return bytes(picture), name
    if isinstance(picture, (str, os.PathLike)):
        path = _path(picture, name)
        name = path.name if name == "image" else f"{name} ({path.name})"
        return read_image_file(path, name=name), name
    if not isinstance(picture, Readable):
        hint = "; cv2.imread returns None for a file that it cannot read" if picture is None else ""
        raise ArgumentError(
            f"{name}: expected a NumPy array, a path, bytes or a file object, "
            f"got {type(picture).__name__}{hint}"
        )
    try:
        data: object = picture.read()
    except (OSError, ValueError) as error:  # ValueError: it is closed, or text that is no UTF-8
        raise ImageError(f"{name}: the file object cannot be read: {error}") from None
    if not isinstance(data, bytes):
        raise ArgumentError(
            f"{name}: expected a file object that reads bytes, got one that reads {type(data).__name__}; "
            "open it with mode 'rb'"
        )
    return data, name


def _path(picture: str | os.PathLike[str], name: str) -> Path:
    try:
        return Path(picture)
    except TypeError:  # a PathLike of bytes
        raise ArgumentError(f"{name}: expected a path of text, got {picture!r}") from None


def without_frames(error: Failure) -> Failure:
    """An error to keep: its traceback would keep the bytes and pixels that it saw in memory."""
    error.__context__ = error.__cause__ = None
    return error.with_traceback(None)
