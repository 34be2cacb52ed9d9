"""Regions of a page: sampled from its pixels, mapped back to it, and refused by name where they are none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from stn_deploy.data import read_image
from stn_deploy.errors import ArgumentError, ClosedError, ImageError, ShapeError
from stn_deploy.geometry import TextSpline, control_point_targets
from stn_deploy.runtime import Rectified, Rectifier
from stn_deploy.runtime.polygons import Region
from tests.pictures import arc_points, smooth
from tests.tolerances import ARC as ARC_LEFT
from tests.tolerances import ROUND_TRIP
from tests.unit.conftest import Knowing

CURVED = Path(__file__).parents[3] / "shared" / "data" / "curved_polygons"
PAGE = (400, 610)
UPRIGHT: Any = [[40, 50], [170, 50], [170, 91], [40, 91]]
TURNED: Any = [[300.0, 60], [470, 130], [452, 175], [282, 108]]
_arc = arc_points(14, radius=130, angle=np.radians(110), height=36, centre=(200, 330))
ARC = np.concatenate([_arc[:7], _arc[7:][::-1]])
BENT = control_point_targets(20) * [0.9, 0.7] + np.array(
    [[0.02, 0.1 * x * x] for x in [*np.linspace(-1, 1, 10)] * 2]
)
each_polygon = pytest.mark.parametrize("polygon", [TURNED, ARC], ids=["turned", "arc"])


def remapped(page: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Bilinear samples of a page at pixels counted from its edges."""
    return cv2.remap(page, (places - 0.5).astype(np.float32), None, cv2.INTER_LINEAR)  # type: ignore[call-overload]


def centres(result: Rectified) -> np.ndarray:
    ys, xs = np.mgrid[: result.image.shape[0], : result.image.shape[1]] + 0.5
    return np.stack([xs, ys], axis=-1)


@pytest.mark.parametrize("score", [0.1, 0.9])
@each_polygon
def test_crops_come_from_the_page_where_to_source_says(knowing: Knowing, polygon: Any, score: float) -> None:
    page = smooth(*PAGE)
    (result,) = knowing(BENT, score, height=40).regions(page, [polygon])
    assert result.applied
    assert result.source_size == PAGE
    expected = remapped(page, result.to_source(centres(result)))
    assert np.abs(result.image.astype(float) - expected).max() < 2
    inside = np.random.default_rng(0).uniform([0, 0], result.image.shape[1::-1], (40, 2))
    assert np.abs(result.to_rectified(result.to_source(inside)) - inside).max() < 10 * ROUND_TRIP


@each_polygon
def test_without_a_refinement_the_corners_are_those_of_the_polygon(knowing: Knowing, polygon: Any) -> None:
    (result,) = knowing(BENT, 0.1).regions(smooth(*PAGE), [polygon])
    height, width = result.image.shape[:2]
    corners = result.to_source([[0, 0], [width, 0], [width, height], [0, height]])
    half = len(polygon) // 2
    assert np.abs(corners - np.asarray(polygon)[[0, half - 1, half, -1]]).max() < 1e-3


def test_an_upright_box_that_needs_nothing_is_the_pixels_of_the_page(knowing: Knowing) -> None:
    page = smooth(*PAGE)
    (result,) = knowing(BENT, 0.1).regions(page, [UPRIGHT])
    assert not result.applied
    assert np.array_equal(result.image, page[50:91, 40:170])
    assert result.to_source([[0, 0], [3, 4]]).tolist() == [[40, 50], [43, 54]]
    assert result.to_rectified([43, 54]).tolist() == [3, 4]
    over_the_edge = [[-9, -5], [60, -5], [60, 30], [-9, 30]]
    assert np.array_equal(knowing(BENT, 0.1).regions(page, [over_the_edge])[0].image, page[:30, :60])


