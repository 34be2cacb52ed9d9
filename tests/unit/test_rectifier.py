"""The rectifier: what it takes, in which order it answers, and what it leaves alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from stn_deploy.errors import ArgumentError, ArtifactError, ImageError, ShapeError
from stn_deploy.runtime import DEFAULT_MODEL, Rectified, Rectifier
from tests.pictures import Image, smooth


@pytest.fixture(scope="module")
def always(model: Path) -> Rectifier:
    return Rectifier(model, threshold=0)


def assert_same(first: Rectified, second: Rectified) -> None:
    assert np.array_equal(first.image, second.image)
    assert np.array_equal(first.theta, second.theta)
    assert (first.applied, first.score, first.source_size) == (
        second.applied,
        second.score,
        second.source_size,
    )


def test_one_image_a_list_and_an_iterator_give_equal_results(always: Rectifier, crops: list[Image]) -> None:
    listed = always(crops)
    assert isinstance(listed, list)
    lazily = always(iter(crops))
    assert isinstance(lazily, Iterator)
    tupled = always(tuple(crops))
    for crop, *results in zip(crops, listed, lazily, tupled, strict=True):
        assert results[0].source_size == crop.shape[:2]
        alone = always(crop)
        for result in results:
            assert np.abs(result.theta - alone.theta).max() < 1e-5
            assert result.image.shape == alone.image.shape
            assert np.abs(result.image.astype(int) - alone.image).max() <= 1
        assert_same(results[0], results[1])
        assert_same(results[0], results[2])


def test_an_empty_list_gives_an_empty_list(always: Rectifier) -> None:
    assert always([]) == []
    assert list(always(iter([]))) == []


def test_an_iterator_is_read_no_more_than_a_batch_ahead(always: Rectifier) -> None:
    read = 0

    def images() -> Iterator[Image]:
        nonlocal read
        for _ in range(500):
            read += 1
            yield smooth(12, 40)

    results = always(images())
    assert read == 0
    for taken in range(1, 200):
        next(results)
        assert taken <= read <= taken + 64


def test_grey_alpha_and_sixteen_bits_give_what_their_colours_give(always: Rectifier) -> None:
    grey = smooth(37, 111)[..., 0]
    expected = always(np.repeat(grey[..., None], 3, axis=2))
    opaque = np.dstack([grey, grey, grey, np.full_like(grey, 255)])
    variants: dict[str, np.ndarray] = {
        "grey": grey,
        "one channel": grey[..., None],
        "BGRA": opaque,
        "grey, 16 bits": grey.astype(np.uint16) * 257,
        "BGRA, 16 bits": opaque.astype(np.uint16) * 257,
    }
    for name, image in variants.items():
        result = always(image)
        assert result.image.shape[2] == 3, name
        assert result.image.dtype == np.uint8, name
        assert_same(result, expected)


def test_images_are_never_changed(always: Rectifier, crops: list[Image]) -> None:
    before = [crop.copy() for crop in crops]
    always(crops)
    assert all(np.array_equal(*pair) for pair in zip(crops, before, strict=True))


def test_an_image_that_needs_no_straightening_is_the_very_array_that_was_given(
    model: Path, crops: list[Image]
) -> None:
    never = Rectifier(model, threshold=1)
    images: list[np.ndarray] = [*crops, smooth(20, 50)[..., 0], smooth(20, 50).astype(np.uint16)]
    for image, result in zip(images, never(images), strict=True):
        assert not result.applied
        assert result.image is image


def test_the_threshold_divides_the_scores(model: Path, always: Rectifier, crops: list[Image]) -> None:
    rectifier = Rectifier(model)
    assert rectifier.threshold == rectifier.spec.threshold == 0.7
    scores = [result.score for result in rectifier(crops)]
    assert min(scores) < 0.7 < max(scores)
    assert [result.applied for result in rectifier(crops)] == [score >= 0.7 for score in scores]
    assert all(result.applied for result in always(crops))
    on_the_edge = Rectifier(model, threshold=scores[0])
    assert on_the_edge(crops)[0].applied


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"height": 3}, "height: expected 4 to 4096 .*pixels, got 3"),
        ({"height": 5000}, "height: expected"),
        ({"height": 48.5}, "height: expected"),
        ({"height": "48"}, "height: expected"),
        ({"threshold": -0.1}, "threshold: expected 0 to 1, got -0.1"),
        ({"threshold": 1.1}, "threshold: expected 0 to 1"),
        ({"threshold": float("nan")}, "threshold: expected 0 to 1"),
        ({"threads": 0}, "threads: expected .*at least 1, got 0"),
        ({"threads": 1.5}, "threads: expected"),
        ({"size": (32,)}, "size: expected"),
        ({"size": (0, 100)}, "size: expected"),
        ({"size": (32.0, 100.0)}, "size: expected"),
    ],
    ids=str,
)
def test_settings_out_of_range_are_refused(settings: dict, message: str, model: Path) -> None:
    with pytest.raises(ArgumentError, match=message):
        Rectifier(model, **settings)


def test_settings_are_refused_before_the_model_is_read(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError):
        Rectifier(tmp_path / "nothing.onnx", height=1)
    with pytest.raises(ArtifactError, match=r"nothing\.onnx: cannot be read"):
        Rectifier(tmp_path / "nothing.onnx")


@pytest.mark.parametrize(
    ("image", "error"),
    [
        (np.zeros((5, 9, 2), np.uint8), ShapeError),
        (np.zeros((2, 5, 9, 3), np.uint8), ShapeError),
        (np.zeros((0, 9, 3), np.uint8), ShapeError),
        (np.zeros(9, np.uint8), ShapeError),
        (np.zeros((5, 9, 3), np.float32), ArgumentError),
        (np.zeros((5, 9, 3), np.int64), ArgumentError),
    ],
    ids=["two channels", "a batch", "empty", "a row", "float", "int64"],
)
def test_arrays_that_are_no_images_are_refused(image: np.ndarray, error: type, always: Rectifier) -> None:
    with pytest.raises(error, match="image"):
        always(image)
    with pytest.raises(error, match="image"):
        always([smooth(9, 20), image])


def test_an_image_too_small_for_text_is_named_by_its_place_in_the_list(always: Rectifier) -> None:
    good, bad = smooth(9, 20), smooth(9, 20)[:1]
    with pytest.raises(ImageError, match="image 2: expected at least 2 x 2 pixels, got 1 x 20"):
        always([good, good, bad, good])
    with pytest.raises(ImageError, match="image 70: expected at least 2 x 2 pixels"):
        always([good] * 70 + [bad])


@pytest.mark.skipif(
    not DEFAULT_MODEL.exists(), reason="needs stn_deploy/weights/rectifier.onnx, which is absent"
)
def test_without_a_model_the_shipped_one_is_used() -> None:
    import stn_deploy

    assert stn_deploy.Rectifier is Rectifier
    assert Rectifier().spec == Rectifier(str(DEFAULT_MODEL)).spec
