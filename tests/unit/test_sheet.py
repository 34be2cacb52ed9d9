"""The before/after sheet: its size, its drawing, and that it leaves its input alone."""

from __future__ import annotations

import numpy as np
import pytest

from stn_deploy.geometry import normalised_from_pixels, pixels_from_normalised
from stn_deploy.runtime import Rectified
from stn_deploy.runtime.sheet import SheetRow, before_after_sheet, draw_grid
from tests.pictures import arc_points, noise, smooth
from tests.unit.conftest import Knowing

SIZE = (90, 210)
POINTS = arc_points(20, radius=110, angle=1.0, height=30, centre=(105, 140))


@pytest.fixture
def result(knowing: Knowing) -> Rectified:
    return knowing(normalised_from_pixels(POINTS, SIZE))(np.full((*SIZE, 3), 255, np.uint8))


def row(image: np.ndarray, result: Rectified, label: str = "word") -> SheetRow:
    return SheetRow(image=image, result=result, label=label, note="straightened")


def test_drawing_changes_neither_the_source_nor_the_result(result: Rectified) -> None:
    image = noise(*SIZE)
    before, after, theta = image.copy(), result.image.copy(), result.theta.copy()
    draw_grid(image, result)
    before_after_sheet([row(image, result)])
    assert np.array_equal(image, before)
    assert np.array_equal(result.image, after)
    assert np.array_equal(result.theta, theta)


def test_drawing_leaves_a_source_alone_that_is_neither_shrunk_nor_enlarged(result: Rectified) -> None:
    drawn = draw_grid(noise(*SIZE), result)
    image = noise(*drawn.shape[:2])
    before = image.copy()
    again = draw_grid(image, result)
    assert again.shape == image.shape
    assert np.array_equal(image, before)
    assert not np.array_equal(again, image)


def test_the_control_points_are_drawn_where_they_are(result: Rectified) -> None:
    drawn = draw_grid(np.full((*SIZE, 3), 255, np.uint8), result)
    assert drawn.shape[0] / drawn.shape[1] == pytest.approx(SIZE[0] / SIZE[1], rel=0.01)
    for x, y in pixels_from_normalised(result.theta, drawn.shape[:2]):
        blue, green, red = (int(value) for value in drawn[round(float(y)), round(float(x))])
        assert red > 150 > max(blue, green)
    touched = (drawn != 255).any(axis=2)
    assert not touched[:, : round(drawn.shape[1] * 0.15)].any()  # the text begins at a fifth of the width
    assert touched.mean() < 0.5


def test_a_large_photograph_is_shrunk_and_a_small_one_enlarged(result: Rectified) -> None:
    shapes = {draw_grid(smooth(90 * scale // 3, 210 * scale // 3), result).shape for scale in (1, 3, 30)}
    assert len(shapes) == 1


def test_a_sheet_grows_with_its_rows_and_holds_both_pictures(result: Rectified, knowing: Knowing) -> None:
    sheets = [before_after_sheet([row(smooth(*SIZE), result)] * count) for count in (1, 2, 5)]
    widths, heights = {sheet.shape[1] for sheet in sheets}, [sheet.shape[0] for sheet in sheets]
    assert len(widths) == 1
    assert heights[1] - heights[0] > 100
    assert heights[2] - heights[1] == 3 * (heights[1] - heights[0])
    assert all(sheet.dtype == np.uint8 and sheet.shape[2] == 3 for sheet in sheets)
    left, right = np.split(sheets[0][:, : sheets[0].shape[1] // 2 * 2], 2, axis=1)
    assert (left < 250).mean() > 0.2
    dark = np.zeros((*SIZE, 3), np.uint8)
    shown = before_after_sheet([row(dark, knowing(result.theta)(dark))])
    assert (shown[:, shown.shape[1] // 2 :] == 0).mean() > 0.1
    assert (right < 250).any()


def test_an_untouched_image_is_shown_without_a_grid(knowing: Knowing) -> None:
    image = np.full((*SIZE, 3), 255, np.uint8)
    untouched = knowing(normalised_from_pixels(POINTS, SIZE), score=0.0)(image)
    touched = knowing(normalised_from_pixels(POINTS, SIZE))(image)
    plain, drawn = (before_after_sheet([row(image, result)]) for result in (untouched, touched))
    assert (plain < 255).sum() < (drawn < 255).sum() / 2


def test_grey_16_bit_and_four_channel_images_can_be_shown(knowing: Knowing) -> None:
    grey = smooth(*SIZE)[..., 0]
    expected = None
    opaque = np.dstack([grey, grey, grey, np.full_like(grey, 255)])
    images: list[np.ndarray] = [grey, grey[..., None], grey.astype(np.uint16) * 257, opaque]
    for image in images:
        untouched = knowing(normalised_from_pixels(POINTS, SIZE), score=0.0)(image)
        sheet = before_after_sheet([row(np.repeat(grey[..., None], 3, axis=2), untouched)])
        expected = sheet if expected is None else expected
        assert np.abs(sheet.astype(int) - expected).max() <= 1


@pytest.mark.parametrize(
    ("label", "drawn"),
    [
        ("żółć 道", "zolc ?"),
        ("Cafe\u0301 Ångström", "Cafe Angstrom"),
        ("\u201cL\u2019été\u201d \u2013 \u2018x\u2019…", "\"L'ete\" - 'x'..."),
        ("½ ﬁn\ud800한", "1/2 fin??"),
    ],
)
def test_letters_that_cannot_be_drawn_are_shown_by_what_is_like_them(
    result: Rectified, label: str, drawn: str
) -> None:
    shown, expected, other = (
        before_after_sheet([row(smooth(*SIZE), result, text)]) for text in (label, drawn, drawn[:-1])
    )
    assert np.array_equal(shown, expected)
    assert not np.array_equal(shown, other)


def test_a_sheet_without_rows_is_a_heading() -> None:
    sheet = before_after_sheet([])
    assert 10 < sheet.shape[0] < 100
    assert (sheet < 200).any()
