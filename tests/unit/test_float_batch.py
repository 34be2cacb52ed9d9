"""Float batches for recognisers: size, aspect, padding, order of channels, and the arithmetic."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest

from stn_deploy.errors import ArgumentError, ClosedError, ImageError
from stn_deploy.geometry import control_point_targets
from tests.pictures import noise, smooth
from tests.unit.conftest import Knowing

THETA = control_point_targets(20) * 0.8
PADDED = (32, 100)


def test_pixels_are_normalised_channel_by_channel(knowing: Knowing) -> None:
    image = noise(32, 100)
    mean, scale = [100, 110.5, 120], [0.01, 0.02, 0.03]
    leaves = knowing(THETA, 0.1)
    for order, pixels in (("RGB", image[..., ::-1]), ("BGR", image)):
        batch = leaves.batch([image], PADDED, mean=mean, scale=scale, channel_order=order)  # type: ignore[arg-type]
        expected = (pixels.astype(np.float64) - mean) * scale
        assert batch.dtype == np.float32
        assert batch.flags.c_contiguous
        assert np.abs(batch[0].transpose(1, 2, 0) - expected).max() < 1e-5


def test_grey_is_one_channel(knowing: Knowing) -> None:
    image = noise(32, 100)
    batch = knowing(THETA, 0.1).batch([image], PADDED, mean=0, scale=1, channel_order="grey")
    assert batch.shape == (1, 1, 32, 100)
    assert np.abs(batch[0, 0] - image @ [0.114, 0.587, 0.299]).max() <= 0.51


def test_by_default_values_lie_between_minus_one_and_one(knowing: Knowing) -> None:
    image = np.zeros((32, 100, 3), np.uint8)
    image[:, 50:] = 255
    batch = knowing(THETA, 0.1).batch([image], PADDED)
    assert (float(batch.min()), float(batch.max())) == (-1, 1)


def test_narrow_crops_are_padded_on_the_right_and_wide_ones_squeezed(knowing: Knowing) -> None:
    light = [np.full(shape, 255, np.uint8) for shape in ((64, 100), (16, 90), (40, 41, 4), (9, 3))]
    batch = knowing(THETA, 0.1).batch(light, PADDED)
    assert batch.shape == (4, 3, 32, 100)
    for each, width in zip(batch, (50, 100, 33, 11), strict=True):
        assert (each[..., :width] == 1).all()
        assert (each[..., width:] == 0).all()


def test_straightened_crops_are_in_it(knowing: Knowing) -> None:
    image = smooth(31, 97)
    straight = knowing(THETA, size=PADDED)
    images: list[Any] = [image, bytes(cv2.imencode(".png", image)[1])]
    batch = straight.batch(iter(images), PADDED, mean=0, scale=1)
    expected = straight(image).image[..., ::-1].transpose(2, 0, 1)
    assert np.abs(batch - expected.astype(np.float32)).max() <= 1, "rounded sums of one image and of two"
    alone = straight.batch(image, PADDED, mean=0, scale=1)
    assert np.array_equal(alone[0], expected)


def test_no_images_are_an_empty_batch(knowing: Knowing) -> None:
    assert knowing(THETA).batch([], PADDED).shape == (0, 3, 32, 100)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"channel_order": "rgb"}, 'channel_order: expected "RGB", "BGR" or "grey"'),
        ({"mean": [1, 2]}, "mean: expected a finite number, or 3 of them"),
        ({"mean": [1, 2, 3], "channel_order": "grey"}, "mean: expected a finite number, or 1 of them"),
        ({"scale": float("nan")}, "scale: expected a finite number"),
        ({"scale": "much"}, "scale: expected a finite number"),
        ({"size": (0, 100)}, "size: expected"),
    ],
    ids=str,
)
def test_settings_out_of_range_are_refused(knowing: Knowing, settings: dict[str, Any], message: str) -> None:
    size = settings.pop("size", PADDED)
    with pytest.raises(ArgumentError, match=message):
        knowing(THETA).batch([smooth(9, 20)], size, **settings)


def test_a_bad_image_is_named_and_a_closed_rectifier_says_so(knowing: Knowing) -> None:
    rectifier = knowing(THETA)
    with pytest.raises(ImageError, match="^image 1: the file is empty"):
        rectifier.batch([smooth(9, 20), b""], PADDED)
    rectifier.close()
    with pytest.raises(ClosedError):
        rectifier.batch([], PADDED)
