"""How large a straightened crop is, and that its pixels come from the original, once."""

from __future__ import annotations

import numpy as np
import pytest

from stn_deploy.errors import ArgumentError
from stn_deploy.geometry import control_point_targets, normalised_from_pixels
from tests.pictures import arc_points, box_points, noise, smooth
from tests.unit.conftest import Knowing

SIZE = (160, 300)


@pytest.mark.parametrize("height", [4, 31, 48, 200])
def test_the_natural_width_of_a_box_keeps_its_proportion(knowing: Knowing, height: int) -> None:
    points = box_points(20, width=150, height=36, centre=(150, 80), tilt=0.5)
    result = knowing(normalised_from_pixels(points, SIZE), height=height)(smooth(*SIZE))
    step = max(height // 12, 1)
    assert result.image.shape == (height, step * round(height * 150 / 36 / step), 3)


@pytest.mark.parametrize("degrees", [80, 120])
def test_the_natural_width_of_an_arc_follows_its_length_not_its_chord(
    knowing: Knowing, degrees: float
) -> None:
    angle, radius = np.radians(degrees), 90.0
    points = arc_points(20, radius=radius, angle=angle, height=30, centre=(150, 140))
    result = knowing(normalised_from_pixels(points, SIZE), height=48)(smooth(*SIZE))
    expected = 48 * radius * angle / 30
    chord = 48 * 2 * radius * np.sin(angle / 2) / 30
    assert abs(result.image.shape[1] - expected) < 0.005 * expected + 48 / 12 / 2
    assert abs(chord - expected) > 4


def test_the_natural_width_does_not_depend_on_the_resolution_of_the_image(knowing: Knowing) -> None:
    theta = normalised_from_pixels(box_points(20, width=150, height=36, centre=(150, 80)), SIZE)
    widths = {knowing(theta)(smooth(160 * scale, 300 * scale)).image.shape for scale in (1, 2, 5)}
    assert widths == {(48, 200, 3)}


def test_a_fixed_size_is_kept_whatever_the_text(knowing: Knowing) -> None:
    for points in (
        box_points(20, width=150, height=36, centre=(150, 80)),
        arc_points(20, radius=80, angle=1.5, height=30, centre=(150, 140)),
    ):
        result = knowing(normalised_from_pixels(points, SIZE), size=(32, 100))(smooth(*SIZE))
        assert result.image.shape == (32, 100, 3)


def test_a_size_and_a_height_are_refused_together(knowing: Knowing) -> None:
    for height in (64, 48, 32):  # the default and the size's own are refused as well: nobody has to guess
        with pytest.raises(
            ArgumentError, match=r"either a height or a size, got height \d+ and size \(32, 100\)"
        ):
            knowing(control_point_targets(20), height=height, size=(32, 100))


def test_a_width_stays_within_reason(knowing: Knowing) -> None:
    flat = control_point_targets(20) * [1, 1e-6]
    assert knowing(flat, height=10)(smooth(*SIZE)).image.shape == (10, 640, 3)
    assert knowing(control_point_targets(20) * [1e-6, 1], height=10)(smooth(*SIZE)).image.shape == (10, 4, 3)


@pytest.mark.parametrize("size", [(48, 131), (37, 240)], ids=str)
def test_the_identity_gives_back_the_image_whether_the_grid_is_exact_or_not(
    knowing: Knowing, size: tuple[int, int]
) -> None:
    image = noise(*size)
    result = knowing(control_point_targets(20), size=size)(image)
    assert result.applied
    assert np.abs(result.image.astype(int) - image).max() <= 1


def test_large_text_is_averaged_not_picked(knowing: Knowing) -> None:
    """A fine pattern becomes its mean; picking single pixels would give back black and white."""
    image = np.zeros((484, 1008, 3), np.uint8)
    image[:, ::2] = 255
    result = knowing(control_point_targets(20), height=48)(image)
    assert result.image.shape == (48, 100, 3)
    assert result.image.std() < 6
    assert abs(result.image.mean() - 127.5) < 3


def test_a_score_that_is_not_a_number_leaves_the_image_alone(knowing: Knowing) -> None:
    image = smooth(*SIZE)
    with np.errstate(invalid="ignore"):
        result = knowing(np.full((20, 2), np.nan), score=float("nan"), threshold=0)(image)
    assert not result.applied
    assert result.image is image
