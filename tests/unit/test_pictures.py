"""Pictures: what is drawn lies where it is, arguments stay as they are, and files are whole or absent."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from stn_deploy.data import read_image
from stn_deploy.errors import ArgumentError, OutputError, ShapeError
from stn_deploy.geometry import AFFINE, normalised_from_pixels, source_corners, source_grid
from stn_deploy.pictures import draw_box, draw_control_points, draw_grid, fit, save_picture, tabulate
from tests.pictures import Image, noise

SIZE = (61, 141)
CORNERS = np.array([[-0.7, -0.6], [0.5, -0.8], [0.8, 0.7], [-0.4, 0.3]])
GRID = source_grid(AFFINE, [0.5, -0.3, 0.1, 0.4, 0.6, -0.05], (9, 14))
DRAWINGS: dict[str, tuple[Callable[..., Image], np.ndarray]] = {
    "box": (draw_box, CORNERS),
    "grid": (draw_grid, GRID),
    "control points": (draw_control_points, CORNERS),
}
each_drawing = pytest.mark.parametrize(("draw", "what"), DRAWINGS.values(), ids=DRAWINGS)


def blank(height: int, width: int, value: int = 255) -> Image:
    return np.full((height, width, 3), value, np.uint8)


def touched(picture: Image, value: int = 255) -> np.ndarray:
    return (picture != value).any(axis=2)


@pytest.mark.parametrize("place", [(0, 0), (-0.5, 0.25), (0.31, -0.47)])
def test_a_control_point_is_painted_where_it_is(place: tuple[float, float]) -> None:
    weight = 255.0 - draw_control_points(blank(*SIZE), [place])[..., 1]
    rows, columns = np.indices(SIZE) + 0.5
    painted = np.array([(columns * weight).sum(), (rows * weight).sum()]) / weight.sum()
    assert normalised_from_pixels(painted, SIZE) == pytest.approx(place, abs=0.002)
    x, y = np.round((np.array(place) + 1) * (SIZE[1], SIZE[0]) / 2 - 0.5).astype(int)
    blue, green, red = draw_control_points(blank(*SIZE, value=0), [place])[y, x].tolist()
    assert red > 150 > max(blue, green)


def test_the_box_of_the_identity_hugs_the_border() -> None:
    drawn = touched(draw_box(blank(*SIZE), [[-1, -1], [1, -1], [1, 1], [-1, 1]]))
    assert all(edge.all() for edge in (drawn[0], drawn[-1], drawn[:, 0], drawn[:, -1]))
    drawn[:8, :8] = False  # the dot on the corner
    assert not drawn[6:-6, 6:-6].any()


def test_a_box_shows_how_it_is_turned_and_whether_it_is_mirrored() -> None:
    orders = [np.roll(way, shift, axis=0) for way in (CORNERS, CORNERS[::-1]) for shift in range(4)]
    pictures = [draw_box(blank(*SIZE), corners) for corners in orders]
    assert not any(np.array_equal(*pair) for pair in itertools.combinations(pictures, 2))


@pytest.mark.parametrize("size", [(4, 3), (7, 31), (32, 100), (300, 200)])
def test_the_lines_of_the_identity_divide_the_picture_evenly_whatever_the_size_of_V(size: tuple) -> None:
    grid = source_grid(AFFINE, AFFINE.identity, size)
    drawn = draw_grid(blank(60, 120), grid, lines=(4, 3), outline=None)[..., 2] < 230
    wanted = np.zeros((60, 120), bool)
    wanted[[14, 15, 29, 30, 44, 45]] = True  # a line between two pixels paints both
    wanted[:, [39, 40, 79, 80]] = True
    assert np.array_equal(drawn, wanted)


@pytest.mark.parametrize("size", [(2, 2), (7, 31), (32, 100)])
def test_the_outline_of_a_grid_is_the_box_of_its_corners(size: tuple[int, int]) -> None:
    theta = [0.5, -0.3, 0.1, 0.4, 0.6, -0.05]
    outline = draw_grid(blank(*SIZE), source_grid(AFFINE, theta, size), lines=(1, 1))
    assert np.array_equal(outline, draw_box(blank(*SIZE), source_corners(AFFINE, theta)))


def test_an_unmarked_outline_is_thin() -> None:
    bold, thin, none = (
        touched(draw_grid(blank(*SIZE), GRID, lines=(1, 1), **settings)).sum()
        for settings in ({}, {"marked": False}, {"outline": None})
    )
    assert bold > 2 * thin > 0 == none


@each_drawing
def test_drawing_changes_no_argument(draw: Callable[..., Image], what: np.ndarray) -> None:
    image, before, given = noise(*SIZE), noise(*SIZE), what.copy()
    for array in (image, given):
        array.setflags(write=False)
    drawn = draw(image, given)
    assert np.array_equal(image, before)
    assert not np.array_equal(drawn, image)
    nothing = draw(image, np.full_like(what, np.nan))
    assert np.array_equal(nothing, image)
    assert nothing is not image
    assert nothing.flags.writeable


@each_drawing
def test_grey_pictures_of_either_shape_become_colour(draw: Callable[..., Image], what: np.ndarray) -> None:
    grey = noise(*SIZE)[..., 0]
    expected = draw(np.repeat(grey[..., None], 3, axis=2), what)
    assert np.array_equal(draw(grey, what), expected)
    assert np.array_equal(draw(grey[..., None], what), expected)


@each_drawing
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30, -1e308, 3e4])
def test_no_coordinate_is_too_strange(draw: Callable[..., Image], what: np.ndarray, value: float) -> None:
    for part in (np.s_[...], np.s_[..., 0], np.s_[0], np.s_[-1, ..., 1]):
        strange = what.copy()
        strange[part] = value
        assert draw(blank(*SIZE), strange).shape == (*SIZE, 3)


@each_drawing
@pytest.mark.parametrize("size", [(1, 1), (1, 40_000), (40_000, 1), (3000, 2000)])
def test_tiny_and_huge_pictures_can_be_drawn_on(
    draw: Callable[..., Image], what: np.ndarray, size: tuple[int, int]
) -> None:
    drawn = draw(blank(*size), what)
    assert drawn.shape == (*size, 3)
    assert touched(drawn).any()


def test_a_line_that_ends_far_away_keeps_its_direction() -> None:
    far = np.array([[0.0, 0.0], [2e9, 1e9], [2e9, 1e9], [0.0, 0.0]])
    drawn = touched(draw_box(blank(100, 200), far))
    assert drawn[75, 198]  # (1, 0.5) lies on the line
    assert not drawn[:40].any()
    assert not drawn[80:].any()


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (5, 1)])
def test_grids_of_a_single_row_or_column_are_drawn(size: tuple[int, int]) -> None:
    assert touched(draw_grid(blank(*SIZE), source_grid(AFFINE, AFFINE.identity, size))).any()


def test_what_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(ShapeError, match=r"corners: expected \(4, 2\), got \(3, 2\)"):
        draw_box(blank(*SIZE), CORNERS[:3])
    with pytest.raises(ShapeError, match=r"grid: expected \(h, w, 2\) of at least one point"):
        draw_grid(blank(*SIZE), np.zeros((0, 4, 2)))
    with pytest.raises(ShapeError, match=r"grid: expected \(h, w, 2\)"):
        draw_grid(blank(*SIZE), GRID[0])
    with pytest.raises(ArgumentError, match="lines: expected at least 1 cell"):
        draw_grid(blank(*SIZE), GRID, lines=(4, 0))
    with pytest.raises(ShapeError, match=r"points: expected \(K, 2\)"):
        draw_control_points(blank(*SIZE), GRID)
    with pytest.raises(ArgumentError, match="image: expected uint8"):
        draw_box(np.zeros((4, 5, 3)), CORNERS)  # type: ignore[arg-type]


def test_a_small_picture_shows_its_pixels_as_squares() -> None:
    image = noise(9, 14)
    shown = fit(image, (100, 200), pixels=True)
    assert np.array_equal(shown, image.repeat(11, axis=0).repeat(11, axis=1))


@pytest.mark.parametrize("size", [(1, 1), (3, 5000), (5000, 3), (60, 200), (900, 40)])
def test_a_picture_is_as_large_as_its_place_allows(size: tuple[int, int]) -> None:
    height, width = fit(noise(*size), (120, 170)).shape[:2]
    assert 1 <= height <= 120
    assert 1 <= width <= 170
    assert height == 120 or width == 170
    assert fit(noise(*size), (120, 170), largest=0.5).shape[0] <= max(1, size[0] / 2)


def test_a_long_text_stays_in_its_column() -> None:
    cell = blank(10, 100, value=200)
    short, long = (tabulate([[cell, cell]], ["a", "b"], notes=[[note, ""]]) for note in ("x", "x" * 500))
    assert long.shape == short.shape
    assert (long[50:, :114] < 200).sum() > (short[50:, :114] < 200).sum()
    assert (long[50:, 115:] >= 200).all()


def test_rows_of_another_length_than_the_headings_are_refused() -> None:
    with pytest.raises(ShapeError, match="rows: expected one entry for each of"):
        tabulate([[blank(3, 4)]], ["a", "b"])
    with pytest.raises(ShapeError, match="rows: expected one entry for each of"):
        tabulate([[blank(3, 4)]], ["a"], notes=[["x", "y"]])


def test_a_saved_picture_is_read_back_equal(tmp_path: Path) -> None:
    picture = noise(23, 31)
    path = tmp_path / "new folder" / "picture.png"
    save_picture(picture, path)
    assert np.array_equal(read_image(path), picture)
    save_picture(picture[..., :1], str(path))
    assert np.array_equal(read_image(path), picture[..., :1].repeat(3, axis=2))
    assert [file.name for file in path.parent.iterdir()] == ["picture.png"]


@pytest.mark.parametrize("name", ["file/picture.png", "folder.png", "n" * 300 + ".png", "a\0b.png"])
def test_what_cannot_be_written_leaves_nothing_behind(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("not a folder")
    (tmp_path / "folder.png").mkdir()
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(OutputError, match="the picture cannot be written .*; name a file in a folder"):
        save_picture(noise(4, 5), tmp_path / name)
    assert sorted(tmp_path.rglob("*")) == before


def test_only_png_files_are_written(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match=r"expected a name that ends in \.png, got 'picture\.jpg'"):
        save_picture(noise(4, 5), tmp_path / "picture.jpg")
    with pytest.raises(ArgumentError, match="image: expected uint8"):
        save_picture(np.zeros((4, 5, 3)), tmp_path / "picture.png")  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []
