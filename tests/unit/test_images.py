"""Every kind of image file becomes uint8 BGR pixels or one clear error; inputs name files as expected."""

from __future__ import annotations

import contextlib
import os
import struct
import threading
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stn_deploy.data import IMAGE_SUFFIXES, as_bgr, decode_image, find_images, read_image
from stn_deploy.errors import ArgumentError, ImageError, ShapeError


def picture(height: int = 13, width: int = 21, channels: int = 3) -> np.ndarray:
    shape = (height, width, channels) if channels > 1 else (height, width)
    return np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)


def encode(suffix: str, image: np.ndarray, *options: int) -> bytes:
    ok, data = cv2.imencode(suffix, image, options)
    assert ok
    return data.tobytes()


def opencv(data: bytes) -> np.ndarray:
    decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert decoded is not None
    return decoded


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_of_size(width: int, height: int) -> bytes:
    """A whole PNG file by its header and end, with a raster of one byte."""
    head = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + png_chunk(b"IDAT", zlib.compress(b"\x00")) + png_chunk(b"IEND", b"")


# --- decode_image


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tiff", ".ppm"])
def test_lossless_files_give_their_pixels(suffix: str) -> None:
    image = picture()
    decoded = decode_image(encode(suffix, image))
    assert decoded.dtype == np.uint8
    assert np.array_equal(decoded, image)


@pytest.mark.parametrize("suffix", [".jpg", ".webp", ".gif"])
def test_lossy_files_give_what_opencv_decodes(suffix: str) -> None:
    data = encode(suffix, picture())
    expected = opencv(data)
    assert np.array_equal(decode_image(data), expected)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".tiff", ".pgm", ".webp"])
def test_grey_files_give_three_equal_channels(suffix: str) -> None:
    decoded = decode_image(encode(suffix, picture(channels=1)))
    assert decoded.shape == (13, 21, 3)
    assert (decoded == decoded[..., :1]).all()


@pytest.mark.parametrize("suffix", [".png", ".tiff", ".ppm"])
def test_sixteen_bits_are_scaled_to_eight(suffix: str) -> None:
    image = picture()
    assert np.array_equal(decode_image(encode(suffix, image.astype(np.uint16) * 257)), image)


def test_a_png_on_a_transparent_background_is_laid_on_white() -> None:
    image = np.zeros((4, 6, 4), np.uint8)  # black text ...
    image[1, 2:5, 3] = 255, 128, 1  # ... of falling opacity on nothing
    decoded = decode_image(encode(".png", image))
    assert decoded[0, 0].tolist() == [255, 255, 255]
    assert decoded[1, 2:5, 0].tolist() == [0, 127, 254]


EXIF_TURNED = (
    b"MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00\x00\x00\x00\x00"
)


def test_exif_orientation_moves_no_pixel() -> None:
    png = encode(".png", picture())
    png = png[:33] + png_chunk(b"eXIf", EXIF_TURNED) + png[33:]
    jpeg = encode(".jpg", picture())
    exif = b"Exif\x00\x00" + EXIF_TURNED
    jpeg = jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + jpeg[2:]
    for data in (png, jpeg):
        turned = opencv(data)
        assert turned.shape == (21, 13, 3), "the test's own tag must count"
        assert decode_image(data).shape == (13, 21, 3)
    assert np.array_equal(decode_image(png), picture())


def test_an_image_above_the_limit_is_refused_unread() -> None:
    with pytest.raises(ImageError) as refused:
        decode_image(png_of_size(10_000, 10_000))
    assert str(refused.value) == (
        "image: expected at most 50 megapixels, got 100.0 (10000 x 10000); "
        "raise max_megapixels (--max-megapixels on the command line) if it is to be trusted"
    )
    decode_image(encode(".png", np.zeros((1000, 1000, 3), np.uint8)), max_megapixels=1)
    with pytest.raises(ImageError, match=r"at most 0\.5 megapixels"):
        decode_image(encode(".png", np.zeros((1000, 1000, 3), np.uint8)), max_megapixels=0.5)


@pytest.mark.parametrize("limit", [0, -1, float("nan")])
def test_the_limit_must_be_positive(limit: float) -> None:
    with pytest.raises(ArgumentError, match="max_megapixels: expected a number above 0"):
        decode_image(encode(".png", picture()), max_megapixels=limit)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 40), (40, 1)])
def test_an_image_without_room_for_text_is_refused(height: int, width: int) -> None:
    with pytest.raises(ImageError) as refused:
        decode_image(encode(".png", picture(height, width)))
    assert str(refused.value) == (
        f"image: expected at least 2 x 2 pixels, got {width} x {height}; there is no text to straighten"
    )


def test_the_smallest_image_is_decoded() -> None:
    assert decode_image(encode(".png", picture(2, 2))).shape == (2, 2, 3)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".webp", ".gif", ".ppm"])
