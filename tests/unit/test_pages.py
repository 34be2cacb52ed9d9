"""Whole pages: order, places, what is read once and what twice, and bad polygons that spoil no other line."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import pytest

from stn_deploy.data import read_image
from stn_deploy.errors import ArgumentError, ImageError, ShapeError
from stn_deploy.geometry import control_point_targets
from stn_deploy.runtime import Rectifier
from stn_deploy.runtime.ocr import CallableReader, Reading, Word, read_page, read_regions
from stn_deploy.runtime.ocr.detector import turned_round
from stn_deploy.runtime.ocr.page_crops import cut_plain
from stn_deploy.runtime.ocr.page_files import line_as_json
from stn_deploy.runtime.ocr.pages import LineReading
from stn_deploy.runtime.ocr.pp_ocr import RapidOcr, RapidOcrV4
from stn_deploy.runtime.ocr.tesseract import TesseractLibrary, TesseractProgram
from tests.pictures import arc_points, smooth
from tests.repo.conftest import ROOT
from tests.unit.conftest import Knowing
from tests.unit.test_page_crops import box

PAGE = (400, 610)
TURNED = np.array([[300.0, 60], [470, 130], [452, 175], [282, 108]])
_arc = arc_points(14, radius=130, angle=np.radians(110), height=36, centre=(200, 330))
ARC = np.concatenate([_arc[:7], _arc[7:][::-1]])
CROSSED = np.array([[10.0, 10], [90, 40], [90, 10], [10, 40]])
BENT = control_point_targets(20) * [0.9, 0.7] + np.array(
    [[0.02, 0.1 * x * x] for x in [*np.linspace(-1, 1, 10)] * 2]
)
CAFE = ROOT / "docs" / "pages"


class Finder:
    """Finds what it is told; reads the mean of a crop's blue."""

    name = "Finder"

    def __init__(self, polygons: Sequence[Any]) -> None:
        self.polygons = polygons
        self.seen: list[np.ndarray] = []

    def detect(self, page: np.ndarray) -> Sequence[Any]:
        assert page.dtype == np.uint8
        assert page.shape[2] == 3
        return self.polygons

    def read(self, image: np.ndarray) -> Reading:
        self.seen.append(image)
        return Reading(f"{image[..., 0].mean():.0f}", 0.5)


def test_an_upright_line_is_read_once_and_its_pixels_are_those_of_the_page(knowing: Knowing) -> None:
    page = smooth(*PAGE)
    finder = Finder([box(40, 50, 130, 41)])
    (line,) = read_page(page, knowing(BENT, 0.1), finder).lines
    (seen,) = finder.seen
    np.testing.assert_array_equal(seen, page[50:91, 40:170])
    assert line.both is not None
    assert line.both.raw is line.both.rectified
    assert not line.straightened
    np.testing.assert_array_equal(line.outline, box(40, 50, 130, 41))


def test_a_turned_quad_in_which_nothing_is_bent_is_read_once_as_the_pipeline_cuts_it(
    knowing: Knowing,
) -> None:
    page = smooth(*PAGE)
    finder = Finder([TURNED])
    (line,) = read_page(page, knowing(BENT, 0.1), finder).lines
    (seen,) = finder.seen
    np.testing.assert_array_equal(seen, cut_plain(page, TURNED).image)
    assert not line.straightened
    np.testing.assert_array_equal(line.outline, TURNED)


@pytest.mark.parametrize(("polygon", "score"), [(ARC, 0.1), (ARC, 0.9), (TURNED, 0.9)])
def test_a_bent_line_is_read_twice_and_its_outline_is_the_border_of_the_straightened_crop(
    knowing: Knowing, polygon: np.ndarray, score: float
) -> None:
    page = smooth(*PAGE)
    finder = Finder([polygon])
    rectifier = knowing(BENT, score)
    (line,) = read_page(page, rectifier, finder).lines
    (result,) = rectifier.regions(page, [polygon])
    before, after = finder.seen
    np.testing.assert_array_equal(before, cut_plain(page, polygon).image)
    np.testing.assert_array_equal(after, result.image)
    assert line.straightened
    height, width = result.image.shape[:2]
    back = result.to_rectified(line.outline)
    half = len(back) // 2
    assert np.abs(back[:half, 1]).max() < 0.01
    assert np.abs(back[half:, 1] - height).max() < 0.01
    np.testing.assert_allclose(back[[0, half - 1, half, -1], 0], [0, width, width, 0], atol=0.01)


