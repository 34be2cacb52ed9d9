"""The rectifier that ships with the package: whole, the same on every path, and of use."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest

from stn_deploy.artifact import read_artifact
from stn_deploy.export import verify
from stn_deploy.geometry import box_control_points, pixels_from_normalised
from stn_deploy.runtime import DEFAULT_MODEL, Rectifier
from stn_deploy.runtime.rectifier import INT8_MODEL
from stn_deploy.training.backgrounds import PLAIN
from stn_deploy.training.bends import Arc, Straight
from stn_deploy.training.flat import FlatText
from stn_deploy.training.fonts import FALLBACK
from stn_deploy.training.scene import Scene, compose, place
from stn_deploy.training.warp import Warp, rotation
from stn_deploy.training.words import draw_word

pytestmark = pytest.mark.skipif(
    not DEFAULT_MODEL.exists(), reason="needs stn_deploy/weights/rectifier.onnx, which this checkout lacks"
)

WORDS = ("Restaurant", "market", "OPEN", "Station 42", "Bridge", "coffee")


def scene(word: str, *, arc: float = 0.0, turn: float = 0.0) -> Scene:
    """A word in black on white with a comfortable margin; angles in degrees."""
    ink = draw_word(word, FALLBACK, 48)
    flat = FlatText(ink=ink, box=(0, 0, ink.shape[1], ink.shape[0]), word=word)
    bend = Arc(angle=np.radians(arc), length=flat.length) if arc else Straight()
    warp = Warp(length=flat.length, bend=bend, scene_from_bent=rotation(np.radians(turn)))
    return compose(flat, warp, place(warp, text_height=36, margins=np.full(4, 0.2)), PLAIN, count=20)


def text_points(theta: np.ndarray, size: tuple[int, int], margin: float) -> np.ndarray:
    """Control points in pixels without the margin across the line, which is what theta adds."""
    top, bottom = np.split(pixels_from_normalised(theta, size).astype(float), 2)
    inset = margin / (1 + 2 * margin)
    return np.concatenate([top + (bottom - top) * inset, bottom + (top - bottom) * inset])


def midline_error(points: np.ndarray, truth: np.ndarray) -> float:
    """Mean distance of the true midline from the found one, text heights."""
    found, true = (np.split(line, 2)[0] / 2 + np.split(line, 2)[1] / 2 for line in (points, truth))
    dense = np.stack(
        [np.interp(np.linspace(0, 9, 200), np.arange(10), found[:, axis]) for axis in (0, 1)], axis=1
    )
    distances = np.linalg.norm(true[:, None] - dense[None], axis=2).min(axis=1)
    return float(distances.mean() / np.linalg.norm(truth[10:] - truth[:10], axis=1).mean())


@pytest.mark.parametrize("model", [DEFAULT_MODEL, INT8_MODEL], ids=lambda path: path.name)
def test_it_is_small_and_says_how_it_was_trained(model: Path) -> None:
    data, spec = read_artifact(model)
    assert len(data) <= 3_000_000
    assert spec.recipe["name"]
    onnx.checker.check_model(onnx.load_from_string(data), full_check=True)


@pytest.mark.parametrize("model", [DEFAULT_MODEL, INT8_MODEL], ids=lambda path: path.name)
def test_it_gives_the_same_numbers_on_every_path(model: Path) -> None:
    comparisons = verify(model)
    assert all(comparison.passed for comparison in comparisons), comparisons


@pytest.mark.parametrize("bent", [{"arc": 90.0}, {"arc": -70.0}, {"turn": 20.0}, {"turn": -25.0}], ids=str)
@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_it_finds_bent_and_turned_words(bent: dict[str, float], precision: str) -> None:
    rectifier = Rectifier(precision=precision)
    errors, boxes = [], []
    for word in WORDS:
        drawn = scene(word, **bent)
        result = rectifier(drawn.image)
        assert result.applied, word
        points = text_points(result.theta, result.source_size, rectifier.spec.margin)
        errors.append(midline_error(points, drawn.points))
        boxes.append(midline_error(box_control_points(result.source_size, 20), drawn.points))
    assert np.mean(errors) < 0.5 * np.mean(boxes)
    assert np.mean(errors) < 0.2


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_it_leaves_straight_words_alone(precision: str) -> None:
    rectifier = Rectifier(precision=precision)
    untouched = [not rectifier(scene(word).image).applied for word in WORDS]
    assert sum(untouched) >= len(WORDS) - 1


def test_it_does_not_care_about_colours_and_size() -> None:
    rectifier = Rectifier()
    image = scene("market", turn=20).image
    expected = rectifier(image)
    enlarged = cv2.resize(image, None, fx=2.5, fy=2.5, interpolation=cv2.INTER_CUBIC)
    for other in (255 - image, np.asarray(enlarged, np.uint8)):
        found = rectifier(other)
        assert found.applied
        assert np.abs(found.theta - expected.theta).mean() < 0.1
