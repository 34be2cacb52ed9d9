"""Format, size and completeness of an image file, read without decoding a pixel."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from struct import unpack_from

import numpy as np
from numpy.typing import NDArray

from stn_deploy.errors import ImageError


@dataclass(frozen=True)
class ImageHeader:
    """What the first bytes of an image file promise, and whether the rest is there.

    Args:
        format: "png", "jpeg", "bmp", "webp", "gif", "tiff" or "pnm".
        width: pixels, as OpenCV decodes the file without looking at EXIF.
        height: pixels, likewise.
        complete: the data reaches the end of the picture; False for a truncated file.
    """

    format: str
    width: int
    height: int
    complete: bool


def read_header(data: bytes) -> ImageHeader:
    """Read the header of an image file.

    Args:
        data: the whole file.
    Returns:
        its format, its size in pixels, and whether it is complete.
    Raises:
        ImageError: the data is empty, of an unknown format, or its header is cut off or damaged.
    """
    if not data:
        raise ImageError("the file is empty")
    for name, magic, parse in _FORMATS:
        if magic.match(data) is not None:
            try:
                width, height, complete = parse(data)
            except (struct.error, IndexError, ValueError):
                raise ImageError(f"the {name.upper()} header is cut off or damaged") from None
            return ImageHeader(name, width, height, complete)
    expected = ", ".join(name.upper() for name, _, _ in _FORMATS)
    raise ImageError(f"expected one of the formats {expected}, got a file that starts with {data[:8]!r}")


_Parsed = tuple[int, int, bool]  # width, height, complete


def _png(data: bytes) -> _Parsed:
    if data[12:16] != b"IHDR":
        raise ValueError
    width, height = unpack_from(">II", data, 16)
    at = 8
    while at + 12 <= len(data):
        length, kind = unpack_from(">I4s", data, at)
        at += 12 + length
        if kind == b"IEND":
            return width, height, at <= len(data)
    return width, height, False


_JPEG_MARKER = re.compile(rb"\xff([^\x00\xff])")
_JPEG_ALONE = {0x01, *range(0xD0, 0xD9)}  # TEM, RST0 to RST7, SOI: markers without a length
_JPEG_SIZE = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # SOF0 to SOF15 without DHT, JPG, DAC
_JPEG_SCAN, _JPEG_END = 0xDA, 0xD9


def _jpeg(data: bytes) -> _Parsed:
    size = None
    for marker, start, end in jpeg_segments(data):
        if marker in _JPEG_SIZE:
            size = unpack_from(">HH", data, start + 1)
        elif marker == _JPEG_SCAN and size is not None:
            # Only from here on: an EXIF thumbnail has an end marker of its own.
            ended = data.endswith(b"\xff\xd9") and end + 2 <= len(data)
            return size[1], size[0], ended or data.find(b"\xff\xd9", end) >= 0
    if size is None:
        raise ValueError
    return size[1], size[0], False


def jpeg_segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Yields (marker, start of the payload, end of the payload) up to the end marker or the cut."""
    at, length = 2, len(data)
    while at + 4 <= length:
        marker = data[at + 1]
        if data[at] == 0xFF and 0 < marker < 0xFF:  # as nearly always
            at += 2
        else:
            found = _JPEG_MARKER.search(data, at)
            if found is None:
                return
            marker, at = found[1][0], found.end()
        if marker == _JPEG_END or at + 2 > length:
            return
        if marker not in _JPEG_ALONE:
            payload = data[at] << 8 | data[at + 1]
            yield marker, at + 2, at + payload
            at += max(payload, 2)


_BMP_UNCOMPRESSED = {0, 3, 6}  # BI_RGB, BI_BITFIELDS, BI_ALPHABITFIELDS


def _bmp(data: bytes) -> _Parsed:
    file_size, pixels, header_size = unpack_from("<I4xII", data, 2)
    if header_size == 12:
        width, height, _, bits = unpack_from("<HHHH", data, 18)
        compression = stored = 0
    else:
        width, height, _, bits, compression, stored = unpack_from("<iiHHII", data, 18)
    if width < 0:
        raise ValueError
    height = abs(height)  # negative: rows from top to bottom
    if compression in _BMP_UNCOMPRESSED:
        end = pixels + (width * bits + 31) // 32 * 4 * height
    else:
        end = max(pixels + stored, file_size)
    return width, height, end <= len(data)


def _webp(data: bytes) -> _Parsed:
    kind = data[12:16]
    if kind == b"VP8 ":
        width, height = (side & 0x3FFF for side in unpack_from("<HH", data, 26))
    elif kind == b"VP8L":
        (bits,) = unpack_from("<I", data, 21)
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    elif kind == b"VP8X":
        width_low, width_high, height_low, height_high = unpack_from("<HBHB", data, 24)
        width, height = (width_high << 16 | width_low) + 1, (height_high << 16 | height_low) + 1
    else:
        raise ValueError
    (riff_size,) = unpack_from("<I", data, 4)
    return width, height, riff_size + 8 <= len(data)


_GIF_EXTENSION, _GIF_IMAGE, _GIF_TRAILER = 0x21, 0x2C, 0x3B


