"""The pool of training pictures follows from its seed, whatever the number of processes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from stn_deploy.geometry import normalised_from_pixels
from stn_deploy.training import RealWord, pool
from stn_deploy.training.fonts import FALLBACK
from stn_deploy.training.pool import CHUNK, Pool, PoolSettings, build_pools, pool_of_scenes
from stn_deploy.training.scene import Scene
from tests.pictures import noise
from tests.tolerances import POINT

SETTINGS = PoolSettings(thumbnail_size=(8, 24), control_points=6, seed=3, real_texture=0.3)
WORDS = [
    RealWord(image=noise(30, 70), quad=np.array([[4, 5], [60, 9], [58, 25], [3, 22]], np.float32), text="a")
]


def built(processes: int, settings: PoolSettings = SETTINGS) -> tuple[Pool, Pool]:
    pools = build_pools(settings, rendered=1, real=1, words=WORDS, processes=processes)
    assert pools.real is not None
    assert pools.texts is None
    return pools.rendered, pools.real


def assert_same(first: Pool, second: Pool) -> None:
    for name in ("thumbnails", "sizes", "points"):
        assert np.array_equal(getattr(first, name), getattr(second, name))


@pytest.fixture(autouse=True)
def one_font(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fonts of this computer do not matter here."""
    monkeypatch.setattr(pool, "find_fonts", lambda: (FALLBACK,))


def test_a_pool_is_the_same_for_one_and_for_two_processes() -> None:
    for alone, shared in zip(built(1), built(2), strict=True):
        assert_same(alone, shared)


def test_a_pool_has_its_shapes_and_another_seed_gives_another_pool() -> None:
    rendered, real = built(1)
    others = built(1, replace(SETTINGS, seed=4))
    for made, other in zip((rendered, real), others, strict=True):
        assert len(made) == CHUNK
        assert made.thumbnails.shape == (CHUNK, 3, 8, 24)
        assert made.points.shape == (CHUNK, 6, 2)
        assert np.isfinite(made.points).all()
        assert len(np.unique(made.thumbnails, axis=0)) > 0.9 * CHUNK * (0.7 if made is real else 1)
        assert not np.array_equal(made.thumbnails, other.thumbnails)
    assert not np.array_equal(rendered.thumbnails, real.thumbnails)


def test_without_real_words_there_is_no_real_pool() -> None:
    counted: list[int] = []
    pools = build_pools(SETTINGS, rendered=CHUNK + 1, real=5, words=[], processes=1, progress=counted.append)
    assert len(pools.rendered) == 2 * CHUNK
    assert pools.real is None
    assert counted == [CHUNK, CHUNK]


def test_a_picture_keeps_its_truth_in_the_pool() -> None:
    image = np.zeros((20, 60, 3), np.uint8)
    image[:10, 30:] = (10, 20, 30)  # the upper right quarter
    points = np.array([[0, 0], [30, 2], [60, 4], [0, 16], [30, 18], [60, 20]], float)
    made = pool_of_scenes([Scene(image=image, points=points, word="x")], SETTINGS)
    assert made.sizes.tolist() == [[20, 60]]
    assert np.abs(made.points[0] - normalised_from_pixels(points, (20, 60))).max() < POINT
    assert made.thumbnails[0, :, 1, 20].tolist() == [10, 20, 30]
    assert not made.thumbnails[0, :, 6].any()
    assert not made.thumbnails[0, :, :, :10].any()
