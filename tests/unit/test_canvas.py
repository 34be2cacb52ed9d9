"""Crops of different sizes on one canvas."""

from __future__ import annotations

import numpy as np
import pytest

from stn_deploy.errors import ArgumentError
from stn_deploy.runtime import pack_canvas
from tests.pictures import noise


def test_the_smallest_canvas_that_holds_all_is_the_default() -> None:
    packed, extents = pack_canvas([noise(5, 9), noise(8, 3)])
    assert packed.shape == (2, 8, 9, 3)
    assert packed.dtype == np.uint8
    assert extents.dtype == np.float32
    assert np.allclose(extents, [[5 / 8, 1], [1, 3 / 9]])


def test_images_lie_in_the_upper_left_with_their_last_row_and_column_once_more() -> None:
    images = [noise(5, 9), noise(8, 3), noise(10, 12), noise(9, 12)]
    packed, extents = pack_canvas(images, canvas=(10, 12))
    for canvas, image, extent in zip(packed, images, extents, strict=True):
        height, width = image.shape[:2]
        assert np.array_equal(canvas[:height, :width], image)
        expected = np.pad(image, ((0, 1), (0, 1), (0, 0)), mode="edge")[:10, :12]
        assert np.array_equal(canvas[: height + 1, : width + 1], expected)
        assert not canvas[height + 1 :].any()
        assert not canvas[:, width + 1 :].any()
        assert np.allclose(extent, [height / 10, width / 12])


def test_one_image_that_fills_its_canvas_is_unchanged() -> None:
    image = noise(4, 7)
    packed, extents = pack_canvas([image])
    assert np.array_equal(packed[0], image)
    assert extents.tolist() == [[1, 1]]


def test_an_image_larger_than_the_canvas_is_refused() -> None:
    for canvas in ((4, 20), (20, 8)):
        with pytest.raises(ArgumentError, match=r"canvas: expected at least \(5, 9\) \(height, width\), got"):
            pack_canvas([noise(5, 9), noise(2, 2)], canvas=canvas)


def test_no_image_at_all_is_refused() -> None:
    with pytest.raises(ArgumentError, match="images: expected at least one, got none"):
        pack_canvas([])


@pytest.mark.parametrize(
    "image",
    [np.zeros((5, 9), np.uint8), np.zeros((5, 9, 4), np.uint8), np.full((5, 9, 3), 300.0)],
    ids=["grey", "alpha", "float"],
)
def test_an_image_that_is_not_bgr_bytes_is_refused(image: np.ndarray) -> None:
    with pytest.raises(ArgumentError):
        pack_canvas([noise(5, 9), image])


def test_a_batch_in_one_array_is_as_good_as_a_list() -> None:
    batch = np.stack([noise(5, 9, seed=seed) for seed in range(2)])
    packed, extents = pack_canvas(batch)  # type: ignore[arg-type]
    assert np.array_equal(packed, batch)
    assert (extents == 1).all()