def _gif(data: bytes) -> _Parsed:
    width, height, flags = unpack_from("<HHB", data, 6)
    at = 13 + _gif_colours(flags)
    while at < len(data):
        kind = data[at]
        if kind == _GIF_TRAILER:
            return width, height, True
        if kind == _GIF_EXTENSION:
            at += 2
        elif kind == _GIF_IMAGE:
            local = data[at + 9] if at + 9 < len(data) else 0
            at += 11 + _gif_colours(local)
        else:
            raise ValueError
        while at < len(data) and data[at]:  # sub-blocks up to the empty one
            at += data[at] + 1
        at += 1
    return width, height, False


def _gif_colours(flags: int) -> int:
    """Bytes of the colour table that ``flags`` announces."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


_TIFF_BYTES = dict(enumerate((0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4)))  # of each type's values
_TIFF_INTEGERS = {3: "u2", 4: "u4"}  # SHORT, LONG
_TIFF_WIDTH, _TIFF_HEIGHT, _TIFF_ORIENTATION = 256, 257, 274
_TIFF_DATA = ((273, 279), (324, 325))  # offsets and byte counts of the strips, of the tiles


def _tiff(data: bytes) -> _Parsed:
    order = "<" if data[:1] == b"I" else ">"
    (directory,) = unpack_from(order + "I", data, 4)
    (entries,) = unpack_from(order + "H", data, directory)
    end = directory + 2 + 12 * entries + 4
    fields: dict[int, NDArray[np.unsignedinteger]] = {}
    for at in range(directory + 2, end - 4, 12):
        tag, kind, count, place = unpack_from(order + "HHII", data, at)
        size = count * _TIFF_BYTES.get(kind, 0)
        end = max(end, place + size if size > 4 else 0)
        if kind in _TIFF_INTEGERS and tag not in fields:
            start = place if size > 4 else at + 8
            fields[tag] = np.frombuffer(data, order + _TIFF_INTEGERS[kind], count, start)
    if not {_TIFF_WIDTH, _TIFF_HEIGHT} <= fields.keys():
        raise ValueError
    width, height = int(fields[_TIFF_WIDTH][0]), int(fields[_TIFF_HEIGHT][0])
    if _TIFF_ORIENTATION in fields and fields[_TIFF_ORIENTATION][0] in (5, 6, 7, 8):
        width, height = height, width  # OpenCV always turns a TIFF upright
    return width, height, max(end, _tiff_data_end(fields)) <= len(data)


def _tiff_data_end(fields: dict[int, NDArray[np.unsignedinteger]]) -> int:
    for offsets_tag, counts_tag in _TIFF_DATA:
        if offsets_tag in fields:
            ends = fields[offsets_tag].astype(np.uint64)
            if counts_tag in fields:  # absent in some old uncompressed files
                ends = ends + fields[counts_tag]
            return int(ends.max())
    raise ValueError


_PNM_GAP = rb"(?:\s|#[^\r\n]*[\r\n])+"
_PNM_HEADER = re.compile(_PNM_GAP.join([rb"P([1-6])", rb"(\d{1,9})", rb"(\d{1,9})(?=[\s#])"]))
_PNM_MAXIMUM = re.compile(_PNM_GAP + rb"(\d{1,9})(?=\s)")


def _pnm(data: bytes) -> _Parsed:
    header = _PNM_HEADER.match(data)
    if header is None:
        raise ValueError
    kind, width, height = (int(group) for group in header.groups())
    end, maximum = header.end(), 255
    if kind not in (1, 4):  # bitmaps have no maximum
        found = _PNM_MAXIMUM.match(data, end)
        if found is None:
            raise ValueError
        end, maximum = found.end(), int(found[1])
        if maximum not in (255, 65535):  # OpenCV would not scale it
            raise ImageError(f"PNM: expected a maximum value of 255 or 65535, got {maximum}")
    channels = 3 if kind in (3, 6) else 1
    if kind <= 3:
        return width, height, _pnm_text_complete(data[end:], kind, width * height * channels)
    row = (width + 7) // 8 if kind == 4 else width * channels * (1 if maximum == 255 else 2)
    return width, height, end + 1 + row * height <= len(data)


def _pnm_text_complete(raster: bytes, kind: int, expected: int) -> bool:
    raster = re.sub(rb"#[^\r\n]*", b"", raster)
    if kind == 1:
        return raster.count(b"0") + raster.count(b"1") >= expected
    # Without a space after it, the last number may have lost digits.
    return sum(1 for _ in re.finditer(rb"\d+(?=\s)", raster)) >= expected


_FORMATS: tuple[tuple[str, re.Pattern[bytes], Callable[[bytes], _Parsed]], ...] = (
    ("png", re.compile(rb"\x89PNG\r\n\x1a\n"), _png),
    ("jpeg", re.compile(rb"\xff\xd8\xff"), _jpeg),
    ("bmp", re.compile(rb"BM"), _bmp),
    ("webp", re.compile(rb"RIFF.{4}WEBP", re.DOTALL), _webp),
    ("gif", re.compile(rb"GIF8[79]a"), _gif),
    ("tiff", re.compile(rb"II\*\x00|MM\x00\*"), _tiff),
    ("pnm", re.compile(rb"P[1-6][\s#]"), _pnm),
)
