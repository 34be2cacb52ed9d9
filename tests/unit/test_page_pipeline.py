"""RapidOCR for whole pages with rectification: stand-ins of both packages, and the real ones if installed."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from stn_deploy.errors import ArgumentError, BatchError
from stn_deploy.geometry import control_point_targets
from stn_deploy.runtime import Rectifier
from stn_deploy.runtime.ocr import comparable, rectifying_rapidocr
from tests.repo.conftest import ROOT
from tests.unit.conftest import Knowing

STRAIGHT = 24
"""Height of straightened crops, by which the stand-ins tell them from those that were detected."""
HEIGHTS = [40, 31, 57]


@dataclass
class Output:
    """As the recogniser of rapidocr 3.10 gives it."""

    imgs: list[np.ndarray] | None
    txts: tuple[str, ...]
    scores: tuple[float, ...]
    word_results: tuple[Any, ...]


class FakeV6:
    """Detects a crop of each height; reads heights."""

    def __init__(self, sure: float, lost: int = 0) -> None:
        self.return_word_box = False
        self.seen: list[list[int]] = []
        self._sure = sure
        self._lost = lost

    def __call__(self, page: object, return_word_box: bool | None = None) -> Output:
        if return_word_box is not None:
            self.return_word_box = return_word_box
        return self.recognize_txt([np.full((height, 90, 3), 9, np.uint8) for height in HEIGHTS])

    def recognize_txt(self, img: list[np.ndarray]) -> Output:
        self.seen.append([len(crop) for crop in img])
        read = [(f"{len(crop)}", self._sure if len(crop) == STRAIGHT else 0.5) for crop in img]
        texts, scores = zip(*read[self._lost :], strict=True)
        return Output(img[self._lost :], texts, scores, (None,) * len(texts))


class RecogniserV4:
    rec_batch_num = 6

    def __init__(self, owner: FakeV4) -> None:
        self._owner = owner

    def __call__(self, img_list: Any, return_word_box: bool = False) -> tuple[list[list[Any]], float]:
        found = self._owner.reads.recognize_txt(img_list)
        return [[text, score] for text, score in zip(found.txts, found.scores, strict=True)], 0.25


class FakeV4:
    def __init__(self, sure: float, lost: int = 0) -> None:
        self.reads = FakeV6(sure, lost)
        self.text_rec = RecogniserV4(self)

    @property
    def seen(self) -> list[list[int]]:
        return self.reads.seen

    def __call__(self, page: object, return_word_box: bool = False) -> Output:
        crops = [np.full((height, 90, 3), 9, np.uint8) for height in HEIGHTS]
        lines, seconds = self.text_rec(crops, return_word_box)
        assert seconds == 0.25
        return Output(None, tuple(line[0] for line in lines), tuple(line[1] for line in lines), ())


both = pytest.mark.parametrize("package", [FakeV6, FakeV4])
ALL = control_point_targets(14)


@both
def test_what_is_detected_is_straightened_before_it_is_recognised(knowing: Knowing, package: Any) -> None:
    engine = package(0.25)
    rectifying = rectifying_rapidocr(engine, knowing(0.8 * ALL, 0.9, height=STRAIGHT, threshold=0.5))
    assert type(rectifying) is package
    found = rectifying(None)
    assert engine.seen == [[STRAIGHT] * 3]
    assert found.txts == ("24", "24", "24")
    assert engine(None).txts == ("40", "31", "57"), "the given engine stays as it is"


@both
def test_crops_that_need_it_not_are_recognised_once_as_they_are(knowing: Knowing, package: Any) -> None:
    engine = package(0.75)
    never = knowing(0.8 * ALL, 0.1, height=STRAIGHT, threshold=0.5)
    assert rectifying_rapidocr(engine, never, second_opinion=True)(None).txts == ("40", "31", "57")
    assert engine.seen == [HEIGHTS]


@both
@pytest.mark.parametrize(
    ("sure", "texts"),
    [(0.75, ("24", "24", "24")), (0.5, ("40", "31", "57")), (0.25, ("40", "31", "57"))],
)
def test_a_second_opinion_keeps_the_more_confident_text(
    knowing: Knowing, package: Any, sure: float, texts: tuple[str, ...]
) -> None:
    engine = package(sure)
    always = knowing(0.8 * ALL, 0.9, height=STRAIGHT, threshold=0.5)
    found = rectifying_rapidocr(engine, always, second_opinion=True)(None)
    assert engine.seen == [[STRAIGHT] * 3 + HEIGHTS]
    assert found.txts == texts
    assert found.scores == (max(sure, 0.5),) * 3
    if found.imgs is not None:
        assert tuple(f"{len(crop)}" for crop in found.imgs) == texts
        assert found.word_results == (None,) * 3


def test_a_sliver_is_recognised_as_it_is_and_the_others_keep_their_places(knowing: Knowing) -> None:
    engine = FakeV6(0.75)
    always = knowing(0.8 * ALL, 0.9, height=STRAIGHT, threshold=0.5)
    crops = [np.full((height, 90, 3), 9, np.uint8) for height in (40, 1, 57)]
    found = rectifying_rapidocr(engine, always, second_opinion=True).recognize_txt(crops)
    assert engine.seen == [[STRAIGHT, 1, STRAIGHT, 40, 57]]
    assert found.txts == ("24", "1", "24")


@both
def test_boxes_of_words_are_refused_and_those_of_lines_still_come(knowing: Knowing, package: Any) -> None:
    always = knowing(0.8 * ALL, 0.9, height=STRAIGHT, threshold=0.5)
    rectifying = rectifying_rapidocr(package(0.75), always)
    with pytest.raises(ArgumentError, match=r"^return_word_box: expected False.* pass False"):
        rectifying(None, return_word_box=True)
    assert rectifying(None, return_word_box=False).txts == ("24", "24", "24")


@both
def test_a_recogniser_that_loses_a_crop_is_told(knowing: Knowing, package: Any) -> None:
    rectifying = rectifying_rapidocr(package(0.75, lost=1), knowing(0.8 * ALL))
    with pytest.raises(BatchError, match="RapidOCR: expected 3 lines, one for each crop, got 2"):
        rectifying(None)


@pytest.mark.parametrize("engine", [SimpleNamespace(text_rec=None), lambda page: ""])
def test_an_engine_with_other_steps_is_refused(knowing: Knowing, engine: object) -> None:
    with pytest.raises(ArgumentError, match=r"^engine: expected a RapidOCR of rapidocr 3\.10 or"):
        rectifying_rapidocr(engine, knowing(ALL))


@both
def test_an_engine_that_rectifies_is_refused(knowing: Knowing, package: Any) -> None:
    rectifying = rectifying_rapidocr(package(0.5), knowing(ALL))
    with pytest.raises(ArgumentError, match="^engine: expected one that does not rectify yet"):
        rectifying_rapidocr(rectifying, knowing(ALL))


def test_settings_of_the_recogniser_are_where_they_were(knowing: Knowing) -> None:
    rectifying = rectifying_rapidocr(FakeV4(0.5), knowing(ALL))
    assert rectifying.text_rec.rec_batch_num == 6
    assert not hasattr(rectifying.text_rec, "_nothing")
    crop = np.full((40, 90, 3), 9, np.uint8)
    assert len(rectifying.text_rec(crop)[0]) == 1


WORDS = {"arch": "bakery", "smile": "trattoria", "perspective": "bicycles", "straight_1": "entrance"}


def signs() -> np.ndarray:
    """A page of four signs, each far from the others."""
    page = np.full((620, 900, 3), 235, np.uint8)
    for index, name in enumerate(WORDS):
        image = cv2.imread(str(ROOT / "samples" / f"{name}.jpg"))
        assert image is not None
        top, left = 60 + 300 * (index // 2), 30 + 440 * (index % 2)
        page[top : top + image.shape[0], left : left + image.shape[1]] = image
    return page


def real(package: str) -> tuple[Any, Any]:
    """An engine, and a function that takes boxes, texts and confidences out of what it gives."""
    module = pytest.importorskip(package, reason=f"{package} is not installed")
    if package == "rapidocr":
        engine = module.RapidOCR(params={"Global.log_level": "error"})
        return engine, lambda found: (np.asarray(found.boxes), list(found.txts), list(found.scores))
    engine = module.RapidOCR()
    return engine, lambda found: tuple(map(list, zip(*found[0], strict=True)))


@pytest.mark.parametrize("package", ["rapidocr", "rapidocr_onnxruntime"])
def test_a_real_pipeline_is_surer_of_straightened_lines_and_its_boxes_stay(package: str) -> None:
    engine, parts = real(package)
    page = signs()
    plain_boxes, plain_texts, plain_scores = parts(engine(page))
    rectifying = rectifying_rapidocr(engine, Rectifier(), second_opinion=True)
    boxes, texts, scores = parts(rectifying(page))
    assert sorted(map(comparable, texts)) == sorted(WORDS.values())
    np.testing.assert_array_equal(boxes, plain_boxes)
    assert all(now >= before - 1e-6 for now, before in zip(scores, plain_scores, strict=True))
    assert sum(scores) > sum(plain_scores) + 1e-3
    again = parts(engine(page))
    assert (again[1], again[2]) == (plain_texts, plain_scores), "the given engine stays as it is"
    # Each line lies in the quarter of the page where its sign was put.
    for box, text in zip(boxes, texts, strict=True):
        x, y = np.mean(np.asarray(box, float), axis=0)
        index = list(WORDS.values()).index(comparable(text))
        assert (int(y > 310), int(x > 450)) == divmod(index, 2)


@pytest.mark.parametrize("package", ["rapidocr", "rapidocr_onnxruntime"])
def test_a_real_pipeline_finds_nothing_on_an_empty_page(package: str) -> None:
    engine, _ = real(package)
    page = np.full((200, 300, 3), 255, np.uint8)
    found = rectifying_rapidocr(engine, Rectifier())(page)
    assert (found.txts is None) if package == "rapidocr" else (found[0] is None)