def test_the_outline_of_a_true_polygon_follows_its_edges(knowing: Knowing) -> None:
    """Between its points, too: against the arc that they were taken from."""
    (line,) = read_regions(smooth(*PAGE), [ARC], knowing(BENT, 0.1), Finder([])).lines
    radii = np.linalg.norm(line.outline - (200, 330), axis=1)
    half = len(radii) // 2
    outer, inner = np.linalg.norm(ARC[0] - (200, 330)), np.linalg.norm(ARC[-1] - (200, 330))
    assert np.abs(radii[:half] - outer).max() < 0.05 * 36
    assert np.abs(radii[half:] - inner).max() < 0.05 * 36


def test_the_shipped_rectifier_outlines_bent_lines_where_they_are() -> None:
    """Given upright boxes alone, as a detector gives: within a part of the text height of the true points."""
    page = read_image(CAFE / "cafe.jpg")
    truth = {
        each["text"]: np.array(each["points"])
        for each in json.loads((CAFE / "cafe.json").read_text(encoding="utf-8"))
    }
    names = ["Fresh fish every day", "Homemade", "Desserts", "Brasserie", "Lunch"]
    boxes = [box(*(truth[name].min(axis=0) - 4), *(np.ptp(truth[name], axis=0) + 8)) for name in names]
    for name, line in zip(names, read_regions(page, boxes, Rectifier(), Finder([])).lines, strict=True):
        assert line.straightened, name
        points = truth[name]
        height = float(np.linalg.norm(points[:10] - points[10:], axis=1).mean())
        outline = line.outline.astype(np.float32)[:, None]
        # Points of the true edges: at most so far outside, and no farther inside than the margin is wide.
        off = [cv2.pointPolygonTest(outline, (float(x), float(y)), True) / height for x, y in points]
        assert min(off) > -0.2, (name, min(off))
        assert max(off) < 0.6, (name, max(off))


def test_lines_of_a_page_come_as_one_reads_them_and_those_that_are_given_as_they_are_given(
    knowing: Knowing,
) -> None:
    polygons = [box(300, 353), box(20, 350), ARC, box(20, 20), TURNED]
    finder = Finder(polygons)
    page = smooth(*PAGE)
    found = read_page(page, knowing(BENT, 0.1), finder)
    starts = [each[0].tolist() for each in polygons]
    order = [starts.index(np.asarray(line.polygon)[0].tolist()) for line in found.lines]
    assert order == [3, 4, 2, 1, 0]
    given = read_regions(page, polygons, knowing(BENT, 0.1), finder)
    for line, polygon in zip(given.lines, polygons, strict=True):
        np.testing.assert_array_equal(np.asarray(line.polygon), polygon)
    np.testing.assert_array_equal(found.image, page)


def test_a_bad_polygon_is_an_error_in_its_place_and_the_others_are_read(knowing: Knowing) -> None:
    polygons: list[Any] = [TURNED, CROSSED, [[1, 2], [3, np.nan]], ARC]
    lines = read_regions(smooth(*PAGE), polygons, knowing(BENT, 0.9), Finder([])).lines
    assert [type(line.error) for line in lines] == [type(None), ArgumentError, ShapeError, type(None)]
    assert [line.both is None for line in lines] == [False, True, True, False]
    told = [line_as_json(line, second_opinion=True) for line in lines]
    assert told[1].keys() == told[2].keys() == {"box", "error"}
    assert told[1]["box"] == CROSSED.tolist()
    assert told[2]["box"] is None
    assert "edges that do not cross" in told[1]["error"]
    json.dumps(told, allow_nan=False)
    assert len(lines[1].outline) == 0
    assert not lines[1].after_kept(second_opinion=True)
    *sound, bad = read_page(smooth(*PAGE), knowing(BENT, 0.9), Finder(polygons[:2])).lines
    assert len(sound) == 1
    assert bad.error is not None


