"""What the benchmark of control points takes for true: polygons resampled, and the rectangle of the ink."""

from __future__ import annotations

import runpy
from collections import Counter
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
CORNERS = ((-1, -1), (1, -1), (1, 1), (-1, 1))


@pytest.fixture(scope="module")
def lines() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "benchmarks" / "_lines.py"))


def test_edges_are_resampled_by_their_length(lines: dict[str, Any]) -> None:
    # Three unequal pieces on top, one below: 12 long each, so that points lie 4 apart.
    polygon = np.array([[0, 0], [1, 0], [3, 0], [12, 0], [12, 5], [11, 5], [4, 5], [0, 5]], float)
    reason, points = lines["polygon_control_points"](polygon, 8)
    assert reason == ""
    expected = [[x, y] for y in (0, 5) for x in (0, 4, 8, 12)]
    assert np.allclose(points, expected)


@pytest.mark.parametrize(
    ("polygon", "reason"),
    [
        ([[0, 0], [9, 0], [9, 4]], "not an even number of points"),
        ([[0, 0], [9, 0], [9, 4], [5, 5], [0, 4]], "not an even number of points"),
        ([[0, 4], [9, 4], [9, 0], [0, 0]], "not clockwise"),
        ([[0, 0], [9, 0], [5, 9], [5, 9]], "an edge without length"),
    ],
)
def test_polygons_without_two_edges_are_left_out(
    lines: dict[str, Any], polygon: list[list[float]], reason: str
) -> None:
    assert lines["polygon_control_points"](np.array(polygon, float), 8)[0] == reason


def test_crops_hold_the_polygon_with_a_margin_and_the_rest_is_counted(
    lines: dict[str, Any], tmp_path: Path
) -> None:
    image = np.random.default_rng(0).integers(0, 256, (100, 200, 3)).astype(np.uint8)
    assert cv2.imwrite(str(tmp_path / "a.jpg"), image, [cv2.IMWRITE_JPEG_QUALITY, 100])
    texts = ["50,40,90,40,90,60,50,60", "-20,80,30,80,30,110,-20,110", "1,1,5,1,5,5,1,5", "1,1,9,1,9,9"]
    (tmp_path / "a.txt").write_text("\n".join(texts) + "\n")
    left_out = Counter[str]()
    first, second = lines["polygon_lines"](tmp_path, 4, left_out)
    assert first.image.shape == (24, 44, 3)  # a tenth of 20 pixels on each side
    assert np.allclose(first.points, [[2, 2], [42, 2], [2, 22], [42, 22]])
    whole = cv2.imread(str(tmp_path / "a.jpg"))
    assert whole is not None
    assert np.array_equal(whole[38:62, 48:92], first.image)
    assert second.image.shape == (23, 33, 3)  # cut at the border of the photograph
    assert np.allclose(second.points, [[-20, 3], [30, 3], [-20, 33], [30, 33]])
    assert left_out == {"shows less than 8 pixels": 1, "not an even number of points": 1}


@pytest.mark.parametrize("degrees", [-70, -30, 0, 25, 80])
@pytest.mark.parametrize("dark", [True, False])
def test_the_rectangle_of_the_ink_is_found_upright(lines: dict[str, Any], degrees: float, dark: bool) -> None:
    angle = np.radians(degrees)
    along, down = np.array([np.cos(angle), np.sin(angle)]), np.array([-np.sin(angle), np.cos(angle)])
    corners = [np.array([101.0, 97.0]) + x * 40 * along + y * 11 * down for x, y in CORNERS]
    image = np.full((200, 210, 3), 220 if dark else 30, np.uint8)
    filled = np.rint((np.array(corners) - 0.5) * 16).astype(np.int32)
    cv2.fillPoly(image, [filled], (60, 60, 60) if dark else (200, 200, 200), shift=4)
    found = lines["ink_control_points"](image, 4)
    assert np.abs(found - [corners[0], corners[1], corners[3], corners[2]]).max() < 2


def test_paper_without_ink_gives_its_own_box(lines: dict[str, Any]) -> None:
    found = lines["ink_control_points"](np.full((20, 60, 3), 7, np.uint8), 4)
    assert np.allclose(found, [[0, 0], [60, 0], [0, 20], [60, 20]], atol=1e-3)