def test_a_truncated_file_is_refused(suffix: str) -> None:
    data = encode(suffix, picture(40, 60))
    with pytest.raises(ImageError, match="image: the file is truncated"):
        decode_image(data[: len(data) // 2 + 200 if suffix == ".gif" else len(data) * 2 // 3])


def test_empty_and_unknown_data_are_refused() -> None:
    with pytest.raises(ImageError, match=r"^image: the file is empty$"):
        decode_image(b"")
    with pytest.raises(ImageError, match=r"^scan\.txt: expected one of the formats"):
        decode_image(b"hello", name="scan.txt")


def test_a_damaged_raster_is_refused() -> None:
    data = bytearray(encode(".png", picture(40, 60)))
    data[len(data) // 2] ^= 0xFF
    with pytest.raises(ImageError, match="image: the PNG data is damaged"):
        decode_image(bytes(data))


def test_floating_point_pixels_are_refused() -> None:
    with pytest.raises(ImageError, match=r"^image: expected uint8 or uint16, got float32$"):
        decode_image(encode(".tiff", picture().astype(np.float32)))


def test_opencv_is_silent_meanwhile_and_its_log_level_comes_back(capfd: pytest.CaptureFixture[str]) -> None:
    data = bytearray(encode(".tiff", picture(40, 60)))
    data[300:400] = b"\xff" * 100
    before = cv2.utils.logging.getLogLevel()

    def decode() -> None:
        for _ in range(20):
            with contextlib.suppress(ImageError):
                decode_image(bytes(data))

    threads = [threading.Thread(target=decode) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert capfd.readouterr().err == ""
    assert cv2.utils.logging.getLogLevel() == before


DAMAGEABLE = {
    suffix: encode(suffix, picture(16, 24)) for suffix in (".png", ".jpg", ".bmp", ".webp", ".tiff", ".ppm")
}


@settings(deadline=None, max_examples=100)
@given(
    st.sampled_from(sorted(DAMAGEABLE)),
    st.lists(st.tuples(st.integers(0, 2**16), st.integers(1, 255)), min_size=1, max_size=6),
)
def test_damaged_files_decode_or_raise_image_errors(suffix: str, flips: list[tuple[int, int]]) -> None:
    data = bytearray(DAMAGEABLE[suffix])
    for place, bits in flips:
        data[place % len(data)] ^= bits
    try:
        image = decode_image(bytes(data), max_megapixels=1)
    except ImageError:
        return
    assert image.dtype == np.uint8
    assert image.ndim == 3
    assert image.shape[2] == 3


# --- read_image


def test_a_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "wörd.png").write_bytes(encode(".png", picture()))
    assert np.array_equal(read_image(tmp_path / "wörd.png"), picture())


def test_errors_of_a_file_start_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()
    (tmp_path / "folder.png").mkdir()
    cases = {
        "empty.png": "the file is empty",
        "absent.png": "the file cannot be read: No such file",
        "folder.png": "the file cannot be read",
        "a\0b.png": "the file cannot be read: embedded null",
    }
    for name, reason in cases.items():
        with pytest.raises(ImageError) as refused:
            read_image(tmp_path / name)
        assert str(refused.value).startswith(f"{name}: {reason}")


# --- as_bgr


def test_eight_bit_bgr_is_returned_itself() -> None:
    image = picture()
    assert as_bgr(image) is image


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 1), (5, 7, 3), (5, 7, 4), (1, 1), (1, 1, 1)], ids=str)
def test_arrays_become_bgr(shape: tuple[int, ...], dtype: type) -> None:
    image = np.random.default_rng(1).integers(0, 256, shape).astype(np.uint8)
    if len(shape) == 3 and shape[2] == 4:
        image[..., 3] = 255
    colours = image.reshape(*shape[:2], -1)[..., :3]
    array = image if dtype == np.uint8 else image.astype(np.uint16) * 257
    backwards = np.ascontiguousarray(array[::-1, ::-1])[::-1, ::-1]
    for view in (array, np.asfortranarray(array), backwards):
        bgr = as_bgr(view)
        assert bgr.dtype == np.uint8
        assert np.array_equal(bgr, np.broadcast_to(colours, (*shape[:2], 3)))


def test_sixteen_bits_are_divided_by_257_and_rounded() -> None:
    every = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    assert np.array_equal(as_bgr(every)[..., 0], np.round(every / 257).astype(np.uint8))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_transparency_is_laid_on_white(dtype: type) -> None:
    full = 255 if dtype == np.uint8 else 65535
    image: np.ndarray = np.random.default_rng(2).integers(0, full + 1, (300, 9, 4)).astype(dtype)
    weight = image[..., 3:].astype(float) / full
    expected = (image[..., :3] * weight + full * (1 - weight)) * 255 / full
    assert np.abs(as_bgr(image) - expected).max() <= (0.5 if dtype == np.uint8 else 1.5)


def test_alpha_of_zero_everywhere_is_unused() -> None:
    image = picture(channels=4)
    image[..., 3] = 0
    assert np.array_equal(as_bgr(image), image[..., :3])