def test_many_lines_are_read_some_at_a_time_and_none_is_lost(knowing: Knowing) -> None:
    batches: list[int] = []

    class Batching(Finder):
        def read_many(self, images: Sequence[np.ndarray]) -> list[Reading]:
            batches.append(len(images))
            return [self.read(image) for image in images]

    polygons = [ARC + np.array([index % 9, index // 9]) for index in range(70)]
    lines = read_regions(smooth(*PAGE), iter(polygons), knowing(BENT, 0.9), Batching([])).lines
    assert batches == [64, 64, 12]
    alone = read_regions(smooth(*PAGE), polygons[37:38], knowing(BENT, 0.9), Finder([])).lines
    assert lines[37].both is not None
    assert alone[0].both is not None
    assert (lines[37].both.raw, lines[37].both.rectified) == (alone[0].both.raw, alone[0].both.rectified)


class Marker:
    """Finds one word in a crop: the red mark."""

    name = "Marker"

    def __init__(self) -> None:
        self.plain_reads = 0

    def read(self, image: np.ndarray) -> Reading:
        self.plain_reads += 1
        return Reading("", 0.0)

    def read_words(self, image: np.ndarray) -> tuple[Reading, list[Word]]:
        ys, xs = np.nonzero((image[..., 2] > 128) & (image[..., 0] < 128))
        edges = (float(xs.min()), float(ys.min()), float(xs.max() + 1), float(ys.max() + 1))
        return Reading("mark", 0.75), [Word("mark", 0.75, edges)]


@pytest.mark.parametrize(("polygon", "score"), [(TURNED, 0.1), (TURNED, 0.9), (ARC, 0.1), (ARC, 0.9)])
def test_words_lie_on_the_page_where_they_were_seen(
    knowing: Knowing, polygon: np.ndarray, score: float
) -> None:
    page = np.full((*PAGE, 3), 200, np.uint8)
    half = len(polygon) // 2
    top, bottom = polygon[:half], polygon[half:][::-1]
    place = (top + bottom)[-2:].sum(axis=0) / 4 if half == 2 else (top[4] + bottom[4]) / 2
    cv2.circle(page, (round(place[0] - 0.5), round(place[1] - 0.5)), 5, (0, 0, 255), -1)
    # Nothing is known of the fit: the theta that is found shows all of the polygon.
    whole = control_point_targets(20)
    (line,) = read_regions(page, [polygon], knowing(whole, score), Marker()).lines
    for word in [*line.words_before, *line.words_after]:
        assert word.text == "mark"
        assert np.abs(word.quad.mean(axis=0) - place).max() < 2.5
        assert 8 <= np.linalg.norm(word.quad[1] - word.quad[0]) <= 16
    told = line_as_json(line, second_opinion=False)
    assert told["after"]["words"][0]["quad"] == np.round(line.words_after[0].quad, 1).tolist()


def test_a_detector_whose_engine_shrinks_pages_shows_what_that_engine_reads(knowing: Knowing) -> None:
    class Shrinking(Finder):
        def shrunk(self, page: np.ndarray) -> np.ndarray:
            return cv2.resize(page, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)

    page = smooth(*PAGE)
    finder = Shrinking([box(40, 50, 130, 40)])
    (line,) = read_page(page, knowing(BENT, 0.9), finder).lines
    before, after = finder.seen
    np.testing.assert_array_equal(before, finder.shrunk(page)[25:45, 20:85])
    assert len(after) == 48
    assert line.straightened


@pytest.mark.parametrize("really", [False, True])
def test_a_bent_line_is_turned_round_by_what_its_straightened_crop_shows(
    knowing: Knowing, really: bool
) -> None:
    """The pipeline of today turns it, rightly or not; what is read after rectification stands upright."""

    class Facing(Finder):
        def is_turned(self, crop: np.ndarray) -> bool:
            # A dark mark is at the text's left end.
            left, right = crop[:, : crop.shape[1] // 4], crop[:, -(crop.shape[1] // 4) :]
            return bool(left.min() > right.min()) if len(crop) == 48 else True

    page = np.full((*PAGE, 3), 200, np.uint8)
    start = (ARC[0] + ARC[-1]) / 2 if not really else (ARC[6] + ARC[7]) / 2
    inward = 0.85 * start + 0.15 * ((ARC[3] + ARC[10]) / 2)
    cv2.circle(page, (int(inward[0]), int(inward[1])), 5, (0, 0, 0), -1)
    finder = Facing([ARC])
    (line,) = read_page(page, knowing(control_point_targets(20), 0.9), finder).lines
    before, after = finder.seen
    assert line.straightened
    np.testing.assert_array_equal(before, cut_plain(page, turned_round(ARC)).image)
    assert after[:, : after.shape[1] // 4].min() < 60 < after[:, after.shape[1] // 2 :].min()
    np.testing.assert_array_equal(np.asarray(line.polygon), turned_round(ARC) if really else ARC)
    np.testing.assert_array_equal(np.asarray(line.plain), turned_round(ARC))


def test_a_recogniser_alone_needs_a_detector_or_polygons(knowing: Knowing) -> None:
    reader = CallableReader(lambda crop: f"{len(crop)}", name="mine")
    with pytest.raises(ArgumentError, match=r"^detector: .* got mine, which only reads them"):
        read_page(smooth(*PAGE), knowing(BENT), reader)
    (line,) = read_page(smooth(*PAGE), knowing(BENT, 0.9), reader, detector=Finder([ARC])).lines
    assert line.both is not None
    assert line.both.rectified.text == "48"


def test_a_page_comes_in_every_kind_and_a_bad_one_is_refused(knowing: Knowing) -> None:
    data = bytes(cv2.imencode(".png", smooth(*PAGE))[1])
    expected = read_page(smooth(*PAGE), knowing(BENT), Finder([ARC])).lines[0]
    (line,) = read_page(data, knowing(BENT), Finder([ARC])).lines
    assert line.both is not None
    assert expected.both is not None
    assert line.both.rectified == expected.both.rectified
    with pytest.raises(ImageError, match="truncated"):
        read_page(data[:-30], knowing(BENT), Finder([ARC]))
    assert read_page(data, knowing(BENT), Finder([])).lines == []


def test_the_surer_reading_of_a_line_counts_where_that_is_asked_for(knowing: Knowing) -> None:
    def by_height(sure: dict[bool, float]) -> LineReading:
        reader = CallableReader(lambda crop: (f"{len(crop)}", sure[len(crop) == 48]))
        return read_regions(smooth(*PAGE), [ARC], knowing(BENT, 0.9), reader).lines[0]

    for before, after, kept in [(0.5, 0.75, "after"), (0.75, 0.5, "before"), (0.5, 0.5, "before")]:
        line = by_height({False: before, True: after})
        assert line_as_json(line, second_opinion=True)["kept"] == kept
        assert line_as_json(line, second_opinion=False)["kept"] == "after"


def opened(kind: Any, **settings: Any) -> Any:
    try:
        return kind(**settings)
    except ImportError as error:
        pytest.skip(str(error))


ENGINES = {
    "tesserocr": lambda: opened(TesseractLibrary),
    "pytesseract": lambda: opened(TesseractProgram),
    "PP-OCRv6": lambda: opened(RapidOcr, threads=1),
    "PP-OCRv4": lambda: opened(RapidOcrV4, threads=1),
}


def printed() -> np.ndarray:
    page = np.full((260, 500, 3), 245, np.uint8)
    for text, left, top in [("Harbour office", 30, 60), ("Open today", 30, 150), ("12.50", 350, 152)]:
        cv2.putText(page, text, (left, top), cv2.FONT_HERSHEY_SIMPLEX, 1.2, (20, 20, 20), 2, cv2.LINE_AA)
    return page


@pytest.mark.parametrize("engine", ENGINES.values(), ids=ENGINES)
def test_a_real_engine_finds_and_reads_the_lines_of_a_page(engine: Any) -> None:
    reader = engine()
    page = printed()
    lines = read_page(page, Rectifier(), reader).lines
    read = " ".join(line.both.raw.text for line in lines if line.both is not None)
    assert read.lower().replace(" ", "") == "harbourofficeopentoday12.50"
    for line in lines:
        dark = page.min(axis=2) < 100
        left, top = np.asarray(line.polygon).min(axis=0).astype(int)
        right, bottom = np.ceil(np.asarray(line.polygon).max(axis=0)).astype(int)
        assert dark[top:bottom, left:right].any()
        for word in line.words_before:
            (x0, y0), (x1, y1) = word.quad.min(axis=0), word.quad.max(axis=0)
            assert left - 1 <= x0 < x1 <= right + 1
            assert top - 1 <= y0 < y1 <= bottom + 1
    # It still reads single lines as before.
    assert reader.read(page[20:80]).text.lower().startswith("harbour")


@pytest.mark.parametrize("engine", ENGINES.values(), ids=ENGINES)
@pytest.mark.parametrize("shape", [(2, 2), (2, 2200), (60, 2300), (200, 300)])
def test_a_real_engine_finds_nothing_on_an_empty_page(engine: Any, shape: tuple[int, int]) -> None:
    lines = read_page(np.full((*shape, 3), 255, np.uint8), Rectifier(), engine()).lines
    assert "".join(line.both.raw.text for line in lines if line.both is not None) == ""


@pytest.mark.parametrize("engine", ["PP-OCRv6", "PP-OCRv4"])
def test_rapidocr_finds_a_line_that_stands_on_its_head(engine: str) -> None:
    reader = ENGINES[engine]()
    page = printed()[::-1, ::-1].copy()
    lines = read_page(page, Rectifier(), reader).lines
    read = sorted(line.both.raw.text.lower().replace(" ", "") for line in lines if line.both is not None)
    assert "harbouroffice" in read
