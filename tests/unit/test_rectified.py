"""Points of a straightened crop lead back to the photograph, and the other way, and the pixels agree."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from stn_deploy.errors import ShapeError
from stn_deploy.geometry import normalised_from_pixels
from stn_deploy.runtime import Rectified
from tests.pictures import arc_points, box_points, smooth
from tests.tolerances import HALF_PIXEL_RULED_OUT, ROUND_TRIP
from tests.unit.conftest import Knowing

SIZE = (190, 320)
LINES = {
    "turned box": box_points(20, width=170, height=44, centre=(160, 95), tilt=np.radians(-33)),
    "arc": arc_points(20, radius=140, angle=np.radians(75), height=40, centre=(160, 190)),
}
each_line = pytest.mark.parametrize("points", LINES.values(), ids=LINES)


def straightened(knowing: Knowing, points: np.ndarray, image: np.ndarray, **settings: object) -> Rectified:
    return knowing(normalised_from_pixels(points, SIZE), **settings)(image)


@each_line
def test_there_and_back_is_where_one_was(knowing: Knowing, points: np.ndarray) -> None:
    result = straightened(knowing, points, smooth(*SIZE))
    height, width = result.image.shape[:2]
    inside = np.random.default_rng(0).uniform([0, 0], [width, height], (3, 50, 2))
    source = result.to_source(inside)
    assert source.shape == inside.shape
    assert np.abs(source - inside).max() > 20
    assert np.abs(result.to_rectified(source) - inside).max() < ROUND_TRIP
    assert np.abs(result.to_source(result.to_rectified(source)) - source).max() < ROUND_TRIP


@each_line
def test_the_corners_of_the_crop_are_the_outer_control_points(knowing: Knowing, points: np.ndarray) -> None:
    result = straightened(knowing, points, smooth(*SIZE))
    height, width = result.image.shape[:2]
    corners = result.to_source([[0, 0], [width, 0], [0, height], [width, height]])
    assert np.abs(corners - points[[0, 9, 10, 19]]).max() < ROUND_TRIP


@each_line
@pytest.mark.parametrize("settings", [{}, {"height": 90}, {"size": (64, 70)}], ids=str)
def test_a_dot_in_the_photograph_appears_where_to_rectified_says(
    knowing: Knowing, points: np.ndarray, settings: dict
) -> None:
    for place in (points[[2, 12]].mean(axis=0), points[[6, 17]].mean(axis=0)):
        image = np.zeros((*SIZE, 3), np.uint8)
        centre = [int(v) for v in np.round((place - 0.5) * 256)]  # OpenCV counts from pixel centres
        cv2.circle(image, (centre[0], centre[1]), 4 * 256, (255, 255, 255), -1, cv2.LINE_AA, 8)
        result = straightened(knowing, points, image, **settings)
        light = result.image[..., 0].astype(float)
        ys, xs = np.mgrid[: light.shape[0], : light.shape[1]] + 0.5
        found = np.array([(light * xs).sum(), (light * ys).sum()]) / light.sum()
        assert light.sum() > 255 * 5
        assert np.abs(found - result.to_rectified(place)).max() < HALF_PIXEL_RULED_OUT
        assert np.abs(result.to_source(found) - place).max() < 2 * HALF_PIXEL_RULED_OUT


@each_line
def test_every_pixel_of_the_crop_comes_from_where_to_source_says(
    knowing: Knowing, points: np.ndarray
) -> None:
    """Against bilinear sampling in NumPy, pixel by pixel, on a crop large enough for the coarse grid."""
    image = smooth(*SIZE)
    result = straightened(knowing, points, image, height=60)
    height, width = result.image.shape[:2]
    ys, xs = np.mgrid[:height, :width]
    source = result.to_source(np.stack([xs + 0.5, ys + 0.5], axis=-1)) - 0.5
    first = np.clip(np.floor(source).astype(int), 0, [SIZE[1] - 2, SIZE[0] - 2])
    x, y = np.clip(source - first, 0, 1).transpose(2, 0, 1)[..., None]
    corner = [image[first[..., 1] + j, first[..., 0] + i].astype(float) for j in (0, 1) for i in (0, 1)]
    expected = (corner[0] * (1 - x) + corner[1] * x) * (1 - y) + (corner[2] * (1 - x) + corner[3] * x) * y
    assert np.abs(result.image - expected).max() < 1.5


def test_without_straightening_points_stay_where_they_are(knowing: Knowing) -> None:
    result = straightened(knowing, LINES["arc"], smooth(*SIZE), score=0.1)
    assert not result.applied
    for function in (result.to_source, result.to_rectified):
        moved = function(np.array([[3, 4], [7.5, 1]]))
        assert moved.tolist() == [[3, 4], [7.5, 1]]
        assert moved.dtype == np.float64


def test_one_point_is_as_good_as_many(knowing: Knowing) -> None:
    result = straightened(knowing, LINES["arc"], smooth(*SIZE))
    assert result.to_source([5, 9]).shape == (2,)
    assert result.to_rectified((100.0, 90.0)).shape == (2,)
    assert result.to_rectified(np.zeros((0, 2))).shape == (0, 2)


@pytest.mark.parametrize("score", [0.9, 0.1], ids=["applied", "untouched"])
def test_points_that_are_not_pairs_are_refused(knowing: Knowing, score: float) -> None:
    result = straightened(knowing, LINES["arc"], smooth(*SIZE), score=score)
    for function in (result.to_source, result.to_rectified):
        with pytest.raises(ShapeError, match="points: expected"):
            function([[1, 2, 3]])
