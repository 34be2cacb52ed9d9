"""The header reader agrees with OpenCV's decoder and is not fooled by cut or damaged files."""

from __future__ import annotations

import contextlib
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stn_deploy.data import ImageHeader, open_dataset, read_header
from stn_deploy.errors import ImageError

SHARED = Path(__file__).parents[3] / "shared" / "data"
SIZES = [(1, 1), (2, 3), (7, 11), (33, 8), (64, 257), (300, 5)]  # height, width
FORMATS = {
    "png": ".png",
    "jpeg": ".jpg",
    "bmp": ".bmp",
    "webp": ".webp",
    "gif": ".gif",
    "tiff": ".tiff",
    "pnm": ".ppm",
}


def picture(height: int, width: int, channels: int = 3) -> np.ndarray:
    shape = (height, width, channels) if channels > 1 else (height, width)
    return np.random.default_rng(height * 1000 + width).integers(0, 256, shape).astype(np.uint8)


def encode(suffix: str, image: np.ndarray, *options: int) -> bytes:
    ok, data = cv2.imencode(suffix, image, options)
    assert ok
    return data.tobytes()


def opencv(data: bytes) -> np.ndarray:
    decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert decoded is not None
    return decoded


def variants() -> dict[str, bytes]:
    """One file of each kind that the reader tells apart."""
    colour, grey, alpha = picture(13, 21), picture(13, 21, 1), picture(13, 21, 4)
    tiff_compression = cv2.IMWRITE_TIFF_COMPRESSION
    return {
        "png": encode(".png", colour),
        "png grey": encode(".png", grey),
        "png alpha": encode(".png", alpha),
        "png 16 bit": encode(".png", colour.astype(np.uint16) * 257),
        "jpeg": encode(".jpg", colour),
        "jpeg grey": encode(".jpg", grey),
        "jpeg progressive": encode(".jpg", colour, cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
        "jpeg restart": encode(".jpg", colour, cv2.IMWRITE_JPEG_RST_INTERVAL, 1),
        "bmp": encode(".bmp", colour),
        "bmp grey": encode(".bmp", grey),
        "bmp alpha": encode(".bmp", alpha),
        "webp lossy": encode(".webp", colour, cv2.IMWRITE_WEBP_QUALITY, 80),
        "webp lossless": encode(".webp", colour, cv2.IMWRITE_WEBP_QUALITY, 101),
        "webp lossy alpha": encode(".webp", alpha, cv2.IMWRITE_WEBP_QUALITY, 80),
        "gif": encode(".gif", colour),
        "tiff": encode(".tiff", colour, tiff_compression, 1),
        "tiff lzw": encode(".tiff", colour, tiff_compression, 5),
        "tiff 16 bit": encode(".tiff", grey.astype(np.uint16) * 257),
        "ppm": encode(".ppm", colour),
        "pgm": encode(".pgm", grey),
        "pgm 16 bit": encode(".pgm", grey.astype(np.uint16) * 257),
        "pbm": encode(".pbm", grey & 1),
        "ppm text": encode(".ppm", colour, cv2.IMWRITE_PXM_BINARY, 0),
        "pgm text": encode(".pgm", grey, cv2.IMWRITE_PXM_BINARY, 0),
        "pbm text": encode(".pbm", grey & 1, cv2.IMWRITE_PXM_BINARY, 0),
    }


VARIANTS = variants()


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_header_agrees_with_the_decoder(name: str, size: tuple[int, int]) -> None:
    data = encode(FORMATS[name], picture(*size))
    height, width = opencv(data).shape[:2]
    assert read_header(data) == ImageHeader(name, width, height, complete=True)


@pytest.mark.parametrize("kind", VARIANTS)
def test_header_reads_each_variant(kind: str) -> None:
    header = read_header(VARIANTS[kind])
    assert (header.width, header.height, header.complete) == (21, 13, True)


@pytest.mark.parametrize("kind", VARIANTS)
def test_a_cut_file_is_never_complete(kind: str) -> None:
    data = VARIANTS[kind]
    # OpenCV writes the text of a bitmap with a final line break, which nobody needs.
    end = len(data.rstrip()) if "text" in kind else len(data)
    for length in range(end):
        try:
            header = read_header(data[:length])
        except ImageError:
            continue
        assert not header.complete, f"cut to {length} of {len(data)} bytes"
        assert (header.width, header.height) == (21, 13) or "text" in kind


@pytest.mark.parametrize("kind", [kind for kind in VARIANTS if "text" not in kind])
def test_bytes_after_the_end_do_no_harm(kind: str) -> None:
    assert read_header(VARIANTS[kind] + b"\x00 trailing \xff").complete


def jpeg_with_thumbnail() -> bytes:
    thumbnail = encode(".jpg", picture(4, 6))
    exif = b"Exif\x00\x00" + thumbnail
    data = VARIANTS["jpeg"]
    return data[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + data[2:]


def test_the_thumbnail_of_a_jpeg_is_not_its_end() -> None:
    data = jpeg_with_thumbnail()
    assert read_header(data) == ImageHeader("jpeg", 21, 13, complete=True)
    assert not read_header(data[:-2]).complete


def test_a_jpeg_may_fill_with_ff_between_segments() -> None:
    data = VARIANTS["jpeg"]
    assert read_header(data[:2] + b"\xff\xff\xff" + data[2:]).complete


def test_a_jpeg_without_a_picture_is_refused() -> None:
    with pytest.raises(ImageError, match="JPEG header"):
        read_header(b"\xff\xd8\xff\xd9")


def bmp(width: int, height: int, bits: int, raster: bytes) -> bytes:
    head = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, 0, len(raster), 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54 + len(raster), 0, 0, 54) + head + raster


def test_bmp_rows_may_run_from_the_top() -> None:
    assert read_header(bmp(3, -2, 24, bytes(24))) == ImageHeader("bmp", 3, 2, complete=True)
    assert not read_header(bmp(3, -2, 24, bytes(23))).complete


def test_bmp_of_the_first_kind() -> None:
    head = struct.pack("<IHHHH", 12, 3, 2, 1, 24)
    data = b"BM" + struct.pack("<IHHI", 26 + 24, 0, 0, 26) + head + bytes(24)
    assert read_header(data) == ImageHeader("bmp", 3, 2, complete=True)
    assert not read_header(data[:-1]).complete


def tiff(order: str, *, orientation: int = 1, tiles: bool = False, counts: bool = True) -> bytes:
    """A grey TIFF of 5 x 3 pixels, its raster at the end."""
    offset_tag, count_tag = (324, 325) if tiles else (273, 279)
    fields = {256: 5, 257: 3, 258: 8, 259: 1, 262: 1, 274: orientation, 277: 1, offset_tag: 0}
    if counts:
        fields[count_tag] = 15
    end = 8 + 2 + 12 * len(fields) + 4
    fields[offset_tag] = end
    entries = b"".join(
        struct.pack(order + "HHIHxx", tag, 3, 1, value) for tag, value in sorted(fields.items())
    )
    magic = b"II" if order == "<" else b"MM"
    return (
        magic
        + struct.pack(order + "HIH", 42, 8, len(fields))
        + entries
        + bytes(4)
        + bytes(range(10, 160, 10))
    )


@pytest.mark.parametrize("order", ["<", ">"], ids=["little endian", "big endian"])
@pytest.mark.parametrize("tiles", [False, True], ids=["strips", "tiles"])
def test_tiff_of_both_byte_orders(order: str, tiles: bool) -> None:
    data = tiff(order, tiles=tiles)
    assert read_header(data) == ImageHeader("tiff", 5, 3, complete=True)
    assert not read_header(data[:-1]).complete
    if not tiles:  # tiles must be multiples of 16 pixels; this one is only good for its header
        decoded = opencv(data)
        assert decoded.tolist() == np.arange(10, 160, 10).reshape(3, 5).tolist()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_tiff_size_is_that_of_the_upright_picture(orientation: int) -> None:
    data = tiff("<", orientation=orientation)
    header = read_header(data)
    decoded = opencv(data)
    assert decoded.shape == (header.height, header.width)


def test_tiff_without_byte_counts() -> None:
    assert read_header(tiff("<", counts=False)).complete


@pytest.mark.parametrize(
    ("data", "size", "complete"),
    [
        (b"P5 3 2 255\n" + bytes(6), (3, 2), True),
        (b"P5\n# a comment 9 9\n3 # another\n2\n255 " + bytes(6), (3, 2), True),
        (b"P5 3 2 255\n" + bytes(5), (3, 2), False),
        (b"P6 3 2 255\n" + bytes(18), (3, 2), True),
        (b"P6 3 2 65535\n" + bytes(35), (3, 2), False),
        (b"P4 9 2\n" + bytes(4), (9, 2), True),
        (b"P1 3 2\n101\n0 1 0", (3, 2), True),
        (b"P2 3 1 255\n1 2 # 7 8\n3\n", (3, 1), True),
        (b"P2 3 1 255\n1 2 3", (3, 1), False),
    ],
)
def test_pnm(data: bytes, size: tuple[int, int], complete: bool) -> None:
    assert read_header(data) == ImageHeader("pnm", *size, complete=complete)


def test_pnm_of_an_odd_maximum_is_refused() -> None:
    with pytest.raises(ImageError, match="expected a maximum value of 255 or 65535, got 1023"):
        read_header(b"P5 3 2 1023\n" + bytes(12))


def test_animated_and_extended_files_are_read() -> None:
    extended = b"VP8X" + struct.pack("<IIHBHB", 10, 0, 0x2345, 1, 0x0102, 0)
    data = b"RIFF" + struct.pack("<I", 4 + len(extended)) + b"WEBP" + extended
    assert read_header(data) == ImageHeader("webp", 0x12346, 0x103, complete=True)


def test_empty_data_is_refused() -> None:
    with pytest.raises(ImageError, match=r"^the file is empty$"):
        read_header(b"")


@pytest.mark.parametrize("data", [b"\x00", b"hello, world", b"%PDF-1.7", b"RIFF\x00\x00\x00\x00WAVE"])
def test_unknown_formats_are_refused_with_the_known_ones(data: bytes) -> None:
    with pytest.raises(
        ImageError, match=r"expected one of the formats PNG, JPEG, BMP.*got a file that starts"
    ):
        read_header(data)


def harmless(data: bytes) -> None:
    with contextlib.suppress(ImageError):
        read_header(data)


MAGICS = [data[:size] for data in VARIANTS.values() for size in (2, 8, 16, 26)]


@settings(deadline=None, max_examples=150)
@given(st.sampled_from(MAGICS), st.binary(max_size=200))
def test_random_bytes_raise_only_image_errors(magic: bytes, rest: bytes) -> None:
    harmless(rest)
    harmless(magic + rest)


@settings(deadline=None, max_examples=150)
@given(
    st.sampled_from(sorted(VARIANTS)),
    st.lists(st.tuples(st.integers(0, 2**16), st.integers(1, 255)), min_size=1, max_size=8),
)
def test_flipped_bits_raise_only_image_errors(kind: str, flips: list[tuple[int, int]]) -> None:
    data = bytearray(VARIANTS[kind])
    for place, bits in flips:
        data[place % min(len(data), 256 if place % 2 else len(data))] ^= bits
    harmless(bytes(data))


@pytest.mark.parametrize("name", ["icdar2015_test", "svt_test"])
def test_real_files_are_complete_and_of_the_decoded_size(name: str) -> None:
    path = SHARED / f"{name}.zip"
    if not path.exists():
        pytest.skip(f"needs {path.name} in shared/data beside the checkout")
    with open_dataset(path) as dataset:
        for sample in dataset:
            header = read_header(sample.load())
            assert header.complete, sample.name
            assert sample.image().shape == (header.height, header.width, 3), sample.name