@pytest.mark.parametrize("shape", [(5,), (5, 7, 2), (5, 7, 5), (0, 7, 3), (5, 0), (2, 5, 7, 3), ()], ids=str)
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match=r"image: expected \(h, w\), .* or \(h, w, 4\), got \("):
        as_bgr(np.zeros(shape, np.uint8))


@pytest.mark.parametrize("dtype", ["float32", "int16", "bool", ">u2"])
def test_other_dtypes_are_refused(dtype: str) -> None:
    with pytest.raises(ArgumentError, match="image: expected uint8 or uint16, got "):
        as_bgr(np.zeros((5, 7, 3), dtype))


def test_other_things_are_refused() -> None:
    with pytest.raises(ArgumentError, match="image: expected a NumPy array, got list"):
        as_bgr([[0]])  # type: ignore[arg-type]


# --- find_images


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def relatives(*inputs: Path) -> list[str]:
    return [image.relative.as_posix() for image in find_images(inputs)]


def test_a_folder_is_searched_in_natural_order(tmp_path: Path) -> None:
    touch(tmp_path, "word_10.png", "word_2.png", "b/1.JPG", "a/deep/x.tiff", "notes.txt", "labels.tsv")
    touch(tmp_path, ".hidden.png", ".cache/y.png")
    assert relatives(tmp_path) == ["a/deep/x.tiff", "b/1.JPG", "word_2.png", "word_10.png"]
    assert all(image.path == tmp_path / image.relative for image in find_images([tmp_path]))


def test_every_suffix_is_found(tmp_path: Path) -> None:
    touch(tmp_path, *(f"x{suffix}" for suffix in IMAGE_SUFFIXES))
    assert len(find_images([tmp_path])) == len(IMAGE_SUFFIXES)


def test_a_file_keeps_its_name_and_inputs_their_order(tmp_path: Path) -> None:
    touch(tmp_path, "z/scan.dat", "y/b.png", "y/a.png")
    assert relatives(tmp_path / "z" / "scan.dat", tmp_path / "y") == ["scan.dat", "a.png", "b.png"]


def test_a_pattern_keeps_the_folders_under_its_fixed_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path, "in/a/1.png", "in/b/1.png", "in/b/c/2.png", "in/b/notes.txt", "in/0.png")
    assert relatives(tmp_path / "in" / "*" / "*") == ["a/1.png", "b/1.png"]
    assert relatives(tmp_path / "in" / "**" / "*.png") == ["0.png", "a/1.png", "b/1.png", "b/c/2.png"]
    monkeypatch.chdir(tmp_path / "in")
    assert relatives(Path("*.png")) == ["0.png"]


def test_a_name_that_exists_is_not_a_pattern(tmp_path: Path) -> None:
    touch(tmp_path, "img[1].png", "img1.png")
    assert relatives(tmp_path / "img[1].png") == ["img[1].png"]


def test_a_broken_link_is_kept_for_its_error(tmp_path: Path) -> None:
    try:
        (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere.png")
    except OSError:
        pytest.skip("needs a file system with symbolic links")
    assert relatives(tmp_path) == relatives(tmp_path / "gone.png") == ["gone.png"]


def test_a_missing_input_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match=r"inputs: .*nowhere: no such file or folder"):
        find_images([tmp_path / "nowhere"])


def test_finding_nothing_is_an_error(tmp_path: Path) -> None:
    touch(tmp_path, "full/x.png")
    (tmp_path / "empty").mkdir()
    for useless in ("empty", "*.png"):
        with pytest.raises(ArgumentError, match=r"inputs: expected images .* found none in"):
            find_images([tmp_path / "full", tmp_path / useless])
    with pytest.raises(ArgumentError, match="got none"):
        find_images([])


def test_two_files_of_one_relative_path_are_both_named(tmp_path: Path) -> None:
    touch(tmp_path, "a/x.png", "b/x.png")
    with pytest.raises(ArgumentError) as refused:
        find_images([tmp_path / "a", tmp_path / "b" / "x.png"])
    assert str(tmp_path / "a" / "x.png") in str(refused.value)
    assert str(tmp_path / "b" / "x.png") in str(refused.value)


def test_the_same_file_named_twice_is_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "more/arch.png", "more/b.png", "photo.png")
    monkeypatch.chdir(tmp_path)
    more = Path("more")
    assert relatives(Path("photo.png"), more / "arch.png", more) == ["photo.png", "arch.png", "b.png"]
    assert relatives(more, tmp_path / "more" / "arch.png", Path("more/../more/*.png")) == [
        "arch.png",
        "b.png",
    ]
    assert relatives(more, Path()) == ["arch.png", "b.png", "photo.png"]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="needs a user whom modes bind")
def test_a_folder_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    touch(tmp_path, "a.png", "shut/b.png")
    (tmp_path / "shut").chmod(0)
    try:
        with pytest.raises(ArgumentError, match="shut: the folder cannot be read"):
            find_images([tmp_path])
    finally:
        (tmp_path / "shut").chmod(0o700)
