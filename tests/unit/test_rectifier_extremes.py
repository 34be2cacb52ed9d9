"""Images of extreme shapes are straightened or refused as images; they never break a run."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from stn_deploy.data import find_images
from stn_deploy.errors import ArgumentError, ImageError
from stn_deploy.geometry import control_point_targets
from stn_deploy.runtime.folder import rectify_files
from tests.pictures import smooth
from tests.unit.conftest import Knowing

EXTREME = [(2, 2), (2, 3000), (3000, 2), (4, 33_000), (33_000, 4)]


@pytest.mark.parametrize("size", EXTREME, ids=str)
def test_an_extreme_image_gives_a_crop_or_an_image_error(size: tuple[int, int], knowing: Knowing) -> None:
    """OpenCV samples from no image with a side of 32767 pixels or more."""
    image = np.full((*size, 3), 90, np.uint8)
    try:
        result = knowing(control_point_targets(20), height=8)(image)
    except ImageError:
        assert max(size) >= 32_767
    else:
        assert result.image.shape[0] == 8
        assert (result.image == 90).all()


def test_an_extreme_image_in_a_folder_does_not_stop_the_others(knowing: Knowing, tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    assert cv2.imwrite(str(source / "a.png"), smooth(30, 80))
    assert cv2.imwrite(str(source / "b.png"), np.full((4, 33_000, 3), 90, np.uint8))
    assert cv2.imwrite(str(source / "c.png"), smooth(30, 80))
    failures = rectify_files(find_images([source]), knowing(control_point_targets(20)), tmp_path / "out")
    assert failures <= 1
    assert {"a.png", "c.png"} <= {path.name for path in (tmp_path / "out").iterdir()}


def test_no_crop_is_larger_than_opencv_can_sample(knowing: Knowing) -> None:
    line = control_point_targets(20) * [1, 1e-4]
    crop = knowing(line, height=1024)(smooth(40, 120)).image
    assert crop.shape[0] == 1024
    assert crop.shape[1] <= 32_766


@pytest.mark.parametrize(
    "given", [None, 7, object(), {"a.jpg": 1}], ids=["nothing", "number", "object", "dictionary"]
)
def test_what_is_no_image_is_refused_at_once(knowing: Knowing, given: object) -> None:
    with pytest.raises(
        ArgumentError, match="images: expected an array, a path, bytes or a file object, a list"
    ):
        knowing(control_point_targets(20))(given)  # type: ignore[call-overload]
