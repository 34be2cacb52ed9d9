"""EXIF orientation: read where cameras write it, obeyed as PIL and OpenCV obey it, on request only."""

from __future__ import annotations

import io

import cv2
import numpy as np
import pytest

from stn_deploy.data import decode_image
from stn_deploy.data.orientation import exif_orientation, turned_upright
from stn_deploy.runtime import Rectifier
from tests.pictures import noise, smooth
from tests.unit.conftest import Knowing

pil = pytest.importorskip("PIL.Image", reason="needs Pillow to write EXIF")
from PIL import ImageOps  # noqa: E402, it is there from here on

LOSSLESS = {"PNG": {}, "WEBP": {"lossless": True}}
each_orientation = pytest.mark.parametrize("orientation", range(1, 9))


def written(image: np.ndarray, kind: str, orientation: int) -> bytes:
    exif = pil.Exif()
    exif[274] = orientation
    file = io.BytesIO()
    options = LOSSLESS.get(kind, {"quality": 95})
    pil.fromarray(image[..., ::-1].copy()).save(file, kind, exif=exif, **options)
    return file.getvalue()


@each_orientation
@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_files_are_turned_as_pil_turns_them(kind: str, orientation: int) -> None:
    image = noise(13, 21)
    data = written(image, kind, orientation)
    expected = np.asarray(ImageOps.exif_transpose(pil.open(io.BytesIO(data))).convert("RGB"))[..., ::-1]
    assert exif_orientation(data) == orientation
    assert np.array_equal(decode_image(data, exif=True), expected)
    assert np.array_equal(decode_image(data), image)


@each_orientation
def test_jpegs_are_turned_as_opencv_turns_them(orientation: int) -> None:
    data = written(smooth(40, 72), "JPEG", orientation)
    expected = np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR))
    assert np.array_equal(decode_image(data, exif=True), expected)
    assert decode_image(data).shape == (40, 72, 3)


@each_orientation
def test_a_tiff_is_turned_once(orientation: int) -> None:
    data = written(noise(13, 21), "TIFF", orientation)
    assert np.array_equal(decode_image(data, exif=True), decode_image(data))


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_does_not_exist_is_none(orientation: int) -> None:
    assert exif_orientation(written(noise(5, 9), "PNG", orientation)) == 1


def test_damaged_exif_is_no_orientation() -> None:
    data = written(noise(5, 9), "JPEG", 6)
    place = data.index(b"Exif")
    for offset in range(6, 40):
        for value in (0, 255):
            damaged = data[: place + offset] + bytes([value]) + data[place + offset + 1 :]
            assert 1 <= exif_orientation(damaged) <= 8
    for length in range(0, len(data), 7):
        assert 1 <= exif_orientation(data[:length]) <= 8
    assert exif_orientation(b"") == 1


def test_upright_pixels_are_the_very_array() -> None:
    image = noise(5, 9)
    assert turned_upright(image, 1) is image


def test_the_rectifier_turns_on_request_and_then_counts_pixels_in_the_turned_picture(
    knowing: Knowing,
) -> None:
    data = written(noise(30, 80), "PNG", 6)
    theta = [[x, y] for y in (-0.5, 0.5) for x in np.linspace(-0.9, 0.9, 10)]
    plain, turned = (knowing(theta, exif=exif)(data) for exif in (False, True))
    assert plain.source_size == (30, 80)
    assert turned.source_size == (80, 30)
    assert np.allclose(turned.to_source([0, 0]), [0.05 * 30, 0.25 * 80])
    assert np.array_equal(turned.image, knowing(theta)(np.rot90(noise(30, 80), -1).copy()).image)


def test_exif_is_yes_or_no() -> None:
    from stn_deploy.errors import ArgumentError

    with pytest.raises(ArgumentError, match="exif: expected True or False, got 6"):
        Rectifier(exif=6)  # type: ignore[arg-type]
