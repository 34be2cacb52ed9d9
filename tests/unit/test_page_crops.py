"""The crop that a pipeline cuts from a page: what it shows, and the way back to the page."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from stn_deploy.errors import ArgumentError
from stn_deploy.runtime.ocr import Detector, along_text, reading_order
from stn_deploy.runtime.ocr.detector import as_detector, quad_size
from stn_deploy.runtime.ocr.page_crops import cut_plain
from tests.pictures import arc_points, smooth

PAGE = (310, 470)
TURNED = np.array([[120.0, 60], [300, 120], [288, 160], [108, 102]])
TALL = np.array([[30.0, 40], [62, 45], [50, 190], [18, 186]])


def test_an_upright_quad_is_the_pixels_of_the_page() -> None:
    page = smooth(*PAGE)
    crop = cut_plain(page, box(40, 50, 131, 41))
    np.testing.assert_array_equal(crop.image, page[50:91, 40:171])
    places = crop.to_source(np.array([[0, 0], [131, 41], [2.5, 3]]))
    assert np.abs(places - np.array([[40, 50], [171, 91], [42.5, 53]])).max() < 1e-4


@pytest.mark.parametrize("quad", [TURNED, along_text(TALL), along_text(TURNED, turned=True)])
def test_corners_of_the_crop_are_those_of_the_quad(quad: np.ndarray) -> None:
    """To a pixel, for the pipelines take corners for centres of pixels."""
    crop = cut_plain(smooth(*PAGE), quad)
    height, width = crop.image.shape[:2]
    assert (width, height) == quad_size(quad)
    corners = crop.to_source([[0, 0], [width, 0], [width, height], [0, height]])
    assert np.abs(corners - quad).max() < 1.3


@pytest.mark.parametrize("shrunk", [False, True])
def test_pixels_of_the_crop_lie_where_it_says(shrunk: bool) -> None:
    """A page whose pixels tell their own place: x in blue, y in green."""
    height, width = 240, 250
    ys, xs = np.mgrid[:height, :width]
    page = np.stack([xs, ys, xs * 0], axis=-1).astype(np.uint8)
    quad = np.array([[60.0, 40], [200, 90], [185, 130], [45, 80]])
    crop = cut_plain(page, quad, shrunk=page[::2, ::2] if shrunk else None)
    rows, columns = crop.image.shape[:2]
    assert abs(columns - (148 if not shrunk else 74)) <= 1
    ys, xs = np.mgrid[:rows, :columns] + 0.5
    places = crop.to_source(np.stack([xs, ys], axis=-1))
    found = crop.image[..., :2].astype(float) + 0.5
    assert np.abs(places - found).max() < (2 if shrunk else 1)


def test_the_rectangle_around_a_bent_polygon_begins_where_its_text_does() -> None:
    points = arc_points(14, radius=120, angle=np.radians(120), height=30, centre=(200, 260))
    polygon = np.concatenate([points[:7], points[7:][::-1]])
    for turns in range(4):
        angle = np.radians(90 * turns)
        matrix = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        turned = (polygon - (200, 180)) @ matrix + (230, 160)
        crop = cut_plain(smooth(*PAGE), turned)
        height, width = crop.image.shape[:2]
        assert width > height
        start, end = crop.to_source([[0, height / 2], [width, height / 2]])
        text = turned[6] - turned[0]
        assert (end - start) @ text > 0.99 * np.linalg.norm(end - start) * np.linalg.norm(text)


def test_a_crop_is_never_larger_than_its_page_allows() -> None:
    far = box(-1e7, 10, 2e7, 20)
    assert max(cut_plain(smooth(*PAGE), far).image.shape) <= np.hypot(*PAGE) + 1
    assert cut_plain(smooth(*PAGE), box(10, 10, 20, 0.4)).image.shape == (2, 20, 3)


@pytest.mark.parametrize(
    ("quad", "left"),
    [(TURNED, 1), (TALL, 5), (TURNED[:, ::-1][[0, 3, 2, 1]], 5)],
    ids=["wide", "tall", "tall and turned"],
)
def test_it_is_the_crop_of_rapidocr(quad: np.ndarray, left: int) -> None:
    """One that runs downwards RapidOCR turns afterwards, which moves it by a pixel."""
    module = pytest.importorskip("rapidocr.utils.process_img", reason="rapidocr is not installed")
    page = smooth(*PAGE)
    theirs = module.get_rotate_crop_image(page, quad.astype(np.float32))
    ours = cut_plain(page, along_text(quad)).image
    assert ours.shape == theirs.shape
    assert np.abs(ours.astype(int) - theirs).max() <= left


def test_a_quad_begins_where_its_text_begins() -> None:
    wide = [[0, 0], [30, 0], [30, 20], [0, 20]]
    np.testing.assert_array_equal(along_text(wide), wide)
    np.testing.assert_array_equal(along_text(wide, turned=True), np.roll(wide, -2, axis=0))
    tall = [[0, 0], [20, 0], [20, 30], [0, 30]]
    np.testing.assert_array_equal(along_text(tall)[0], [20, 0])  # it runs downwards: its top is on the right
    np.testing.assert_array_equal(along_text(tall, turned=True)[0], [0, 30])


def box(left: float, top: float, width: float = 60, height: float = 20) -> np.ndarray:
    return np.array([[left, top], [left + width, top], [left + width, top + height], [left, top + height]])


@pytest.mark.parametrize(
    ("boxes", "order"),
    [
        ([], []),
        ([box(0, 100), box(0, 50), box(0, 0)], [2, 1, 0]),
        ([box(200, 3), box(0, 0), box(100, 6)], [1, 2, 0]),
        ([box(200, 0, height=40), box(0, 12, height=16), box(0, 60)], [1, 0, 2]),
        ([box(0, 0), box(100, 19), box(0, 38)], [0, 1, 2]),  # a staircase is no row
        ([box(0, 0, height=200), box(70, 10), box(70, 170)], [1, 0, 2]),
    ],
)
def test_rows_are_read_from_top_to_bottom_and_each_from_left_to_right(
    boxes: list[np.ndarray], order: list[int]
) -> None:
    assert reading_order(boxes) == order


def test_every_line_is_read_once_whatever_the_boxes() -> None:
    rng = np.random.default_rng(0)
    boxes = [box(*rng.uniform(0, 300, 2), *rng.uniform(5, 90, 2)) for _ in range(60)]
    assert sorted(reading_order(boxes)) == list(range(60))


def test_what_finds_no_lines_is_refused_by_its_name() -> None:
    class Blind:
        name = "Eye"

    with pytest.raises(ArgumentError, match=r"^detector: expected an engine that finds.*got Eye, which only"):
        as_detector(Blind())

    class Seeing(Blind):
        def detect(self, page: np.ndarray) -> list[Any]:
            return []

    assert isinstance(as_detector(Seeing()), Detector)
