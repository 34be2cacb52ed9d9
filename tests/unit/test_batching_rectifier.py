"""The shipped rectifier behind a batcher gives what it gives alone, and one bad image fails alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from stn_deploy.errors import ArgumentError, StnDeployError
from stn_deploy.runtime import BatchLimits, Rectifier, batching_rectifier
from tests.batching import FOR_EVER, HANG
from tests.pictures import Image, smooth

SIZES = [(20, 60), (31, 47), (64, 300), (50, 40), (17, 201)]


@pytest.fixture(scope="module")
def always() -> Rectifier:
    return Rectifier(threshold=0)


@pytest.fixture(scope="module")
def images() -> list[Image]:
    return [smooth(height, width, seed=seed) for seed, (height, width) in enumerate(SIZES)]


def test_a_batch_gives_what_each_image_gives_alone(always: Rectifier, images: list[Image]) -> None:
    limits = BatchLimits(max_batch=len(SIZES), max_delay=FOR_EVER)
    with batching_rectifier(always, limits) as batcher:
        futures = [batcher.submit(image) for image in images]
        for image, future in zip(images, futures, strict=True):
            result, alone = future.result(HANG), always(image)
            assert result.source_size == image.shape[:2]
            assert result.image.shape == alone.image.shape
            assert np.abs(result.theta - alone.theta).max() < 1e-5
            assert np.abs(result.image.astype(int) - alone.image).max() <= 1
        assert batcher.counters().batch_sizes == {len(SIZES): 1}


BAD: list[Any] = [
    np.zeros((1, 9, 3), np.uint8),
    np.zeros((0, 0, 3), np.uint8),
    np.zeros((4, 5), np.float64),
    np.zeros(7, np.uint8),
    None,
    "photo.jpg",
    [np.zeros((9, 9, 3), np.uint8)],
]


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: getattr(bad, "shape", None) or type(bad).__name__)
def test_a_bad_image_fails_with_what_it_raises_alone(
    bad: Any, always: Rectifier, images: list[Image]
) -> None:
    with pytest.raises(StnDeployError) as alone:
        always([bad])
    with batching_rectifier(always, BatchLimits(max_batch=6, max_delay=FOR_EVER)) as batcher:
        futures = [batcher.submit(image) for image in [*images[:3], bad, *images[3:]]]
        error = futures[3].exception(HANG)
        assert (type(error), str(error)) == (alone.type, str(alone.value))
        good = [future.result(HANG) for future in futures if future is not futures[3]]
        assert [result.source_size for result in good] == SIZES
        assert (batcher.counters().done, batcher.counters().failed) == (5, 1)


def test_without_a_rectifier_it_is_the_shipped_one(images: list[Image]) -> None:
    shipped = Rectifier()
    with batching_rectifier(limits=BatchLimits(max_delay=0), workers=2) as batcher:
        for image in images:
            result, alone = batcher.submit(image).result(HANG), shipped(image)
            assert np.abs(result.theta - alone.theta).max() < 1e-5
            assert result.applied == alone.applied


def test_an_image_that_needs_no_straightening_is_the_very_array_that_was_given(images: list[Image]) -> None:
    with batching_rectifier(Rectifier(threshold=1), BatchLimits(max_delay=0)) as batcher:
        assert batcher.submit(images[0]).result(HANG).image is images[0]


def test_settings_that_make_no_batcher_are_refused(always: Rectifier) -> None:
    with pytest.raises(ArgumentError, match="workers: expected a whole number from 1, got -1"):
        batching_rectifier(always, workers=-1)
