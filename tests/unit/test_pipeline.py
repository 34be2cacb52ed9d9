"""A pipeline gives what the rectifier gives, in order, whatever comes in and whoever stops."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from stn_deploy.errors import ArgumentError, ClosedError, ImageError
from stn_deploy.geometry import control_point_targets
from stn_deploy.runtime import Pipeline, Rectified, Rectifier
from stn_deploy.runtime.pipeline import GROUP, GROUP_PIXELS, default_workers, grouped
from tests.pictures import smooth
from tests.tolerances import SCORE, THETA
from tests.unit.conftest import Knowing

FINE = control_point_targets(20) * 0.8
GOOD = smooth(31, 97)


def encoded(image: np.ndarray, suffix: str = ".png") -> bytes:
    return bytes(cv2.imencode(suffix, image)[1])


def various(count: int) -> list[np.ndarray]:
    """Images of different sizes, each of a grey of its own."""
    return [np.full((20 + index % 7, 60 + index % 11, 3), index % 251, np.uint8) for index in range(count)]


def pipeline_threads() -> int:
    return sum(thread.name.startswith("stn-deploy pipeline") for thread in threading.enumerate())


@pytest.fixture(autouse=True)
def no_thread_stays() -> Iterator[None]:
    yield
    assert pipeline_threads() == 0


@pytest.mark.parametrize(("workers", "size"), [(1, None), (2, None), (5, (16, 50))])
def test_a_pipeline_equals_the_rectifier(workers: int, size: tuple[int, int] | None, tmp_path: Path) -> None:
    (tmp_path / "word.png").write_bytes(encoded(smooth(40, 120, seed=9)))
    images: list[Any] = [
        smooth(30 + index % 9, 80 + index % 13, seed=index) for index in range(2 * GROUP + 5)
    ]
    for index in range(0, len(images), 2):
        images[index] = encoded(images[index], ".jpg")
    images[7], images[21] = tmp_path / "word.png", images[21][:, :, 1]
    rectifier = Rectifier(threshold=0.3, size=size)
    expected = rectifier(images)
    results = list(Pipeline(rectifier, workers=workers)(images))
    assert len(results) == len(expected)
    for result, other in zip(results, expected, strict=True):
        assert result.applied is other.applied
        assert abs(result.score - other.score) < SCORE
        assert np.abs(result.theta - other.theta).max() < THETA
        assert result.image.shape == other.image.shape
        assert np.abs(result.image.astype(int) - other.image).max() <= 1
        assert result.source_size == other.source_size
    assert {result.applied for result in results} == {True, False}


def test_an_array_left_alone_is_the_very_array_that_was_given(knowing: Knowing) -> None:
    images = various(50)
    results = Pipeline(knowing(FINE, 0.1), workers=3)(iter(images))
    assert all(result.image is image for result, image in zip(results, images, strict=True))


def test_errors_are_kept_in_their_places_and_named_by_their_number(knowing: Knowing) -> None:
    images: list[Any] = list(various(101))
    bad = {0: b"", 37: b"hello", 64: None, 99: np.zeros((4, 5)), 100: GOOD[:1]}
    for index, picture in bad.items():
        images[index] = picture
    outcomes = list(Pipeline(knowing(FINE), workers=4)(images, errors="keep"))
    assert len(outcomes) == 101
    for index, outcome in enumerate(outcomes):
        if index not in bad:
            assert isinstance(outcome, Rectified)
            assert outcome.source_size == images[index].shape[:2]
            assert outcome.image[0, 0, 0] == index
            continue
        assert isinstance(outcome, (ImageError, ArgumentError))
        assert str(outcome).startswith(f"image {index}: ")
        assert outcome.__traceback__ is None


def test_an_error_is_raised_after_the_results_before_it(knowing: Knowing) -> None:
    results = Pipeline(knowing(FINE), workers=3)([*various(37), b"hello", *various(200)])
    for _ in range(37):
        assert next(results).applied
    with pytest.raises(ImageError, match="^image 37: expected one of the formats") as raised:
        next(results)
    assert pipeline_threads() == 0, "while the error is held"
    assert list(results) == []
    del raised


def test_the_error_of_the_source_comes_after_the_results_before_it(knowing: Knowing) -> None:
    def images() -> Iterator[np.ndarray]:
        yield from various(GROUP + 3)
        raise ZeroDivisionError

    results = Pipeline(knowing(FINE))(images())
    assert sum(next(results).applied for _ in range(GROUP + 3)) == GROUP + 3
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_the_source_is_read_in_the_thread_of_the_consumer_and_within_the_bound(knowing: Knowing) -> None:
    read = 0

    def images() -> Iterator[bytes]:
        nonlocal read
        data = encoded(GOOD)
        for _ in range(500):
            assert threading.current_thread() is threading.main_thread()
            read += 1
            yield data

    pipeline = Pipeline(knowing(FINE), workers=2)
    for taken, _ in enumerate(pipeline(images())):
        assert read <= taken + (pipeline.workers + 2) * GROUP


@pytest.mark.parametrize("encode", [False, True], ids=["arrays", "files"])
def test_large_images_make_small_groups(knowing: Knowing, *, encode: bool) -> None:
    """In memory are about `GROUP_PIXELS` of each group, however small the files are."""
    side = 3000
    large = np.zeros((side, side), np.uint8)
    picture = encoded(large) if encode else large
    taken: list[int] = []
    rectifier = knowing(FINE)
    part = rectifier.part

    def watch(*arguments: Any, **settings: Any) -> Any:
        results = part(*arguments, **settings)
        taken.append(len(results))
        return results

    rectifier.part = watch  # type: ignore[method-assign]
    assert len(list(Pipeline(rectifier, workers=2)(picture for _ in range(6)))) == 6
    assert side**2 > GROUP_PIXELS
    assert taken == [1] * 6


def test_groups_are_of_as_many_images_as_memory_should_hold(tmp_path: Path) -> None:
    """By what can be seen in no time: the size of arrays, the length of files."""
    photograph = encoded(smooth(600, 900), ".jpg")
    photograph += bytes(GROUP_PIXELS // 16 - len(photograph))  # 8 pixels a byte: half a group
    (tmp_path / "photograph.JPG").write_bytes(photograph)
    (tmp_path / "scan.png").write_bytes(bytes(GROUP_PIXELS // 2))
    half = np.zeros((GROUP_PIXELS // 2000, 1000), np.uint8)
    for large in (
        photograph,
        bytearray(photograph),
        half,
        str(tmp_path / "photograph.JPG"),
        tmp_path / "scan.png",
    ):
        assert [len(group) for group in grouped(iter([large] * 5), lambda item: item)] == [2, 2, 1]
    for tiny in (GOOD, encoded(GOOD, ".jpg"), tmp_path / "none.png", "a\0b", None, memoryview(b"a")):
        lengths = [len(group) for group in grouped(iter([tiny] * (GROUP + 1)), lambda item: item)]
        assert lengths == [GROUP, 1]


@pytest.mark.parametrize("end", ["break", "close", "error"])
def test_a_consumer_that_stops_leaves_no_thread(knowing: Knowing, end: str) -> None:
    def consume() -> None:
        results = Pipeline(knowing(FINE), workers=4)(iter(various(5000)))
        for index, _ in enumerate(results):
            if index == 140:
                if end == "error":
                    raise ZeroDivisionError
                if end == "close":
                    results.close()  # type: ignore[attr-defined]
                break

    if end == "error":
        with pytest.raises(ZeroDivisionError):
            consume()
    else:
        consume()
    gc.collect()
    assert pipeline_threads() == 0


def test_several_pipelines_share_a_rectifier(knowing: Knowing) -> None:
    rectifier = knowing(FINE)
    streams = [Pipeline(rectifier, workers=2)(various(60)) for _ in range(3)]
    for results in zip(*streams, strict=True):
        assert np.array_equal(results[0].image, results[1].image)
        assert np.array_equal(results[0].image, results[2].image)


def test_a_rectifier_closed_meanwhile_is_refused(knowing: Knowing) -> None:
    rectifier = knowing(FINE)
    results = Pipeline(rectifier, workers=2)(iter(various(1000)))
    assert next(results).applied
    rectifier.close()
    with pytest.raises(ClosedError):
        list(results)


def test_nothing_comes_of_nothing(knowing: Knowing) -> None:
    assert list(Pipeline(knowing(FINE))([])) == []


def test_timings_are_measured_on_request(knowing: Knowing) -> None:
    (result, other) = Pipeline(knowing(FINE))([encoded(GOOD), GOOD], timings=True)
    assert result.timings is not None
    assert other.timings is not None
    assert result.timings.decode > other.timings.decode >= 0


@pytest.mark.parametrize("image", [GOOD, b"data", "a.png", Path("a.png"), None, 5])
def test_what_is_no_stream_of_images_is_refused(knowing: Knowing, image: Any) -> None:
    with pytest.raises(ArgumentError, match="images: expected a list or an iterator of images, got"):
        Pipeline(knowing(FINE))(image)


@pytest.mark.parametrize("workers", [0, -1, 1.5, "2", True])
def test_workers_that_are_no_number_are_refused(knowing: Knowing, workers: Any) -> None:
    with pytest.raises(ArgumentError, match="workers: expected at least 1, got"):
        Pipeline(knowing(FINE), workers=workers)


def test_by_default_each_core_has_a_worker_up_to_four(knowing: Knowing) -> None:
    assert 1 <= default_workers() <= 4
    assert Pipeline(knowing(FINE)).workers == default_workers()
    with pytest.raises(ArgumentError, match='errors: expected "raise" or "keep"'):
        Pipeline(knowing(FINE))([GOOD], errors="ignore")  # type: ignore[call-overload]
