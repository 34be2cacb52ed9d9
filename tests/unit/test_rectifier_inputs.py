"""The rectifier takes every kind of image, and one bad image never spoils the others."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from stn_deploy.errors import ArgumentError, ImageError, ShapeError
from stn_deploy.geometry import control_point_targets
from stn_deploy.runtime import Rectified, Rectifier
from tests.pictures import noise, smooth
from tests.unit.conftest import Knowing

GOOD = smooth(31, 97)
FINE = control_point_targets(20) * 0.8


def encoded(image: np.ndarray, suffix: str = ".png") -> bytes:
    return bytes(cv2.imencode(suffix, image)[1])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "word 1.png"
    path.write_bytes(encoded(GOOD))
    return path


@pytest.fixture
def straighten(knowing: Knowing) -> Rectifier:
    return knowing(FINE)


def test_every_kind_of_input_gives_the_same_result(straighten: Rectifier, file: Path) -> None:
    data = encoded(GOOD)
    kinds: list[Any] = [
        GOOD,
        file,
        str(file),
        data,
        bytearray(data),
        memoryview(data),
        io.BytesIO(data),
        file.open("rb"),
    ]
    expected = straighten(GOOD)
    results = straighten(kinds)
    kinds[-1].close()
    kinds[-2:] = [io.BytesIO(data), file.open("rb")]
    alone = [straighten(kind) for kind in kinds]
    kinds[-1].close()
    for result in (*results, *alone):
        assert np.array_equal(result.image, expected.image)
        assert np.array_equal(result.theta, expected.theta)
        assert result.source_size == (31, 97)


def test_a_file_left_alone_gives_its_decoded_pixels(knowing: Knowing, file: Path) -> None:
    result = knowing(FINE, 0.1)(file)
    assert not result.applied
    assert np.array_equal(result.image, GOOD)


BAD: dict[str, tuple[Any, type[Exception], str]] = {
    "missing": ("nothing/here.png", ImageError, r"^image 1 \(here.png\): the file cannot be read: No such"),
    "no image": (b"hello", ImageError, "^image 1: expected one of the formats"),
    "empty": (b"", ImageError, "^image 1: the file is empty"),
    "cut": (encoded(noise(31, 97))[:-90], ImageError, "^image 1: the file is truncated"),
    "small": (GOOD[:1], ImageError, "^image 1: expected at least 2 x 2 pixels, got 1 x 97"),
    "shape": (np.zeros((4, 5, 2), np.uint8), ShapeError, r"^image 1: expected \(h, w\)"),
    "type": (np.zeros((4, 5)), ArgumentError, "^image 1: expected uint8 or uint16, got float64"),
    "nothing": (None, ArgumentError, "^image 1: expected a NumPy array, a path.*got NoneType; cv2.imread"),
    "text file": (io.StringIO("a"), ArgumentError, "^image 1: expected a file object that reads bytes.*'rb'"),
    "long": (np.full((4, 33_000, 3), 9, np.uint8), ImageError, "^image 1: expected sides of at most 32766"),
    "nul": ("a\0b", ImageError, "^image 1 .*cannot be read"),
    "path of bytes": (
        type("P", (), {"__fspath__": lambda _: b"x"})(),
        ArgumentError,
        "^image 1: expected a path",
    ),
}
each_bad = pytest.mark.parametrize(("bad", "kind", "message"), BAD.values(), ids=BAD)


@each_bad
def test_a_bad_image_is_kept_in_its_place(
    straighten: Rectifier, bad: Any, kind: type[Exception], message: str
) -> None:
    for outcomes in (
        straighten([GOOD, bad, GOOD], errors="keep"),
        list(straighten(iter([GOOD, bad, GOOD]), errors="keep")),
    ):
        if isinstance(bad, io.StringIO):
            bad.seek(0)
        first, error, last = outcomes
        assert isinstance(first, Rectified)
        assert isinstance(last, Rectified)
        assert type(error) is kind
        with pytest.raises(kind, match=message):
            raise error


@each_bad
def test_a_bad_image_is_raised_unless_it_is_to_be_kept(
    straighten: Rectifier, bad: Any, kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message):
        straighten([GOOD, bad, GOOD])


def test_a_single_bad_image_is_not_counted(straighten: Rectifier, tmp_path: Path) -> None:
    error = straighten(b"hello", errors="keep")
    assert isinstance(error, ImageError)
    assert str(error).startswith("image: expected one of the formats")
    with pytest.raises(ImageError, match="^here.png: the file cannot be read"):
        straighten(tmp_path / "here.png")


def test_kept_errors_hold_no_frames(straighten: Rectifier) -> None:
    (error,) = straighten([encoded(GOOD)[:-30]], errors="keep")
    assert isinstance(error, ImageError)
    assert (error.__traceback__, error.__context__, error.__cause__) == (None, None, None)


def test_an_iterator_gives_what_came_before_a_bad_image(straighten: Rectifier) -> None:
    results = straighten(iter([GOOD] * 70 + [b"", GOOD]))
    for _ in range(70):
        assert next(results).applied
    with pytest.raises(ImageError, match="^image 70: the file is empty"):
        next(results)
    assert list(results) == []


def test_an_iterator_that_raises_gives_what_came_before(straighten: Rectifier) -> None:
    def images() -> Iterator[np.ndarray]:
        yield GOOD
        yield GOOD
        raise ZeroDivisionError

    results = straighten(images())
    assert next(results).applied
    assert next(results).applied
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_large_images_make_small_batches(straighten: Rectifier) -> None:
    read = 0

    def images() -> Iterator[np.ndarray]:
        nonlocal read
        for _ in range(9):
            read += 1
            yield np.zeros((3000, 4000), np.uint8)

    results = straighten(images())
    next(results)
    assert read == 3
    assert len(list(results)) == 8


def bomb(side: int) -> bytes:
    """A PNG of some hundred bytes that says it has side x side pixels."""
    small = bytearray(encoded(GOOD))
    small[16:24] = side.to_bytes(4, "big") * 2
    return bytes(small)


def test_a_bomb_is_refused_from_its_header(knowing: Knowing) -> None:
    with pytest.raises(ImageError, match=r"expected at most 50 megapixels, got 900.0 .*raise max_megapixels"):
        knowing(FINE)(bomb(30_000))
    strict, generous = knowing(FINE, max_megapixels=0.003), knowing(FINE, max_megapixels=0.0031)
    with pytest.raises(ImageError, match=r"at most 0\.003 megapixels"):
        strict(encoded(GOOD))
    assert generous(encoded(GOOD)).applied
    assert strict(GOOD).applied, "an array is in memory already"


@pytest.mark.parametrize("limit", [0, -1, float("nan"), "50", True, None])
def test_a_limit_that_is_none_is_refused(limit: Any) -> None:
    with pytest.raises(ArgumentError, match="max_megapixels: expected a number above 0"):
        Rectifier(max_megapixels=limit)


@pytest.mark.parametrize("errors", ["ignore", None, True])
def test_errors_are_raised_or_kept(straighten: Rectifier, errors: Any) -> None:
    with pytest.raises(ArgumentError, match='errors: expected "raise" or "keep"'):
        straighten(GOOD, errors=errors)
