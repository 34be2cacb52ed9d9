"""What is read in files: lines for JSON, the table, the summary, and which rows a picture has room for."""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
import pytest
from rich.console import Console

from stn_deploy.cli import read_report
from stn_deploy.cli.read_report import ReadReport
from stn_deploy.data import FoundImage
from stn_deploy.errors import OutputError
from stn_deploy.geometry import TextSpline, control_point_targets
from stn_deploy.runtime import Rectified
from stn_deploy.runtime.ocr import CallableReader, Reading, TwoReadings
from stn_deploy.runtime.ocr.files import FileReading, read_files
from stn_deploy.runtime.sheet import SheetRow
from tests.unit.conftest import Knowing


def reading(name: str, raw: Reading, rectified: Reading | None = None) -> FileReading:
    """Of a file that was straightened if there is a second reading."""
    image = np.full((20, 50, 3), 90, np.uint8)
    result = Rectified(
        image=image,
        applied=rectified is not None,
        score=0.5,
        theta=(0.5 * control_point_targets(4)).astype(np.float32),
        source_size=(20, 50),
        spline=TextSpline(),
    )
    both = TwoReadings(raw=raw, rectified=rectified or raw, result=result)
    return FileReading(source=FoundImage(Path(name), Path(name)), original=image, both=both)


UNSURE, SURE = Reading("d0or", 0.25), Reading("door", 0.75)


@pytest.mark.parametrize(
    ("raw", "rectified", "second_opinion", "text", "kept"),
    [
        (UNSURE, SURE, False, "door", "after"),
        (UNSURE, SURE, True, "door", "after"),
        (SURE, UNSURE, False, "d0or", "after"),
        (SURE, UNSURE, True, "door", "before"),
        (SURE, Reading("floor", 0.75), True, "door", "before"),
        (SURE, None, False, "door", "before"),
        (SURE, None, True, "door", "before"),
    ],
)
def test_a_line_says_which_reading_counts(
    raw: Reading, rectified: Reading | None, second_opinion: bool, text: str, kept: str
) -> None:
    line = reading("a.png", raw, rectified).as_line(second_opinion=second_opinion)
    assert (line["text"], line["kept"]) == (text, kept)
    assert line["before"] == {"text": raw.text, "confidence": raw.confidence}
    assert line["after"]["text"] == (rectified or raw).text
    assert line["applied"] is (rectified is not None)


def test_control_points_are_in_pixels_of_the_file() -> None:
    line = reading("a.png", SURE, SURE).as_line(second_opinion=False)
    # Half of the picture, about its middle: x from 12.5 to 37.5 of 50, y from 5 to 15 of 20.
    assert line["control_points"] == [[12.5, 5.0], [37.5, 5.0], [12.5, 15.0], [37.5, 15.0]]
    assert line["source_size"] == [20, 50]


def test_a_bad_file_spoils_no_other_and_says_where_it_lies(knowing: Knowing, tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (40, 90, 3)).astype(np.uint8)
    (tmp_path / "deep").mkdir()
    names = ["first.png", "deep/bad.png", "deep/large.png", "last.png"]
    for name in names:
        assert cv2.imwrite(str(tmp_path / name), image)
    (tmp_path / names[1]).write_bytes(b"no picture")
    assert cv2.imwrite(str(tmp_path / names[2]), np.zeros((200, 400), np.uint8))
    rectifier = knowing(0.8 * control_point_targets(14), score=0.9, height=24, threshold=0.5)
    seen: list[np.ndarray] = []

    def height_of(crop: np.ndarray) -> str:
        seen.append(crop)
        return f"{len(crop)}"

    found = [FoundImage(tmp_path / name, Path(name)) for name in names]
    first, bad, large, last = read_files(found, rectifier, CallableReader(height_of), max_megapixels=0.05)
    assert bad.as_line(second_opinion=True).keys() == {"file", "error"}
    assert (bad.error or "").startswith("deep/bad.png: expected one of the formats")
    assert (large.error or "").startswith("deep/large.png: expected at most 0.05 megapixels")
    for read in (first, last):
        assert read.as_line(second_opinion=False)["text"] == "24"
        assert read.as_line(second_opinion=True)["text"] == "40"  # as sure of both
    np.testing.assert_array_equal(seen[0], image)
    assert len(seen) == 4


