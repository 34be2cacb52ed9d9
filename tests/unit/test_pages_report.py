"""What is shown of whole pages: JSON lines, tables, the summary, and which pages a picture has room for."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from rich.console import Console

from stn_deploy.cli.pages_report import PagesReport
from stn_deploy.data import FoundImage
from stn_deploy.errors import OutputError
from stn_deploy.runtime.ocr import CallableReader, Reading
from stn_deploy.runtime.ocr.page_files import PageFile, read_page_files
from stn_deploy.runtime.page_sheet import ShownLine, page_sheet
from tests.pictures import smooth
from tests.unit.conftest import Knowing
from tests.unit.test_page_crops import TURNED, box
from tests.unit.test_pages import BENT, CROSSED

PAGE = (240, 470)


class Finder:
    name = "Finder"

    def __init__(self, polygons: Sequence[Any]) -> None:
        self.polygons = polygons

    def detect(self, page: np.ndarray) -> Sequence[Any]:
        return self.polygons


def by_height(crop: np.ndarray) -> tuple[str, float]:
    """Straightened crops are 48 pixels high; they are read surely."""
    return ("straight", 0.75) if len(crop) == 48 else (f"h{len(crop)}", 0.5)


Read = Any


@pytest.fixture
def read(knowing: Knowing, tmp_path: Path) -> Read:
    """``read(name, polygons, score)``: the reading of a page file."""

    def call(name: str, polygons: Sequence[Any], score: float = 0.9, reader: Any = by_height) -> PageFile:
        path = tmp_path / "in.png"
        assert cv2.imwrite(str(path), smooth(*PAGE))
        found = [FoundImage(path, Path(name))]
        (file,) = read_page_files(
            found, knowing(BENT, score), CallableReader(reader), detector=Finder(polygons)
        )
        return file

    return call


def report_of(*files: PageFile, second_opinion: bool = False, picture: bool = False) -> PagesReport:
    report = PagesReport(engine="Eye", second_opinion=second_opinion, table=True, picture=picture)
    for file in files:
        report.add(file, file.as_line(second_opinion=second_opinion))
    return report


BROKEN = PageFile(source=FoundImage(Path("b.png"), Path("b.png")), error="b.png: broken")


def test_the_line_of_a_page_holds_its_lines_with_their_places_on_it(read: Read) -> None:
    told = read("a.png", [TURNED, CROSSED]).as_line(second_opinion=True)
    assert json.loads(json.dumps(told, allow_nan=False)) == told
    assert (told["file"], told["source_size"]) == ("a.png", list(PAGE))
    good, bad = told["lines"]
    assert (good["text"], good["kept"], good["straightened"]) == ("straight", "after", True)
    assert good["before"] == {"text": "h43", "confidence": 0.5}
    assert good["after"] == {"text": "straight", "confidence": 0.75}
    assert good["box"] == TURNED.tolist()
    assert len(good["outline"]) == 32
    assert bad["box"] == CROSSED.tolist()
    assert BROKEN.as_line(second_opinion=True) == {"file": "b.png", "error": "b.png: broken"}


def test_a_bad_file_spoils_no_other_and_says_where_it_lies(knowing: Knowing, tmp_path: Path) -> None:
    names = ["first.png", "deep/bad.png", "deep/large.png", "last.png"]
    (tmp_path / "deep").mkdir()
    for name in names:
        assert cv2.imwrite(str(tmp_path / name), smooth(*PAGE))
    (tmp_path / names[1]).write_bytes(b"no picture")
    assert cv2.imwrite(str(tmp_path / names[2]), np.zeros((700, 700), np.uint8))
    found = [FoundImage(tmp_path / name, Path(name)) for name in names]
    files = read_page_files(
        found, knowing(BENT), CallableReader(by_height), detector=Finder([TURNED]), max_megapixels=0.2
    )
    first, bad, large, last = files
    assert (bad.error or "").startswith("deep/bad.png: expected one of the formats")
    assert (large.error or "").startswith("deep/large.png: expected at most 0.2 megapixels")
    for file in (first, last):
        assert len(file.as_line(second_opinion=True)["lines"]) == 1


def test_photographs_are_turned_by_their_orientation_on_request(knowing: Knowing, tmp_path: Path) -> None:
    """And so are the places in them."""
    data = bytes(cv2.imencode(".jpg", smooth(*PAGE))[1])
    tag = bytes.fromhex("ffe100224578696600004d4d002a000000080001011200030000000100060000" + "00000000")
    path = tmp_path / "a.jpg"
    path.write_bytes(data[:2] + tag + data[2:])
    found = [FoundImage(path, Path("a.jpg"))]
    for exif, size in ((False, PAGE), (True, PAGE[::-1])):
        (file,) = read_page_files(
            found, knowing(BENT), CallableReader(by_height), detector=Finder([box(9, 9)]), exif=exif
        )
        assert file.as_line(second_opinion=True)["source_size"] == list(size)


def test_pages_are_read_one_by_one(knowing: Knowing, tmp_path: Path) -> None:
    asked = 0

    def endless() -> Any:
        nonlocal asked
        while True:
            asked += 1
            yield FoundImage(tmp_path / "none.png", Path(f"{asked}.png"))

    results = read_page_files(endless(), knowing(BENT), CallableReader(by_height), detector=Finder([]))
    for index in range(1, 4):
        assert (next(results).error or "").startswith(f"{index}.png: ")
        assert asked == index


def test_the_summary_counts_lines_and_every_error_is_told(read: Read) -> None:
    files = [read("a.png", [TURNED, CROSSED, box(30, 180)]), read("c.png", [TURNED], 0.1), BROKEN]
    report = report_of(*files)
    # The upright box is bent, too, in the eyes of this rectifier.
    assert report.summary() == "3 lines on 2 of 3 pages read, 2 straightened, the text of 2 changed"
    assert [error.partition(": ")[0] for error in report.failed] == ["a.png", "b.png"]
    assert "edges that do not cross" in report.failed[0]


def test_a_second_opinion_changes_only_what_is_surer(read: Read) -> None:
    def unsure(crop: np.ndarray) -> Reading:
        return Reading("straight", 0.25) if len(crop) == 48 else Reading("plain", 0.5)

    file = read("a.png", [TURNED], reader=unsure)
    assert "the text of 1 changed" in report_of(file).summary()
    assert "the text of 0 changed" in report_of(file, second_opinion=True).summary()


def shown(report: PagesReport) -> list[list[str]]:
    console = Console(width=110, record=True, markup=False, file=io.StringIO())
    report.print(console)
    text = console.export_text()
    return [[cell.strip() for cell in row.split("│")[1:-1]] for row in text.splitlines() if "│" in row]


def test_the_table_shows_texts_as_they_are_and_leaves_out_what_nobody_read(read: Read) -> None:
    def told(crop: np.ndarray) -> tuple[str, float]:
        return {48: ("[b]door", 0.75), 43: ("d0\nor", 0.25)}.get(len(crop), ("", 0.0))

    rows = shown(report_of(read("a.png", [TURNED, CROSSED], reader=told), BROKEN))
    assert ["d0 or", "0.25", "[b]door", "0.75", "after", "changed"] in rows
    assert sum(row[-1] == "error" for row in rows) == 2
    assert shown(report_of(read("a.png", [box(30, 180)], 0.1, told))) == []
    (row,) = shown(report_of(read("a.png", [TURNED], reader=lambda crop: ("door", 0.5))))
    assert row[-1] == "straightened"
    (row,) = shown(report_of(read("a.png", [TURNED], 0.1)))
    assert row[-2:] == ["before", "untouched"]


def test_a_picture_has_room_for_six_pages_those_with_changes_first(read: Read, tmp_path: Path) -> None:
    plain, changed = read("plain.png", [TURNED], 0.1), read("changed.png", [TURNED])
    heights: list[int] = []
    for files in ([plain], [plain] * 9, [*[plain] * 7, changed], [changed] * 9):
        report = report_of(*files, picture=True)
        told = report.write_picture(tmp_path / "seen.png")
        few = "6 of them, those with changed lines first" in told
        assert few == (len(files) > 6)
        picture = cv2.imread(str(tmp_path / "seen.png"))
        assert picture is not None
        heights.append(picture.shape[0])
    one = heights[0]
    crops = heights[2] - 6 * one
    assert heights[1] == 6 * one
    assert crops > 60, "the changed page, with its crops, has taken the place of another one"
    assert heights[3] == 6 * (one + crops)


def test_without_anything_to_show_no_picture_is_written(tmp_path: Path, read: Read) -> None:
    told = report_of(BROKEN, picture=True).write_picture(tmp_path / "none" / "seen.png")
    assert "is not written: there is nothing to show" in told
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError, match="seen.png: the picture cannot be written"):
        report_of(read("a.png", []), picture=True).write_picture(tmp_path / "file" / "seen.png")


def line(outline: np.ndarray, *, changed: bool, note: str = "") -> ShownLine:
    crop = np.full((30, 90, 3), (200, 60, 20), np.uint8)
    return ShownLine(
        outline=outline, straightened=changed, changed=changed, before=crop, after=crop, notes=(note, "after")
    )


def coloured(picture: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    return np.argwhere((np.abs(picture.astype(int) - colour) < 25).all(axis=2))[:, ::-1]


def test_outlines_are_drawn_where_the_lines_are_and_changed_ones_in_their_own_colour() -> None:
    page = np.full((300, 520, 3), 255, np.uint8)
    left, right = box(60, 100, 120, 60), box(300, 120, 150, 90)
    picture = page_sheet(page, [line(left, changed=False), line(right, changed=True)], "page")
    green, orange = coloured(picture, (70, 170, 60)), coloured(picture, (0, 120, 255))
    scale = 1000 / 520  # the page is drawn as wide as a sheet has room
    assert np.abs(np.ptp(green, axis=0) - scale * np.array([120, 60])).max() < 4
    # The tag of the changed line hangs on its top left corner; its other end is the outline's own.
    apart = orange.max(axis=0) - green.max(axis=0)
    assert np.abs(apart - scale * np.array([450 - 180, 210 - 160])).max() < 4
    crops = coloured(picture, (200, 60, 20))
    assert crops[:, 1].min() > green[:, 1].max(), "under a wide page"


def test_a_high_page_has_its_crops_beside_it_and_far_outlines_do_no_harm() -> None:
    page = np.full((600, 300, 3), 255, np.uint8)
    lines = [line(box(-1e9, 10, 2e9, 1e9), changed=True, note="Größe 方形 " * 20)]
    lines += [line(box(20, 10 + index, 99, 30), changed=True) for index in range(40)]
    picture = page_sheet(page, lines, "page")
    crops = coloured(picture, (200, 60, 20))
    assert crops[:, 0].min() > 300
    assert len(crops) < 25 * 2 * (110 * 330), "no more than 24 are shown"