@each_polygon
def test_the_network_refines_inside_the_polygon(knowing: Knowing, polygon: Any) -> None:
    """The composition is one spline: at its control points exactly, and nearly so between them."""
    (result,) = knowing(BENT, 0.9).regions(smooth(*PAGE), [polygon])
    assert composition_error(result, Region(polygon, PAGE), BENT) < 2 * ARC_LEFT


def composition_error(result: Rectified, region: Region, inner: np.ndarray) -> float:
    """Largest distance of the single spline from the composed maps, in text heights."""
    lattice = np.stack(np.meshgrid(np.linspace(-1, 1, 61), np.linspace(-1, 1, 13)), axis=-1).reshape(-1, 2)
    size = result.image.shape[:2]
    composed = region(result.spline.basis(len(inner), lattice, size) @ inner)
    single = (result.source_from_target(lattice) + 1) / 2 * result.source_size[::-1]
    return float(np.linalg.norm(composed - single, axis=-1).max() / region.size[0])


def test_the_single_spline_is_the_composition_on_real_polygons(knowing: Knowing) -> None:
    if not CURVED.exists():
        pytest.skip("needs curved_polygons in shared/data beside the checkout")
    errors = []
    for file in sorted(CURVED.glob("*.txt")):
        polygons = [np.array(line.split(","), float).reshape(-1, 2) for line in file.read_text().split()]
        page = read_image(file.with_suffix(".jpg"))
        extent = (page.shape[0], page.shape[1])
        for polygon, result in zip(
            polygons, knowing(BENT, 0.9, height=8).regions(page, polygons, errors="keep"), strict=True
        ):
            if isinstance(result, Rectified):
                errors.append(composition_error(result, Region(polygon, extent), BENT))
    assert len(errors) > 200
    assert np.median(errors) < 0.02
    assert np.percentile(errors, 95) < 2 * ARC_LEFT


def test_edges_pass_through_the_points_of_a_polygon() -> None:
    region = Region(ARC, PAGE)
    middle = (ARC[:7] + ARC[7:][::-1]) / 2
    along = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(middle, axis=0), axis=1))])
    along = along / along[-1] * 2 - 1
    for y, edge in ((-1, ARC[:7]), (1, ARC[7:][::-1])):
        assert np.abs(region(np.stack([along, np.full(7, y)], axis=1)) - edge).max() < 1e-9
    true = arc_points(200, radius=130, angle=np.radians(110), height=36, centre=(200, 330))
    targets = control_point_targets(200)
    assert np.abs(region(targets) - true).max() < 0.04 * 36
    assert not region.upright


def test_a_quad_is_mapped_bilinearly() -> None:
    corners = np.array(TURNED)
    points = np.random.default_rng(0).uniform(-1.5, 1.5, (30, 2))
    u, v = ((points + 1) / 2).T[..., None]
    expected = (corners[0] * (1 - u) + corners[1] * u) * (1 - v) + (corners[3] * (1 - u) + corners[2] * u) * v
    assert np.abs(Region(TURNED, PAGE)(points) - expected).max() < 1e-9


def test_a_quad_of_the_whole_page_is_seen_as_the_page_is(model: Path) -> None:
    rectifier = Rectifier(model, threshold=0)
    page = smooth(31, 97)
    (region,) = rectifier.regions(page, [[[0, 0], [97, 0], [97, 31], [0, 31]]])
    whole = rectifier(page)
    assert np.abs(region.theta - whole.theta).max() < 0.02
    assert region.score == pytest.approx(whole.score, abs=0.05)