def test_files_are_read_one_by_one(knowing: Knowing, tmp_path: Path) -> None:
    rectifier = knowing(control_point_targets(14), score=0.1, threshold=0.5)
    asked = 0

    def endless() -> object:
        nonlocal asked
        while True:
            asked += 1
            yield FoundImage(tmp_path / "none.png", Path(f"{asked}.png"))

    results = read_files(endless(), rectifier, CallableReader(lambda crop: ""))  # type: ignore[arg-type]
    for index in range(1, 4):
        assert (next(results).error or "").startswith(f"{index}.png: ")
        assert asked == index


def report_of(*readings: FileReading, second_opinion: bool = False, picture: bool = False) -> ReadReport:
    report = ReadReport(engine="Eye", second_opinion=second_opinion, table=True, picture=picture)
    for each in readings:
        report.add(each, each.as_line(second_opinion=second_opinion))
    return report


BROKEN = FileReading(source=FoundImage(Path("b.png"), Path("b.png")), error="b.png: broken")


def test_the_summary_counts_what_was_straightened_and_what_changed() -> None:
    files = [
        reading("a.png", UNSURE, SURE),
        reading("c.png", SURE, UNSURE),
        reading("d.png", SURE, Reading(" door\n", 0.5)),
        reading("e.png", UNSURE),
        BROKEN,
    ]
    assert report_of(*files).summary() == "4 of 5 images read, 3 straightened, the text of 2 changed"
    report = report_of(*files, second_opinion=True)
    assert report.summary() == "4 of 5 images read, 3 straightened, the text of 1 changed"
    assert report.failed == ["b.png: broken"]


def test_the_table_shows_names_and_texts_as_they_are() -> None:
    console = Console(width=100, record=True, markup=False, file=io.StringIO())
    report_of(reading("[red]a.png", Reading("d0\nor", 0.25), Reading("[b]door", 0.75)), BROKEN).print(console)
    shown = console.export_text()
    (row,) = [line for line in shown.splitlines() if "[red]a.png" in line]
    cells = [cell.strip() for cell in row.strip("│").split("│")]
    assert cells == ["[red]a.png", "d0 or", "0.25", "[b]door", "0.75", "after", "straightened"]
    assert "error" in next(line for line in shown.splitlines() if "b.png" in line and "[red]" not in line)
    assert "Eye" in shown


@pytest.mark.parametrize(("untouched", "straightened"), [(3, 2), (30, 2), (30, 30), (0, 30), (30, 0)])
def test_a_picture_shows_what_was_straightened_before_the_rest(
    untouched: int, straightened: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sheets: list[list[SheetRow]] = []

    def keep(rows: list[SheetRow]) -> np.ndarray:
        sheets.append(list(rows))
        return np.zeros((4, 4, 3), np.uint8)

    monkeypatch.setattr(read_report, "before_after_sheet", keep)
    files = []
    for index in range(max(untouched, straightened)):
        files += [reading(f"u{index}", UNSURE)] if index < untouched else []
        files += [reading(f"s{index}", UNSURE, SURE)] if index < straightened else []
    told = report_of(*files, picture=True).write_picture(tmp_path / "seen.png")
    straight = [(f"'d0or' 0.25, s{index}", "'door' 0.75, kept") for index in range(straightened)]
    plain = [(f"'d0or' 0.25, kept, u{index}", "untouched") for index in range(untouched)]
    (rows,) = sheets
    assert [(row.label, row.note) for row in rows] == (straight + plain)[:24]
    assert ("24 of them, straightened ones first" in told) == (untouched + straightened > 24)


def test_without_anything_to_show_no_picture_is_written(tmp_path: Path) -> None:
    told = report_of(BROKEN, picture=True).write_picture(tmp_path / "seen.png")
    assert "is not written: there is nothing to show" in told
    assert list(tmp_path.iterdir()) == []


def test_a_picture_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError, match="seen.png: the picture cannot be written"):
        report_of(reading("a.png", SURE), picture=True).write_picture(tmp_path / "file" / "seen.png")
