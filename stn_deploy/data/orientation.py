"""How a camera was held: the EXIF orientation of an image file, and pixels turned as it says."""

from __future__ import annotations

import struct
from struct import unpack_from

import cv2
import numpy as np
from numpy.typing import NDArray

from stn_deploy.data.header import jpeg_segments

_EXIF = b"Exif\x00\x00"
_APP1 = 0xE1
_ORIENTATION, _SHORT = 274, 3


def exif_orientation(data: bytes) -> int:
    """EXIF orientation of a JPEG, PNG or WebP file.

    Args:
        data: the whole file, complete or not.
    Returns:
        1 to 8; 1 where the file says nothing that can be read, and for TIFF, which OpenCV turns itself.
    Source: Exif 2.32, section 4.6.4, tag 274.
    """
    try:
        found = _orientation_of(_exif_block(data))
    except (struct.error, IndexError):
        return 1
    return found if 1 <= found <= 8 else 1


def turned_upright(image: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Pixels as a viewer shows them.

    Args:
        image: (h, w, 3). orientation: 1 to 8; from 5 on height and width change places.
    Returns:
        (h, w, 3) or (w, h, 3); the very array for orientation 1.
    """
    if orientation >= 5:
        image = np.asarray(cv2.transpose(image), np.uint8)
    if orientation in _FLIPS:
        image = np.asarray(cv2.flip(image, _FLIPS[orientation]), np.uint8)
    return image


_FLIPS = {2: 1, 3: -1, 4: 0, 6: 1, 7: -1, 8: 0}
"""What cv2.flip is told, after the transposition: 1 swaps left and right, 0 top and bottom, -1 both."""


def _exif_block(data: bytes) -> bytes:
    """The TIFF structure that holds the tags; empty where there is none."""
    if data[:2] == b"\xff\xd8":
        for marker, start, end in jpeg_segments(data):
            if marker == _APP1 and data.startswith(_EXIF, start):
                return data[start + len(_EXIF) : end]
    elif data[:8] == b"\x89PNG\r\n\x1a\n":
        return _chunk(data, 8, b"eXIf", ">I4s", extra=4)
    elif data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return _chunk(data, 12, b"EXIF", "<4sI", extra=0).removeprefix(_EXIF)
    return b""


def _chunk(data: bytes, at: int, kind: bytes, head: str, *, extra: int) -> bytes:
    """Content of the first chunk of a kind. ``extra``: bytes after the content, a checksum."""
    while at + 8 <= len(data):
        fields = unpack_from(head, data, at)
        length, name = fields if isinstance(fields[0], int) else fields[::-1]
        if name == kind:
            return data[at + 8 : at + 8 + length]
        at += 8 + length + extra
        if not extra:
            at += length % 2  # RIFF pads to whole words
    return b""


def _orientation_of(block: bytes) -> int:
    order = {b"II": "<", b"MM": ">"}.get(block[:2])
    if order is None:
        return 1
    (directory,) = unpack_from(order + "I", block, 4)
    (entries,) = unpack_from(order + "H", block, directory)
    for at in range(directory + 2, directory + 2 + 12 * entries, 12):
        tag, kind = unpack_from(order + "HH", block, at)
        if tag == _ORIENTATION and kind == _SHORT:
            return int(unpack_from(order + "H", block, at + 8)[0])
    return 1
