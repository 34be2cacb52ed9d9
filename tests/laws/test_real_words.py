"""Variations of photographs keep their quadrilateral on the same pixels."""

from __future__ import annotations

from typing import cast

import cv2
import numpy as np
import pytest

from stn_deploy.data import Dataset, Sample
from stn_deploy.errors import DatasetError
from stn_deploy.training.real import RealWord, load_real_words, vary_real_word
from tests.pictures import noise
from tests.tolerances import HALF_PIXEL_RULED_OUT

QUAD = np.array([[42, 31], [165, 52], [158, 104], [35, 79]], np.float32)
COLOURS = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 0]], np.uint8)
RADIUS = 4


def photograph() -> RealWord:
    """A black picture with a dot of another colour on each corner of the quadrilateral."""
    image = np.zeros((140, 210, 3), np.uint8)
    for corner, colour in zip(QUAD, COLOURS.tolist(), strict=True):
        centre = [int(v) for v in np.round((corner - 0.5) * 256)]  # OpenCV counts from pixel centres
        cv2.circle(image, (centre[0], centre[1]), RADIUS * 256, colour, -1, cv2.LINE_AA, 8)
    return RealWord(image=image, quad=QUAD, text="dots")


def dot_near(image: np.ndarray, corner: np.ndarray, colour: np.ndarray) -> np.ndarray | None:
    """Where the dot of a colour is, pixels from the edges; None where a border may cut it."""
    height, width = image.shape[:2]
    reach = 2 * RADIUS
    if not (reach < corner[0] < width - reach and reach < corner[1] < height - reach):
        return None
    weight = image[..., colour > 0].min(axis=2).astype(float) - image[..., colour == 0].max(axis=2)
    weight[weight < 0.3 * weight.max()] = 0
    ys, xs = np.mgrid[:height, :width] + 0.5
    return np.array([(weight * xs).sum(), (weight * ys).sum()]) / weight.sum()


def test_the_corners_stay_on_the_same_pixels() -> None:
    word = photograph()
    found, changed, offsets = 0, 0, []
    for seed in range(60):
        scene = vary_real_word(np.random.default_rng(seed), word, count=20)
        changed += scene.image.shape != word.image.shape
        for corner, colour in zip(scene.points[[0, 9, 19, 10]], COLOURS, strict=True):
            dot = dot_near(scene.image, corner, colour)
            if dot is not None:
                found += 1
                offsets.append(dot - corner)
    assert changed > 30
    assert found > 60
    assert np.abs(offsets).max() < HALF_PIXEL_RULED_OUT


def test_a_variation_repeats_with_its_seed_and_leaves_the_photograph_alone() -> None:
    word = photograph()
    before = word.image.copy()
    first, again = (vary_real_word(np.random.default_rng(5), word, count=8) for _ in range(2))
    assert np.array_equal(first.image, again.image)
    assert np.array_equal(first.points, again.points)
    assert first.points.shape == (8, 2)
    assert np.array_equal(word.image, before)


class FakeDataset(list):
    """Samples as a dataset gives them."""


def sample(quad: object, data: bytes | None = None, points: object = None) -> Sample:
    encoded = cv2.imencode(".png", noise(40, 90))[1].tobytes() if data is None else data
    corners = None if quad is None else np.array(quad, np.float32).reshape(4, 2)
    edges = None if points is None else np.array(points, np.float32)
    return Sample("x.png", "x", corners, lambda: encoded, edges)


CLOCKWISE = [[5, 5], [80, 9], [78, 30], [4, 28]]


def test_words_without_a_usable_quadrilateral_are_left_out_and_counted() -> None:
    samples = [
        sample(CLOCKWISE),
        sample(None),
        sample(CLOCKWISE[::-1]),  # against the clock
        sample([[5, 5], [5, 5], [5, 5], [5, 5]]),
        sample([CLOCKWISE[0], CLOCKWISE[2], CLOCKWISE[1], CLOCKWISE[3]]),  # crossed
        sample(CLOCKWISE, b"not an image"),
    ]
    words, left_out = load_real_words(cast(Dataset, FakeDataset(samples)))
    assert [word.text for word in words] == ["x"]
    assert words[0].quad.tolist() == CLOCKWISE
    assert sum(left_out.values()) == 5
    assert left_out["without a quad"] == left_out["with an image that cannot be used"] == 1


CURVE = np.array([[5, 20], [40, 5], [80, 22], [9, 34], [40, 20], [76, 36]], np.float32)


def test_curved_words_keep_their_points() -> None:
    samples = [
        sample(None, points=CURVE),
        sample(CLOCKWISE, points=CURVE),
        sample(None, points=CURVE[::-1]),  # turned over and mirrored: along a line, as the reader sees it
        sample(CLOCKWISE, points=CURVE[[2, 1, 0, 5, 4, 3]]),  # mirrored
        sample(None, points=CURVE[[3, 4, 5, 0, 1, 2]]),  # the bottom edge first
    ]
    words, left_out = load_real_words(cast(Dataset, FakeDataset(samples)))
    assert left_out == {"with points that do not go along the top edge, then along the bottom edge": 2}
    for word in words[:2]:
        assert np.array_equal(word.scene(6).points, CURVE)
        assert word.quad.tolist() == CURVE[[0, 2, 5, 3]].tolist()


def test_variations_of_a_curved_word_keep_its_points_on_the_same_pixels() -> None:
    word = RealWord(image=photograph().image, quad=QUAD, text="dots", points=QUAD[[0, 1, 3, 2]])
    straight = photograph()
    for seed in range(20):
        curved, plain = (
            vary_real_word(np.random.default_rng(seed), one, count=8) for one in (word, straight)
        )
        assert np.array_equal(curved.image, plain.image)
        assert np.abs(curved.points - plain.points).max() < 1e-3


def test_a_dataset_without_quadrilaterals_is_refused() -> None:
    with pytest.raises(DatasetError, match=r"expected samples with a quad column.*\(1 without a quad\)"):
        load_real_words(cast(Dataset, FakeDataset([sample(None)])))
