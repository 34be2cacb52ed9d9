"""The HTML report of an evaluation: whole, escaped, with nothing to load beside it."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser

import cv2
import numpy as np

from stn_deploy.runtime.evaluation import Case, Evaluation
from stn_deploy.runtime.report import EvaluationReport

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
    page = Page(report.html("set.zip", [evaluation([fixed, broken, same])]))
    assert page.open == []
    greys = [round(float(picture.mean()) / 20) * 20 for picture in page.pictures]
    assert greys == [40, 200, 60, 220]
    assert all(picture.shape[0] <= 96 and picture.shape[1] <= 360 for picture in page.pictures)
    assert page.pictures[0].shape[:2] == (20, 74)  # at most twice as large
    for expected in ("scripted: 1 words fixed", "scripted: 1 words broken", "wrd", "0.25", "0.75", "nothing"):
        assert expected in page.text
    assert "66.7%" in page.text
    assert "2 samples skipped" in page.text


def test_what_comes_from_outside_is_escaped() -> None:
    outside = case("wrd", f"word{NASTY}\0", name=NASTY, label=f"word{NASTY}\ud800")
    outside_right = Case(**{**outside.__dict__, "rectified": outside.label})
    report = EvaluationReport()
    report.add(NASTY, outside_right, np.zeros((4, 9, 3), np.uint8), np.zeros((4, 9, 3), np.uint8))
    written = report.html(NASTY, [evaluation([outside_right], engine=NASTY)])
    page = Page(written)
    assert page.open == []
    assert "script" not in page.tags
    assert page.text.count(NASTY) >= 5  # title, heading, engine, name, label, reading, unreadable


def test_nothing_is_loaded_from_elsewhere() -> None:
    fixed = case("wrd", "word")
    report = EvaluationReport()
    report.add("scripted", fixed, np.zeros((4, 9, 3), np.uint8), np.zeros((4, 9, 3), np.uint8))
    written = report.html(
        "set.zip", [evaluation([fixed]), evaluation([case("word", "word")], engine="other")]
    )
    assert all(source.startswith("data:image/jpeg;base64,") for source in Page(written).sources)
    assert not re.search(rb"https?:|@import|url\(|<link", written)
    assert b"other: 0 words fixed" in written