BAD: dict[str, tuple[Any, type[Exception], str]] = {
    "crossed": ([[10, 10], [90, 40], [90, 10], [10, 40]], ArgumentError, "edges that do not cross"),
    "no area": ([[10, 10], [90, 10], [90, 10], [10, 10]], ArgumentError, "area of at least 4 square pixels"),
    "a point": ([[10, 10]] * 4, ArgumentError, "length|area"),
    "mirrored": ([[90, 10], [10, 10], [10, 40], [90, 40]], ArgumentError, "against the clock"),
    "outside": (
        [[-90, 10], [-10, 10], [-10, 40], [-90, 40]],
        ArgumentError,
        "a part of the page of 400 x 610",
    ),
    "below": ([[10, 410], [90, 410], [90, 440], [10, 440]], ArgumentError, "a part of the page"),
    "nan": ([[10, 10], [90, np.nan], [90, 40], [10, 40]], ArgumentError, "finite numbers, got nan"),
    "infinite": ([[10, 10], [np.inf, 10], [90, 40], [10, 40]], ArgumentError, "finite numbers, got inf"),
    "three": ([[10, 10], [90, 10], [90, 40]], ShapeError, r"got \(3, 2\)"),
    "five": ([[10, 10], [50, 8], [90, 10], [90, 40], [10, 40]], ShapeError, r"got \(5, 2\)"),
    "flat": ([10, 10, 90, 10, 90, 40, 10, 40], ShapeError, r"got \(8,\)"),
    "words": ("polygon", ArgumentError, "expected pairs of numbers"),
    "ragged": ([[1, 2], [3]], ArgumentError, "expected pairs of numbers"),
}


@pytest.mark.parametrize(("polygon", "kind", "message"), BAD.values(), ids=BAD)
def test_a_bad_polygon_is_named(knowing: Knowing, polygon: Any, kind: type[Exception], message: str) -> None:
    rectifier = knowing(BENT)
    with pytest.raises(kind, match=f"^polygon 1: .*({message})"):
        rectifier.regions(smooth(*PAGE), [TURNED, polygon, ARC])
    first, error, last = rectifier.regions(smooth(*PAGE), [TURNED, polygon, ARC], errors="keep")
    assert isinstance(first, Rectified)
    assert isinstance(last, Rectified)
    assert type(error) is kind


def test_points_given_twice_are_one(knowing: Knowing) -> None:
    doubled = np.concatenate([ARC[:3], ARC[2:7], ARC[7:12], ARC[11:]])
    once, twice = knowing(BENT, 0.1).regions(smooth(*PAGE), [ARC, doubled])
    assert np.abs(once.theta - twice.theta).max() < 1e-6


def test_many_regions_keep_their_order(knowing: Knowing) -> None:
    boxes = [np.add(TURNED, (index, index % 7)) for index in range(100)]
    for result, box in zip(knowing(BENT, 0.1).regions(smooth(*PAGE), iter(boxes)), boxes, strict=True):
        assert np.abs(result.to_source([0, 0]) - box[0]).max() < 1e-3
    assert knowing(BENT).regions(smooth(*PAGE), []) == []


def test_a_page_comes_in_every_kind_and_a_bad_one_is_refused(knowing: Knowing) -> None:
    rectifier = knowing(BENT)
    data = bytes(cv2.imencode(".png", smooth(*PAGE))[1])
    (result,) = rectifier.regions(data, [ARC], timings=True)
    assert np.array_equal(result.image, rectifier.regions(smooth(*PAGE), [ARC])[0].image)
    assert result.timings is not None
    assert min(result.timings.decode, result.timings.localise, result.timings.sample) > 0
    with pytest.raises(ImageError, match="^image: the file is truncated"):
        rectifier.regions(data[:-40], [ARC], errors="keep")
    with pytest.raises(ImageError, match="sides of at most 32766 pixels"):
        rectifier.regions(np.zeros((50, 33_000), np.uint8), [TURNED], errors="keep")
    rectifier.close()
    with pytest.raises(ClosedError):
        rectifier.regions(data, [ARC])


def test_a_fixed_size_and_insets_hold_for_regions(knowing: Knowing) -> None:
    (result,) = knowing(BENT, size=(32, 100)).regions(smooth(*PAGE), [ARC])
    assert result.image.shape == (32, 100, 3)
    assert isinstance(result.spline, TextSpline)
