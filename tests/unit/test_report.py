"""The HTML report of an evaluation: whole, escaped, with nothing to load beside it."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest

from stn_deploy.runtime.evaluation import Case, Evaluation
from stn_deploy.runtime.report import EvaluationReport

MADE_WITH = "model x.onnx, digest 0123456789ab, threshold 0.5, stn-deploy 1.0"
NASTY = "<script>alert('&\"')</script>"


def case(raw: str, rectified: str, *, name: str = "a.png", label: str = "word") -> Case:
    return Case(
        name=name,
        label=label,
        raw=raw,
        raw_confidence=0.25,
        rectified=rectified,
        rectified_confidence=0.75,
        applied=True,
    )


class Page(HTMLParser):
    """Tags that are open or were never closed, the pictures, and the text."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.open: list[str] = []
        self.pictures: list[np.ndarray] = []
        self.sources: list[str] = []
        self.text = ""
        self.tags: set[str] = set()
        self.feed(page.decode("utf-8"))

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag not in ("meta", "br", "img"):
            self.open.append(tag)
        source = dict(attributes).get("src")
        if source is not None:
            self.sources.append(source)
            data = np.frombuffer(base64.b64decode(source.split(",")[1]), np.uint8)
            picture = cv2.imdecode(data, cv2.IMREAD_COLOR)
            assert picture is not None
            self.pictures.append(picture)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def evaluation(cases: list[Case], *, engine: str = "scripted") -> Evaluation:
    return Evaluation(engine=engine, cases=cases, skipped=2, unreadable=[f"{NASTY}.png: no image"])


def test_changed_words_are_shown_before_and_after() -> None:
    fixed, broken, same = case("wrd", "word"), case("word", "", name="b.png"), case("word", "word")
    report = EvaluationReport()
    report.add("scripted", fixed, np.full((10, 37, 3), 40, np.uint8), np.full((48, 90, 3), 200, np.uint8))
    report.add("scripted", broken, np.full((400, 37, 3), 60, np.uint8), np.full((9, 999, 3), 220, np.uint8))
    page = Page(report.html("set.zip", [evaluation([fixed, broken, same])], made_with=MADE_WITH))
    assert page.open == []
    greys = [round(float(picture.mean()) / 20) * 20 for picture in page.pictures]
    assert greys == [40, 200, 60, 220]
    assert all(picture.shape[0] <= 96 and picture.shape[1] <= 360 for picture in page.pictures)
    for expected in ("scripted: 1 word fixed", "scripted: 1 word broken", "wrd", "0.25", "0.75", "nothing"):
        assert expected in page.text
    assert "66.7%" in page.text
    assert "+0.0 points" in page.text
    assert "2 samples skipped" in page.text
    assert "1 crop could not be used" in page.text
    assert "stn-deploy: set.zip" in page.text
    assert MADE_WITH in page.text


@pytest.mark.parametrize(
    ("raw", "straight", "height"),
    [
        ((10, 37), (48, 90), 96),  # the taller one doubled
        ((15, 12), (16, 14), 32),
        ((400, 300), (48, 90), 96),
        ((30, 20), (48, 480), 36),  # as high as the wider one can be
    ],
)
def test_both_pictures_of_a_word_are_of_one_height(
    raw: tuple[int, int], straight: tuple[int, int], height: int
) -> None:
    report, fixed = EvaluationReport(), case("wrd", "word")
    report.add("scripted", fixed, np.zeros((*raw, 3), np.uint8), np.zeros((*straight, 3), np.uint8))
    page = Page(report.html("set.zip", [evaluation([fixed])], made_with=MADE_WITH))
    assert [picture.shape[0] for picture in page.pictures] == [height, height]


def test_the_reading_that_the_second_opinion_takes_is_marked() -> None:
    sure = case("wrd", "word")
    unsure = Case(**{**sure.__dict__, "raw_confidence": 0.75, "name": "b.png"})  # equally sure: the raw one
    for each, before, after in ((sure, False, True), (unsure, True, False)):
        page = EvaluationReport().html("set.zip", [evaluation([each])], made_with=MADE_WITH).decode()
        row = next(line for line in page.splitlines() if "<code>wrd</code>" in line)
        cells = row.split("<td>")[2:]
        assert ["second opinion" in cell for cell in cells] == [before, after]


def test_an_engine_that_reads_all_the_same_has_no_empty_section() -> None:
    same = evaluation([case("word", "word")], engine="other")
    page = Page(EvaluationReport().html("set.zip", [same], made_with=MADE_WITH))
    assert "other: no word changed" in page.text
    assert "words fixed" not in page.text
    assert "words broken" not in page.text
    assert page.open == []


def test_the_same_evaluation_gives_the_same_page_for_any_screen() -> None:
    fixed, pages = case("wrd", "word"), list[bytes]()
    for _ in range(2):
        report = EvaluationReport()
        report.add("scripted", fixed, np.zeros((4, 9, 3), np.uint8), np.zeros((4, 9, 3), np.uint8))
        pages.append(report.html("set.zip", [evaluation([fixed])], made_with=MADE_WITH))
    assert pages[0] == pages[1]
    assert b'<meta name="viewport"' in pages[0]
    assert b"max-width: 100%; height: auto" in pages[0]


def test_what_comes_from_outside_is_escaped() -> None:
    outside = case("wrd", f"word{NASTY}\0", name=NASTY, label=f"word{NASTY}\ud800")
    outside_right = Case(**{**outside.__dict__, "rectified": outside.label})
    report = EvaluationReport()
    report.add(NASTY, outside_right, np.zeros((4, 9, 3), np.uint8), np.zeros((4, 9, 3), np.uint8))
    written = report.html(NASTY, [evaluation([outside_right], engine=NASTY)], made_with=NASTY)
    page = Page(written)
    assert page.open == []
    assert "script" not in page.tags
    assert page.text.count(NASTY) >= 8  # title, made_with, heading, engine, name, label, reading, unreadable


def test_nothing_is_loaded_from_elsewhere() -> None:
    fixed = case("wrd", "word")
    report = EvaluationReport()
    report.add("scripted", fixed, np.zeros((4, 9, 3), np.uint8), np.zeros((4, 9, 3), np.uint8))
    written = report.html(
        "set.zip",
        [evaluation([fixed]), evaluation([case("word", "word")], engine="other")],
        made_with=MADE_WITH,
    )
    assert all(source.startswith("data:image/jpeg;base64,") for source in Page(written).sources)
    assert not re.search(rb"https?:|@import|url\(|<link", written)
    assert b"other: no word changed" in written
